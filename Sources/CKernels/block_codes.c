#include "block_codes.h"

#include "panel_product.h"
#include "thread_pool.h"

#include <stdint.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

// Compilers turn these into the widest registers that a variant may use.
typedef float vector16 __attribute__((vector_size(64)));
typedef int32_t signed_words16 __attribute__((vector_size(64)));
typedef uint8_t bytes16 __attribute__((vector_size(16)));
typedef int8_t signed_bytes16 __attribute__((vector_size(16)));

typedef struct block_task {
    const coppice_block_weight *weight;
    const float *x;
    long x_rows, x_stride;
    float *y;
    long y_stride, rows_per_task;
    void (*rows)(const struct block_task *, long first, long last);
} block_task;

static const struct { short length, bytes; } layouts[] = {
    [COPPICE_BLOCK_Q4_0] = {32, 18},   [COPPICE_BLOCK_Q4_1] = {32, 20},  [COPPICE_BLOCK_Q5_0] = {32, 22},
    [COPPICE_BLOCK_Q5_1] = {32, 24},   [COPPICE_BLOCK_Q8_0] = {32, 34},  [COPPICE_BLOCK_IQ4_NL] = {32, 18},
    [COPPICE_BLOCK_Q2_K] = {256, 84},  [COPPICE_BLOCK_Q3_K] = {256, 110}, [COPPICE_BLOCK_Q4_K] = {256, 144},
    [COPPICE_BLOCK_Q5_K] = {256, 176}, [COPPICE_BLOCK_Q6_K] = {256, 210},
};

long coppice_block_length(coppice_block_type type) { return layouts[type].length; }
long coppice_block_bytes(coppice_block_type type) { return layouts[type].bytes; }

#define INLINE static inline __attribute__((always_inline))
#pragma clang diagnostic ignored "-Wpsabi"

// The values of IQ4_NL's codes.
static const int8_t uneven[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

INLINE signed_bytes16 portable_uneven_values(bytes16 codes) {
    signed_bytes16 values;
    for (int l = 0; l < 16; l++) values[l] = uneven[codes[l]];
    return values;
}
#if defined(__x86_64__)
#define SHUFFLED(LEVEL) \
    __attribute__((target("avx2"))) INLINE signed_bytes16 LEVEL##_uneven_values(bytes16 codes) { \
        return (signed_bytes16)_mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)uneven), (__m128i)codes); \
    }
SHUFFLED(avx2)
SHUFFLED(avx512)
#endif

#define BODY "block_codes.inc"
#include "variants.h"

static void run_task(void *context, long index) {
    const block_task *t = context;
    long first = index * t->rows_per_task, last = first + t->rows_per_task;
    t->rows(t, first, last < t->weight->rows ? last : t->weight->rows);
}

static void expand(const void *weight, long row, long first, long count, float *values) {
    coppice_block_columns(weight, row, first, count, values);
}

void coppice_block_columns(const coppice_block_weight *weight, long row, long first, long count, float *values) {
    CHOOSE(block_columns)(weight, row, first, count, values);
}

void coppice_block_product(
    const coppice_block_weight *weight, const float *x, long x_rows, long x_stride, float *y, long y_stride) {
    // Up to eight rows decode each block once; more share expanded panels.
    if (x_rows > 8 || weight->columns == 0) {
        coppice_panel_product(weight, expand, weight->rows, weight->columns, x, x_rows, x_stride, y, y_stride);
        return;
    }
    block_task t = {.weight = weight, .x_stride = x_stride, .y_stride = y_stride, .rows = CHOOSE(block_rows)};
    t.rows_per_task = 65536 / weight->columns;
    if (t.rows_per_task < 4) t.rows_per_task = 4;
    for (long done = 0; done < x_rows;) {
        long rest = x_rows - done;
        t.x_rows = rest >= 8 ? 8 : rest >= 4 ? 4 : rest >= 2 ? 2 : 1;
        t.x = x + done * x_stride;
        t.y = y + done * y_stride;
        coppice_parallel_for((weight->rows + t.rows_per_task - 1) / t.rows_per_task, &t, run_task);
        done += t.x_rows;
    }
}
