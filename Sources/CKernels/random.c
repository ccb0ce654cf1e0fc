#include "random.h"

#include <math.h>
#include <string.h>

#include "cpu_features.h"
#include "thread_pool.h"

// The same bits in every variant: multiply and add must stay two roundings even where the target has FMA.
#pragma STDC FP_CONTRACT OFF

// Blocks come in groups of 16, so that the ten rounds run on vectors. Word `w` of block `b` of a group is stored at
// `16 * w + b`; a group gives 64 words of 32 bits or 32 words of 64 bits (the low halves are its first 32 words).
enum { blocks_per_group = 16, words_per_group = 64, groups_per_task = 256 };

#define INLINE static inline __attribute__((always_inline))

// MARK: Philox

INLINE void philox_rounds(uint32_t c0[blocks_per_group], uint32_t c1[blocks_per_group], uint32_t c2[blocks_per_group],
                          uint32_t c3[blocks_per_group], uint32_t k0, uint32_t k1) {
    for (int round = 0; round < 10; round++) {
        for (int b = 0; b < blocks_per_group; b++) {
            uint64_t p0 = (uint64_t)c0[b] * 0xD2511F53u, p1 = (uint64_t)c2[b] * 0xCD9E8D57u;
            uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1[b] ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c3[b] ^ k1;
            c1[b] = (uint32_t)p1;
            c3[b] = (uint32_t)p0;
            c0[b] = n0;
            c2[b] = n2;
        }
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
}

INLINE void group_words(uint32_t words[words_per_group], coppice_random_state state, long group) {
    uint64_t first = state.position + (uint64_t)group * blocks_per_group;
    for (int b = 0; b < blocks_per_group; b++) {
        uint64_t block = first + (uint64_t)b;
        words[b] = (uint32_t)block;
        words[b + 16] = (uint32_t)(block >> 32);
        words[b + 32] = state.stream;
        words[b + 48] = 0;
    }
    philox_rounds(words, words + 16, words + 32, words + 48, (uint32_t)state.key, (uint32_t)(state.key >> 32));
}

void coppice_philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t result[4]) {
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3], k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)c0 * 0xD2511F53u, p1 = (uint64_t)c2 * 0xCD9E8D57u;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    result[0] = c0;
    result[1] = c1;
    result[2] = c2;
    result[3] = c3;
}

// MARK: Logarithm, sine and cosine

INLINE double from_bits(uint64_t bits) {
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

INLINE uint64_t to_bits(double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

// Exact for |value| < 2^51. An integer in the low bits of a double of magnitude 2^52, then the magnitude taken away:
// unlike a conversion it vectorizes on every target.
INLINE double from_small_integer(int64_t value) {
    return from_bits(0x4338000000000000u + (uint64_t)value) - 0x1.8p52;
}

// Natural logarithm of a positive normal number, to about an ulp. The argument is 2^e m with m in [√½, √2);
// log m = 2 artanh((m - 1) / (m + 1)), by its power series up to the 21st power.
INLINE double logarithm(double x) {
    uint64_t above = to_bits(x) - 0x3FE6A09E667F3BCDu; // bits of √½
    int64_t exponent = (int64_t)above >> 52;
    double m = from_bits(to_bits(x) - ((uint64_t)exponent << 52));
    double e = from_small_integer(exponent);
    double s = (m - 1.0) / (m + 1.0), z = s * s;
    double p = 1.0 / 21.0;
    p = p * z + 1.0 / 19.0;
    p = p * z + 1.0 / 17.0;
    p = p * z + 1.0 / 15.0;
    p = p * z + 1.0 / 13.0;
    p = p * z + 1.0 / 11.0;
    p = p * z + 1.0 / 9.0;
    p = p * z + 1.0 / 7.0;
    p = p * z + 1.0 / 5.0;
    p = p * z + 1.0 / 3.0;
    double twice = 2.0 * s;
    // log 2 in two parts: the first has few enough bits that its product with e is exact.
    return e * 0x1.62e42fefa38p-1 + (twice + (twice * (z * p) + e * 0x1.ef35793c7673p-45));
}

// Cosine and sine of 2π turn / 2^64, to about an ulp: Taylor series on an eighth of a turn either side of the
// nearest quarter.
INLINE void cosine_sine(uint64_t turn, double *cosine, double *sine) {
    uint64_t quarter = (turn + ((uint64_t)1 << 61)) >> 62; // 0 ... 3
    int64_t rest = (int64_t)(turn - (quarter << 62));
    double x = from_small_integer(rest >> 10) * (0x1.921fb54442d18p2 * 0x1p-54); // 2π · 2^-54
    double z = x * x;
    double s = 1.0 / 355687428096000.0;
    s = s * z - 1.0 / 1307674368000.0;
    s = s * z + 1.0 / 6227020800.0;
    s = s * z - 1.0 / 39916800.0;
    s = s * z + 1.0 / 362880.0;
    s = s * z - 1.0 / 5040.0;
    s = s * z + 1.0 / 120.0;
    s = s * z - 1.0 / 6.0;
    s = x + x * (z * s);
    double c = -1.0 / 6402373705728000.0;
    c = c * z + 1.0 / 20922789888000.0;
    c = c * z - 1.0 / 87178291200.0;
    c = c * z + 1.0 / 479001600.0;
    c = c * z - 1.0 / 3628800.0;
    c = c * z + 1.0 / 40320.0;
    c = c * z - 1.0 / 720.0;
    c = c * z + 1.0 / 24.0;
    c = 1.0 - (0.5 * z - z * (z * c));
    // A quarter turn takes (c, s) to (-s, c).
    uint64_t odd = (uint64_t)0 - (quarter & 1);
    uint64_t cosine_bits = (to_bits(c) & ~odd) | (to_bits(s) & odd);
    uint64_t sine_bits = (to_bits(s) & ~odd) | (to_bits(c) & odd);
    *cosine = from_bits(cosine_bits ^ (((quarter + 1) & 2) << 62));
    *sine = from_bits(sine_bits ^ ((quarter & 2) << 62));
}

INLINE void box_muller(double u, uint64_t turn, double *first, double *second) {
    double radius = __builtin_elementwise_sqrt(-2.0 * logarithm(u)), c, s;
    cosine_sine(turn, &c, &s);
    *first = radius * c;
    *second = radius * s;
}

// MARK: Groups of each distribution

struct job {
    coppice_random_state state;
    long count;
    void *out;
    double a, b, limit;
    uint64_t threshold;
    int64_t low;
};

INLINE void uniform_f32_group(const struct job *job, const uint32_t words[64], float out[64]) {
    float limit = (float)job->limit;
    for (int i = 0; i < 64; i++) {
        float value = (float)(job->a + (double)(int32_t)(words[i] >> 8) * 0x1p-24 * job->b);
        out[i] = value > limit ? limit : value;
    }
}

INLINE void uniform_f64_group(const struct job *job, const uint32_t words[64], double out[32]) {
    for (int i = 0; i < 32; i++) {
        uint64_t bits = (uint64_t)words[i] | ((uint64_t)words[i + 32] << 32);
        // 53 bits in two parts, each converted exactly.
        double u = from_small_integer((int64_t)(bits >> 38)) * 0x1p-26
            + from_small_integer((int64_t)((bits >> 11) & 0x7FFFFFF)) * 0x1p-53;
        double value = job->a + u * job->b;
        out[i] = value > job->limit ? job->limit : value;
    }
}

INLINE void normal_f32_group(const struct job *job, const uint32_t words[64], float out[64]) {
    for (int i = 0; i < 32; i++) {
        double u = (from_small_integer(words[i]) + 0.5) * 0x1p-32, first, second;
        box_muller(u, (uint64_t)words[i + 32] << 32, &first, &second);
        out[i] = (float)(job->a + job->b * first);
        out[i + 32] = (float)(job->a + job->b * second);
    }
}

INLINE void normal_f64_group(const struct job *job, const uint32_t words[64], double out[32]) {
    for (int i = 0; i < 16; i++) {
        uint64_t bits = (uint64_t)words[i] | ((uint64_t)words[i + 16] << 32);
        uint64_t turn = (uint64_t)words[i + 32] | ((uint64_t)words[i + 48] << 32);
        double u = (from_bits((bits >> 12) | 0x4330000000000000u) - 0x1p52 + 0.5) * 0x1p-52, first, second;
        box_muller(u, turn, &first, &second);
        out[i] = job->a + job->b * first;
        out[i + 16] = job->a + job->b * second;
    }
}

INLINE void bernoulli_u8_group(const struct job *job, const uint32_t words[64], uint8_t out[64]) {
    if (job->threshold > UINT32_MAX) {
        memset(out, 1, 64);
        return;
    }
    uint32_t threshold = (uint32_t)job->threshold;
    for (int i = 0; i < 64; i++) out[i] = words[i] < threshold;
}

INLINE void mask_f32_group(const struct job *job, const uint32_t words[64], float out[64]) {
    float value = (float)job->a;
    if (job->threshold > UINT32_MAX) {
        for (int i = 0; i < 64; i++) out[i] = value;
        return;
    }
    uint32_t threshold = (uint32_t)job->threshold;
    for (int i = 0; i < 64; i++) out[i] = words[i] < threshold ? value : 0.0f;
}

// The number below `span` that the 64-bit draw `index` of a group gives. Rejected draws (at most span / 2^64 of
// them) are drawn again from the same block with a higher attempt in its counter.
INLINE uint64_t bounded(coppice_random_state state, long group, int index, uint64_t bits, uint64_t span) {
    __uint128_t product = (__uint128_t)bits * span;
    if ((uint64_t)product >= span) return (uint64_t)(product >> 64);
    uint64_t biased = (0 - span) % span;
    uint64_t block = state.position + (uint64_t)group * blocks_per_group + (uint64_t)(index & 15);
    for (uint32_t attempt = 1; (uint64_t)product < biased; attempt++) {
        uint32_t counter[4] = {(uint32_t)block, (uint32_t)(block >> 32), state.stream, attempt};
        uint32_t key[2] = {(uint32_t)state.key, (uint32_t)(state.key >> 32)}, words[4];
        coppice_philox4x32(counter, key, words);
        int half = index >= 16 ? 2 : 0;
        product = (__uint128_t)((uint64_t)words[half] | ((uint64_t)words[half + 1] << 32)) * span;
    }
    return (uint64_t)(product >> 64);
}

INLINE void integers_i64_group(const struct job *job, long group, const uint32_t words[64], int64_t out[32]) {
    for (int i = 0; i < 32; i++) {
        uint64_t bits = (uint64_t)words[i] | ((uint64_t)words[i + 32] << 32);
        out[i] = (int64_t)((uint64_t)job->low + bounded(job->state, group, i, bits, job->threshold));
    }
}

// MARK: Variants and threads

#define FILL(NAME, TYPE, PER_GROUP, CALL)                                                                             \
    INLINE void NAME##_body(void *context, long task) {                                                               \
        const struct job *job = context;                                                                              \
        TYPE *out = job->out;                                                                                         \
        uint32_t words[words_per_group];                                                                              \
        for (long g = task * groups_per_task; g < (task + 1) * groups_per_task; g++) {                                \
            long first = g * PER_GROUP, left = job->count - first;                                                    \
            if (left <= 0) break;                                                                                     \
            group_words(words, job->state, g);                                                                        \
            TYPE values[PER_GROUP];                                                                                   \
            CALL;                                                                                                     \
            memcpy(out + first, values, (size_t)(left < PER_GROUP ? left : PER_GROUP) * sizeof(TYPE));                \
        }                                                                                                             \
    }                                                                                                                 \
    VARIANTS(NAME)                                                                                                    \
    static uint64_t NAME(struct job *job) {                                                                           \
        long groups = (job->count + PER_GROUP - 1) / PER_GROUP;                                                       \
        coppice_parallel_for((groups + groups_per_task - 1) / groups_per_task, job, NAME##_variant());                \
        return (uint64_t)groups * blocks_per_group;                                                                   \
    }

#if defined(__x86_64__)
#define VARIANTS(NAME)                                                                                                \
    static void NAME##_portable(void *context, long task) { NAME##_body(context, task); }                             \
    __attribute__((target("avx2,fma"))) static void NAME##_avx2(void *context, long task) {                           \
        NAME##_body(context, task);                                                                                   \
    }                                                                                                                 \
    __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,fma"))) static void NAME##_avx512(void *context,        \
                                                                                                long task) {          \
        NAME##_body(context, task);                                                                                   \
    }                                                                                                                 \
    static coppice_task NAME##_variant(void) {                                                                        \
        switch (coppice_cpu_level_in_use()) {                                                                         \
        case COPPICE_CPU_AVX512: return NAME##_avx512;                                                                \
        case COPPICE_CPU_AVX2: return NAME##_avx2;                                                                    \
        default: return NAME##_portable;                                                                              \
        }                                                                                                             \
    }
#else
#define VARIANTS(NAME)                                                                                                \
    static void NAME##_portable(void *context, long task) { NAME##_body(context, task); }                             \
    static coppice_task NAME##_variant(void) { return NAME##_portable; }
#endif

FILL(fill_uniform_f32, float, 64, uniform_f32_group(job, words, values))
FILL(fill_uniform_f64, double, 32, uniform_f64_group(job, words, values))
FILL(fill_normal_f32, float, 64, normal_f32_group(job, words, values))
FILL(fill_normal_f64, double, 32, normal_f64_group(job, words, values))
FILL(fill_bernoulli_u8, uint8_t, 64, bernoulli_u8_group(job, words, values))
FILL(fill_mask_f32, float, 64, mask_f32_group(job, words, values))
FILL(fill_integers_i64, int64_t, 32, integers_i64_group(job, g, words, values))

// MARK: Entry points

uint64_t coppice_random_uniform_f32(float *out, long count, coppice_random_state state, float low, float high) {
    double range = high > low ? (double)high - (double)low : 0;
    struct job job = {state, count, out, low, range, high > low ? nextafterf(high, low) : low, 0, 0};
    return fill_uniform_f32(&job);
}

uint64_t coppice_random_uniform_f64(double *out, long count, coppice_random_state state, double low, double high) {
    double range = high > low ? high - low : 0;
    struct job job = {state, count, out, low, range, high > low ? nextafter(high, low) : low, 0, 0};
    return fill_uniform_f64(&job);
}

uint64_t coppice_random_normal_f32(float *out, long count, coppice_random_state state, double mean, double deviation) {
    struct job job = {state, count, out, mean, deviation, 0, 0, 0};
    return fill_normal_f32(&job);
}

uint64_t coppice_random_normal_f64(double *out, long count, coppice_random_state state, double mean,
                                   double deviation) {
    struct job job = {state, count, out, mean, deviation, 0, 0, 0};
    return fill_normal_f64(&job);
}

static uint64_t threshold_of(double probability) {
    if (!(probability > 0)) return 0;
    if (probability >= 1) return (uint64_t)1 << 32;
    return (uint64_t)(probability * 0x1p32 + 0.5);
}

uint64_t coppice_random_bernoulli_u8(uint8_t *out, long count, coppice_random_state state, double probability) {
    struct job job = {state, count, out, 0, 0, 0, threshold_of(probability), 0};
    return fill_bernoulli_u8(&job);
}

uint64_t coppice_random_mask_f32(float *out, long count, coppice_random_state state, double probability, float value) {
    struct job job = {state, count, out, value, 0, 0, threshold_of(probability), 0};
    return fill_mask_f32(&job);
}

uint64_t coppice_random_integers_i64(int64_t *out, long count, coppice_random_state state, int64_t low,
                                     uint64_t span) {
    struct job job = {state, count, out, 0, 0, 0, span, low};
    return fill_integers_i64(&job);
}

uint64_t coppice_random_permutation_i64(int64_t *out, long count, coppice_random_state state) {
    uint32_t words[words_per_group];
    for (long i = 0; i < count; i++) out[i] = i;
    long draw = 0;
    for (long last = count - 1; last > 0; last--, draw++) {
        long group = draw / 32;
        int index = (int)(draw % 32);
        if (index == 0) group_words(words, state, group);
        uint64_t bits = (uint64_t)words[index] | ((uint64_t)words[index + 32] << 32);
        long other = (long)bounded(state, group, index, bits, (uint64_t)last + 1);
        int64_t moved = out[last];
        out[last] = out[other];
        out[other] = moved;
    }
    return (uint64_t)((draw + 31) / 32) * blocks_per_group;
}
