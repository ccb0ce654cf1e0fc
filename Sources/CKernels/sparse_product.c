#include "sparse_product.h"

#include <string.h>

#include "thread_pool.h"

#define BODY "sparse_product.inc"
#include "variants.h"

enum { panel_rows = COPPICE_SPARSE_PANEL, columns_in_task = 64, lines_in_task = 32 };

static long minimum(long a, long b) { return a < b ? a : b; }

// MARK: Panels

struct panel_job {
    long rows, columns, tasks_in_panel;
    const float *source;
    float *target;
    void (*columns_of_panel)(long, long, const float *, float *);
};

static void pack_task(void *context, long index) {
    const struct panel_job *job = context;
    long panel = index / job->tasks_in_panel, first = index % job->tasks_in_panel * columns_in_task;
    long end = minimum(first + columns_in_task, job->columns), rows = minimum(panel_rows, job->rows - panel * panel_rows);
    const float *batch = job->source + panel * panel_rows * job->columns;
    float *out = job->target + panel * job->columns * panel_rows;
    for (; first + 16 <= end; first += 16)
        job->columns_of_panel(rows, job->columns, batch + first, out + first * panel_rows);
    for (; first < end; first++)
        for (long row = 0; row < panel_rows; row++)
            out[first * panel_rows + row] = row < rows ? batch[row * job->columns + first] : 0;
}

void coppice_sparse_pack(long rows, long columns, const float *batch, float *panels) {
    struct panel_job job = {
        rows, columns, (columns + columns_in_task - 1) / columns_in_task, batch, panels, CHOOSE(pack_columns),
    };
    coppice_parallel_for((rows + panel_rows - 1) / panel_rows * job.tasks_in_panel, &job, pack_task);
}

static void unpack_task(void *context, long index) {
    const struct panel_job *job = context;
    long panel = index / job->tasks_in_panel, first = index % job->tasks_in_panel * columns_in_task;
    long end = minimum(first + columns_in_task, job->columns), rows = minimum(panel_rows, job->rows - panel * panel_rows);
    const float *in = job->source + panel * job->columns * panel_rows;
    float *batch = job->target + panel * panel_rows * job->columns;
    for (; first + 16 <= end; first += 16)
        job->columns_of_panel(rows, job->columns, in + first * panel_rows, batch + first);
    for (; first < end; first++)
        for (long row = 0; row < rows; row++) batch[row * job->columns + first] = in[first * panel_rows + row];
}

void coppice_sparse_unpack(long rows, long columns, const float *panels, float *batch) {
    struct panel_job job = {
        rows, columns, (columns + columns_in_task - 1) / columns_in_task, panels, batch, CHOOSE(unpack_columns),
    };
    coppice_parallel_for((rows + panel_rows - 1) / panel_rows * job.tasks_in_panel, &job, unpack_task);
}

// MARK: Products

struct line_job {
    long panels, places, tasks_in_panel;
    coppice_sparse_lines lines;
    const float *matrix, *left, *right;
    float *out;
    void (*product)(long, const int32_t *, const float *, long, const float *, float *);
    void (*outer_product)(long, const int32_t *, const float *, const float *, float *);
};

static void product_task(void *context, long index) {
    const struct line_job *job = context;
    long panel = index / job->tasks_in_panel, first = index % job->tasks_in_panel * lines_in_task;
    const coppice_sparse_lines *lines = &job->lines;
    const float *in = job->right + panel * job->places * panel_rows;
    float *out = job->out + panel * lines->count * panel_rows;
    for (long line = first; line < minimum(first + lines_in_task, lines->count); line++)
        job->product(
            lines->starts[line + 1] - lines->starts[line], lines->places + lines->starts[line],
            job->matrix + line * lines->line_step, lines->place_step, in, out + line * panel_rows);
}

void coppice_sparse_product(
    long panels, coppice_sparse_lines lines, long places, const float *matrix, const float *in, float *out) {
    struct line_job job = {
        .panels = panels, .places = places, .tasks_in_panel = (lines.count + lines_in_task - 1) / lines_in_task,
        .lines = lines, .matrix = matrix, .right = in, .out = out, .product = CHOOSE(line_product),
    };
    coppice_parallel_for(panels * job.tasks_in_panel, &job, product_task);
}

static void outer_product_task(void *context, long index) {
    const struct line_job *job = context;
    const coppice_sparse_lines *lines = &job->lines;
    for (long line = index * lines_in_task; line < minimum((index + 1) * lines_in_task, lines->count); line++) {
        float *out = job->out + line * lines->line_step;
        memset(out, 0, (size_t)job->places * sizeof *out);
        for (long panel = 0; panel < job->panels; panel++)
            job->outer_product(
                lines->starts[line + 1] - lines->starts[line], lines->places + lines->starts[line],
                job->left + (panel * lines->count + line) * panel_rows, job->right + panel * job->places * panel_rows,
                out);
    }
}

void coppice_sparse_outer_product(
    long panels, coppice_sparse_lines lines, long places, const float *left, const float *right, float *matrix) {
    struct line_job job = {
        .panels = panels, .places = places, .lines = lines, .left = left, .right = right, .out = matrix,
        .outer_product = CHOOSE(line_outer_product),
    };
    coppice_parallel_for((lines.count + lines_in_task - 1) / lines_in_task, &job, outer_product_task);
}
