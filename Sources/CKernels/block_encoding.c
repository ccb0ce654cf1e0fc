#include "block_codes.h"

#include "thread_pool.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

typedef float vector16 __attribute__((vector_size(64)));

#pragma clang diagnostic ignored "-Wpsabi"
// No fused operations: the same blocks on every machine.
#pragma STDC FP_CONTRACT OFF
#define BODY "block_encoding.inc"
#include "variants.h"

typedef struct encoding {
    coppice_block_type type;
    const float *values;
    const char *scales, *minima;
    long rows, columns;
    char *blocks;
    long failed;
    int (*encode)(coppice_block_type, const float *, const void *, const void *, void *);
} encoding;

static void encode_row(void *context, long row) {
    encoding *e = context;
    const long length = coppice_block_length(e->type), bytes = coppice_block_bytes(e->type);
    const long blocks = e->columns / length;
    for (long b = 0; b < blocks; b++) {
        const void *scale = e->scales ? e->scales + (row * blocks + b) * 2 : 0;
        const void *minimum = e->minima ? e->minima + (row * blocks + b) * 2 : 0;
        int fits = e->encode(
            e->type, e->values + row * e->columns + b * length, scale, minimum,
            e->blocks + (row * blocks + b) * bytes);
        if (fits) continue;
        long known = __atomic_load_n(&e->failed, __ATOMIC_RELAXED);
        while ((known < 0 || row < known) &&
               !__atomic_compare_exchange_n(&e->failed, &known, row, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {}
        return;
    }
}

static long encode_rows(
    coppice_block_type type, const float *values, const void *scales, const void *minima, long rows, long columns,
    void *blocks) {
    encoding e = {type, values, scales, minima, rows, columns, blocks, -1, CHOOSE(encode_block)};
    coppice_parallel_for(rows, &e, encode_row);
    return e.failed;
}

long coppice_block_encode(coppice_block_type type, const float *values, long rows, long columns, void *blocks) {
    return encode_rows(type, values, 0, 0, rows, columns, blocks);
}

void coppice_block_encode_scaled(
    coppice_block_type type, const float *values, const void *scales, const void *minima, long rows, long columns,
    void *blocks) {
    encode_rows(type, values, scales, minima, rows, columns, blocks);
}
