// Products of up to eight rows of rounded activations with integer weights, in AVX-512 VNNI or AVX2. Internal.
#pragma once

#include "integer_weight.h"

/// y[i][r] for rows first ..< last of W and all rows of x, at most 8: the products of decoding, which read the weight
/// once. With AVX-512 VNNI.
void coppice_integer_tiles(
    const coppice_integer_weight *w, const coppice_rounded_rows *x, float *y, long y_stride, long first, long last);

/// The same in AVX2, for weights without masks.
void coppice_integer_tiles_avx2(
    const coppice_packed_weight *w, const coppice_rounded_rows *x, float *y, long y_stride, long first, long last);
