#include "power_sums.h"
#include "thread_pool.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define BODY "power_sums.inc"
#include "variants.h"

// Numbers of one task: they stay in the second-level cache.
enum { run = 1 << 16 };

typedef double (*power_kernel)(long, const float *, double, float);

typedef struct power_work {
    const float *x;
    long columns, runs;
    float *largest;        // [rows * runs]
    const double *scales;  // [rows]
    double *first, *second; // [rows * runs]
    double p, q;
    float (*maximum)(long, const float *);
    power_kernel first_kernel, second_kernel;
} power_work;

static power_kernel kernel_of(double power) {
    if (power == 0.5) return CHOOSE(sum_of_roots);
    if (power == 1) return CHOOSE(sum_of_magnitudes);
    if (power == 2) return CHOOSE(sum_of_squares);
    return CHOOSE(sum_of_powers);
}

static const float *numbers_of(const power_work *w, long index, long *count) {
    long start = index % w->runs * run;
    *count = w->columns - start < run ? w->columns - start : run;
    return w->x + index / w->runs * w->columns + start;
}

static void maximum_task(void *context, long index) {
    const power_work *w = context;
    long count;
    const float *x = numbers_of(w, index, &count);
    w->largest[index] = w->maximum(count, x);
}

static void sum_task(void *context, long index) {
    const power_work *w = context;
    long count;
    const float *x = numbers_of(w, index, &count);
    double scale = w->scales[index / w->runs];
    w->first[index] = w->first_kernel(count, x, scale, (float)w->p);
    w->second[index] = w->second_kernel(count, x, scale, (float)w->q);
}

void coppice_power_sums(const float *x, long rows, long columns, double p, double q, coppice_power_sum *sums) {
    memset(sums, 0, (size_t)rows * sizeof *sums);
    if (rows <= 0 || columns <= 0) return;
    long runs = (columns + run - 1) / run, tasks = rows * runs;
    float *largest = malloc((size_t)tasks * sizeof *largest);
    double *numbers = malloc((size_t)(rows + 2 * tasks) * sizeof *numbers);
    if (!largest || !numbers) abort();
    power_work w = {
        .x = x, .columns = columns, .runs = runs, .largest = largest, .scales = numbers, .first = numbers + rows,
        .second = numbers + rows + tasks, .p = p, .q = q, .maximum = CHOOSE(largest_magnitude),
        .first_kernel = kernel_of(p), .second_kernel = kernel_of(q)};
    coppice_parallel_for(tasks, &w, maximum_task);
    for (long r = 0; r < rows; r++) {
        float top = 0;
        for (long k = 0; k < runs; k++) top = largest[r * runs + k] > top ? largest[r * runs + k] : top;
        int exponent = 0;
        if (top > 0) frexpf(top, &exponent); // top = m * 2^exponent with m in [1/2, 1)
        sums[r].exponent = exponent;
        numbers[r] = ldexp(1, -exponent);
    }
    coppice_parallel_for(tasks, &w, sum_task);
    for (long r = 0; r < rows; r++)
        for (long k = 0; k < runs; k++) {
            sums[r].first += w.first[r * runs + k];
            sums[r].second += w.second[r * runs + k];
        }
    free(largest);
    free(numbers);
}
