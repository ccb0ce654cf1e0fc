// Sums of powers of magnitudes: what norms of any order, and measures of sparsity made of two norms, are computed from.
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

/// Sums of powers of some numbers: sum of |x|^p = 2^(p * exponent) * first, and likewise with q and `second`.
///
/// The exponent is that of the largest magnitude, so nothing over- or underflows; it is 0 where all numbers are zero.
typedef struct coppice_power_sum {
    double exponent, first, second;
    /// Numbers that are not zero.
    long nonzero;
    /// 0 where a number is NaN or infinite; the sums then mean nothing.
    int is_finite;
} coppice_power_sum;

/// `sums[r]` of each row of row-major `rows` x `columns`; 0^p is 0. Powers must be positive and at most 64.
///
/// Powers of 1/2, 1 and 2 are taken in f64, others in f32 (relative error of a sum about 1e-6); sums are in f64. Reads
/// `x` from memory once; threaded over runs of columns whose length does not depend on the number of threads.
void coppice_power_sums(const float *x, long rows, long columns, double p, double q, coppice_power_sum *sums);

#ifdef __cplusplus
}
#endif
