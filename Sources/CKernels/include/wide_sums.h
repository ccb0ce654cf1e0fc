// Products with a few long rows of f32 or bf16 whose sums are in f64: what the inverse of a nearly singular matrix needs.
//
// Rows are row-major, `rows` * `columns`, of type COPPICE_DATA_F32 or COPPICE_DATA_BF16, read once. All but the Gram
// matrix cut them into runs of columns, and add what the runs give, by the number of columns alone: results do not depend
// on the number of threads.
#pragma once

#include "conversion.h"

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// dots[r] = sum over k of x[r][k] * v[k], products and sums in f64.
///
/// `v` has `columns` entries. Nothing may overlap `dots`.
void coppice_wide_dots(
    coppice_data_type type, long rows, long columns, const void *x, const float *v, double *dots);

/// The same of bf16 rows, as fast as memory gives them: products in f32, which are exact where the entries of `v` are
/// bf16 numbers too, sums of at most 64 of them in f32, and sums of these in f64.
void coppice_bf16_dots(long rows, long columns, const uint16_t *x, const float *v, double *dots);

/// out[k] = scale * (base[k] - sum over r of z[r] * x[r][k]), computed in f64 and rounded once.
///
/// `base` may be null (zeros) and may be `out`. Begins with the last columns, which the dots of the same rows have just
/// read.
void coppice_wide_remainder(
    coppice_data_type type, long rows, long columns, const void *x, const double *z, const float *base, double scale,
    float *out);

/// out[k] = sum over r of z[r] * x[r][k] of bf16 rows, products and sums in f32. Begins with the last columns.
void coppice_bf16_combination(long rows, long columns, const uint16_t *x, const float *z, float *out);

/// The lower triangle, diagonal included, of gram = X Xᵀ, with products of f32 and their sums in f64. The upper triangle
/// is not touched.
///
/// `gram` is rows * rows and may not overlap `x`. Threaded over runs of columns whose number and length do not depend on
/// the number of threads. Needs some 0.5 MB a thread and, for the sums of runs, 32 MB at most or 8 rows * rows bytes,
/// whichever is more.
void coppice_wide_gram(coppice_data_type type, long rows, long columns, const void *x, double *gram);

#ifdef __cplusplus
}
#endif
