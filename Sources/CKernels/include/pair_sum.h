// Rows of a table added in pairs and rectified: the first layer of a network whose input is two tokens.
#pragma once

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// out[r] = max(0, table[first[r]] + table[second[r]]), rows of `columns` numbers. Indices are rows of the table.
/// Nothing may overlap.
void coppice_rectified_pair_sum(
    long rows, long columns, const float *table, const int64_t *first, const int64_t *second, float *out);

/// dtable[t] = the sum of g[r] * [out[r] > 0] over the rows r whose first or second index is t (twice where both are),
/// in the order of rows; `dtable` has `tokens` rows and is overwritten. Nothing may overlap.
void coppice_rectified_pair_sum_gradient(
    long rows, long columns, long tokens, const float *out, const float *g, const int64_t *first,
    const int64_t *second, float *dtable);

#ifdef __cplusplus
}
#endif
