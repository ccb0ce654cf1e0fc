#include "block_codes.h"

#include "block_layouts.h"
#include "cpu_features.h"
#include "integer_panel.h"
#include "integer_tile.h"
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

long coppice_block_length(coppice_block_type type) { return coppice_block_layouts[type].length; }
long coppice_block_bytes(coppice_block_type type) { return coppice_block_layouts[type].bytes; }

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

static void expand(const void *weight, long row, long first, long count, float *values) {
    coppice_block_columns(weight, row, first, count, values);
}

void coppice_block_columns(const coppice_block_weight *weight, long row, long first, long count, float *values) {
    CHOOSE(block_columns)(weight, row, first, count, values);
}

static void multiply_rows(
    const void *weight, const coppice_activations *x, float *y, long y_stride, long first, long last) {
    CHOOSE(block_rows)(weight, x, y, y_stride, first, last);
}

static void multiply_panels(const void *weight, const coppice_activations *x, float *y, long y_stride) {
    const coppice_block_weight *w = weight;
    coppice_panel_product(w, expand, w->rows, w->columns, x->values, x->rows, x->stride, y, y_stride);
}

static void multiply_rows_as_integers(
    const void *weight, const coppice_activations *x, float *y, long y_stride, long first, long last) {
    coppice_integer_weight w = coppice_integer_of_blocks(weight);
    coppice_integer_tiles(&w, x->rounded, y, y_stride, first, last);
}

static void multiply_panels_as_integers(const void *weight, const coppice_activations *x, float *y, long y_stride) {
    coppice_integer_weight w = coppice_integer_of_blocks(weight);
    coppice_integer_panel_product(&w, x->rounded, y, y_stride);
}

coppice_row_kernel coppice_block_kernel(const coppice_block_weight *weight, long x_rows) {
    coppice_row_kernel kernel = {
        .weight = weight, .rows = weight->rows, .columns = weight->columns,
        .row_bytes = coppice_block_row_bytes(weight->type, weight->columns),
        .reads = coppice_cpu_has_vnni() && weight->columns > 0 ? COPPICE_READS_INTEGERS : COPPICE_READS_F32,
        .multiply = multiply_panels};
    // Up to eight rows read each block once; more share expanded panels.
    int few = x_rows <= 8 && weight->columns > 0;
    if (kernel.reads == COPPICE_READS_INTEGERS) {
        kernel.multiply_rows = few ? multiply_rows_as_integers : 0;
        kernel.multiply = multiply_panels_as_integers;
    } else if (few) {
        kernel.multiply_rows = multiply_rows;
    }
    return kernel;
}
