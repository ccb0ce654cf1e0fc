// Products of rounded activations with integer weights, in AVX-512 VNNI or AVX2. Internal.
#pragma once

#include "packed_product.h"
#include "rounded_rows.h"

/// Whether there are integer kernels for so many rows of activations on this processor: for codes of 4 or 8 bits in
/// groups of 32, 64, a multiple of 128 columns or whole rows. AVX2 has them for up to 8 rows and weights without masks.
int coppice_integer_kernels_apply(const coppice_packed_weight *w, long x_rows);

/// y[i][r] for rows first ..< last of W and all rows of x, of which there are 1, 2, 4 or 8: the products of decoding,
/// which read the weight once.
void coppice_integer_tiles(
    const coppice_packed_weight *w, const coppice_rounded_rows *x, long x_first, long x_rows, float *y, long y_stride,
    long first, long last);

/// The same in AVX2.
void coppice_integer_tiles_avx2(
    const coppice_packed_weight *w, const coppice_rounded_rows *x, long x_first, long x_rows, float *y, long y_stride,
    long first, long last);
