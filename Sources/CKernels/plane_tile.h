// Products of few rows of rounded activations with bit planes: those of decoding. Internal.
#pragma once

#include "plane_product.h"
#include "rounded_rows.h"

/// Whether there is a kernel in integer arithmetic for so many rows of activations on this processor.
int coppice_plane_tiles_apply(const coppice_plane_weight *w, long x_rows);

/// y[i][r] for rows first ..< last of W and `x_rows` rows of x from `x_first` on: 1, 2, 4 or 8.
void coppice_plane_tiles(
    const coppice_plane_weight *w, const coppice_rounded_rows *x, long x_first, long x_rows, float *y, long y_stride,
    long first, long last);

/// The same in AVX2.
void coppice_plane_tiles_avx2(
    const coppice_plane_weight *w, const coppice_rounded_rows *x, long x_first, long x_rows, float *y, long y_stride,
    long first, long last);
