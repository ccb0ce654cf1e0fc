#include "grid_search.h"

#include "scalar_conversion.h"
#include "thread_pool.h"

#include <math.h>
#include <stdatomic.h>

typedef float vector16 __attribute__((vector_size(64)));

#pragma clang diagnostic ignored "-Wpsabi"
// No fused operations: the same codes on every machine.
#pragma STDC FP_CONTRACT OFF
#define BODY "grid_search.inc"
#include "variants.h"

typedef struct {
    const float *x;
    long columns;
    const coppice_grid *grid;
    long group;
    uint8_t *codes;
    uint16_t *scales;
    uint8_t *zeros;
    atomic_long failed;
} quantization;

static void quantize_row(void *context, long row) {
    quantization *q = context;
    const long groups = (q->columns + q->group - 1) / q->group;
    for (long g = 0; g < groups; g++) {
        const long first = g * q->group, count = first + q->group < q->columns ? q->group : q->columns - first;
        const long at = row * q->columns + first;
        int fits = CHOOSE(quantize_group)(
            q->x + at, count, q->grid, q->codes + at, q->scales + row * groups + g,
            q->zeros ? q->zeros + row * groups + g : 0);
        if (fits) continue;
        long none = -1;
        atomic_compare_exchange_strong(&q->failed, &none, row);
        return;
    }
}

long coppice_quantize_grid(
    const float *x, long rows, long columns, const coppice_grid *grid, long group, uint8_t *codes, void *scales,
    uint8_t *zeros) {
    quantization q = {x, columns, grid, group, codes, scales, zeros, -1};
    coppice_parallel_for(rows, &q, quantize_row);
    return atomic_load(&q.failed);
}
