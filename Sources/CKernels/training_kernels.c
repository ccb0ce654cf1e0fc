#include "training_kernels.h"
#include "thread_pool.h"

#include <math.h>
#include <string.h>

#define BODY "training_kernels.inc"
#include "variants.h"

// What a task works on: whole rows of about this many elements together.
enum { grain = 16384 };

typedef struct rows_work {
    long rows, columns, rows_in_task;
    float scale, direction;
    coppice_visibility seen;
    coppice_adamw_step step;
    coppice_sgd_step sgd;
    long positions, heads;
    const float *a, *b, *c;
    const int64_t *target;
    float *out, *second, *third;
    void (*row)(const struct rows_work *, long row);
    void *variant;
} rows_work;

static void run_rows(void *context, long index) {
    const rows_work *w = context;
    long first = index * w->rows_in_task;
    long end = first + w->rows_in_task < w->rows ? first + w->rows_in_task : w->rows;
    for (long r = first; r < end; r++) w->row(w, r);
}

static void run(rows_work *w) {
    if (w->rows == 0 || w->columns == 0) return;
    if (w->rows_in_task == 0) w->rows_in_task = w->columns >= grain ? 1 : grain / w->columns;
    coppice_parallel_for((w->rows + w->rows_in_task - 1) / w->rows_in_task, w, run_rows);
}

static void softmax_one(const rows_work *w, long r) {
    long n = w->columns, first = 0, end = n;
    if (w->seen.queries > 0) {
        long position = w->seen.first + r % w->seen.queries;
        end = position + 1 < n ? position + 1 : n;
        if (end < 0) end = 0;
        if (w->seen.window > 0 && position + 1 - w->seen.window > 0) first = position + 1 - w->seen.window;
        if (first > end) first = end;
    }
    float *out = w->out + r * n;
    memset(out, 0, (size_t)first * sizeof *out);
    memset(out + end, 0, (size_t)(n - end) * sizeof *out);
    if (end > first)
        ((void (*)(long, float, const float *, float *))w->variant)(
            end - first, w->scale, w->a + r * n + first, out + first);
}

void coppice_softmax(long rows, long columns, float scale, coppice_visibility seen, const float *x, float *out) {
    rows_work w = {.rows = rows, .columns = columns, .scale = scale, .seen = seen, .a = x, .out = out,
                   .row = softmax_one, .variant = (void *)CHOOSE(softmax_row)};
    run(&w);
}

static void softmax_gradient_one(const rows_work *w, long r) {
    long at = r * w->columns;
    ((void (*)(long, float, const float *, const float *, float *))w->variant)(
        w->columns, w->scale, w->a + at, w->b + at, w->out + at);
}

void coppice_softmax_gradient(long rows, long columns, float scale, const float *p, const float *g, float *dx) {
    rows_work w = {.rows = rows, .columns = columns, .scale = scale, .a = p, .b = g, .out = dx,
                   .row = softmax_gradient_one, .variant = (void *)CHOOSE(softmax_gradient_row)};
    run(&w);
}

static void rms_norm_one(const rows_work *w, long r) {
    long at = r * w->columns;
    ((void (*)(long, float, const float *, const float *, float *))w->variant)(
        w->columns, w->scale, w->a + at, w->b, w->out + at);
}

void coppice_rms_norm(long rows, long columns, float epsilon, const float *x, const float *weight, float *out) {
    rows_work w = {.rows = rows, .columns = columns, .scale = epsilon, .a = x, .b = weight, .out = out,
                   .row = rms_norm_one, .variant = (void *)CHOOSE(rms_norm_row)};
    run(&w);
}

static void rms_norm_input_gradient_one(const rows_work *w, long r) {
    long at = r * w->columns;
    ((void (*)(long, float, const float *, const float *, const float *, float *))w->variant)(
        w->columns, w->scale, w->a + at, w->b, w->c + at, w->out + at);
}

void coppice_rms_norm_input_gradient(
    long rows, long columns, float epsilon, const float *x, const float *weight, const float *g, float *dx) {
    rows_work w = {.rows = rows, .columns = columns, .scale = epsilon, .a = x, .b = weight, .c = g, .out = dx,
                   .row = rms_norm_input_gradient_one, .variant = (void *)CHOOSE(rms_norm_input_gradient_row)};
    run(&w);
}

static void rms_norm_weight_gradient_one(const rows_work *w, long r) {
    long at = r * w->columns;
    float *sum = w->out + r / COPPICE_NORM_BLOCK * w->columns;
    if (r % COPPICE_NORM_BLOCK == 0) memset(sum, 0, (size_t)w->columns * sizeof *sum);
    ((void (*)(long, float, const float *, const float *, float *))w->variant)(
        w->columns, w->scale, w->a + at, w->c + at, sum);
}

void coppice_rms_norm_weight_gradient(
    long rows, long columns, float epsilon, const float *x, const float *g, float *partial) {
    rows_work w = {.rows = rows, .columns = columns, .rows_in_task = COPPICE_NORM_BLOCK, .scale = epsilon, .a = x,
                   .c = g, .out = partial, .row = rms_norm_weight_gradient_one,
                   .variant = (void *)CHOOSE(rms_norm_weight_gradient_row)};
    run(&w);
}

static void layer_norm_one(const rows_work *w, long r) {
    long at = r * w->columns;
    ((void (*)(long, float, const float *, const float *, const float *, float *))w->variant)(
        w->columns, w->scale, w->a + at, w->b, w->c, w->out + at);
}

void coppice_layer_norm(
    long rows, long columns, float epsilon, const float *x, const float *weight, const float *bias, float *out) {
    rows_work w = {.rows = rows, .columns = columns, .scale = epsilon, .a = x, .b = weight, .c = bias, .out = out,
                   .row = layer_norm_one, .variant = (void *)CHOOSE(layer_norm_row)};
    run(&w);
}

void coppice_layer_norm_input_gradient(
    long rows, long columns, float epsilon, const float *x, const float *weight, const float *g, float *dx) {
    rows_work w = {.rows = rows, .columns = columns, .scale = epsilon, .a = x, .b = weight, .c = g, .out = dx,
                   .row = rms_norm_input_gradient_one, .variant = (void *)CHOOSE(layer_norm_input_gradient_row)};
    run(&w);
}

static void layer_norm_sums_one(const rows_work *w, long r) {
    long at = r * w->columns;
    float *sum = w->out + r / COPPICE_NORM_BLOCK * 2 * w->columns;
    if (r % COPPICE_NORM_BLOCK == 0) memset(sum, 0, (size_t)(2 * w->columns) * sizeof *sum);
    ((void (*)(long, float, const float *, const float *, float *, float *))w->variant)(
        w->columns, w->scale, w->a + at, w->c + at, sum, sum + w->columns);
}

void coppice_layer_norm_sums(
    long rows, long columns, float epsilon, const float *x, const float *g, float *partial) {
    rows_work w = {.rows = rows, .columns = columns, .rows_in_task = COPPICE_NORM_BLOCK, .scale = epsilon, .a = x,
                   .c = g, .out = partial, .row = layer_norm_sums_one,
                   .variant = (void *)CHOOSE(layer_norm_sums_row)};
    run(&w);
}

// One position of all heads.
static void rotate_one(const rows_work *w, long r) {
    long size = w->columns / w->heads, half = size / 2, position = r % w->positions;
    for (long head = 0; head < w->heads; head++) {
        long at = r * w->columns + head * size;
        ((void (*)(long, const float *, const float *, float, const float *, float *))w->variant)(
            half, w->b + position * half, w->c + position * half, w->direction, w->a + at, w->out + at);
    }
}

void coppice_rotate(
    long batches, long positions, long heads, long size, const float *cosine, const float *sine, float direction,
    const float *x, float *out) {
    rows_work w = {.rows = batches * positions, .columns = heads * size, .direction = direction,
                   .positions = positions, .heads = heads, .a = x, .b = cosine, .c = sine, .out = out,
                   .row = rotate_one, .variant = (void *)CHOOSE(rotate_row)};
    run(&w);
}

// Ranges of flat arrays: "rows" of `grain` elements, the last one shorter.
static long range(const rows_work *w, long r) {
    return w->columns - r * grain < grain ? w->columns - r * grain : grain;
}

static void run_ranges(rows_work *w, long count) {
    if (count == 0) return;
    w->rows = (count + grain - 1) / grain;
    w->columns = count;
    w->rows_in_task = 1;
    run(w);
}

static void range_of_two(const rows_work *w, long r) {
    long at = r * grain;
    ((void (*)(long, const float *, const float *, float *))w->variant)(range(w, r), w->a + at, w->b + at, w->out + at);
}

void coppice_gated_silu(long count, const float *gate, const float *up, float *out) {
    rows_work w = {.a = gate, .b = up, .out = out, .row = range_of_two, .variant = (void *)CHOOSE(gated_silu_range)};
    run_ranges(&w, count);
}

static void gated_silu_gate_gradient_one(const rows_work *w, long r) {
    long at = r * grain;
    ((void (*)(long, const float *, const float *, const float *, float *))w->variant)(
        range(w, r), w->a + at, w->b + at, w->c + at, w->out + at);
}

void coppice_gated_silu_gate_gradient(long count, const float *gate, const float *up, const float *g, float *dgate) {
    rows_work w = {.a = gate, .b = up, .c = g, .out = dgate, .row = gated_silu_gate_gradient_one,
                   .variant = (void *)CHOOSE(gated_silu_gate_gradient_range)};
    run_ranges(&w, count);
}

static void range_of_one(const rows_work *w, long r) {
    long at = r * grain;
    ((void (*)(long, const float *, float *))w->variant)(range(w, r), w->a + at, w->out + at);
}

void coppice_gelu(long count, const float *x, float *out) {
    rows_work w = {.a = x, .out = out, .row = range_of_one, .variant = (void *)CHOOSE(gelu_range)};
    run_ranges(&w, count);
}

void coppice_gelu_gradient(long count, const float *x, const float *g, float *dx) {
    rows_work w = {.a = x, .b = g, .out = dx, .row = range_of_two, .variant = (void *)CHOOSE(gelu_gradient_range)};
    run_ranges(&w, count);
}

static void cross_entropy_one(const rows_work *w, long r) {
    long target = (long)w->target[r];
    w->out[r] = target < 0 ? 0.0f
        : ((float (*)(long, const float *, long))w->variant)(w->columns, w->a + r * w->columns, target);
}

void coppice_cross_entropy(long rows, long columns, const float *x, const int64_t *target, float *loss) {
    rows_work w = {.rows = rows, .columns = columns, .a = x, .target = target, .out = loss, .row = cross_entropy_one,
                   .variant = (void *)CHOOSE(cross_entropy_row)};
    run(&w);
}

static void cross_entropy_gradient_one(const rows_work *w, long r) {
    long target = (long)w->target[r], at = r * w->columns;
    if (target < 0) {
        memset(w->out + at, 0, (size_t)w->columns * sizeof *w->out);
        return;
    }
    ((void (*)(long, const float *, long, float, float *))w->variant)(
        w->columns, w->a + at, target, w->b[r], w->out + at);
}

void coppice_cross_entropy_gradient(
    long rows, long columns, const float *x, const int64_t *target, const float *g, float *dx) {
    rows_work w = {.rows = rows, .columns = columns, .a = x, .b = g, .target = target, .out = dx,
                   .row = cross_entropy_gradient_one, .variant = (void *)CHOOSE(cross_entropy_gradient_row)};
    run(&w);
}

static void cross_entropy_step_one(const rows_work *w, long r) {
    long target = (long)w->target[r], at = r * w->columns;
    if (target < 0) {
        memset(w->out + at, 0, (size_t)w->columns * sizeof *w->out);
        w->second[r] = 0;
        return;
    }
    w->second[r] = ((float (*)(long, const float *, long, float *))w->variant)(
        w->columns, w->a + at, target, w->out + at);
}

void coppice_cross_entropy_step(
    long rows, long columns, const float *x, const int64_t *target, float *loss, float *dx) {
    rows_work w = {.rows = rows, .columns = columns, .a = x, .target = target, .out = dx, .second = loss,
                   .row = cross_entropy_step_one, .variant = (void *)CHOOSE(cross_entropy_step_row)};
    run(&w);
}

static void sgd_one(const rows_work *w, long r) {
    long at = r * grain;
    ((void (*)(long, const coppice_sgd_step *, const float *, float *, float *))w->variant)(
        range(w, r), &w->sgd, w->a + at, w->out + at, w->second + at);
}

void coppice_sgd(long count, coppice_sgd_step step, const float *g, float *p, float *m) {
    rows_work w = {.sgd = step, .a = g, .out = p, .second = m, .row = sgd_one, .variant = (void *)CHOOSE(sgd_range)};
    run_ranges(&w, count);
}

static void decayed_one(const rows_work *w, long r) {
    long at = r * grain;
    ((void (*)(long, const coppice_sgd_step *, const float *, const float *, float *))w->variant)(
        range(w, r), &w->sgd, w->a + at, w->b ? w->b + at : NULL, w->out + at);
}

void coppice_decayed_gradient(long count, float scale, float decay, const float *g, const float *p, float *out) {
    rows_work w = {.sgd = {.scale = scale, .decay = decay}, .a = g, .b = p, .out = out, .row = decayed_one,
                   .variant = (void *)CHOOSE(decayed_range)};
    run_ranges(&w, count);
}

enum { square_parts = 1024 };

typedef struct square_work {
    long count, width;
    const float *x;
    double (*variant)(long, const float *);
    double partial[square_parts];
} square_work;

static void square_one(void *context, long index) {
    square_work *w = context;
    long first = index * w->width, n = w->count - first < w->width ? w->count - first : w->width;
    w->partial[index] = w->variant(n, w->x + first);
}

double coppice_square_sum(long count, const float *x) {
    // At most so many parts, of whole blocks, by the count alone; added in order.
    long width = (count / square_parts / grain + 1) * grain, parts = (count + width - 1) / width;
    square_work w = {.count = count, .width = width, .x = x, .variant = CHOOSE(square_sum)};
    coppice_parallel_for(parts, &w, square_one);
    double total = 0;
    for (long i = 0; i < parts; i++) total += w.partial[i];
    return total;
}

static void adamw_one(const rows_work *w, long r) {
    long at = r * grain;
    ((void (*)(long, const coppice_adamw_step *, const float *, float *, float *, float *))w->variant)(
        range(w, r), &w->step, w->a + at, w->out + at, w->second + at, w->third + at);
}

void coppice_adamw(long count, coppice_adamw_step step, const float *g, float *p, float *m, float *v) {
    rows_work w = {.step = step, .a = g, .out = p, .second = m, .third = v, .row = adamw_one,
                   .variant = (void *)CHOOSE(adamw_range)};
    run_ranges(&w, count);
}
