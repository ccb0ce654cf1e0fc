// Tiles of rows of a compressed weight with one to eight rows of activations: the products of decoding. Internal.
#pragma once

#include "packed_product.h"

/// Rows of W that are taken together; a task's rows are a multiple of this, except the last.
enum { coppice_packed_tile_rows = 4 };

/// y[i][r] = Σ_c x[i][c] W[r][c] for r from `first` on, x_rows 1, 2, 4 or 8, with AVX-512. Returns the first row
/// that it has not done: it stops before `last` where there is no whole tile left, where a load would reach past
/// the values, or (at once) where groups are not whole pairs of blocks. Each sum has the same order for any x_rows.
long coppice_packed_tiles_512(
    const coppice_packed_weight *w, const float *x, long x_rows, long x_stride, float *y, long y_stride, long first,
    long last);
