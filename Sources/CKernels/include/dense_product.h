// Products of f32 activations with a dense weight.
#pragma once

#include "row_product.h"

/// Element types of a dense weight.
typedef enum coppice_float_type {
    COPPICE_TYPE_F32 = 0,
    COPPICE_TYPE_BF16 = 1,
    COPPICE_TYPE_F16 = 2,
} coppice_float_type;

/// A weight W [rows, columns], row-major at any address.
typedef struct coppice_dense_weight {
    const void *values;
    coppice_float_type type;
    long rows, columns;
} coppice_dense_weight;

/// The kernel for so many rows of activations. Sums are in f32. If they `may_narrow`, more than 8 rows meet bf16
/// weights as bf16 where the processor has AVX-512 BF16: y is off by at most Σ_c |W[r][c] x[i][c]| / 256, and f32
/// rounding. Else activations stay f32.
coppice_row_kernel coppice_dense_kernel(const coppice_dense_weight *weight, long x_rows, int may_narrow);
