#include "pair_sum.h"
#include "thread_pool.h"

#include <string.h>

#define BODY "pair_sum.inc"
#include "variants.h"

// Tasks of the sum are rows of about this many numbers together, those of its gradient are columns: all of a column's
// additions are in one task, in the order of rows.
enum { elements_in_task = 32768, columns_in_task = 64 };

typedef struct pair_work {
    long rows, columns, tokens, rows_in_task;
    const float *table, *out, *g;
    const int64_t *first, *second;
    float *result;
    void (*row)(long, const float *, const float *, float *);
    void (*gradient)(long, const float *, const float *, float *, float *);
} pair_work;

static void sum_task(void *context, long index) {
    const pair_work *w = context;
    long begin = index * w->rows_in_task, n = w->columns;
    long end = begin + w->rows_in_task < w->rows ? begin + w->rows_in_task : w->rows;
    for (long r = begin; r < end; r++)
        w->row(n, w->table + w->first[r] * n, w->table + w->second[r] * n, w->result + r * n);
}

void coppice_rectified_pair_sum(
    long rows, long columns, const float *table, const int64_t *first, const int64_t *second, float *out) {
    if (rows == 0 || columns == 0) return;
    pair_work w = {.rows = rows, .columns = columns, .table = table, .first = first, .second = second, .result = out,
                   .row = CHOOSE(pair_row)};
    w.rows_in_task = columns >= elements_in_task ? 1 : elements_in_task / columns;
    coppice_parallel_for((rows + w.rows_in_task - 1) / w.rows_in_task, &w, sum_task);
}

static void gradient_task(void *context, long index) {
    const pair_work *w = context;
    long from = index * columns_in_task, n = w->columns;
    long width = n - from < columns_in_task ? n - from : columns_in_task;
    for (long t = 0; t < w->tokens; t++) memset(w->result + t * n + from, 0, (size_t)width * sizeof *w->result);
    for (long r = 0; r < w->rows; r++)
        w->gradient(width, w->out + r * n + from, w->g + r * n + from, w->result + w->first[r] * n + from,
                    w->result + w->second[r] * n + from);
}

void coppice_rectified_pair_sum_gradient(
    long rows, long columns, long tokens, const float *out, const float *g, const int64_t *first,
    const int64_t *second, float *dtable) {
    if (columns == 0) return;
    pair_work w = {.rows = rows, .columns = columns, .tokens = tokens, .out = out, .g = g, .first = first,
                   .second = second, .result = dtable, .gradient = CHOOSE(pair_gradient_row)};
    coppice_parallel_for((columns + columns_in_task - 1) / columns_in_task, &w, gradient_task);
}
