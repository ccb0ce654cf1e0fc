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
    coppice_power_sum *parts; // [rows * runs]
    double p, q;
    uint32_t (*largest)(long, const float *, long *);
    power_kernel first_kernel, second_kernel;
} power_work;

static power_kernel kernel_of(double power) {
    if (power == 0.5) return CHOOSE(sum_of_roots);
    if (power == 1) return CHOOSE(sum_of_magnitudes);
    if (power == 2) return CHOOSE(sum_of_squares);
    return CHOOSE(sum_of_powers);
}

// All that is to be known of a run, while it is in the cache.
static void sum_task(void *context, long index) {
    const power_work *w = context;
    long start = index % w->runs * run, count = w->columns - start < run ? w->columns - start : run;
    const float *x = w->x + index / w->runs * w->columns + start;
    coppice_power_sum part = {.is_finite = 1};
    uint32_t bits = w->largest(count, x, &part.nonzero);
    if (bits >= 0x7f800000) {
        part.is_finite = 0;
    } else if (bits > 0) {
        float top;
        int exponent = 0;
        memcpy(&top, &bits, sizeof top);
        frexpf(top, &exponent); // top = m * 2^exponent with m in [1/2, 1)
        double scale = ldexp(1, -exponent);
        part.exponent = exponent;
        part.first = w->first_kernel(count, x, scale, (float)w->p);
        part.second = w->second_kernel(count, x, scale, (float)w->q);
    }
    w->parts[index] = part;
}

// The sums of a row from those of its runs, in their order.
static coppice_power_sum joined(const power_work *w, const coppice_power_sum *parts) {
    coppice_power_sum sum = {.is_finite = 1};
    for (long k = 0; k < w->runs; k++)
        if (parts[k].nonzero > 0 && (sum.nonzero == 0 || parts[k].exponent > sum.exponent)) {
            sum.exponent = parts[k].exponent;
            sum.nonzero = 1;
        }
    sum.nonzero = 0;
    for (long k = 0; k < w->runs; k++) {
        double below = parts[k].exponent - sum.exponent;
        sum.nonzero += parts[k].nonzero;
        sum.is_finite = sum.is_finite && parts[k].is_finite;
        if (parts[k].nonzero == 0) continue;
        sum.first += below == 0 ? parts[k].first : parts[k].first * exp2(w->p * below);
        sum.second += below == 0 ? parts[k].second : parts[k].second * exp2(w->q * below);
    }
    return sum;
}

void coppice_power_sums(const float *x, long rows, long columns, double p, double q, coppice_power_sum *sums) {
    for (long r = 0; r < rows; r++) sums[r] = (coppice_power_sum){.is_finite = 1};
    if (rows <= 0 || columns <= 0) return;
    long runs = (columns + run - 1) / run, tasks = rows * runs;
    coppice_power_sum *parts = malloc((size_t)tasks * sizeof *parts);
    if (!parts) abort();
    power_work w = {
        .x = x, .columns = columns, .runs = runs, .parts = parts, .p = p, .q = q, .largest = CHOOSE(largest_magnitude),
        .first_kernel = kernel_of(p), .second_kernel = kernel_of(q)};
    coppice_parallel_for(tasks, &w, sum_task);
    for (long r = 0; r < rows; r++) sums[r] = joined(&w, parts + r * runs);
    free(parts);
}
