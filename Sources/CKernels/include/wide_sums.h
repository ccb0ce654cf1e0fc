// Products of f32 matrices whose sums are in f64: what the inverse of a nearly singular matrix needs.
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

/// dots[r] = sum over k of x[r][k] * v[k], products and sums in f64.
///
/// `x` is rows * columns, row-major; `v` has `columns` entries. Nothing may overlap `dots`. Reads `x` once; threaded
/// over runs of columns whose length does not depend on the number of threads.
void coppice_wide_dots(long rows, long columns, const float *x, const float *v, double *dots);

/// out[k] = scale * (base[k] - sum over r of z[r] * x[r][k]), computed in f64 and rounded once.
///
/// `x` is rows * columns, row-major; `base` may be null (zeros) and may be `out`. Reads `x` once; threaded.
void coppice_wide_remainder(
    long rows, long columns, const float *x, const double *z, const float *base, double scale, float *out);

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
