#include "group_stream.h"

#include "dot_tile.h"
#include "thread_pool.h"

#if defined(__x86_64__)
#include <immintrin.h>
#include <string.h>

#pragma clang attribute push( \
    __attribute__((target( \
        "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx512vbmi,avx512vbmi2,avx2,fma,f16c,bmi,bmi2,popcnt"))), \
    apply_to = function)

// The kept groups of all rows are one list, which is cut into tasks of equal length, whatever rows they are in. A row's
// masks become a list of its groups; then as many groups as fill a register are taken at a time: their codes follow
// each other in memory, their activations are fetched from where the list says. So the work is that of what is kept.
//
// A register of dot products has 4 quarters of 4 lanes. What a quarter is multiplied by, the scale t of its activations
// and t times the sum of their codes, is fetched as a pair; with the scale s of the group it adds s t Σ q a - s z t Σ
// a.
enum {
    groups_per_task = 4096,
    list_step = 8, ///< a list has group numbers times this, so that they serve as offsets
    rows_together = 4,
    bytes_ahead = 4096,
};

/// Columns that have a pair of their own.
static long pair_columns(const coppice_group_sparse *w) { return w->group < 32 ? w->group : 32; }

typedef struct {
    const int8_t *codes;  ///< [padded], arranged as a register of weights wants them
    const char *pairs;    ///< two f32 for each pair columns
} activations;

typedef struct product {
    const coppice_group_sparse *w;
    activations x[2];
    long x_rows, task_count;
    float *y;
    long y_stride;
    float (*partial)[2]; ///< of each task: of the row that an earlier task began
    void (*run)(const struct product *, long index, long first, long last, long row, int guarded);
} product;

/// Groups in a register.
#define GROUPS(BITS, G) ((BITS) == 4 && (G) < 64 ? 4 : (G) == 16 ? 4 : (BITS) == 8 && (G) == 64 ? 1 : 2)

typedef struct {
    __m512i first, second; ///< codes that meet the first and the second register of activations
} codes;

/// Codes of 4 bits in groups of 16 become bytes in order; larger groups give the even columns and the odd ones.
COPPICE_INLINE codes unpack(const int bits, const int G, __m512i packed) {
    const __m512i low_bits = _mm512_set1_epi8(15);
    if (bits == 8) return (codes){packed, packed};
    if (G == 16) {
        const __m512i twice = _mm512_setr_epi64(0, 0, 1, 1, 2, 2, 3, 3);
        const __m512i shifts =
            _mm512_set4_epi64(0x3C3834302C282420, 0x1C1814100C080400, 0x3C3834302C282420, 0x1C1814100C080400);
        __m512i bytes = _mm512_multishift_epi64_epi8(shifts, _mm512_permutexvar_epi64(twice, packed));
        bytes = _mm512_and_si512(bytes, low_bits);
        return (codes){bytes, bytes};
    }
    return (codes){
        _mm512_and_si512(packed, low_bits), _mm512_and_si512(_mm512_srli_epi16(packed, 4), low_bits)};
}

COPPICE_INLINE __m512i join_halves(__m256i a, const void *b) {
    return _mm512_inserti64x4(_mm512_castsi256_si512(a), _mm256_loadu_si256(b), 1);
}

COPPICE_INLINE __m256i two_quarters(const int8_t *a, const int8_t *b) {
    __m256i first = _mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)a));
    return _mm256_inserti128_si256(first, _mm_loadu_si128((const __m128i *)b), 1);
}

COPPICE_INLINE __m128 pair(const char *at) { return _mm_castsi128_ps(_mm_loadl_epi64((const __m128i *)at)); }
COPPICE_INLINE __m128 same_pair(const char *at) {
    return _mm_castpd_ps(_mm_loaddup_pd((const double *)(const void *)at));
}

/// The dot products of a register of groups with their activations.
COPPICE_INLINE __m512i dots_of(const int bits, const int G, codes q, const int8_t *a, const uint16_t *list) {
    const __m512i zero = _mm512_setzero_si512();
    if (G == 16) {
        __m256i low = two_quarters(a + list[0] * 2, a + list[1] * 2);
        __m256i high = two_quarters(a + list[2] * 2, a + list[3] * 2);
        return _mm512_dpbusd_epi32(zero, q.first, _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1));
    }
    if (bits == 4 && G == 32) {
        // Each group's activations are its 16 even columns, then its 16 odd ones.
        __m512i low = join_halves(_mm256_loadu_si256((const __m256i *)(a + list[0] * 4)), a + list[1] * 4);
        __m512i high = join_halves(_mm256_loadu_si256((const __m256i *)(a + list[2] * 4)), a + list[3] * 4);
        __m512i dots = _mm512_dpbusd_epi32(zero, q.first, _mm512_shuffle_i64x2(low, high, 0x88));
        return _mm512_dpbusd_epi32(dots, q.second, _mm512_shuffle_i64x2(low, high, 0xDD));
    }
    if (bits == 4) {
        const int8_t *one = a + list[0] * 8, *two = a + list[1] * 8;
        __m512i dots = _mm512_dpbusd_epi32(
            zero, q.first, join_halves(_mm256_loadu_si256((const __m256i *)one), two));
        return _mm512_dpbusd_epi32(
            dots, q.second, join_halves(_mm256_loadu_si256((const __m256i *)(one + 32)), two + 32));
    }
    if (G == 32)
        return _mm512_dpbusd_epi32(
            zero, q.first, join_halves(_mm256_loadu_si256((const __m256i *)(a + list[0] * 4)), a + list[1] * 4));
    return _mm512_dpbusd_epi32(zero, q.first, _mm512_loadu_si512(a + list[0] * 8));
}

/// The pairs of a register's quarters: factors and sums.
COPPICE_INLINE void pairs_of(
    const int bits, const int G, const char *pairs, const uint16_t *list, __m128 *factors, __m128 *sums) {
    __m128 low, high;
    if (GROUPS(bits, G) == 4) {
        low = _mm_loadh_pi(pair(pairs + list[0]), (const __m64 *)(pairs + list[1]));
        high = _mm_loadh_pi(pair(pairs + list[2]), (const __m64 *)(pairs + list[3]));
    } else if (bits == 4) {
        low = _mm_loadu_ps((const float *)(const void *)(pairs + 2 * list[0]));
        high = _mm_loadu_ps((const float *)(const void *)(pairs + 2 * list[1]));
    } else if (G == 32) {
        low = same_pair(pairs + list[0]);
        high = same_pair(pairs + list[1]);
    } else {
        low = same_pair(pairs + 2 * list[0]);
        high = same_pair(pairs + 2 * list[0] + 8);
    }
    *factors = _mm_shuffle_ps(low, high, 0x88);
    *sums = _mm_shuffle_ps(low, high, 0xDD);
}

/// A value of each group, once for each of its quarters.
COPPICE_INLINE __m128 quarters(const int groups, __m128 values) {
    if (groups == 4) return values;
    return groups == 2 ? _mm_unpacklo_ps(values, values) : _mm_broadcastss_ps(values);
}

/// Adds a register of groups from kept group `at` on, of which the row has `rest` left.
COPPICE_INLINE void add_groups(
    const int bits, const int G, const int symmetric, const int guarded, const int B, const product *p, long at,
    long rest, const uint16_t *list, __m512 sums[2], __m128 corrections[2]) {
    const coppice_group_sparse *w = p->w;
    const int groups = GROUPS(bits, G), bytes = groups * G * bits / 8;
    const uint8_t *values = w->values + at * (G * bits / 8), *f16 = (const uint8_t *)w->scales + 2 * at;
    const unsigned all = (1u << groups) - 1, lanes = rest < groups ? all >> (groups - rest) : all;
    __m512i packed;
    if (guarded) // of the weight's last groups
        packed = _mm512_maskz_loadu_epi8(
            _bzhi_u64(~0ull, (unsigned)__builtin_popcount(lanes) * (unsigned)(G * bits / 8)), values);
    else
        packed = bytes == 32 ? _mm512_castsi256_si512(_mm256_loadu_si256((const __m256i *)values))
                             : _mm512_loadu_si512(values);
    codes q = unpack(bits, G, packed);
    // Groups of the next row, and what is read past the last, have a scale of zero.
    __m128i halves = rest == 4 ? _mm_loadl_epi64((const __m128i *)f16) : _mm_maskz_loadu_epi16((__mmask8)lanes, f16);
    __m128 scales = quarters(groups, _mm_cvtph_ps(halves)), offsets = scales;
    if (!symmetric) {
        __m128i zeros = _mm_maskz_loadu_epi8((__mmask16)lanes, w->zeros + at);
        offsets = _mm_mul_ps(scales, quarters(groups, _mm_cvtepi32_ps(_mm_cvtepu8_epi32(zeros))));
    }
#pragma clang loop unroll(full)
    for (int b = 0; b < B; b++) {
        const __m512i quarter = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
        __m128 factors, sum;
        pairs_of(bits, G, p->x[b].pairs, list, &factors, &sum);
        __m512i dots = dots_of(bits, G, q, p->x[b].codes, list);
        __m128 each = _mm_mul_ps(scales, factors);
        __asm__("" : "+v"(each)); // else the compiler widens first and multiplies four times as much
        __m512 by = _mm512_permutexvar_ps(quarter, _mm512_castps128_ps512(each));
        sums[b] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dots), by, sums[b]);
        corrections[b] = _mm_fmadd_ps(offsets, sum, corrections[b]);
    }
}

/// Appends the groups of a row from its kept group `skip` on, at least `wanted` of them if there are so many; up to 31
/// more, and room for 32 is written to.
COPPICE_INLINE void append_row(
    const coppice_group_sparse *w, long row, long skip, long wanted, uint16_t *list) {
    const uint8_t *masks = w->masks + row * w->mask_stride;
    const __m512i first = _mm512_slli_epi16(
        _mm512_set_epi16(
            31, 30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17, 16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4,
            3, 2, 1, 0),
        3);
    for (long at = 0, count = 0; at < w->mask_stride && count < wanted; at += 4) {
        uint32_t mask = 0;
        if (w->mask_stride - at >= 4) memcpy(&mask, masks + at, 4);
        else
            for (long i = 0; i < w->mask_stride - at; i++) mask |= (uint32_t)masks[at + i] << 8 * i;
        if (__builtin_expect(skip > 0, 0)) {
            const long bits = __builtin_popcount(mask);
            if (bits <= skip) {
                skip -= bits;
                continue;
            }
            for (; skip > 0; skip--) mask &= mask - 1;
        }
        __m512i numbers = _mm512_add_epi16(first, _mm512_set1_epi16((short)(at * 8 * list_step)));
        _mm512_storeu_si512(list + count, _mm512_maskz_compress_epi16(mask, numbers));
        count += __builtin_popcount(mask);
    }
}

/// Task `index`: kept groups first ..< last.
COPPICE_INLINE void task(
    const int bits, const int G, const int symmetric, const int guarded, const int B, const product *p, long index,
    long first, long last, long row) {
    const coppice_group_sparse *w = p->w;
    const int64_t *starts = w->starts;
    uint16_t list[groups_per_task + 64];
    long end = row; // of the rows with groups here
    for (long at = first; at < last; end++) {
        const long wanted = (starts[end + 1] < last ? starts[end + 1] : last) - at;
        if (wanted > 0) append_row(w, end, at - starts[end], wanted, list + (at - first));
        at += wanted;
    }
    _mm512_storeu_si512(list + (last - first), _mm512_setzero_si512()); // what a register that is not full reads
    for (long at = first; row < end;) {
        __m512 all[2][rows_together];
        long rows[rows_together], count = 0;
        int is_head = at > starts[row];
        for (; row < end && count < rows_together; row++) {
            const long stop = starts[row + 1] < last ? starts[row + 1] : last;
            if (at == stop) continue; // an empty row
            __m512 sums[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
            __m128 corrections[2] = {_mm_setzero_ps(), _mm_setzero_ps()};
            const uint16_t *from = list + (at - first);
            const int groups = GROUPS(bits, G);
#pragma clang loop unroll_count(2)
            for (; at + groups <= stop; at += groups, from += groups) {
                _mm_prefetch((const char *)w->values + at * (G * bits / 8) + bytes_ahead, _MM_HINT_T0);
                add_groups(bits, G, symmetric, 0, B, p, at, groups, from, sums, corrections);
            }
            if (at < stop) add_groups(bits, G, symmetric, guarded, B, p, at, stop - at, from, sums, corrections);
            at = stop;
            for (int b = 0; b < B; b++)
                all[b][count] = _mm512_mask_sub_ps(sums[b], 0xF, sums[b], _mm512_castps128_ps512(corrections[b]));
            rows[count++] = row;
        }
        for (long r = count; r < rows_together; r++)
            for (int b = 0; b < B; b++) all[b][r] = _mm512_setzero_ps();
        for (int b = 0; b < B; b++) {
            float out[rows_together];
            _mm_storeu_ps(out, coppice_sum4_512(all[b][0], all[b][1], all[b][2], all[b][3]));
            for (long r = 0; r < count; r++) {
                if (r == 0 && is_head) p->partial[index][b] = out[r]; // of a row that an earlier task began
                else p->y[b * p->y_stride + rows[r]] = out[r];
            }
        }
    }
}

#define TASK(BITS, G, S, B) \
    static void task_##BITS##_##G##_##S##_##B( \
        const product *p, long index, long first, long last, long row, int guarded) { \
        if (guarded) task(BITS, G, S, 1, B, p, index, first, last, row); \
        else task(BITS, G, S, 0, B, p, index, first, last, row); \
    }
#define TASKS(BITS, G) TASK(BITS, G, 0, 1) TASK(BITS, G, 0, 2) TASK(BITS, G, 1, 1) TASK(BITS, G, 1, 2)
TASKS(4, 16)
TASKS(4, 32)
TASKS(4, 64)
TASKS(8, 16)
TASKS(8, 32)
TASKS(8, 64)
#pragma clang attribute pop

#define ENTRY(BITS, G) \
    {{task_##BITS##_##G##_0_1, task_##BITS##_##G##_0_2}, {task_##BITS##_##G##_1_1, task_##BITS##_##G##_1_2}}
static void (*const tasks[2][3][2][2])(const product *, long, long, long, long, int) = {
    {ENTRY(4, 16), ENTRY(4, 32), ENTRY(4, 64)}, {ENTRY(8, 16), ENTRY(8, 32), ENTRY(8, 64)}};

/// The row that has kept group `at`: the last one that starts there or before, and is not empty.
static long row_of(const coppice_group_sparse *w, long at) {
    long low = 0, high = w->rows;
    while (high - low > 1) {
        long middle = low + (high - low) / 2;
        if (w->starts[middle] <= at) low = middle;
        else high = middle;
    }
    return low;
}

static void bounds(const product *p, long index, long *first, long *last) {
    const long all = p->w->starts[p->w->rows];
    // Lengths differ by one at most.
    *first = all / p->task_count * index + all % p->task_count * index / p->task_count;
    *last = all / p->task_count * (index + 1) + all % p->task_count * (index + 1) / p->task_count;
}

static void run_task(void *context, long index) {
    const product *p = context;
    long first, last;
    bounds(p, index, &first, &last);
    // A register of groups may reach past the last one.
    p->run(p, index, first, last, row_of(p->w, first), last + 4 > p->w->starts[p->w->rows]);
}

/// The activations of one row as registers of weights want them.
static void arrange(const coppice_group_sparse *w, const coppice_rounded_rows *x, long i, int8_t *codes, float *pairs) {
    const long half = w->group / 2, blocks = x->padded / COPPICE_ROUNDED_BLOCK;
    const float *scales = x->scales + i * blocks, *sums = x->sums + i * blocks;
    // Where two quarters have the same pair, each gets half of its sum.
    const float share = w->bits == 8 && w->group > 16 ? 0.5f : 1;
    const float zero = (w->zeros ? 1 : (float)(1 << (w->bits - 1))) * share;
    if (w->bits == 4 && w->group > 16) {
        // Of each group the even columns, then the odd ones: of a step they lie 64 bytes apart.
        const int8_t *from = x->split_codes + i * x->padded;
        for (long at = 0; at < x->padded; at += w->group) {
            const int8_t *evens = from + at / COPPICE_ROUNDED_STEP * COPPICE_ROUNDED_STEP
                                  + at % COPPICE_ROUNDED_STEP / 2;
            memcpy(codes + at, evens, (size_t)half);
            memcpy(codes + at + half, evens + COPPICE_ROUNDED_STEP / 2, (size_t)half);
        }
    } else {
        memcpy(codes, x->codes + i * x->padded, (size_t)x->padded);
    }
    if (w->group == 16) {
        const int32_t *totals = x->half_totals + i * 2 * blocks;
        for (long at = 0; at < 2 * blocks; at++, pairs += 2) {
            pairs[0] = scales[at / 2];
            pairs[1] = pairs[0] * (float)totals[at] * zero;
        }
    } else {
        for (long at = 0; at < blocks; at++, pairs += 2) {
            pairs[0] = scales[at];
            pairs[1] = sums[at] * zero;
        }
    }
}

static long task_count(const coppice_group_sparse *w) {
    return (w->starts[w->rows] + groups_per_task - 1) / groups_per_task;
}

static long row_bytes(const coppice_group_sparse *w) {
    long padded = (w->columns + COPPICE_ROUNDED_STEP - 1) / COPPICE_ROUNDED_STEP * COPPICE_ROUNDED_STEP;
    // Masks may say a little more than the last step; what they say is zero there, and nothing is read.
    return padded + padded / pair_columns(w) * (long)sizeof(float[2]);
}

long coppice_group_stream_bytes(const coppice_group_sparse *w, long x_rows) {
    return x_rows * row_bytes(w) + task_count(w) * (long)sizeof(float[2]) + 64;
}

void coppice_group_stream_product(
    const coppice_group_sparse *w, const coppice_rounded_rows *x, long x_first, long x_rows, float *y, long y_stride,
    void *memory) {
    product p = {.w = w, .x_rows = x_rows, .task_count = task_count(w), .y = y, .y_stride = y_stride};
    char *at = memory;
    for (long b = 0; b < x_rows; b++, at += row_bytes(w)) {
        arrange(w, x, x_first + b, (int8_t *)at, (float *)(at + x->padded));
        p.x[b] = (activations){(const int8_t *)at, at + x->padded};
        memset(y + b * y_stride, 0, (size_t)w->rows * sizeof(float));
    }
    p.partial = (float(*)[2])at;
    p.run = tasks[w->bits == 8][w->group / 32][w->zeros == 0][x_rows - 1];
    coppice_parallel_for(p.task_count, &p, run_task);
    // Parts of rows that more than one task worked on, in the order of their columns.
    for (long index = 0; index < p.task_count; index++) {
        long first, last;
        bounds(&p, index, &first, &last);
        long row = row_of(w, first);
        if (first > w->starts[row])
            for (long b = 0; b < x_rows; b++) y[b * y_stride + row] += p.partial[index][b];
    }
}
#else
long coppice_group_stream_bytes(const coppice_group_sparse *w, long x_rows) { return (void)w, (void)x_rows, 0; }

void coppice_group_stream_product(
    const coppice_group_sparse *w, const coppice_rounded_rows *x, long x_first, long x_rows, float *y, long y_stride,
    void *memory) {
    (void)w, (void)x, (void)x_first, (void)x_rows, (void)y, (void)y_stride, (void)memory;
}
#endif
