#include "score_step.h"

#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "thread_pool.h"

#define BODY "score_step.inc"
#include "variants.h"

enum { chunk_length = 1 << 16 };

struct score_job {
    long count;
    coppice_score_settings settings;
    const float *weights, *slopes;
    const uint64_t *kept;
    float *velocities, *scores;
    int finite;
    int (*step)(long, coppice_score_settings, const float *, const float *, const uint64_t *, float *, float *);
};

static void step_chunk(void *context, long index) {
    struct score_job *job = context;
    long start = index * chunk_length;
    long count = job->count - start < chunk_length ? job->count - start : chunk_length;
    int finite = job->step(
        count, job->settings, job->weights + start, job->slopes + start, job->kept ? job->kept + start / 64 : 0,
        job->velocities + start, job->scores + start);
    if (!finite) __atomic_store_n(&job->finite, 0, __ATOMIC_RELAXED);
}

int coppice_score_step(
    long count, coppice_score_settings settings, const float *weights, const float *slopes, const uint64_t *kept,
    float *velocities, float *scores) {
    struct score_job job = {count, settings, weights, slopes, kept, velocities, scores, 1, CHOOSE(step)};
    coppice_parallel_for((count + chunk_length - 1) / chunk_length, &job, step_chunk);
    return job.finite;
}
