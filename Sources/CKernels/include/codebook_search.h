// Codebooks: which values, and for each weight the nearest of them.
#pragma once

#include <stdint.h>

enum {
    COPPICE_HISTOGRAM_BINS = 2047, ///< of which the middle one holds 0
    COPPICE_HISTOGRAM_PARTS = 32,  ///< that a matrix is cut into, so that sums do not depend on threads
};

/// The largest magnitude of each `group` columns of a row of x [rows, columns], f32 [rows, groups]. Threaded.
void coppice_group_magnitudes(const float *x, long rows, long columns, long group, float *magnitudes);

/// Histograms of x[r][c] / m, weighted by m², with m the magnitude of c's group: the squared error of a value in a
/// histogram is that of the weight. Bins lie around multiples of 2 / (COPPICE_HISTOGRAM_BINS - 1) from -1 to 1. `parts`
/// is [COPPICE_HISTOGRAM_PARTS, 2, COPPICE_HISTOGRAM_BINS], to be added up in order: of each bin the weights' sum, then
/// the sum of weight · number.
void coppice_normalized_histogram(
    const float *x, const float *magnitudes, long rows, long columns, long group, double *parts);

/// The `count` (2 ... 16) centres with the least sum of weighted squared distances, ascending, by dynamic programming
/// over bins (exact for these; O(count · bins · log bins)). With `keep_zero` one of them is 0. Fewer than `count`
/// different bins give the last centre again.
void coppice_histogram_centers(const double *weights, const double *sums, int count, int keep_zero, float *centers);

/// Tables of 2^bits values by k-means for each `table` columns of a row (a multiple of `group`, or at least `columns`):
/// centres of x / m in bins of width 2 / 510, then rounded to 8 bits so that the largest magnitude becomes 127.
/// `values` is [rows, tables, 2^bits], ascending, and `reach` [rows, tables] the largest centre: 127 stands for
/// m · reach. Threaded over rows.
void coppice_table_centers(
    const float *x, const float *magnitudes, long rows, long columns, long group, long table, int bits, int keep_zero,
    int8_t *values, float *reach);

/// The codes of the values nearest to x / scale: `values` are ascending tables as coppice_plane_weight has them
/// (`row_tables`, `group_tables`), `scales` [rows, groups] of f16. Between two equally near values the lower. Threaded.
void coppice_nearest_values(
    const float *x, long rows, long columns, long group, int bits, const int8_t *values, long row_tables,
    long group_tables, const void *scales, uint8_t *codes);
