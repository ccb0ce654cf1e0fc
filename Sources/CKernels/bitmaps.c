#include "bitmaps.h"

#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "thread_pool.h"

#define BODY "bitmaps.inc"
#include "variants.h"

enum { chunk_length = 1 << 18 };

static long chunk_count(long count) { return (count + chunk_length - 1) / chunk_length; }

struct bitmap_job {
    const float *source;
    float *values;
    long count;
    const uint64_t *kept;
    float value;
    void (*fill)(float *, long, const uint64_t *, float);
    void (*copy)(const float *, long, const uint64_t *, float *);
};

static long chunk_end(const struct bitmap_job *job, long index) {
    long end = (index + 1) * chunk_length;
    return end < job->count ? end : job->count;
}

static void fill_chunk(void *context, long index) {
    const struct bitmap_job *job = context;
    long start = index * chunk_length;
    job->fill(job->values + start, chunk_end(job, index) - start, job->kept + start / 64, job->value);
}

static void copy_chunk(void *context, long index) {
    const struct bitmap_job *job = context;
    long start = index * chunk_length;
    job->copy(job->source + start, chunk_end(job, index) - start, job->kept + start / 64, job->values + start);
}

void coppice_bitmap_fill_removed(float *scores, long count, const uint64_t *kept, float value) {
    struct bitmap_job job = {.values = scores, .count = count, .kept = kept, .value = value, .fill = CHOOSE(fill)};
    coppice_parallel_for(chunk_count(count), &job, fill_chunk);
}

void coppice_bitmap_apply(float *values, long count, const uint64_t *kept) {
    coppice_bitmap_fill_removed(values, count, kept, 0.0f);
}

void coppice_bitmap_copy(const float *values, long count, const uint64_t *kept, float *out) {
    struct bitmap_job job = {.source = values, .values = out, .count = count, .kept = kept, .copy = CHOOSE(copy)};
    coppice_parallel_for(chunk_count(count), &job, copy_chunk);
}

struct change_job {
    const float *source;
    float *values;
    long count;
    const uint64_t *before, *kept;
    void (*copy)(const float *, long, const uint64_t *, float *);
};

static void change_chunk(void *context, long index) {
    const struct change_job *job = context;
    long start = index * chunk_length, end = (index + 1) * chunk_length;
    if (end > job->count) end = job->count;
    for (long base = start; base < end; base += 64) {
        if (job->before[base / 64] == job->kept[base / 64]) continue;
        long length = end - base < 64 ? end - base : 64;
        job->copy(job->source + base, length, job->kept + base / 64, job->values + base);
    }
}

void coppice_bitmap_copy_changes(
    const float *values, long count, const uint64_t *before, const uint64_t *kept, float *out) {
    struct change_job job = {values, out, count, before, kept, CHOOSE(copy)};
    coppice_parallel_for(chunk_count(count), &job, change_chunk);
}

long coppice_bitmap_count(const uint64_t *a, long words) { return CHOOSE(count_bits)(a, words); }

long coppice_bitmap_count_both(const uint64_t *a, const uint64_t *b, long words) {
    return CHOOSE(count_common_bits)(a, b, words);
}
