// Cross-entropy of f32 scores, evaluated in f64: it neither stalls nor jumps where the loss is far below 1e-7, the
// spacing of f32 numbers around the largest probability.
#pragma once

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// loss[r] = log(sum_j exp(x[r][j])) - x[r][target[r]], accurate relative to itself even where the target has nearly
/// all of the probability; 0 for rows whose target is negative.
///
/// `x` is rows * columns, row-major; targets are below `columns`. Nothing may overlap. The exponential's relative error
/// is below 1e-15.
void coppice_precise_cross_entropy(long rows, long columns, const float *x, const int64_t *target, double *loss);

/// The same, and dx[r][j] = scale * (softmax(x[r])[j] - [j = target[r]]), from one pass of exponentials: sums and
/// scaling are in f64, terms are rounded to f32 before and after it. The target's entry is minus the others' sum, which
/// does not cancel. Rows whose target is negative become zeros.
void coppice_precise_cross_entropy_step(
    long rows, long columns, double scale, const float *x, const int64_t *target, double *loss, float *dx);

#ifdef __cplusplus
}
#endif
