#include "wide_sums.h"
#include "scalar_conversion.h"
#include "thread_pool.h"

#include <stdlib.h>
#include <string.h>

// Columns of one task, whose vector or sums stay in the second-level cache; columns whose products are added up in f32.
enum { span = 8192, short_run = 512 };

#pragma clang diagnostic ignored "-Wpsabi"
#define BODY "wide_sums.inc"
#include "variants.h"

typedef struct rows_work {
    coppice_data_type type;
    long rows, columns, tasks;
    const char *x;
    const float *v;
    double *parts;
    const double *z;
    const float *narrow_z;
    double scale;
    float *out;
    void (*dots)(coppice_data_type, long, long, const char *, long, const double *, double *);
    void (*add)(coppice_data_type, long, long, const char *, long, const double *, double *);
    void (*short_dots)(long, long, const uint16_t *, long, const float *, double *);
    void (*short_add)(long, long, const uint16_t *, long, const float *, float *);
} rows_work;

static long size_of(coppice_data_type type) { return type == COPPICE_DATA_BF16 ? 2 : 4; }

static rows_work work_of(coppice_data_type type, long rows, long columns, const void *x) {
    return (rows_work){
        .type = type, .rows = rows, .columns = columns, .tasks = (columns + span - 1) / span, .x = x,
        .dots = CHOOSE(wide_dots), .add = CHOOSE(wide_add), .short_dots = CHOOSE(short_dots),
        .short_add = CHOOSE(short_add)};
}

static long width(const rows_work *w, long first) { return w->columns - first < span ? w->columns - first : span; }

static void wide_dots_task(void *context, long index) {
    const rows_work *w = context;
    long first = index * span, count = width(w, first);
    double v[span];
    for (long k = 0; k < count; k++) v[k] = w->v[first + k];
    w->dots(
        w->type, w->rows, count, w->x + first * size_of(w->type), w->columns * size_of(w->type), v,
        w->parts + index * w->rows);
}

static void short_dots_task(void *context, long index) {
    const rows_work *w = context;
    long first = index * span;
    w->short_dots(
        w->rows, width(w, first), (const uint16_t *)w->x + first, w->columns, w->v + first,
        w->parts + index * w->rows);
}

static void sum_dots(rows_work *w, const float *v, double *dots, coppice_task task) {
    for (long r = 0; r < w->rows; r++) dots[r] = 0;
    if (w->rows <= 0 || w->columns <= 0) return;
    w->v = v;
    w->parts = malloc((size_t)(w->tasks * w->rows) * sizeof *w->parts);
    if (!w->parts) abort();
    coppice_parallel_for(w->tasks, w, task);
    for (long t = 0; t < w->tasks; t++)
        for (long r = 0; r < w->rows; r++) dots[r] += w->parts[t * w->rows + r];
    free(w->parts);
}

void coppice_wide_dots(
    coppice_data_type type, long rows, long columns, const void *x, const float *v, double *dots) {
    rows_work w = work_of(type, rows, columns, x);
    sum_dots(&w, v, dots, wide_dots_task);
}

void coppice_bf16_dots(long rows, long columns, const uint16_t *x, const float *v, double *dots) {
    rows_work w = work_of(COPPICE_DATA_BF16, rows, columns, x);
    sum_dots(&w, v, dots, short_dots_task);
}

// The last columns come first: after a pass of dots they are what the caches hold.
static long reversed(const rows_work *w, long index) { return (w->tasks - 1 - index) * span; }

static void wide_remainder_task(void *context, long index) {
    const rows_work *w = context;
    long first = reversed(w, index), count = width(w, first);
    double sum[span];
    memset(sum, 0, (size_t)count * sizeof *sum);
    w->add(
        w->type, w->rows, count, w->x + first * size_of(w->type), w->columns * size_of(w->type), w->z, sum);
    for (long k = 0; k < count; k++) {
        double base = w->v ? (double)w->v[first + k] : 0;
        w->out[first + k] = (float)(w->scale * (base - sum[k]));
    }
}

void coppice_wide_remainder(
    coppice_data_type type, long rows, long columns, const void *x, const double *z, const float *base, double scale,
    float *out) {
    rows_work w = work_of(type, rows, columns, x);
    w.z = z;
    w.v = base;
    w.scale = scale;
    w.out = out;
    coppice_parallel_for(w.tasks, &w, wide_remainder_task);
}

static void combination_task(void *context, long index) {
    const rows_work *w = context;
    long first = reversed(w, index), count = width(w, first);
    memset(w->out + first, 0, (size_t)count * sizeof *w->out);
    w->short_add(w->rows, count, (const uint16_t *)w->x + first, w->columns, w->narrow_z, w->out + first);
}

void coppice_bf16_combination(long rows, long columns, const uint16_t *x, const float *z, float *out) {
    rows_work w = work_of(COPPICE_DATA_BF16, rows, columns, x);
    w.narrow_z = z;
    w.out = out;
    coppice_parallel_for(w.tasks, &w, combination_task);
}
