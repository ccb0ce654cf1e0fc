#include "precise_loss.h"
#include "thread_pool.h"

#include <math.h>
#include <string.h>

#define BODY "precise_loss.inc"
#include "variants.h"

enum { elements_in_task = 8192 };

typedef struct precise_work {
    long rows, columns, rows_in_task;
    double scale;
    const float *x;
    const int64_t *target;
    double *loss;
    float *dx;
    double (*row)(long, const float *, long);
    double (*step)(long, const float *, long, double, float *);
} precise_work;

static void precise_task(void *context, long index) {
    const precise_work *w = context;
    long first = index * w->rows_in_task;
    long end = first + w->rows_in_task < w->rows ? first + w->rows_in_task : w->rows;
    for (long r = first; r < end; r++) {
        const float *x = w->x + r * w->columns;
        long target = (long)w->target[r];
        double loss = 0;
        if (target < 0) {
            if (w->dx) memset(w->dx + r * w->columns, 0, (size_t)w->columns * sizeof *w->dx);
        } else if (w->dx) {
            loss = w->step(w->columns, x, target, w->scale, w->dx + r * w->columns);
        } else {
            loss = w->row(w->columns, x, target);
        }
        w->loss[r] = loss;
    }
}

static void run(precise_work *w) {
    if (w->rows == 0 || w->columns == 0) return;
    w->rows_in_task = w->columns >= elements_in_task ? 1 : elements_in_task / w->columns;
    coppice_parallel_for((w->rows + w->rows_in_task - 1) / w->rows_in_task, w, precise_task);
}

void coppice_precise_cross_entropy(long rows, long columns, const float *x, const int64_t *target, double *loss) {
    precise_work w = {
        .rows = rows, .columns = columns, .x = x, .target = target, .loss = loss, .row = CHOOSE(precise_row)};
    run(&w);
}

void coppice_precise_cross_entropy_step(
    long rows, long columns, double scale, const float *x, const int64_t *target, double *loss, float *dx) {
    precise_work w = {.rows = rows, .columns = columns, .scale = scale, .x = x, .target = target, .loss = loss,
                      .dx = dx, .step = CHOOSE(precise_step_row)};
    run(&w);
}
