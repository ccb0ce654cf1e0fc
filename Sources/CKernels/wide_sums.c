#include "wide_sums.h"
#include "thread_pool.h"

#include <stdlib.h>

#define BODY "wide_sums.inc"
#include "variants.h"

// Columns of one task: a vector's part stays in the second-level cache, the sums of a panel in the first.
enum { span = 16384, panel = 1024 };

typedef struct dots_work {
    long rows, columns;
    const float *x, *v;
    double *parts;
    double (*dot)(long, const float *, const float *);
} dots_work;

static void dots_task(void *context, long index) {
    const dots_work *w = context;
    long first = index * span, count = w->columns - first < span ? w->columns - first : span;
    for (long r = 0; r < w->rows; r++)
        w->parts[index * w->rows + r] = w->dot(count, w->x + r * w->columns + first, w->v + first);
}

void coppice_wide_dots(long rows, long columns, const float *x, const float *v, double *dots) {
    for (long r = 0; r < rows; r++) dots[r] = 0;
    if (rows <= 0 || columns <= 0) return;
    long tasks = (columns + span - 1) / span;
    dots_work w = {.rows = rows, .columns = columns, .x = x, .v = v, .parts = dots, .dot = CHOOSE(wide_dot)};
    if (tasks > 1) w.parts = malloc((size_t)(tasks * rows) * sizeof *w.parts);
    if (!w.parts) abort();
    coppice_parallel_for(tasks, &w, dots_task);
    if (tasks == 1) return;
    for (long t = 0; t < tasks; t++)
        for (long r = 0; r < rows; r++) dots[r] += w.parts[t * rows + r];
    free(w.parts);
}

typedef struct remainder_work {
    long rows, columns;
    const float *x, *base;
    const double *z;
    double scale;
    float *out;
    void (*add_four)(long, const float *, long, const double *, double *restrict);
    void (*add)(long, const float *, double, double *restrict);
} remainder_work;

static void remainder_task(void *context, long index) {
    const remainder_work *w = context;
    long first = index * panel, count = w->columns - first < panel ? w->columns - first : panel;
    double sum[panel] = {0};
    long r = 0;
    for (; r + 4 <= w->rows; r += 4)
        w->add_four(count, w->x + r * w->columns + first, w->columns, w->z + r, sum);
    for (; r < w->rows; r++) w->add(count, w->x + r * w->columns + first, w->z[r], sum);
    for (long k = 0; k < count; k++) {
        double base = w->base ? (double)w->base[first + k] : 0;
        w->out[first + k] = (float)(w->scale * (base - sum[k]));
    }
}

void coppice_wide_remainder(
    long rows, long columns, const float *x, const double *z, const float *base, double scale, float *out) {
    if (columns <= 0) return;
    remainder_work w = {
        .rows = rows, .columns = columns, .x = x, .base = base, .z = z, .scale = scale, .out = out,
        .add_four = CHOOSE(wide_add_four), .add = CHOOSE(wide_add)};
    coppice_parallel_for((columns + panel - 1) / panel, &w, remainder_task);
}
