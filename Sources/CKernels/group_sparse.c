#include "group_sparse.h"

#include "cpu_features.h"
#include "group_stream.h"
#include "group_tile.h"
#include "panel_product.h"
#include "scalar_conversion.h"
#include "thread_pool.h"

#include <string.h>

enum { tile_rows = COPPICE_GROUP_SPARSE_TILE_ROWS, step_columns = COPPICE_GROUP_SPARSE_STEP, largest_batch = 8 };

static long steps_of(long columns) { return (columns + step_columns - 1) / step_columns; }

long coppice_group_sparse_mask_stride(long columns, long group) {
    return (steps_of(columns) * (step_columns / group) + 7) / 8;
}

/// Whether a group of a row is kept.
static int is_kept(const coppice_group_sparse *w, long row, long group) {
    return w->masks[row * w->mask_stride + group / 8] >> group % 8 & 1;
}

long coppice_group_position(const coppice_group_sparse *w, long row, long step) {
    const uint8_t *masks = w->masks + row * w->mask_stride;
    long group = step * (step_columns / w->group), position = w->starts[row];
    for (long i = 0; i < group / 8; i++) position += __builtin_popcount(masks[i]);
    if (group % 8) position += __builtin_popcount(masks[group / 8] & ((1u << group % 8) - 1));
    return position;
}

/// Kept groups of a step of a row.
static long kept_of(const coppice_group_sparse *w, long row, long step) {
    long count = step_columns / w->group, first = step * count;
    unsigned byte = w->masks[row * w->mask_stride + first / 8] >> first % 8;
    return __builtin_popcount(byte & ((1u << count) - 1));
}

long coppice_group_sparse_cut(const coppice_group_sparse *w, long work, int64_t *cuts, long capacity) {
    const long steps = steps_of(w->columns), tiles = (w->rows + tile_rows - 1) / tile_rows;
    long count = 0, sum = 0;
    cuts[0] = 0;
    for (long tile = 0; tile < tiles; tile++) {
        long first = tile * tile_rows, last = first + tile_rows < w->rows ? first + tile_rows : w->rows;
        int is_empty = w->starts[first] == w->starts[last];
        for (long step = 0; step < steps; step++) {
            if (sum >= work && count + 1 < capacity) {
                cuts[++count] = tile * steps + step;
                sum = 0;
            }
            for (long row = first; row < last && !is_empty; row++) sum += 8 + kept_of(w, row, step) * w->group / 16;
        }
        sum += 1;
    }
    cuts[++count] = tiles * steps;
    return count;
}

void coppice_group_sparse_row(const coppice_group_sparse *w, long row, float *values) {
    long kept = w->starts[row];
    memset(values, 0, (size_t)w->columns * sizeof(float));
    for (long first = 0; first < w->columns; first += w->group) {
        if (!is_kept(w, row, first / w->group)) continue;
        float scale = coppice_f32_from_f16(coppice_load_u16((const char *)w->scales + 2 * kept));
        int zero = w->zeros ? w->zeros[kept] : 1 << (w->bits - 1);
        const uint8_t *codes = w->values + kept * w->group * w->bits / 8;
        long count = w->columns - first < w->group ? w->columns - first : w->group;
        for (long c = 0; c < count; c++) {
            int code = w->bits == 4 ? codes[c / 2] >> 4 * (c % 2) & 15 : codes[c];
            values[first + c] = (float)(code - zero) * scale;
        }
        kept++;
    }
}

// Panels are expanded piece by piece, each time from the row's start: a step's place is found by counting masks.
static void expand(const void *weight, long row, long first, long count, float *values) {
    const coppice_group_sparse *w = weight;
    long kept = coppice_group_position(w, row, first / step_columns);
    memset(values, 0, (size_t)count * sizeof(float));
    for (long at = 0; at < count; at += w->group) {
        if (!is_kept(w, row, (first + at) / w->group)) continue;
        float scale = coppice_f32_from_f16(coppice_load_u16((const char *)w->scales + 2 * kept));
        float zero = (float)(w->zeros ? w->zeros[kept] : 1 << (w->bits - 1));
        const uint8_t *codes = w->values + kept * w->group * w->bits / 8;
        long length = count - at < w->group ? count - at : w->group;
        for (long c = 0; c < length; c++)
            values[at + c] = ((float)(w->bits == 4 ? codes[c / 2] >> 4 * (c % 2) & 15 : codes[c]) - zero) * scale;
        kept++;
    }
}

// MARK: Tasks

typedef struct {
    const coppice_group_sparse *w;
    const coppice_rounded_rows *x;
    coppice_group_lanes lanes;
    coppice_group_tile tile;
    long x_first, x_rows;
    float *y;
    long y_stride;
    float (*partial)[largest_batch][tile_rows]; ///< of each task: of the tile that an earlier task began
} product;

static void run_task(void *context, long index) {
    const product *p = context;
    const coppice_group_sparse *w = p->w;
    const long steps = steps_of(w->columns), end = w->cuts[index + 1];
    for (long unit = w->cuts[index]; unit < end;) {
        long row = unit / steps * tile_rows, first = unit % steps;
        long last = end - unit < steps - first ? first + (end - unit) : steps;
        long count = w->rows - row < tile_rows ? w->rows - row : tile_rows;
        float sums[largest_batch][tile_rows] = {{0}};
        if (w->starts[row] < w->starts[row + count])
            p->tile(w, p->x, &p->lanes, p->x_first, p->x_rows, row, count, first, last, sums);
        if (first > 0)
            memcpy(p->partial[index], sums, sizeof sums); // can only be the task's first tile
        else
            for (long b = 0; b < p->x_rows; b++)
                memcpy(p->y + b * p->y_stride + row, sums[b], (size_t)count * sizeof(float));
        unit += last - first;
    }
}

/// Adds the parts of tiles that more than one task worked on, in the order of their columns.
static void join(const product *p) {
    const coppice_group_sparse *w = p->w;
    const long steps = steps_of(w->columns);
    for (long index = 0; index < w->task_count; index++) {
        if (w->cuts[index] % steps == 0) continue;
        long row = w->cuts[index] / steps * tile_rows;
        for (long b = 0; b < p->x_rows; b++)
            for (long r = 0; r < tile_rows && row + r < w->rows; r++)
                p->y[b * p->y_stride + row + r] += p->partial[index][b][r];
    }
}

static long rounded_up(long bytes) { return (bytes + 63) / 64 * 64; }

/// Whether there are integer kernels for so many rows of activations on this processor.
static int rounds(const coppice_group_sparse *w, long x_rows) {
    if (x_rows <= largest_batch) return coppice_cpu_level_in_use() >= COPPICE_CPU_AVX2;
    return coppice_cpu_has_vnni() && !(w->bits == 8 && w->zeros);
}

long coppice_group_sparse_scratch_bytes(const coppice_group_sparse *w, long x_rows) {
    if (!rounds(w, x_rows)) return 0;
    const long rounded = rounded_up(coppice_rounded_rows_bytes(x_rows, w->columns)), steps = steps_of(w->columns);
    if (x_rows > largest_batch) return rounded + x_rows * steps * step_columns;
    const long tiles = x_rows * steps * coppice_group_lane_count(w) * (long)sizeof(int32_t)
        + w->task_count * (long)sizeof(float[largest_batch][tile_rows]);
    return rounded + rounded_up(tiles) + coppice_group_stream_bytes(w, x_rows < 2 ? x_rows : 2);
}

void coppice_group_sparse_product(
    const coppice_group_sparse *w, const float *x, long x_rows, long x_stride, float *y, long y_stride,
    void *scratch) {
    if (x_rows == 0 || w->rows == 0) return;
    if (!rounds(w, x_rows) || w->columns == 0) {
        coppice_panel_product(w, expand, w->rows, w->columns, x, x_rows, x_stride, y, y_stride);
        return;
    }
    coppice_rounded_rows rounded = coppice_round_rows(x, x_rows, w->columns, x_stride, scratch);
    char *rest = (char *)scratch + rounded_up(coppice_rounded_rows_bytes(x_rows, w->columns));
    if (x_rows > largest_batch) {
        coppice_group_panel_product(w, &rounded, (uint8_t *)rest, y, y_stride);
        return;
    }
    const long stride = steps_of(w->columns) * coppice_group_lane_count(w);
    product p = {.w = w, .x = &rounded, .y_stride = y_stride, .tile = coppice_group_tile_avx2};
    if (coppice_cpu_has_vnni()) {
        if (x_rows <= 2) {
            coppice_group_stream_product(w, &rounded, 0, x_rows, y, y_stride, rest);
            return;
        }
        coppice_group_lane_sums(w, &rounded, (int32_t *)rest);
        p.lanes = (coppice_group_lanes){(const int32_t *)rest, stride};
        p.tile = coppice_group_tile_vnni;
    }
    p.partial = (void *)(rest + x_rows * stride * (long)sizeof(int32_t));
    for (long done = 0; done < x_rows;) {
        long left = x_rows - done;
        p.x_rows = left >= 8 ? 8 : left >= 4 ? 4 : left >= 2 ? 2 : 1;
        p.x_first = done;
        p.y = y + done * y_stride;
        coppice_parallel_for(w->task_count, &p, run_task);
        join(&p);
        done += p.x_rows;
    }
}
