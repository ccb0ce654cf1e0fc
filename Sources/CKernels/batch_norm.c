#include "batch_norm.h"
#include "channel_blocks.h"
#include "thread_pool.h"

#define BODY "batch_norm.inc"
#include "variants.h"

enum { plane_piece = 4096 };

long coppice_batch_partial_count(coppice_channels shape, int by_image) {
    cut c = cut_of(shape, by_image);
    return c.blocks * partial_width(&c);
}

// What x - mean is multiplied by and what is added, by channel; by image too where `step` is not 0.
typedef struct work {
    cut cut;
    coppice_batch_affine affine;
    const float *x, *g, *sums, *scale, *bias;
    long step;
    float *partial, *out, *a, *b;
    void *first, *second;
} work;

static const float *row_of(const work *w, const float *values, long block) {
    return values + (w->step ? image_of(&w->cut, block) * w->step : 0);
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
    const float *x = w->x + element_of(c, block), *tail = x + folded * c->fold * n;
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
    work w = {.cut = cut_of(shape, 0), .x = x, .partial = partial};
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
    const float *own_scale = row_of(w, w->scale, block), *own_bias = row_of(w, w->bias, block);
    long n = c->shape.channels;
    if (!c->shape.channels_last) {
        long channel = block % n, at = block * c->shape.plane;
        ((apply_plane)w->first)(c->shape.plane, w->x + at, f->mean[channel], own_scale[channel], own_bias[channel],
                                f->residual ? f->residual + at : NULL, f->rectifies, w->out + at);
        return;
    }
    long rows = rows_of(c, block), at = element_of(c, block), folded = rows / c->fold * c->fold;
    const float *residual = f->residual ? f->residual + at : NULL;
    if (c->fold > 1) {
        float mean[wide], scale[wide], bias[wide];
        widen(c, own_scale, scale), widen(c, f->mean, mean), widen(c, own_bias, bias);
        ((apply_rows)w->first)(
            folded / c->fold, wide, w->x + at, mean, scale, bias, residual, f->rectifies, w->out + at);
        long done = folded * n;
        ((apply_rows)w->first)(rows - folded, n, w->x + at + done, mean, scale, bias, residual ? residual + done : NULL,
                               f->rectifies, w->out + at + done);
    } else {
        ((apply_rows)w->first)(
            rows, n, w->x + at, f->mean, own_scale, own_bias, residual, f->rectifies, w->out + at);
    }
}

// inverse * weight and the bias, into the caller's memory; of each image, times its factors, where they multiply.
static void find_scales(work *w, int multiplies, float *scratch) {
    const coppice_batch_affine *f = &w->affine;
    long n = w->cut.shape.channels, images = multiplies ? w->cut.shape.images : 1;
    float *bias = scratch + images * n;
    for (long image = 0; image < images; image++)
        for (long i = 0, at = image * n; i < n; i++, at++) {
            float factor = multiplies ? f->factors[at] : 1;
            scratch[at] = factor * (f->inverse[i] * f->weight[i]);
            bias[at] = factor * f->bias[i];
        }
    w->scale = scratch;
    w->bias = bias;
    w->step = multiplies ? n : 0;
}

void coppice_batch_normalize(
    coppice_channels shape, const float *x, coppice_batch_affine affine, float *scratch, float *out) {
    work w = {.cut = cut_of(shape, affine.factors != NULL), .affine = affine, .x = x, .out = out};
    // A factor that is not negative may as well come before the rectifier.
    find_scales(&w, affine.factors != NULL, scratch);
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
    float scale = row_of(w, w->scale, block)[channel], bias = row_of(w, w->bias, block)[channel];
    float piece[plane_piece], *out = w->partial + 2 * block;
    out[0] = out[1] = 0;
    for (long first = 0; first < plane; first += plane_piece) {
        long n = plane - first < plane_piece ? plane - first : plane_piece, at = block * plane + first;
        const float *h = w->g + at;
        if (f->rectifies) {
            float *own = w->out ? w->out + at : piece;
            ((rectify_plane)w->first)(
                n, w->x + at, h, f->mean[channel], scale, bias, f->residual ? f->residual + at : NULL, own);
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
    const float *own_scale = row_of(w, w->scale, block), *own_bias = row_of(w, w->bias, block);
    long rows = rows_of(c, block), at = element_of(c, block);
    float *sum = w->partial + block * 2 * n, *product = sum + n;
    memset(sum, 0, (size_t)(2 * n) * sizeof *sum);
    const float *residual = f->residual ? f->residual + at : NULL;
    float *h = w->out ? w->out + at : NULL;
    if (c->fold > 1) {
        long folded = rows / c->fold * c->fold, done = folded * n;
        float mean[wide], scale[wide], bias[wide], wide_sum[wide] = {0}, wide_product[wide] = {0};
        widen(c, own_scale, scale), widen(c, f->mean, mean), widen(c, own_bias, bias);
        ((gradient_rows)w->first)(folded / c->fold, wide, w->x + at, w->g + at, mean, scale, bias, residual,
                                  f->rectifies, h, wide_sum, wide_product);
        narrow(c, wide_sum, sum), narrow(c, wide_product, product);
        ((gradient_rows)w->first)(rows - folded, n, w->x + at + done, w->g + at + done, mean, scale, bias,
                                  residual ? residual + done : NULL, f->rectifies, h ? h + done : NULL, sum, product);
    } else {
        ((gradient_rows)w->first)(rows, n, w->x + at, w->g + at, f->mean, own_scale, own_bias, residual, f->rectifies,
                                  h, sum, product);
    }
}

// The sums of parts `first`, `first + apart`… of partial, `count` of them: those of h, and of h (x - mean).
static void join_sums(const work *w, long first, long apart, long count, double *sum, double *product) {
    *sum = *product = 0;
    for (long i = 0; i < count; i++) {
        const float *part = w->partial + first + i * apart;
        *sum += part[0];
        *product += part[w->cut.shape.channels_last ? w->cut.shape.channels : 1];
    }
}

void coppice_batch_gradient_sums(
    coppice_channels shape, const float *x, const float *g, coppice_batch_affine affine, float *rectified,
    float *partial, float *scratch, float *sums) {
    int by_image = affine.factors != NULL;
    work w = {.cut = cut_of(shape, by_image), .affine = affine, .x = x, .g = g, .out = rectified, .partial = partial};
    // What the rectifier was given has factors in it only where a residual was added.
    find_scales(&w, by_image && affine.residual, scratch);
    w.first = shape.channels_last ? (void *)CHOOSE(gradient_rows) : (void *)CHOOSE(rectify_plane);
    w.second = (void *)CHOOSE(gradient_plane);
    coppice_parallel_for(w.cut.blocks, &w, gradient_task);
    long n = shape.channels, last = shape.channels_last, images = by_image ? shape.images : 1;
    long apart = 2 * n, parts = last ? w.cut.blocks_in_run : shape.images / images;
    for (long i = 0; i < images * n; i++) {
        long channel = i % n;
        double sum, product;
        join_sums(&w, i / n * parts * apart + (last ? channel : 2 * channel), apart, parts, &sum, &product);
        sums[i] = (float)sum;
        sums[images * n + i] = (float)(product * affine.inverse[channel]);
    }
}

typedef void (*input_rows)(
    long, long, const float *, const float *, const float *, const float *, const float *, int, const float *,
    const float *, const float *, float *);
typedef void (*input_plane)(
    long, const float *, const float *, float, float, float, int, float, float, float, float *);

static void input_task(void *context, long block) {
    const work *w = context;
    const cut *c = &w->cut;
    const coppice_batch_affine *f = &w->affine;
    long n = c->shape.channels;
    const float *factors = f->factors ? f->factors + image_of(c, block) * n : NULL;
    if (!c->shape.channels_last) {
        long channel = block % n, at = block * c->shape.plane;
        ((input_plane)w->first)(c->shape.plane, w->x + at, w->g + at, f->mean[channel], w->scale[channel],
                                w->bias[channel], f->rectifies, factors ? factors[channel] : 1, w->a[channel],
                                w->b[channel], w->out + at);
        return;
    }
    long rows = rows_of(c, block), at = element_of(c, block);
    if (c->fold > 1) {
        long folded = rows / c->fold * c->fold, done = folded * n;
        float mean[wide], scale[wide], bias[wide], factor[wide], a[wide], b[wide];
        widen(c, f->mean, mean), widen(c, w->scale, scale), widen(c, w->bias, bias);
        widen(c, w->a, a), widen(c, w->b, b);
        if (factors) widen(c, factors, factor), factors = factor;
        ((input_rows)w->first)(folded / c->fold, wide, w->x + at, w->g + at, mean, scale, bias, f->rectifies, factors,
                               a, b, w->out + at);
        ((input_rows)w->first)(rows - folded, n, w->x + at + done, w->g + at + done, mean, scale, bias, f->rectifies,
                               factors, a, b, w->out + at + done);
    } else {
        ((input_rows)w->first)(rows, n, w->x + at, w->g + at, f->mean, w->scale, w->bias, f->rectifies, factors, w->a,
                               w->b, w->out + at);
    }
}

void coppice_batch_input_gradient(
    coppice_channels shape, const float *x, const float *g, coppice_batch_affine affine, const float *sums,
    float *scratch, float *dx) {
    long n = shape.channels;
    double terms = (double)(shape.images * shape.plane);
    work w = {.cut = cut_of(shape, affine.factors != NULL), .affine = affine, .x = x, .g = g, .out = dx,
              .a = scratch + 2 * n, .b = scratch + 3 * n};
    find_scales(&w, 0, scratch);
    for (long c = 0; c < n; c++) {
        w.a[c] = (float)(sums[c] / terms);
        w.b[c] = (float)(sums[n + c] / terms * affine.inverse[c]);
    }
    w.first = shape.channels_last ? (void *)CHOOSE(input_rows) : (void *)CHOOSE(input_plane);
    coppice_parallel_for(w.cut.blocks, &w, input_task);
}

// MARK: means

static void means_task(void *context, long block) {
    const work *w = context;
    const cut *c = &w->cut;
    long n = c->shape.channels;
    if (!c->shape.channels_last) {
        w->partial[2 * block] =
            ((float (*)(long, const float *))w->first)(c->shape.plane, w->x + block * c->shape.plane);
        return;
    }
    long rows = rows_of(c, block), folded = rows / c->fold;
    const float *x = w->x + element_of(c, block);
    float *sum = w->partial + block * 2 * n;
    memset(sum, 0, (size_t)n * sizeof *sum);
    if (c->fold > 1) {
        float own[wide] = {0};
        ((moments_rows)w->first)(folded, wide, x, own);
        narrow(c, own, sum);
        ((moments_rows)w->first)(rows % c->fold, n, x + folded * wide, sum);
    } else {
        ((moments_rows)w->first)(rows, n, x, sum);
    }
}

void coppice_image_means(coppice_channels shape, const float *x, float *partial, float *means) {
    work w = {.cut = cut_of(shape, 1), .x = x, .partial = partial};
    w.first = shape.channels_last ? (void *)CHOOSE(add_rows) : (void *)CHOOSE(plane_sum);
    coppice_parallel_for(w.cut.blocks, &w, means_task);
    long n = shape.channels, last = shape.channels_last, parts = last ? w.cut.blocks_in_run : 1;
    for (long i = 0; i < shape.images * n; i++) {
        double sum = 0;
        for (long k = 0; k < parts; k++)
            sum += partial[(i / n * parts + k) * 2 * n + (last ? i % n : 2 * (i % n))];
        means[i] = (float)(sum / (double)shape.plane);
    }
}
