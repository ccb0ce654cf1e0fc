#include "decoder_layer_kernels.h"

#include <math.h>

#include "cpu_features.h"
#include "thread_pool.h"

#define KERNELS "decoder_layer_kernels.inc"
#include "inference_variants.inc"

enum { elements_per_task = 16384 };

// MARK: Norms

typedef struct {
    const float *x, *weight;
    float *out;
    long x_stride, out_stride, rows, columns, rows_per_task;
    long heads; // rows of one token, contiguous; 1 for whole rows
    float epsilon;
} norm_work;

static void norm_task(void *context, long index) {
    const norm_work *work = context;
    const long first = index * work->rows_per_task;
    const long end = first + work->rows_per_task < work->rows ? first + work->rows_per_task : work->rows;
    for (long row = first; row < end; row++) {
        const long token = row / work->heads, head = row % work->heads;
        CHOOSE(norm_row)(work->x + token * work->x_stride + head * work->columns, work->weight, work->epsilon,
                         work->out + token * work->out_stride + head * work->columns, work->columns);
    }
}

static void norm_all(norm_work work) {
    work.rows_per_task = work.columns < elements_per_task ? elements_per_task / work.columns : 1;
    coppice_parallel_for((work.rows + work.rows_per_task - 1) / work.rows_per_task, &work, norm_task);
}

void coppice_decoder_rms_norm(const float *x, long x_stride, const float *weight, float epsilon, float *out,
                              long out_stride, long rows, long columns) {
    norm_all((norm_work){.x = x, .weight = weight, .out = out, .x_stride = x_stride, .out_stride = out_stride,
                         .rows = rows, .columns = columns, .heads = 1, .epsilon = epsilon});
}

void coppice_decoder_head_norm(float *x, long stride, const float *weight, float epsilon, long tokens, long heads,
                               long head_size) {
    norm_all((norm_work){.x = x, .weight = weight, .out = x, .x_stride = stride, .out_stride = stride,
                         .rows = tokens * heads, .columns = head_size, .heads = heads, .epsilon = epsilon});
}

// MARK: Elementwise

void coppice_decoder_silu_gate(float *gate, const float *up, long count) { CHOOSE(silu_gate)(gate, up, count); }

void coppice_decoder_add(float *x, const float *y, long count) { CHOOSE(add)(x, y, count); }

// MARK: Over the vocabulary

typedef struct {
    const float *x;
    long stride, columns;
    double *out;
} sum_work;

static void log_sum_exp_task(void *context, long row) {
    const sum_work *work = context;
    work->out[row] = CHOOSE(log_sum_exp)(work->x + row * work->stride, work->columns);
}

void coppice_decoder_log_sum_exp(const float *x, long stride, long rows, long columns, double *out) {
    sum_work work = {x, stride, columns, out};
    coppice_parallel_for(rows, &work, log_sum_exp_task);
}

void coppice_decoder_exponentials(const float *x, float shift, float *out, long count) {
    CHOOSE(exponentials)(x, shift, out, count);
}

long coppice_decoder_argmax(const float *x, long count) {
    long best = -1;
    float largest = -__builtin_inff();
    for (long i = 0; i < count; i++) {
        if (x[i] != x[i]) return -1;
        if (best < 0 || x[i] > largest) {
            best = i;
            largest = x[i];
        }
    }
    return best;
}
