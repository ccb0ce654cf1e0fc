// Reductions, scans and indexed moves over contiguous arrays.
#pragma once

#include "elementwise.h"

typedef enum coppice_reduction { COPPICE_SUM, COPPICE_REDUCE_MAXIMUM, COPPICE_REDUCE_MINIMUM } coppice_reduction;

/// out[r] = reduction of x[r, 0 ..< columns]. Sums of f32 run in blocks whose totals are added in f64. The maximum
/// of no elements is the type's lowest value; NaN propagates.
void coppice_reduce_rows(coppice_reduction op, coppice_element type, long rows, long columns, const void *x, void *out);

/// out[o, i] = reduction over m of x[o, m, i].
void coppice_reduce_middle(
    coppice_reduction op, coppice_element type, long outer, long middle, long inner, const void *x, void *out);

/// out[r] = the first index of the largest (smallest where `smallest`) of x[r, 0 ..< columns]; NaN counts as largest
/// (smallest). `columns` is at least 1.
void coppice_index_of_extreme(coppice_element type, int smallest, long rows, long columns, const void *x, int64_t *out);

/// out[o, m, i] = sum of x[o, 0 ... m, i], from the end where `reverse`. f32 sums are kept in f64.
void coppice_cumulative_sum(
    coppice_element type, int reverse, long outer, long middle, long inner, const void *x, void *out);

/// out[o, j, i] = x[o, index[j], i] for elements of `size` bytes. Indices are in 0 ..< extent.
void coppice_take(
    int size, long outer, long extent, long count, long inner, const void *x, const int64_t *index, void *out);

/// out[o, index[j], i] += x[o, j, i]; sums in increasing j whatever the number of threads. Integers wrap.
void coppice_add_at(
    coppice_element type, long outer, long extent, long count, long inner, const void *x, const int64_t *index,
    void *out);

/// out[o, j, i] = x[o, index[o, j, i], i] for elements of `size` bytes.
void coppice_take_along(
    int size, long outer, long extent, long count, long inner, const void *x, const int64_t *index, void *out);

/// out[o, index[o, j, i], i] += x[o, j, i]. Integers wrap.
void coppice_add_along(
    coppice_element type, long outer, long extent, long count, long inner, const void *x, const int64_t *index,
    void *out);

/// Whether all of index[0 ..< count] are in 0 ..< extent.
int coppice_indices_in_range(const int64_t *index, long count, long extent);

/// out[r, :] = the stable order that sorts x[r, :] increasingly (decreasingly where `descending`), NaN last.
void coppice_sort_order(coppice_element type, int descending, long rows, long columns, const void *x, int64_t *out);
