#include "batch_norm.h"
#include "thread_pool.h"

#include <string.h>

#define BODY "batch_norm.inc"
#include "variants.h"

// Channels last, a block is so many rows of channels that they stay in the second cache between two passes; else it is
// one plane. Few channels are widened to whole vectors: `fold` rows count as one.
enum { block_elements = 16384, wide = 64, plane_piece = 4096 };

typedef struct cut {
    coppice_channels shape;
    long rows, rows_in_block, blocks, fold;
} cut;

static cut cut_of(coppice_channels s) {
    cut c = {.shape = s, .fold = 1};
    if (!s.channels_last) {
        c.blocks = s.images * s.channels;
        return c;
    }
    c.rows = s.images * s.plane;
    if (s.channels < wide && wide % s.channels == 0) c.fold = wide / s.channels;
    long rows = block_elements / (s.channels * c.fold) * c.fold;
    c.rows_in_block = rows > 0 ? rows : c.fold;
    c.blocks = (c.rows + c.rows_in_block - 1) / c.rows_in_block;
    return c;
}

// Blocks of rows have two vectors each, planes two numbers.
static long partial_width(const cut *c) { return c->shape.channels_last ? 2 * c->shape.channels : 2; }

long coppice_batch_partial_count(coppice_channels shape) {
    cut c = cut_of(shape);
    return c.blocks * partial_width(&c);
}

typedef struct work {
    cut cut;
    coppice_batch_affine affine;
    const float *x, *g, *sums;
    float *partial, *out, *scale, *a, *b;
    void *first, *second;
} work;

static long rows_of(const cut *c, long block) {
    long left = c->rows - block * c->rows_in_block;
    return left < c->rows_in_block ? left : c->rows_in_block;
}

static void widen(const cut *c, const float *from, float *to) {
    for (long f = 0; f < c->fold; f++) memcpy(to + f * c->shape.channels, from, (size_t)c->shape.channels * sizeof *to);
}

static void narrow(const cut *c, const float *from, float *to) {
    for (long f = 0; f < c->fold; f++)
        for (long i = 0; i < c->shape.channels; i++) to[i] += from[f * c->shape.channels + i];
}

// MARK: statistics

typedef void (*moments_rows)(long, long, const float *, float *);
typedef void (*square_rows)(long, long, const float *, const float *, float *);

static void statistics_task(void *context, long block) {
    const work *w = context;
    const cut *c = &w->cut;
    long n = c->shape.channels;
    if (!c->shape.channels_last) {
        float *out = w->partial + 2 * block;
        ((void (*)(long, const float *, float *, float *))w->first)(
            c->shape.plane, w->x + block * c->shape.plane, out, out + 1);
        return;
    }
    long rows = rows_of(c, block), folded = rows / c->fold, rest = rows % c->fold;
    const float *x = w->x + block * c->rows_in_block * n, *tail = x + folded * c->fold * n;
    float *mean = w->partial + block * 2 * n, *square = mean + n;
    memset(mean, 0, (size_t)(2 * n) * sizeof *mean);
    if (c->fold > 1) {
        float sum[wide] = {0}, center[wide];
        ((moments_rows)w->first)(folded, wide, x, sum);
        narrow(c, sum, mean);
        ((moments_rows)w->first)(rest, n, tail, mean);
        for (long i = 0; i < n; i++) mean[i] /= (float)rows;
        widen(c, mean, center);
        memset(sum, 0, sizeof sum);
        ((square_rows)w->second)(folded, wide, x, center, sum);
        narrow(c, sum, square);
        ((square_rows)w->second)(rest, n, tail, mean, square);
    } else {
        ((moments_rows)w->first)(rows, n, x, mean);
        for (long i = 0; i < n; i++) mean[i] /= (float)rows;
        ((square_rows)w->second)(rows, n, x, mean, square);
    }
}

// Means and squared distances of blocks, joined in order (Chan, Golub and LeVeque 1983).
static void join_moments(const work *w, long channel, float *mean, float *variance) {
    const cut *c = &w->cut;
    long n = c->shape.channels, last = c->shape.channels_last, parts = last ? c->blocks : c->shape.images;
    double count = 0, center = 0, square = 0;
    for (long i = 0; i < parts; i++) {
        const float *part = w->partial + (last ? i * 2 * n + channel : 2 * (i * n + channel));
        double terms = last ? (double)rows_of(c, i) : (double)c->shape.plane, delta = part[0] - center;
        square += part[last ? n : 1] + delta * delta * count * terms / (count + terms);
        center += delta * terms / (count + terms);
        count += terms;
    }
    *mean = (float)center;
    *variance = (float)(square / count);
}

void coppice_batch_statistics(coppice_channels shape, const float *x, float *partial, float *mean, float *variance) {
    work w = {.cut = cut_of(shape), .x = x, .partial = partial};
    w.first = shape.channels_last ? (void *)CHOOSE(add_rows) : (void *)CHOOSE(plane_moments);
    w.second = (void *)CHOOSE(add_square_rows);
    coppice_parallel_for(w.cut.blocks, &w, statistics_task);
    for (long c = 0; c < shape.channels; c++) join_moments(&w, c, mean + c, variance + c);
}

// MARK: forward

typedef void (*apply_rows)(
    long, long, const float *, const float *, const float *, const float *, const float *, int, float *);
typedef void (*apply_plane)(long, const float *, float, float, float, const float *, int, float *);

static void normalize_task(void *context, long block) {
    const work *w = context;
    const cut *c = &w->cut;
    const coppice_batch_affine *f = &w->affine;
    long n = c->shape.channels;
    if (!c->shape.channels_last) {
        long channel = block % n, at = block * c->shape.plane;
        ((apply_plane)w->first)(c->shape.plane, w->x + at, f->mean[channel], w->scale[channel],
                                f->bias[channel], f->residual ? f->residual + at : NULL, f->rectifies, w->out + at);
        return;
    }
    long rows = rows_of(c, block), at = block * c->rows_in_block * n, folded = rows / c->fold * c->fold;
    const float *residual = f->residual ? f->residual + at : NULL;
    if (c->fold > 1) {
        float mean[wide], scale[wide], bias[wide];
        widen(c, w->scale, scale), widen(c, f->mean, mean), widen(c, f->bias, bias);
        ((apply_rows)w->first)(
            folded / c->fold, wide, w->x + at, mean, scale, bias, residual, f->rectifies, w->out + at);
        long done = folded * n;
        ((apply_rows)w->first)(rows - folded, n, w->x + at + done, mean, scale, bias, residual ? residual + done : NULL,
                               f->rectifies, w->out + at + done);
    } else {
        ((apply_rows)w->first)(
            rows, n, w->x + at, f->mean, w->scale, f->bias, residual, f->rectifies, w->out + at);
    }
}

// inverse * weight, into the caller's memory.
static float *scales(coppice_channels shape, const coppice_batch_affine *f, float *into) {
    for (long i = 0; i < shape.channels; i++) into[i] = f->inverse[i] * f->weight[i];
    return into;
}

void coppice_batch_normalize(
    coppice_channels shape, const float *x, coppice_batch_affine affine, float *scratch, float *out) {
    work w = {.cut = cut_of(shape), .affine = affine, .x = x, .out = out, .scale = scales(shape, &affine, scratch)};
    w.first = shape.channels_last ? (void *)CHOOSE(apply_rows) : (void *)CHOOSE(apply_plane);
    coppice_parallel_for(w.cut.blocks, &w, normalize_task);
}

// MARK: backward

typedef void (*gradient_rows)(
    long, long, const float *, const float *, const float *, const float *, const float *, const float *, int, float *,
    float *, float *);
typedef void (*rectify_plane)(
    long, const float *, const float *, float, float, float, const float *, float *);
typedef void (*gradient_plane)(long, const float *, const float *, float, float *, float *);

// One plane, in pieces whose rectified gradient needs no memory but the stack's.
static void gradient_of_plane(const work *w, long block) {
    const coppice_batch_affine *f = &w->affine;
    long plane = w->cut.shape.plane, channel = block % w->cut.shape.channels;
    float piece[plane_piece], *out = w->partial + 2 * block;
    out[0] = out[1] = 0;
    for (long first = 0; first < plane; first += plane_piece) {
        long n = plane - first < plane_piece ? plane - first : plane_piece, at = block * plane + first;
        const float *h = w->g + at;
        if (f->rectifies) {
            float *own = w->out ? w->out + at : piece;
            ((rectify_plane)w->first)(n, w->x + at, h, f->mean[channel], w->scale[channel],
                                      f->bias[channel], f->residual ? f->residual + at : NULL, own);
            h = own;
        } else if (w->out && w->out != w->g) {
            memcpy(w->out + at, h, (size_t)n * sizeof *h);
        }
        float sum, product;
        ((gradient_plane)w->second)(n, w->x + at, h, f->mean[channel], &sum, &product);
        out[0] += sum;
        out[1] += product;
    }
}

static void gradient_task(void *context, long block) {
    const work *w = context;
    const cut *c = &w->cut;
    const coppice_batch_affine *f = &w->affine;
    long n = c->shape.channels;
    if (!c->shape.channels_last) {
        gradient_of_plane(w, block);
        return;
    }
    long rows = rows_of(c, block), at = block * c->rows_in_block * n;
    float *sum = w->partial + block * 2 * n, *product = sum + n;
    memset(sum, 0, (size_t)(2 * n) * sizeof *sum);
    const float *residual = f->residual ? f->residual + at : NULL;
    float *h = w->out ? w->out + at : NULL;
    if (c->fold > 1) {
        long folded = rows / c->fold * c->fold, done = folded * n;
        float mean[wide], scale[wide], bias[wide], wide_sum[wide] = {0}, wide_product[wide] = {0};
        widen(c, w->scale, scale), widen(c, f->mean, mean), widen(c, f->bias, bias);
        ((gradient_rows)w->first)(folded / c->fold, wide, w->x + at, w->g + at, mean, scale, bias, residual,
                                  f->rectifies, h, wide_sum, wide_product);
        narrow(c, wide_sum, sum), narrow(c, wide_product, product);
        ((gradient_rows)w->first)(rows - folded, n, w->x + at + done, w->g + at + done, mean, scale, bias,
                                  residual ? residual + done : NULL, f->rectifies, h ? h + done : NULL, sum, product);
    } else {
        ((gradient_rows)w->first)(rows, n, w->x + at, w->g + at, f->mean, w->scale, f->bias, residual, f->rectifies, h,
                                  sum, product);
    }
}

void coppice_batch_gradient_sums(
    coppice_channels shape, const float *x, const float *g, coppice_batch_affine affine, float *rectified,
    float *partial, float *scratch, float *sums) {
    work w = {.cut = cut_of(shape), .affine = affine, .x = x, .g = g, .out = rectified, .partial = partial,
              .scale = scales(shape, &affine, scratch)};
    w.first = shape.channels_last ? (void *)CHOOSE(gradient_rows) : (void *)CHOOSE(rectify_plane);
    w.second = (void *)CHOOSE(gradient_plane);
    coppice_parallel_for(w.cut.blocks, &w, gradient_task);
    long n = shape.channels, last = shape.channels_last, parts = last ? w.cut.blocks : shape.images;
    for (long c = 0; c < n; c++) {
        double sum = 0, product = 0;
        for (long i = 0; i < parts; i++) {
            const float *part = partial + (last ? i * 2 * n + c : 2 * (i * n + c));
            sum += part[0];
            product += part[last ? n : 1];
        }
        sums[c] = (float)sum;
        sums[n + c] = (float)(product * affine.inverse[c]);
    }
}

typedef void (*input_rows)(
    long, long, const float *, const float *, const float *, const float *, const float *, int, const float *,
    const float *, float *);
typedef void (*input_plane)(
    long, const float *, const float *, float, float, float, int, float, float, float *);

static void input_task(void *context, long block) {
    const work *w = context;
    const cut *c = &w->cut;
    const coppice_batch_affine *f = &w->affine;
    long n = c->shape.channels;
    if (!c->shape.channels_last) {
        long channel = block % n, at = block * c->shape.plane;
        ((input_plane)w->first)(c->shape.plane, w->x + at, w->g + at, f->mean[channel], w->scale[channel],
                                f->bias[channel], f->rectifies, w->a[channel], w->b[channel], w->out + at);
        return;
    }
    long rows = rows_of(c, block), at = block * c->rows_in_block * n;
    if (c->fold > 1) {
        long folded = rows / c->fold * c->fold, done = folded * n;
        float mean[wide], scale[wide], bias[wide], a[wide], b[wide];
        widen(c, f->mean, mean), widen(c, w->scale, scale), widen(c, f->bias, bias);
        widen(c, w->a, a), widen(c, w->b, b);
        ((input_rows)w->first)(folded / c->fold, wide, w->x + at, w->g + at, mean, scale, bias, f->rectifies, a, b,
                               w->out + at);
        ((input_rows)w->first)(rows - folded, n, w->x + at + done, w->g + at + done, mean, scale, bias, f->rectifies,
                               a, b, w->out + at + done);
    } else {
        ((input_rows)w->first)(rows, n, w->x + at, w->g + at, f->mean, w->scale, f->bias, f->rectifies, w->a, w->b,
                               w->out + at);
    }
}

void coppice_batch_input_gradient(
    coppice_channels shape, const float *x, const float *g, coppice_batch_affine affine, const float *sums,
    float *scratch, float *dx) {
    long n = shape.channels;
    double terms = (double)(shape.images * shape.plane);
    work w = {.cut = cut_of(shape), .affine = affine, .x = x, .g = g, .out = dx,
              .scale = scales(shape, &affine, scratch), .a = scratch + n, .b = scratch + 2 * n};
    for (long c = 0; c < n; c++) {
        w.a[c] = (float)(sums[c] / terms);
        w.b[c] = (float)(sums[n + c] / terms * affine.inverse[c]);
    }
    w.first = shape.channels_last ? (void *)CHOOSE(input_rows) : (void *)CHOOSE(input_plane);
    coppice_parallel_for(w.cut.blocks, &w, input_task);
}
