// Gram matrices of wide f32 matrices, with sums in f64.
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

/// The lower triangle, diagonal included, of gram = X Xᵀ, with products of f32 and their sums in f64. The upper triangle
/// is not touched.
///
/// `x` is rows * columns, row-major; `gram` is rows * rows and may not overlap it. Reads `x` once; threaded over runs of
/// columns whose number and length do not depend on the number of threads. Needs some 0.5 MB a thread and, for the sums
/// of runs, 32 MB at most or 8 rows * rows bytes, whichever is more.
void coppice_wide_gram(long rows, long columns, const float *x, double *gram);

#ifdef __cplusplus
}
#endif
