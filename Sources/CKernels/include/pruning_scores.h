// What pruning criteria compute from weights and activations, and the statistics reported about weights.
#pragma once

#include <stdint.h>

/// Elements that one entry of `sums` covers in `coppice_square_sums`.
enum { COPPICE_STATISTICS_CHUNK = 1 << 18 };

/// `out[i] = |values[i]|`. May be in place. Threaded.
void coppice_absolute(const float *values, long count, float *out);

/// `out[r][c] = |values[r][c]| * norms[c]` for row-major `rows` x `columns`. May be in place. Threaded.
void coppice_scaled_absolute(const float *values, long rows, long columns, const float *norms, float *out);

/// `sums[c] += sum over r of x[r][c]^2` in f64, rows in order, so that the result does not depend on the number of
/// threads or on how rows are split between calls. Row r starts at `x + r * stride`. Threaded over columns.
void coppice_add_column_squares(const float *x, long rows, long columns, long stride, double *sums);

/// Number of values with |value| < `threshold`. Threaded.
long coppice_count_below(const float *values, long count, float threshold);

/// `sums[k]` = sum of the squares of chunk k's values in f64; chunks have COPPICE_STATISTICS_CHUNK values, the last
/// one fewer. Threaded.
void coppice_square_sums(const float *values, long count, double *sums);
