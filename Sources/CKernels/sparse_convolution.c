#include "sparse_convolution.h"

#include <string.h>

#include "thread_pool.h"

// What becomes of the sums of one output.
struct finish {
    float scale, shift, least;
};

#define BODY "sparse_convolution.inc"
#include "variants.h"

// Outputs of a band of rows, with what lies between the rows; bytes of padded planes that a band should read.
enum { vector = 16, least_outputs = 256, most_outputs = 2048, cached_bytes = 1 << 18 };

static long minimum(long a, long b) { return a < b ? a : b; }
static long maximum(long a, long b) { return a > b ? a : b; }

// MARK: Padded planes

// How one channel is written: `row_phases` times `column_phases` planes of `rows` by `columns`.
struct planes {
    long row_phases, column_phases, rows, columns;
};

// Residues of a kernel's entries by the stride: with entries next to each other, no more than there are entries.
static long phases(long kernel, long stride, long dilation) { return dilation == 1 ? minimum(kernel, stride) : stride; }

static struct planes planes_of(const coppice_windows *w) {
    return (struct planes){
        phases(w->kernel_height, w->stride_y, w->dilation_y), phases(w->kernel_width, w->stride_x, w->dilation_x),
        w->out_height + (w->kernel_height - 1) * w->dilation_y / w->stride_y,
        w->out_width + (w->kernel_width - 1) * w->dilation_x / w->stride_x,
    };
}

static long channel_size(struct planes p) { return p.row_phases * p.column_phases * p.rows * p.columns; }

long coppice_sparse_convolution_plane_count(const coppice_sparse_convolution *c) {
    // Sums of whole vectors read past the last output.
    return c->channels * channel_size(planes_of(&c->windows)) + vector;
}

long coppice_sparse_convolution_place(const coppice_sparse_convolution *c, long channel, long row, long column) {
    const coppice_windows *w = &c->windows;
    struct planes p = planes_of(w);
    long y = row * w->dilation_y, x = column * w->dilation_x;
    long phase = y % w->stride_y * p.column_phases + x % w->stride_x;
    return channel * channel_size(p) + (phase * p.rows + y / w->stride_y) * p.columns + x / w->stride_x;
}

struct job {
    const coppice_sparse_convolution *convolution;
    coppice_sparse_kernel kernel;
    coppice_sparse_epilogue epilogue;
    struct planes planes;
    const float *images;
    float *padded, *out;
    long plane_count, rows_in_band, bands, parts;
    void (*sum_line)(long, long, const int32_t *, const float *, const float *, float *);
    void (*finish_rows)(long, long, long, const struct finish *, const float *, const float *, float *);
    void (*pad_plane)(long, long, long, long, long, long, long, long, long, const float *, float *);
};

static void pad_channel(const struct job *job, long image, long channel) {
    const coppice_sparse_convolution *c = job->convolution;
    const coppice_windows *w = &c->windows;
    const float *plane = job->images + image * c->image_step + channel * c->channel_step;
    float *out = job->padded + image * job->plane_count + channel * channel_size(job->planes);
    for (long row_phase = 0; row_phase < job->planes.row_phases; row_phase++)
        for (long column_phase = 0; column_phase < job->planes.column_phases; column_phase++) {
            // Input columns of this plane: first + i · stride, inside the image for begin ≤ i < end.
            long first = column_phase - w->left, stride = w->stride_x;
            long begin = minimum(first >= 0 ? 0 : (-first + stride - 1) / stride, job->planes.columns);
            long end = first >= w->width ? begin : minimum((w->width - first + stride - 1) / stride, job->planes.columns);
            job->pad_plane(
                job->planes.rows, job->planes.columns, begin, maximum(end, begin), stride * c->column_step,
                row_phase - w->top, w->stride_y, c->row_step, w->height,
                plane + (first + begin * stride) * c->column_step, out);
            out += job->planes.rows * job->planes.columns;
        }
}

static void end_padding(const struct job *job, long image) {
    memset(job->padded + (image + 1) * job->plane_count - vector, 0, vector * sizeof(float));
}

// MARK: Sums

// Outputs first ..< end of a band of rows of an image.
static void convolve_band(const struct job *job, long image, long band, long first, long end) {
    const coppice_sparse_convolution *c = job->convolution;
    const coppice_windows *w = &c->windows;
    long pitch = job->planes.columns, top = band * job->rows_in_band, plane = w->out_height * w->out_width;
    long rows = minimum(job->rows_in_band, w->out_height - top);
    const float *in = job->padded + image * job->plane_count + top * pitch;
    long place = (image * c->outputs + first) * plane + top * w->out_width;
    long extent = (rows - 1) * pitch + w->out_width;
    const coppice_sparse_epilogue *epilogue = &job->epilogue;
    float sums[most_outputs + vector];
    for (long o = first; o < end; o++, place += plane) {
        long start = job->kernel.starts[o], count = job->kernel.starts[o + 1] - start;
        struct finish finish = {
            epilogue->scales ? epilogue->scales[o] : 1, epilogue->shifts ? epilogue->shifts[o] : 0, epilogue->least,
        };
        // A row that is longer than a band is one, part by part.
        for (long x = 0; x < extent; x += most_outputs) {
            long here = minimum(most_outputs, extent - x), width = minimum(here, w->out_width);
            job->sum_line(
                (here + vector - 1) / vector, count, job->kernel.places + start, job->kernel.values + start, in + x, sums);
            job->finish_rows(
                rows, width, pitch, &finish, sums, epilogue->residual ? epilogue->residual + place + x : NULL,
                job->out + place + x);
        }
    }
}

// Few images: their channels, and then parts of their outputs, are tasks.

static void channel_task(void *context, long index) {
    const struct job *job = context;
    long image = index / job->convolution->channels, channel = index % job->convolution->channels;
    pad_channel(job, image, channel);
    if (channel == 0) end_padding(job, image);
}

static void part_task(void *context, long index) {
    const struct job *job = context;
    long outputs = job->convolution->outputs, part = index % job->parts, band = index / job->parts;
    convolve_band(
        job, band / job->bands, band % job->bands, outputs * part / job->parts, outputs * (part + 1) / job->parts);
}

// Many images: each is a task, so that its padded planes are in the cache when they are read.
static void image_task(void *context, long image) {
    const struct job *job = context;
    for (long channel = 0; channel < job->convolution->channels; channel++) pad_channel(job, image, channel);
    end_padding(job, image);
    for (long band = 0; band < job->bands; band++) convolve_band(job, image, band, 0, job->convolution->outputs);
}

void coppice_sparse_convolve(
    const coppice_sparse_convolution *c, coppice_sparse_kernel kernel, coppice_sparse_epilogue epilogue,
    const float *images, float *planes, float *out) {
    const coppice_windows *w = &c->windows;
    struct planes p = planes_of(w);
    long line_bytes = maximum(1, c->channels) * p.row_phases * p.column_phases * p.columns * (long)sizeof(float);
    long rows = minimum(most_outputs / p.columns, cached_bytes / line_bytes - (p.rows - w->out_height));
    rows = maximum(1, minimum(maximum(rows, least_outputs / p.columns), w->out_height));
    long bands = (w->out_height + rows - 1) / rows;
    struct job job = {
        c, kernel, epilogue, p, images, planes, out, coppice_sparse_convolution_plane_count(c),
        // Bands of about the same height.
        (w->out_height + bands - 1) / bands, 0, 1,
        CHOOSE(sum_line), CHOOSE(finish_rows), CHOOSE(pad_plane),
    };
    job.bands = (w->out_height + job.rows_in_band - 1) / job.rows_in_band;
    long threads = coppice_thread_count();
    if (threads == 1 || c->images >= 4 * threads) {
        coppice_parallel_for(c->images, &job, image_task);
        return;
    }
    job.parts = minimum(c->outputs, maximum(1, 4 * threads / (c->images * job.bands)));
    coppice_parallel_for(c->images * c->channels, &job, channel_task);
    coppice_parallel_for(c->images * job.bands * job.parts, &job, part_task);
}
