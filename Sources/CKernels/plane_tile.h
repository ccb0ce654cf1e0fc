// Products of rounded activations with bit planes. Internal.
#pragma once

#include "plane_product.h"
#include "rounded_rows.h"

enum { COPPICE_PLANE_TILE_COLUMNS = 128 << 10 };

/// y[i][r] for rows first ..< last of W and all rows of x, at most 8: the products of decoding, which read the weight
/// once. With AVX-512 VNNI. W has at most COPPICE_PLANE_TILE_COLUMNS columns.
void coppice_plane_tiles(
    const coppice_plane_weight *w, const coppice_rounded_rows *x, float *y, long y_stride, long first, long last);

/// The same in AVX2.
void coppice_plane_tiles_avx2(
    const coppice_plane_weight *w, const coppice_rounded_rows *x, float *y, long y_stride, long first, long last);

/// The product with many rows, by panels of W that are unpacked once (integer_panel.h). Threaded. With AVX-512 VNNI.
void coppice_plane_panel_product(
    const coppice_plane_weight *w, const coppice_rounded_rows *x, float *y, long y_stride);
