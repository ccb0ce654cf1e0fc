#include "bitmaps.h"

#include <string.h>

#include "thread_pool.h"

enum { chunk_length = 1 << 18 };

struct fill_job {
    float *values;
    long count;
    const uint64_t *kept;
    float value;
};

static void fill_chunk(void *context, long index) {
    const struct fill_job *job = context;
    long start = index * chunk_length, end = start + chunk_length;
    if (end > job->count) end = job->count;
    uint32_t filling;
    memcpy(&filling, &job->value, sizeof filling);
    for (long i = start; i < end; i++) {
        uint32_t bits, keep = 0u - (uint32_t)((job->kept[i / 64] >> (i % 64)) & 1);
        memcpy(&bits, &job->values[i], sizeof bits);
        bits = (bits & keep) | (filling & ~keep); // a multiplication would keep NaN and write -0
        memcpy(&job->values[i], &bits, sizeof bits);
    }
}

void coppice_bitmap_fill_removed(float *scores, long count, const uint64_t *kept, float value) {
    struct fill_job job = {scores, count, kept, value};
    coppice_parallel_for((count + chunk_length - 1) / chunk_length, &job, fill_chunk);
}

void coppice_bitmap_apply(float *values, long count, const uint64_t *kept) {
    coppice_bitmap_fill_removed(values, count, kept, 0.0f);
}

long coppice_bitmap_count(const uint64_t *a, long words) {
    long count = 0;
    for (long i = 0; i < words; i++) count += __builtin_popcountll(a[i]);
    return count;
}

long coppice_bitmap_count_both(const uint64_t *a, const uint64_t *b, long words) {
    long count = 0;
    for (long i = 0; i < words; i++) count += __builtin_popcountll(a[i] & b[i]);
    return count;
}
