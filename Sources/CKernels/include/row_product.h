// Products of the same activations with one weight or several, whatever their formats: y = x Wᵀ, row-major.
#pragma once

#include "rounded_rows.h"

/// What a kernel reads activations as.
typedef enum coppice_activation_form {
    COPPICE_READS_F32,
    COPPICE_READS_INTEGERS, ///< of 8 bits, in blocks (rounded_rows.h)
    COPPICE_READS_BF16,     ///< rounded to nearest, rows padded with zeros to a multiple of 32 columns
} coppice_activation_form;

/// Rows of activations in f32, and in the other forms that kernels read.
typedef struct coppice_activations {
    const float *values;
    long rows, columns, stride;
    const coppice_rounded_rows *rounded;
    const uint16_t *bf16; ///< [rows, padded]
    long padded;
} coppice_activations;

/// How a weight of some format is multiplied. Each format makes its own for a number of rows of activations.
typedef struct coppice_row_kernel {
    const void *weight;
    long rows, columns;
    long row_bytes; ///< of memory that a row takes, on average
    coppice_activation_form reads;
    /// y[i][r] for rows first ..< last of W and all rows of x, on the calling thread; null where many rows of x share
    /// what is decoded of W.
    void (*multiply_rows)(
        const void *weight, const coppice_activations *x, float *y, long y_stride, long first, long last);
    /// The whole product, threaded. Used where `multiply_rows` is null.
    void (*multiply)(const void *weight, const coppice_activations *x, float *y, long y_stride);
} coppice_row_kernel;

/// How many of `rows` rows of activations a kernel takes at once that knows 1, 2, 4 and 8.
static inline long coppice_batch_of(long rows) { return rows >= 8 ? 8 : rows >= 4 ? 4 : rows >= 2 ? 2 : 1; }

/// Where a product is written.
typedef struct coppice_output {
    float *y;
    long stride; ///< elements between rows
} coppice_output;

/// Bytes of memory, aligned to 64, that `coppice_multiply` needs; 0 where all kernels read f32.
long coppice_multiply_scratch_bytes(const coppice_row_kernel *kernels, long count, long x_rows);

/// y[k][i][r] = Σ_c x[i][c] W[k][r][c] for `count` weights that have the same columns. Activations are rounded once for
/// all, and few rows of them meet all weights in one fork-join. The result does not depend on the number of threads.
/// No y overlaps x, a weight or another y.
void coppice_multiply(
    const coppice_row_kernel *kernels, const coppice_output *outputs, long count, const float *x, long x_rows,
    long x_stride, void *scratch);
