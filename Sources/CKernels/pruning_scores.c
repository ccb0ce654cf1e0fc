#include "pruning_scores.h"

#include <math.h>

#include "thread_pool.h"

enum { chunk_length = COPPICE_STATISTICS_CHUNK, columns_per_task = 256 };

static long chunk_count(long count) { return (count + chunk_length - 1) / chunk_length; }
static long minimum(long a, long b) { return a < b ? a : b; }

// MARK: Scores

struct score_job {
    const float *values;
    long count, columns;
    const float *norms;
    float *out;
};

static void absolute_chunk(void *context, long index) {
    const struct score_job *job = context;
    long start = index * chunk_length, end = minimum(start + chunk_length, job->count);
    for (long i = start; i < end; i++) job->out[i] = fabsf(job->values[i]);
}

void coppice_absolute(const float *values, long count, float *out) {
    struct score_job job = {.values = values, .count = count, .out = out};
    coppice_parallel_for(chunk_count(count), &job, absolute_chunk);
}

static void scale_row(void *context, long row) {
    const struct score_job *job = context;
    const float *values = job->values + row * job->columns;
    float *out = job->out + row * job->columns;
    for (long c = 0; c < job->columns; c++) out[c] = fabsf(values[c]) * job->norms[c];
}

void coppice_scaled_absolute(const float *values, long rows, long columns, const float *norms, float *out) {
    struct score_job job = {.values = values, .columns = columns, .norms = norms, .out = out};
    coppice_parallel_for(rows, &job, scale_row);
}

// MARK: Statistics

struct column_job {
    const float *x;
    long rows, columns, stride;
    double *sums;
};

static void add_columns(void *context, long index) {
    const struct column_job *job = context;
    long first = index * columns_per_task, last = minimum(first + columns_per_task, job->columns);
    for (long r = 0; r < job->rows; r++) {
        const float *row = job->x + r * job->stride;
        for (long c = first; c < last; c++) job->sums[c] += (double)row[c] * row[c];
    }
}

void coppice_add_column_squares(const float *x, long rows, long columns, long stride, double *sums) {
    struct column_job job = {x, rows, columns, stride, sums};
    coppice_parallel_for((columns + columns_per_task - 1) / columns_per_task, &job, add_columns);
}

struct count_job {
    const float *values;
    long count, below;
    float threshold;
    double *sums;
};

static void count_chunk(void *context, long index) {
    struct count_job *job = context;
    long start = index * chunk_length, end = minimum(start + chunk_length, job->count), below = 0;
    for (long i = start; i < end; i++) below += fabsf(job->values[i]) < job->threshold;
    __atomic_fetch_add(&job->below, below, __ATOMIC_RELAXED);
}

long coppice_count_below(const float *values, long count, float threshold) {
    struct count_job job = {.values = values, .count = count, .threshold = threshold};
    coppice_parallel_for(chunk_count(count), &job, count_chunk);
    return job.below;
}

static void square_chunk(void *context, long index) {
    const struct count_job *job = context;
    long start = index * chunk_length, end = minimum(start + chunk_length, job->count);
    double sum = 0;
    for (long i = start; i < end; i++) sum += (double)job->values[i] * job->values[i];
    job->sums[index] = sum;
}

void coppice_square_sums(const float *values, long count, double *sums) {
    struct count_job job = {.values = values, .count = count, .sums = sums};
    coppice_parallel_for(chunk_count(count), &job, square_chunk);
}
