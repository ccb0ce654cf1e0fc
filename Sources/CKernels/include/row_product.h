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

/// What outputs do to a target, a matrix of their shape.
typedef enum coppice_combination {
    COPPICE_KEEPS, ///< nothing
    COPPICE_ADDS,  ///< target += y: a residual connection
    COPPICE_GATES, ///< target = silu(target) y, silu(a) = a / (1 + exp(-a)): the target is the gate's product
} coppice_combination;

/// Where a product is written, and what becomes of it.
typedef struct coppice_output {
    float *y;
    long stride;       ///< elements between rows
    const float *bias; ///< one for each row of W, added to y before anything else; or null
    coppice_combination combination;
    float *target; ///< null where `combination` keeps
    long target_stride;
} coppice_output;

enum { COPPICE_MOST_PRODUCTS = 8 }; ///< in one call

/// Bytes of memory, aligned to 64, that `coppice_multiply` needs; 0 where all kernels read f32.
long coppice_multiply_scratch_bytes(const coppice_row_kernel *kernels, long count, long x_rows);

/// y[k][i][r] = Σ_c x[i][c] W[k][r][c] + bias[k][r] for `count` weights that have the same columns, each then combined
/// with its target. Activations are rounded once for all, and few rows of them meet all weights in one fork-join, whose
/// tasks also add biases and combine. The result does not depend on the number of threads, and is to the bit what
/// `coppice_finish_product` makes of the bare products, in their order. A target may be the y of the output before it,
/// if that is combined with nothing; else no y and no target overlaps x, a weight, or another y or target.
void coppice_multiply(
    const coppice_row_kernel *kernels, const coppice_output *outputs, long count, const float *x, long x_rows,
    long x_stride, void *scratch);

/// Adds the bias to a product's outputs, y [x_rows, rows], and combines them with the target: for products that do not
/// do so themselves. Threaded.
void coppice_finish_product(const coppice_output *output, long rows, long x_rows);
