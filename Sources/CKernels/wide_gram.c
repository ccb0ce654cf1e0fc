#include "wide_sums.h"
#include "scalar_conversion.h"
#include "thread_pool.h"

#include <stdlib.h>
#include <string.h>

enum { TILE_ROWS = 4 };

#define BODY "wide_gram.inc"
#include "variants.h"

// Entries of a panel in f64 (512 kB: what a second-level cache holds), columns that any vector divides, and the most
// runs of panels that add up on their own, of which all have no more than so many sums.
enum { panel_entries = 65536, whole_vectors = 8, most_parts = 16, sum_entries = 1 << 22 };

typedef struct gram_work {
    long rows, columns, padded; // rows, filled up with zeros to whole tiles
    long width, panels, parts;  // columns of a panel
    coppice_data_type type;
    const void *x;
    double *sums; // padded * padded of each part
    long tile_columns;
    void (*spread)(coppice_data_type, long, long, const void *, long, double *restrict);
    void (*tile)(long, const double *, const double *, long, double *, long);
} gram_work;

static long round_up(long n, long unit) { return (n + unit - 1) / unit * unit; }

static void gram_task(void *context, long part) {
    const gram_work *w = context;
    // An odd number of cache lines between rows: those of a tile do not fall into one set.
    long stride = round_up(w->width, 2 * whole_vectors) + whole_vectors, padded = w->padded;
    double *panel = aligned_alloc(64, (size_t)(padded * stride) * sizeof *panel);
    if (!panel) abort();
    memset(panel + w->rows * stride, 0, (size_t)((padded - w->rows) * stride) * sizeof *panel);
    double *sums = w->sums + part * padded * padded;
    for (long index = part * w->panels / w->parts; index < (part + 1) * w->panels / w->parts; index++) {
        long start = index * w->width, count = w->columns - start < w->width ? w->columns - start : w->width;
        long whole = round_up(count, whole_vectors);
        for (long r = 0; r < w->rows; r++)
            w->spread(w->type, r * w->columns + start, count, w->x, whole, panel + r * stride);
        for (long i = 0; i < padded; i += TILE_ROWS)
            for (long j = 0; j < i + TILE_ROWS; j += w->tile_columns)
                w->tile(whole, panel + i * stride, panel + j * stride, stride, sums + i * padded + j, padded);
    }
    free(panel);
}

void coppice_wide_gram(coppice_data_type type, long rows, long columns, const void *x, double *gram) {
    if (rows <= 0) return;
    long padded = round_up(rows, TILE_ROWS), width = panel_entries / padded / whole_vectors * whole_vectors;
    if (width < 64) width = 64;
    if (width > round_up(columns, whole_vectors)) width = round_up(columns, whole_vectors);
    gram_work w = {.rows = rows, .columns = columns, .padded = padded, .width = width, .type = type, .x = x};
    w.panels = columns > 0 ? (columns + width - 1) / width : 0;
    w.parts = w.panels < most_parts ? w.panels : most_parts;
    if (w.parts > sum_entries / (padded * padded)) w.parts = sum_entries / (padded * padded);
    if (w.parts < 1) w.parts = 1;
    w.sums = calloc((size_t)(w.parts * padded * padded), sizeof *w.sums);
    if (!w.sums) abort();
    w.tile_columns = CHOOSE(tile_columns);
    w.spread = CHOOSE(spread);
    w.tile = CHOOSE(gram_tile);
    coppice_parallel_for(w.parts, &w, gram_task);
    for (long r = 0; r < rows; r++)
        for (long c = 0; c <= r; c++) {
            double sum = 0;
            for (long part = 0; part < w.parts; part++) sum += w.sums[(part * padded + r) * padded + c];
            gram[r * rows + c] = sum;
        }
    free(w.sums);
}
