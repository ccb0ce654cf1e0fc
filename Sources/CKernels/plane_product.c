#include "plane_product.h"

#include "panel_product.h"
#include "plane_tile.h"
#include "scalar_conversion.h"
#include "thread_pool.h"

#define BODY "plane_product.inc"
#include "variants.h"

static void expand(const void *weight, long row, long first, long count, float *values) {
    coppice_plane_columns(weight, row, first, count, values);
}

void coppice_plane_columns(const coppice_plane_weight *weight, long row, long first, long count, float *values) {
    CHOOSE(plane_columns)(weight, row, first, count, values);
}

static void multiply_rows(
    const void *weight, const coppice_activations *x, float *y, long y_stride, long first, long last) {
    if (coppice_cpu_has_vnni()) coppice_plane_tiles(weight, x->rounded, y, y_stride, first, last);
    else coppice_plane_tiles_avx2(weight, x->rounded, y, y_stride, first, last);
}

static void multiply_panels(const void *weight, const coppice_activations *x, float *y, long y_stride) {
    const coppice_plane_weight *w = weight;
    coppice_panel_product(w, expand, w->rows, w->columns, x->values, x->rows, x->stride, y, y_stride);
}

static void multiply_panels_as_integers(const void *weight, const coppice_activations *x, float *y, long y_stride) {
    coppice_plane_panel_product(weight, x->rounded, y, y_stride);
}

coppice_row_kernel coppice_plane_kernel(const coppice_plane_weight *weight, long x_rows) {
    const int few = x_rows <= 8 && weight->columns <= COPPICE_PLANE_TILE_COLUMNS, has_vnni = coppice_cpu_has_vnni();
    const int in_integers =
        weight->columns > 0 && (has_vnni || (few && coppice_cpu_level_in_use() >= COPPICE_CPU_AVX2));
    coppice_row_kernel kernel = {
        .weight = weight, .rows = weight->rows, .columns = weight->columns,
        .row_bytes = coppice_plane_row_bytes(weight->bits, weight->columns),
        .reads = in_integers ? COPPICE_READS_INTEGERS : COPPICE_READS_F32, .multiply = multiply_panels};
    if (in_integers) {
        kernel.multiply_rows = few ? multiply_rows : 0;
        kernel.multiply = multiply_panels_as_integers;
    }
    return kernel;
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
