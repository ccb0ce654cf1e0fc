#include "plane_product.h"

#include "panel_product.h"
#include "plane_tile.h"
#include "scalar_conversion.h"
#include "thread_pool.h"

#define BODY "plane_product.inc"
#include "variants.h"

enum { bytes_per_task = 64 << 10, rows_multiple = 4 };

typedef struct {
    const coppice_plane_weight *weight;
    const coppice_rounded_rows *x;
    float *y;
    long y_stride, rows_per_task;
} plane_task;

static void run_task(void *context, long index) {
    const plane_task *t = context;
    long first = index * t->rows_per_task, last = first + t->rows_per_task;
    if (last > t->weight->rows) last = t->weight->rows;
    for (long done = 0; done < t->x->rows;) {
        long rest = t->x->rows - done, count = rest >= 8 ? 8 : rest >= 4 ? 4 : rest >= 2 ? 2 : 1;
        coppice_plane_tiles(t->weight, t->x, done, count, t->y + done * t->y_stride, t->y_stride, first, last);
        done += count;
    }
}

static void expand(const void *weight, long row, long first, long count, float *values) {
    coppice_plane_columns(weight, row, first, count, values);
}

void coppice_plane_columns(const coppice_plane_weight *weight, long row, long first, long count, float *values) {
    CHOOSE(plane_columns)(weight, row, first, count, values);
}

long coppice_plane_scratch_bytes(const coppice_plane_weight *weight, long x_rows) {
    return coppice_plane_tiles_apply(weight, x_rows) ? coppice_rounded_rows_bytes(x_rows, weight->columns) : 0;
}

void coppice_plane_product(
    const coppice_plane_weight *weight, const float *x, long x_rows, long x_stride, float *y, long y_stride,
    void *scratch) {
    if (x_rows > 8 || !coppice_plane_tiles_apply(weight, x_rows)) {
        coppice_panel_product(weight, expand, weight->rows, weight->columns, x, x_rows, x_stride, y, y_stride);
        return;
    }
    coppice_rounded_rows rounded = coppice_round_rows(x, x_rows, weight->columns, x_stride, scratch);
    plane_task t = {weight, &rounded, y, y_stride, bytes_per_task / coppice_plane_row_bytes(weight->bits, weight->columns)};
    t.rows_per_task = t.rows_per_task / rows_multiple * rows_multiple;
    if (t.rows_per_task < rows_multiple) t.rows_per_task = rows_multiple;
    coppice_parallel_for((weight->rows + t.rows_per_task - 1) / t.rows_per_task, &t, run_task);
}

typedef struct {
    const uint8_t *codes;
    int bits;
    long columns;
    uint8_t *planes;
} packing;

static void pack_row(void *context, long row) {
    const packing *p = context;
    CHOOSE(pack_row)(
        p->codes + row * p->columns, p->bits, p->columns,
        p->planes + row * coppice_plane_row_bytes(p->bits, p->columns));
}

void coppice_pack_planes(const uint8_t *codes, int bits, long rows, long columns, uint8_t *planes) {
    packing p = {codes, bits, columns, planes};
    coppice_parallel_for(rows, &p, pack_row);
}
