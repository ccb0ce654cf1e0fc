#include "image_batch.h"

#include <stdatomic.h>
#include <string.h>

#include "thread_pool.h"

struct batch_job {
    const uint8_t *images;
    long channels, rows, columns;
    const coppice_image_view *views;
    const float *table;
    float *out;
};

static long clamp(long value, long low, long high) { return value < low ? low : value > high ? high : value; }

/// One row of a view: `columns` numbers of which those in `first ..< last` come from `source`.
static void view_row(
    const uint8_t *source, long shift, int flip, long first, long last, long columns, const float *table, float *out) {
    const float outside = table[0];
    for (long x = 0; x < first; x++) out[x] = outside;
    if (flip) {
        const uint8_t *from = source + shift + columns - 1;
        for (long x = first; x < last; x++) out[x] = table[from[-x]];
    } else {
        const uint8_t *from = source + shift;
        for (long x = first; x < last; x++) out[x] = table[from[x]];
    }
    for (long x = last; x < columns; x++) out[x] = outside;
}

static void one_image(void *context, long index) {
    const struct batch_job *job = context;
    const coppice_image_view *view = &job->views[index];
    const long rows = job->rows, columns = job->columns, plane = rows * columns;
    // Columns of the view that lie inside the image.
    long first = clamp(-(long)view->column, 0, columns), last = clamp(columns - (long)view->column, first, columns);
    if (view->flip) {
        long mirrored = columns - last;
        last = columns - first;
        first = mirrored;
    }
    const long top = clamp(view->hidden_row, 0, rows);
    const long bottom = clamp((long)view->hidden_row + view->hidden_size, top, rows);
    const long left = clamp(view->hidden_column, 0, columns);
    const long right = clamp((long)view->hidden_column + view->hidden_size, left, columns);
    for (long c = 0; c < job->channels; c++) {
        const uint8_t *source = job->images + (view->index * job->channels + c) * plane;
        const float *table = job->table + c * 256;
        float *out = job->out + (index * job->channels + c) * plane;
        for (long y = 0; y < rows; y++) {
            const long from = view->row + y;
            if (from < 0 || from >= rows) {
                for (long x = 0; x < columns; x++) out[y * columns + x] = table[0];
            } else {
                view_row(
                    source + from * columns, view->column, view->flip, first, last, columns, table, out + y * columns);
            }
            if (y >= top && y < bottom) {
                memset(out + y * columns + left, 0, (size_t)(right - left) * sizeof(float));
            }
        }
    }
}

void coppice_image_batch(
    const uint8_t *images, long channels, long rows, long columns, const coppice_image_view *views, long count,
    const float *table, float *out) {
    struct batch_job job = {images, channels, rows, columns, views, table, out};
    coppice_parallel_for(count, &job, one_image);
}

// MARK: Moments

enum { images_per_task = 64 };

struct moments_job {
    const uint8_t *images;
    long count, channels, plane;
    _Atomic uint64_t *sums, *squares;
};

static void add_images(void *context, long index) {
    const struct moments_job *job = context;
    const long first = index * images_per_task;
    const long last = clamp(first + images_per_task, first, job->count);
    for (long c = 0; c < job->channels; c++) {
        uint64_t sum = 0, square = 0;
        for (long i = first; i < last; i++) {
            const uint8_t *pixels = job->images + (i * job->channels + c) * job->plane;
            // Parts that 32 bits hold: 2^16 squares of bytes.
            for (long start = 0; start < job->plane; start += 1 << 16) {
                const long end = clamp(start + (1 << 16), start, job->plane);
                uint32_t part = 0, part_squares = 0;
                for (long x = start; x < end; x++) {
                    const uint32_t value = pixels[x];
                    part += value;
                    part_squares += value * value;
                }
                sum += part;
                square += part_squares;
            }
        }
        // Whole numbers: the same in whichever order they are added.
        atomic_fetch_add_explicit(&job->sums[c], sum, memory_order_relaxed);
        atomic_fetch_add_explicit(&job->squares[c], square, memory_order_relaxed);
    }
}

void coppice_image_moments(
    const uint8_t *images, long count, long channels, long plane, uint64_t *sums, uint64_t *squares) {
    memset(sums, 0, (size_t)channels * sizeof *sums);
    memset(squares, 0, (size_t)channels * sizeof *squares);
    struct moments_job job = {
        images, count, channels, plane, (_Atomic uint64_t *)sums, (_Atomic uint64_t *)squares};
    coppice_parallel_for((count + images_per_task - 1) / images_per_task, &job, add_images);
}
