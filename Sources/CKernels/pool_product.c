#include "pool_product.h"

#include "cpu_features.h"
#include "panel_product.h"

#include <string.h>

// Compilers turn these into the widest registers that a variant may use.
typedef float vector16 __attribute__((vector_size(64)));
typedef uint32_t words16 __attribute__((vector_size(64)));

static const uint64_t prime = 2038074743;

static inline uint64_t mix(uint64_t x) {
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9;
    x = (x ^ x >> 27) * 0x94D049BB133111EB;
    return x ^ x >> 31;
}

/// Number `index` of what follows from the seed.
static inline uint64_t draw(uint64_t seed, uint64_t index) { return mix(seed + (index + 1) * 0x9E3779B97F4A7C15); }

/// The signs of elements 64 block ..< 64 block + 64: a bit that is set is a minus.
static inline uint64_t signs_of(uint64_t seed, uint64_t block) { return draw(~seed, block); }

/// Where piece j starts in the pool.
static long rotation(const coppice_pool_weight *w, long piece) {
    const uint64_t j = (uint64_t)piece % prime;
    const uint64_t a = draw(w->seed, 0) % prime | 1, b = draw(w->seed, 1) % prime | 1, c = draw(w->seed, 2) % prime | 1;
    const uint64_t value = (a * j % prime + b * (j * j % prime) % prime + c) % prime;
    return (long)(value % (uint64_t)(w->size / COPPICE_POOL_LINE)) * COPPICE_POOL_LINE;
}

/// Elements from `element` on that lie side by side in the pool.
typedef struct {
    long place, count;
} run;

static run run_of(const coppice_pool_weight *w, long element) {
    const long offset = element % w->size;
    const long start = rotation(w, element / w->size), place = start + offset < w->size ? start + offset
                                                                                       : start + offset - w->size;
    const long to_wrap = w->size - place, to_end = w->size - offset;
    return (run){place, to_wrap < to_end ? to_wrap : to_end};
}

#pragma clang diagnostic ignored "-Wpsabi"
#define BODY "pool_product.inc"
#include "variants.h"

void coppice_pool_columns(const coppice_pool_weight *w, long row, long first, long count, float *values) {
    long element = row * w->columns + first;
    uint64_t signs = signs_of(w->seed, (uint64_t)element / COPPICE_POOL_SIGNS);
    for (long done = 0; done < count;) {
        const run r = run_of(w, element);
        for (long i = 0; i < r.count && done < count; i++, done++, element++) {
            const long bit = element % COPPICE_POOL_SIGNS;
            if (bit == 0) signs = signs_of(w->seed, (uint64_t)element / COPPICE_POOL_SIGNS);
            const float value = w->pool[r.place + i] * w->scale;
            values[done] = signs >> bit & 1 ? -value : value;
        }
    }
}

void coppice_pool_add(const coppice_pool_weight *w, const float *from, double *sums, int64_t *counts) {
    const long all = w->rows * w->columns;
    for (long element = 0; element < all;) {
        const run r = run_of(w, element);
        for (long i = 0; i < r.count && element < all; i++, element++) {
            const uint64_t signs = signs_of(w->seed, (uint64_t)element / COPPICE_POOL_SIGNS);
            sums[r.place + i] += signs >> element % COPPICE_POOL_SIGNS & 1 ? -from[element] : from[element];
            counts[r.place + i]++;
        }
    }
}

static void expand(const void *weight, long row, long first, long count, float *values) {
    coppice_pool_columns(weight, row, first, count, values);
}

static void multiply_rows(
    const void *weight, const coppice_activations *x, float *y, long y_stride, long first, long last) {
    for (long done = 0; done < x->rows;) {
        const long count = coppice_batch_of(x->rows - done);
        CHOOSE(pool_rows)(
            weight, x->values + done * x->stride, count, x->stride, y + done * y_stride, y_stride, first, last);
        done += count;
    }
}

static void multiply_panels(const void *weight, const coppice_activations *x, float *y, long y_stride) {
    const coppice_pool_weight *w = weight;
    coppice_panel_product(w, expand, w->rows, w->columns, x->values, x->rows, x->stride, y, y_stride);
}

coppice_row_kernel coppice_pool_kernel(const coppice_pool_weight *weight, long x_rows) {
    return (coppice_row_kernel){
        .weight = weight, .rows = weight->rows, .columns = weight->columns, .row_bytes = weight->columns * 4,
        .reads = COPPICE_READS_F32, .multiply_rows = x_rows <= 16 && weight->columns > 0 ? multiply_rows : 0,
        .multiply = multiply_panels};
}
