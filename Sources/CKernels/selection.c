#include "selection.h"

#include <math.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "thread_pool.h"

// Work is cut into chunks of a fixed number of scores (a multiple of 64, so that chunks own whole mask words).
enum { chunk_length = 1 << 18 };

static long chunk_count(long count) { return (count + chunk_length - 1) / chunk_length; }
static long minimum(long a, long b) { return a < b ? a : b; }

static inline uint32_t order_key(float score) {
    float positive_zero = score + 0.0f; // -0 becomes +0
    uint32_t bits;
    memcpy(&bits, &positive_zero, sizeof bits);
    uint32_t flip = (uint32_t)((int32_t)bits >> 31) | 0x80000000u;
    return bits ^ flip;
}

uint32_t coppice_order_key(float score) { return order_key(score); }

#define BODY "selection.inc"
#include "variants.h"

// MARK: Counting

struct count_job {
    const float *scores;
    long count;
    int level;
    uint32_t prefix;
    uint64_t *counts;
};

static void count_chunk(void *context, long index) {
    const struct count_job *job = context;
    const float *scores = job->scores + index * chunk_length;
    long count = minimum(chunk_length, job->count - index * chunk_length);
    // Two tables in turn: neighbouring scores often fall into the same bucket, and one table would wait for itself.
    uint32_t even[COPPICE_SELECTION_BUCKETS] = {0}, odd[COPPICE_SELECTION_BUCKETS] = {0};
    uint32_t prefix = job->prefix;
    long i = 0;
    switch (job->level) {
    case 0:
        for (; i + 1 < count; i += 2) {
            even[order_key(scores[i]) >> 21]++;
            odd[order_key(scores[i + 1]) >> 21]++;
        }
        if (i < count) even[order_key(scores[i]) >> 21]++;
        break;
    case 1:
        for (; i < count; i++) {
            uint32_t key = order_key(scores[i]);
            if (key >> 21 == prefix) even[(key >> 10) & 2047]++;
        }
        break;
    default:
        for (; i < count; i++) {
            uint32_t key = order_key(scores[i]);
            if (key >> 10 == prefix) even[key & 1023]++;
        }
    }
    for (long b = 0; b < COPPICE_SELECTION_BUCKETS; b++) {
        uint64_t sum = (uint64_t)even[b] + odd[b];
        if (sum) __atomic_fetch_add(&job->counts[b], sum, __ATOMIC_RELAXED);
    }
}

void coppice_selection_count(const float *scores, long count, int level, uint32_t prefix, uint64_t *counts) {
    struct count_job job = {scores, count, level, prefix, counts};
    coppice_parallel_for(chunk_count(count), &job, count_chunk);
}

// MARK: Checking

struct finite_job {
    const float *scores;
    long count;
    long first;
};

static void check_chunk(void *context, long index) {
    struct finite_job *job = context;
    long start = index * chunk_length, end = minimum(start + chunk_length, job->count);
    uint32_t bad = 0;
    for (long i = start; i < end; i++) {
        uint32_t bits;
        memcpy(&bits, &job->scores[i], sizeof bits);
        bad |= (bits & 0x7F800000u) == 0x7F800000u;
    }
    if (!bad) return;
    for (long i = start; i < end; i++) {
        if (isfinite(job->scores[i])) continue;
        long seen = __atomic_load_n(&job->first, __ATOMIC_RELAXED);
        while (i < seen && !__atomic_compare_exchange_n(&job->first, &seen, i, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
        }
        return;
    }
}

long coppice_first_non_finite(const float *scores, long count) {
    struct finite_job job = {scores, count, count};
    coppice_parallel_for(chunk_count(count), &job, check_chunk);
    return job.first == count ? -1 : job.first;
}

// MARK: Masks

struct mask_job {
    const float *scores;
    long count;
    uint32_t threshold;
    uint64_t *kept;
    int by_size;
    uint64_t (*word)(const float *, long, int, uint32_t);
};

static void mask_chunk(void *context, long index) {
    const struct mask_job *job = context;
    long start = index * chunk_length, end = minimum(start + chunk_length, job->count);
    for (long base = start; base < end; base += 64)
        job->kept[base / 64] = job->word(job->scores + base, minimum(64, end - base), job->by_size, job->threshold);
}

long coppice_selection_mask(
    const float *scores, long count, int by_size, uint32_t threshold, long ties, uint64_t *kept) {
    struct mask_job job = {scores, count, threshold, kept, by_size, CHOOSE(reaching_word)};
    coppice_parallel_for(chunk_count(count), &job, mask_chunk);
    // Ties are taken in order of index; usually there are few and they are found early.
    uint64_t (*equal_word)(const float *, long, int, uint32_t) = CHOOSE(equal_word);
    long removed = 0;
    for (long base = 0; base < count && removed < ties; base += 64) {
        uint64_t equal = equal_word(scores + base, minimum(64, count - base), by_size, threshold);
        for (; equal && removed < ties; equal &= equal - 1, removed++) kept[base / 64] &= ~(equal & -equal);
    }
    return removed;
}

struct below_job {
    const float *scores;
    long count, below, equal;
    uint32_t threshold;
    long (*chunk)(const float *, long, uint32_t, long *);
};

static void below_chunk(void *context, long index) {
    struct below_job *job = context;
    long start = index * chunk_length, equal = 0;
    long below = job->chunk(job->scores + start, minimum(chunk_length, job->count - start), job->threshold, &equal);
    __atomic_fetch_add(&job->below, below, __ATOMIC_RELAXED);
    __atomic_fetch_add(&job->equal, equal, __ATOMIC_RELAXED);
}

long coppice_selection_count_below(const float *scores, long count, uint32_t threshold, long *equal) {
    struct below_job job = {scores, count, 0, 0, threshold, CHOOSE(count_below)};
    coppice_parallel_for(chunk_count(count), &job, below_chunk);
    *equal = job.equal;
    return job.below;
}

long coppice_selection_between(
    const float *scores, long count, int by_size, float low, float high, float *found, long limit, long *below) {
    return CHOOSE(between)(scores, count, by_size, low, high, found, limit, below);
}

// MARK: Groups

// Bits written one after the other. A task's groups are contiguous and start at a whole word.
struct bit_stream {
    uint64_t *out;
    uint64_t word;
    int filled; // bits of `word` in use, fewer than 64
};

// Appends the low `count` bits of `bits` (0 < count <= 64); the others must be zero.
static inline void append_bits(struct bit_stream *stream, uint64_t bits, int count) {
    stream->word |= bits << stream->filled;
    int free_bits = 64 - stream->filled;
    if (count < free_bits) {
        stream->filled += count;
        return;
    }
    *stream->out++ = stream->word;
    stream->filled = count - free_bits;
    stream->word = stream->filled ? bits >> free_bits : 0;
}

// Ranks by comparing all pairs: the fastest way for N:M groups, and free of branches.
static inline __attribute__((always_inline)) void select_short_group(
    const float *scores, int length, int removed, struct bit_stream *stream) {
    uint32_t keys[32];
    uint64_t kept = 0;
    for (int i = 0; i < length; i++) keys[i] = order_key(scores[i]);
    for (int i = 0; i < length; i++) {
        int rank = 0;
        for (int j = 0; j < i; j++) rank += keys[j] <= keys[i];
        for (int j = i + 1; j < length; j++) rank += keys[j] < keys[i];
        kept |= (uint64_t)(rank >= removed) << i;
    }
    append_bits(stream, kept, length);
}

// The key of the `removed`-th smallest score (removed > 0), and in `ties` how many equal to it are among those.
//
// The global selection in small: digits of 8 bits, since a row is read from the cache and the table must be too.
// Rows that fit are narrowed to the candidates that share the digits found so far.
static uint32_t group_threshold(const float *scores, long length, long removed, long *ties) {
    enum { buffer_length = 4096 };
    uint32_t buffer[buffer_length], threshold = 0;
    long candidates = -1;     // how many keys the buffer holds; negative when they do not fit
    long rank = removed - 1; // rank, among the candidates, of the largest score removed
    for (int shift = 24; shift >= 0; shift -= 8) {
        uint32_t counts[256] = {0}, digit = 0;
        if (candidates < 0) {
            for (long i = 0; i < length; i++) {
                uint32_t key = order_key(scores[i]);
                if (shift == 24 || key >> (shift + 8) == threshold) counts[(key >> shift) & 255]++;
            }
        } else {
            for (long i = 0; i < candidates; i++) counts[(buffer[i] >> shift) & 255]++;
        }
        while (rank >= (long)counts[digit]) rank -= counts[digit++];
        threshold = threshold << 8 | digit;
        if (candidates >= 0) {
            long kept = 0;
            for (long i = 0; i < candidates; i++) {
                uint32_t key = buffer[i];
                buffer[kept] = key;
                kept += key >> shift == threshold;
            }
            candidates = kept;
        } else if (counts[digit] < buffer_length) {
            candidates = 0;
            for (long i = 0; i < length; i++) {
                uint32_t key = order_key(scores[i]);
                buffer[candidates] = key; // one place past the last candidate may be written
                candidates += key >> shift == threshold;
            }
        }
    }
    *ties = rank + 1;
    return threshold;
}

static void select_long_group(const float *scores, long length, long removed, struct bit_stream *stream) {
    long ties = 0;
    uint32_t threshold = removed ? group_threshold(scores, length, removed, &ties) : 0;
    for (long base = 0; base < length; base += 64) {
        int count = (int)minimum(64, length - base);
        uint64_t kept = 0, equal = 0;
        for (int i = 0; i < count; i++) {
            uint32_t key = order_key(scores[base + i]);
            kept |= (uint64_t)(key >= threshold) << i;
            equal |= (uint64_t)(key == threshold) << i;
        }
        for (; equal && ties > 0; equal &= equal - 1, ties--) kept &= ~(equal & -equal);
        append_bits(stream, kept, count);
    }
}

struct group_job {
    const float *scores;
    long groups, length, removed, extra, groups_per_task;
    uint64_t *kept;
};

static void select_groups(void *context, long index) {
    const struct group_job *job = context;
    long length = job->length;
    long first = index * job->groups_per_task, last = minimum(first + job->groups_per_task, job->groups);
    struct bit_stream stream = {job->kept + first * length / 64, 0, 0};
    for (long group = first; group < last; group++) {
        long removed = job->removed + (group < job->extra);
        const float *scores = job->scores + group * length;
        // A constant length lets the compiler unroll the common patterns.
        if (length == 4) select_short_group(scores, 4, (int)removed, &stream);
        else if (length == 8) select_short_group(scores, 8, (int)removed, &stream);
        else if (length <= 32) select_short_group(scores, (int)length, (int)removed, &stream);
        else select_long_group(scores, length, removed, &stream);
    }
    if (stream.filled) *stream.out = stream.word;
}

void coppice_selection_groups(
    const float *scores, long groups, long length, long removed, long extra, uint64_t *kept) {
    if (groups <= 0 || length <= 0) return;
    // Tasks start at a multiple of 64 scores, so that no word is shared between them.
    long per_task = (chunk_length / length + 63) / 64 * 64;
    if (per_task < 64) per_task = 64;
    struct group_job job = {scores, groups, length, removed, extra, per_task, kept};
    coppice_parallel_for((groups + per_task - 1) / per_task, &job, select_groups);
}
