// Products of f32 activations with a dense weight: y = x Wᵀ, row-major.
#pragma once

/// Element types of a dense weight.
typedef enum coppice_float_type {
    COPPICE_TYPE_F32 = 0,
    COPPICE_TYPE_BF16 = 1,
    COPPICE_TYPE_F16 = 2,
} coppice_float_type;

/// y[i][r] = Σ_c x[i][c] · W[r][c] with W [rows, columns] of `type`, x [x_rows, columns], y [x_rows, rows].
///
/// W may have any alignment. `x_stride` and `y_stride` are distances between rows in elements, at least the row's
/// length. y overlaps neither. Sums are in f32; the result does not depend on the number of threads.
void coppice_dense_product(
    const void *weight, coppice_float_type type, long rows, long columns, const float *x, long x_rows, long x_stride,
    float *y, long y_stride);
