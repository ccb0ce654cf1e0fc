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

/// The kernel for so many rows of activations. Sums are in f32.
coppice_row_kernel coppice_dense_kernel(const coppice_dense_weight *weight, long x_rows);
