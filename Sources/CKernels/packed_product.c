#include "packed_product.h"

#include "integer_panel.h"
#include "integer_tile.h"
#include "packed_tile.h"
#include "panel_product.h"
#include "thread_pool.h"

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
    long y_stride, rows_per_task;
    int has_tiles;
    void (*rows)(const struct packed_task *, long first, long last);
    const coppice_rounded_rows *rounded; ///< null: x as it is
    long rounded_first;
} packed_task;

#pragma clang diagnostic ignored "-Wpsabi"
#define BODY "packed_product.inc"
#include "variants.h"

static void run_task(void *context, long index) {
    const packed_task *t = context;
    long first = index * t->rows_per_task, last = first + t->rows_per_task;
    if (last > t->weight->rows) last = t->weight->rows;
    if (t->rounded) {
        coppice_integer_tiles(t->weight, t->rounded, t->rounded_first, t->x_rows, t->y, t->y_stride, first, last);
        return;
    }
    if (t->has_tiles)
        first = coppice_packed_tiles_512(t->weight, t->x, t->x_rows, t->x_stride, t->y, t->y_stride, first, last);
    t->rows(t, first, last); // what is left: the last rows, or groups that the tiles do not know
}

static void expand(const void *weight, long row, long first, long count, float *values) {
    coppice_packed_columns(weight, row, first, count, values);
}

void coppice_packed_columns(const coppice_packed_weight *weight, long row, long first, long count, float *values) {
    CHOOSE(packed_columns)(weight, row, first, count, values);
}

long coppice_packed_scratch_bytes(const coppice_packed_weight *weight, long x_rows) {
    if (!coppice_integer_kernels_apply(weight, x_rows)) return 0;
    return coppice_rounded_rows_bytes(x_rows, weight->columns);
}

void coppice_packed_product(
    const coppice_packed_weight *weight, const float *x, long x_rows, long x_stride, float *y, long y_stride,
    void *scratch) {
    coppice_rounded_rows rounded;
    int has_tiles = coppice_cpu_level_in_use() == COPPICE_CPU_AVX512;
    if (scratch) {
        rounded = coppice_round_rows(x, x_rows, weight->columns, x_stride, scratch);
        if (x_rows > 8) {
            coppice_integer_panel_product(weight, &rounded, y, y_stride);
            return;
        }
    } else if (x_rows > (has_tiles ? 24 : 8) || weight->columns == 0) {
        // Many rows share expanded panels, which pay from three or four times eight rows on where tiles are at hand.
        coppice_panel_product(weight, expand, weight->rows, weight->columns, x, x_rows, x_stride, y, y_stride);
        return;
    }
    packed_task t = {
        .weight = weight, .x_stride = x_stride, .y_stride = y_stride, .has_tiles = has_tiles,
        .rows = CHOOSE(packed_rows), .rounded = scratch ? &rounded : 0};
    t.rows_per_task = 65536 / weight->columns / coppice_packed_tile_rows * coppice_packed_tile_rows;
    if (t.rows_per_task < coppice_packed_tile_rows) t.rows_per_task = coppice_packed_tile_rows;
    for (long done = 0; done < x_rows;) {
        long rest = x_rows - done;
        t.x_rows = rest >= 8 ? 8 : rest >= 4 ? 4 : rest >= 2 ? 2 : 1;
        t.x = x + done * x_stride;
        t.y = y + done * y_stride;
        t.rounded_first = done;
        coppice_parallel_for((weight->rows + t.rows_per_task - 1) / t.rows_per_task, &t, run_task);
        done += t.x_rows;
    }
}
