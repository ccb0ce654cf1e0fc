#include "packed_product.h"

#include "cpu_features.h"
#include "integer_codes.h"
#include "integer_panel.h"
#include "integer_tile.h"
#include "packed_tile.h"
#include "panel_product.h"
#include "sparse_tile.h"

#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

// Compilers turn these into the widest registers that a variant may use.
typedef float vector16 __attribute__((vector_size(64)));
typedef uint32_t words16 __attribute__((vector_size(64)));
typedef int32_t signed_words16 __attribute__((vector_size(64)));
typedef uint16_t halves16 __attribute__((vector_size(32)));
typedef _Float16 floats16 __attribute__((vector_size(32)));
typedef uint8_t bytes16 __attribute__((vector_size(16)));

typedef struct packed_task {
    const coppice_packed_weight *weight;
    const float *x;
    long x_rows, x_stride;
    float *y;
    long y_stride;
} packed_task;

#pragma clang diagnostic ignored "-Wpsabi"
#define BODY "packed_product.inc"
#include "variants.h"

static void expand(const void *weight, long row, long first, long count, float *values) {
    coppice_packed_columns(weight, row, first, count, values);
}

void coppice_packed_columns(const coppice_packed_weight *weight, long row, long first, long count, float *values) {
    CHOOSE(packed_columns)(weight, row, first, count, values);
}

static int reads_rounded(const coppice_packed_weight *w, long x_rows) {
    if (w->value < COPPICE_PACKED_U8 || w->columns == 0 || grouping_of(w) == groups_of_others) return 0;
    if (coppice_cpu_has_vnni()) return 1;
    return coppice_cpu_level_in_use() >= COPPICE_CPU_AVX2 && !w->masks && x_rows <= 8;
}

static void multiply_rows(
    const void *weight, const coppice_activations *x, float *y, long y_stride, long first, long last) {
    for (long done = 0; done < x->rows;) {
        packed_task t = {
            weight, x->values + done * x->stride, coppice_batch_of(x->rows - done), x->stride, y + done * y_stride,
            y_stride};
        long row = first;
        if (coppice_sparse_float_kernels_apply(weight)) {
            coppice_sparse_float_tiles(weight, t.x, t.x_rows, t.x_stride, t.y, y_stride, first, last);
            row = last;
        } else if (coppice_cpu_level_in_use() == COPPICE_CPU_AVX512)
            row = coppice_packed_tiles_512(t.weight, t.x, t.x_rows, t.x_stride, t.y, y_stride, first, last);
        CHOOSE(packed_rows)(&t, row, last); // what is left: the last rows, or groups that the tiles do not know
        done += t.x_rows;
    }
}

static void multiply_panels(const void *weight, const coppice_activations *x, float *y, long y_stride) {
    const coppice_packed_weight *w = weight;
    coppice_panel_product(w, expand, w->rows, w->columns, x->values, x->rows, x->stride, y, y_stride);
}

static void multiply_rows_as_integers(
    const void *weight, const coppice_activations *x, float *y, long y_stride, long first, long last) {
    coppice_integer_weight w = coppice_integer_of_packed(weight);
    // Masks are for VNNI alone: no other level rounds activations for them.
    if (w.packed->masks) coppice_sparse_integer_tiles(w.packed, x->rounded, y, y_stride, first, last);
    else if (coppice_cpu_has_vnni()) coppice_integer_tiles(&w, x->rounded, y, y_stride, first, last);
    else coppice_integer_tiles_avx2(weight, x->rounded, y, y_stride, first, last);
}

static void multiply_panels_as_integers(const void *weight, const coppice_activations *x, float *y, long y_stride) {
    coppice_integer_weight w = coppice_integer_of_packed(weight);
    coppice_integer_panel_product(&w, x->rounded, y, y_stride);
}

coppice_row_kernel coppice_packed_kernel(const coppice_packed_weight *weight, long x_rows) {
    long row_values = weight->rows > 0 ? weight->value_count / weight->rows : 0;
    coppice_row_kernel kernel = {
        .weight = weight, .rows = weight->rows, .columns = weight->columns,
        .row_bytes = row_values * coppice_packed_bits(weight->value) / 8 + (weight->masks ? weight->columns / 8 : 0),
        .reads = reads_rounded(weight, x_rows) ? COPPICE_READS_INTEGERS : COPPICE_READS_F32,
        .multiply = multiply_panels};
    if (kernel.reads == COPPICE_READS_INTEGERS) {
        kernel.multiply_rows = x_rows <= 8 ? multiply_rows_as_integers : 0;
        kernel.multiply = multiply_panels_as_integers;
    } else {
        // Expanded panels pay from three or four times eight rows on where tiles are at hand.
        long few = coppice_cpu_level_in_use() == COPPICE_CPU_AVX512 ? 24 : 8;
        kernel.multiply_rows = x_rows <= few && weight->columns > 0 ? multiply_rows : 0;
    }
    return kernel;
}
