// Tiles of rows of a weight with masks with one to eight rows of activations, with AVX-512 VNNI and VBMI2. Internal.
#pragma once

#include "packed_product.h"
#include "rounded_rows.h"

/// Whether this processor has kernels for a weight's masked values, which are bf16 or f16. (Codes have
/// them where `coppice_packed_kernel` rounds activations.)
int coppice_sparse_float_kernels_apply(const coppice_packed_weight *w);

/// y[i][r] = Σ_c x[i][c] W[r][c] for rows first ..< last of W and all rows of x, of which there are 1, 2, 4 or 8. Each
/// sum has the same order for any x_rows.
void coppice_sparse_float_tiles(
    const coppice_packed_weight *w, const float *x, long x_rows, long x_stride, float *y, long y_stride, long first,
    long last);

/// The same for codes with masks, on any number of rounded rows of activations.
void coppice_sparse_integer_tiles(
    const coppice_packed_weight *w, const coppice_rounded_rows *x, float *y, long y_stride, long first, long last);
