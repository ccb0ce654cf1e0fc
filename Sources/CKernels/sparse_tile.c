#include "sparse_tile.h"

#include "cpu_features.h"
#include "integer_codes.h"

#if defined(__x86_64__)
#pragma clang attribute push(COPPICE_VNNI, apply_to = function)

// Values lie packed; an expanding move spreads as many as a mask has bits over the columns that they belong to. The
// place of the next value moves on by the mask's bits: a chain of additions, so several rows run side by side, which
// also share what is read of the activations.

/// A place in a row of values of two bytes.
typedef struct {
    const uint8_t *values, *end;
    const uint8_t *masks;
    long ahead; ///< bytes to the same place of the next tile, more or less
} place;

/// Sixty-four bytes. The compiler would make one instruction of a load and an expanding move, which on Zen 4 is half as
/// fast as two.
COPPICE_INLINE __m512i packed_bytes(const uint8_t *from, const uint8_t *end, const int guarded) {
    __m512i bytes = guarded ? load64(from, end) : _mm512_loadu_si512(from);
    __asm__("" : "+v"(bytes));
    return bytes;
}

// Bytes of masks of a row.
static inline long mask_stride(const coppice_packed_weight *w) { return (w->columns + 15) / 16 * 2; }

/// Bytes from the first value to that of row `row`.
static inline long row_offset(const coppice_packed_weight *w, long row, int bits) {
    return (w->starts ? w->starts[row] : row * w->row_values) * bits / 8;
}

/// Rows are too short for the processor to see where its reads go: it is told where the next tile is.
COPPICE_INLINE void prefetch_masks(const coppice_packed_weight *w, long row, const int R) {
    const long stride = mask_stride(w);
    const char *next = (const char *)w->masks + (row + R) * stride;
    for (long at = 0; at < R * stride; at += 64) _mm_prefetch(next + at, _MM_HINT_T0);
}

// MARK: bf16 and f16

/// Columns k ..< k + 32 of a row: bf16 as the even columns and the odd ones, f16 as the first 16 and the last.
COPPICE_INLINE void spread(
    const int value, const int guarded, place *p, uint32_t mask, __m512 *first, __m512 *second) {
    __m512i halves = _mm512_maskz_expand_epi16(mask, packed_bytes(p->values, p->end, guarded));
    _mm_prefetch(p->values + p->ahead, _MM_HINT_T0);
    p->values += 2 * __builtin_popcount(mask);
    if (value == COPPICE_PACKED_BF16) {
        *first = _mm512_castsi512_ps(_mm512_slli_epi32(halves, 16));
        *second = _mm512_castsi512_ps(_mm512_and_si512(halves, _mm512_set1_epi32((int)0xFFFF0000)));
    } else {
        *first = _mm512_cvtph_ps(_mm512_castsi512_si256(halves));
        *second = _mm512_cvtph_ps(_mm512_extracti64x4_epi64(halves, 1));
    }
}

COPPICE_INLINE void float_step(
    const int value, const int guarded, const int R, const int B, place *places, const float *x, long x_stride, long k,
    long rest, const int whole, __m512 sums[8][4]) {
    const __m512i evens = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const __m512i odds = _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
    __m512 first[4], second[4];
#pragma clang loop unroll(full)
    for (int r = 0; r < R; r++) {
        uint32_t mask = 0;
        if (whole || rest > 16) memcpy(&mask, places[r].masks + k / 8, 4);
        else memcpy(&mask, places[r].masks + k / 8, 2);
        spread(value, guarded, &places[r], mask, &first[r], &second[r]);
    }
#pragma clang loop unroll(full)
    for (int b = 0; b < B; b++) {
        const float *from = x + b * x_stride + k;
        __m512 u, v;
        if (whole) {
            u = _mm512_loadu_ps(from);
            v = _mm512_loadu_ps(from + 16);
        } else {
            uint32_t lanes = rest >= 32 ? ~0u : (1u << rest) - 1;
            u = _mm512_maskz_loadu_ps((__mmask16)lanes, from);
            v = _mm512_maskz_loadu_ps((__mmask16)(lanes >> 16), from + 16);
        }
        if (value == COPPICE_PACKED_BF16) {
            __m512 even = _mm512_permutex2var_ps(u, evens, v);
            v = _mm512_permutex2var_ps(u, odds, v);
            u = even;
        }
#pragma clang loop unroll(full)
        for (int r = 0; r < R; r++) sums[b][r] = _mm512_fmadd_ps(first[r], u, sums[b][r]);
#pragma clang loop unroll(full)
        for (int r = 0; r < R; r++) sums[b][r] = _mm512_fmadd_ps(second[r], v, sums[b][r]);
    }
}

/// `R` rows of W from `row` on with `B` rows of x.
COPPICE_INLINE void float_tile(
    const int value, const int guarded, const int R, const int B, const coppice_packed_weight *w, const float *x,
    long x_stride, float *y, long y_stride, long row) {
    place places[4];
    __m512 sums[8][4];
    const uint8_t *values = w->values;
    const long ahead = guarded ? 0 : row_offset(w, row + R, 16) - row_offset(w, row, 16);
#pragma clang loop unroll(full)
    for (int r = 0; r < R; r++) {
        places[r] = (place){
            values + row_offset(w, row + r, 16), values + 2 * w->value_count,
            (const uint8_t *)w->masks + (row + r) * mask_stride(w), ahead};
#pragma clang loop unroll(full)
        for (int b = 0; b < B; b++) sums[b][r] = _mm512_setzero_ps();
    }
    if (!guarded) prefetch_masks(w, row, R);
    long k = 0;
    for (; k + 32 <= w->columns; k += 32) float_step(value, guarded, R, B, places, x, x_stride, k, 32, 1, sums);
    if (k < w->columns) float_step(value, guarded, R, B, places, x, x_stride, k, w->columns - k, 0, sums);
#pragma clang loop unroll(full)
    for (int b = 0; b < B; b++) {
        float out[4];
        _mm_storeu_ps(
            out, coppice_sum4_512(
                     sums[b][0], R > 1 ? sums[b][1] : sums[b][0], R > 2 ? sums[b][2] : sums[b][0],
                     R > 3 ? sums[b][3] : sums[b][0]));
        for (int r = 0; r < R; r++) y[b * y_stride + row + r] = out[r];
    }
}

// MARK: Codes

/// The next codes, a byte each, spread over 64 columns; where there is no value, `blank`.
COPPICE_INLINE __m512i spread_codes(
    const int value, const int guarded, const uint8_t *values, const uint8_t *end, long *position, uint64_t mask,
    __m512i blank) {
    __m512i codes;
    if (value == COPPICE_PACKED_U4) {
        const uint8_t *from = values + *position / 2;
        const __m512i pairs = _mm512_setr_epi32(0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8);
        const __m512i shifts = _mm512_set1_epi64(0x1C1814100C080400);
        __m512i words = _mm512_permutexvar_epi32(pairs, guarded ? load64(from, end) : _mm512_loadu_si512(from));
        __m512i odd = _mm512_set1_epi8((char)((*position & 1) * 4));
        codes = _mm512_multishift_epi64_epi8(_mm512_add_epi8(shifts, odd), words);
        codes = _mm512_and_si512(codes, _mm512_set1_epi8(15));
    } else {
        codes = packed_bytes(values + *position, end, guarded);
    }
    codes = _mm512_mask_expand_epi8(blank, mask, codes);
    *position += __builtin_popcountll(mask);
    return codes;
}

typedef struct {
    const uint8_t *masks;
    long position; ///< element of the next code
} code_place;

/// Sixty-four bits of a row's masks from column k on, of which the row has `rest` columns.
COPPICE_INLINE uint64_t mask_of(const uint8_t *masks, long k, long rest, const int whole) {
    uint64_t mask = 0;
    if (whole || rest > 48) memcpy(&mask, masks + k / 8, 8);
    else if (rest > 0) memcpy(&mask, masks + k / 8, (size_t)(rest + 15) / 16 * 2);
    return mask;
}

/// The scales of the four blocks of step `s`, and their products with the zero points, where the groups are known.
COPPICE_INLINE void scales_of(
    const grouping kind, const int symmetric, const int whole, const coppice_packed_weight *w, long row, long s,
    __m128 *scales, __m128 *offsets) {
    if (!whole) {
        block_scales(w, 0, row, s, scales, offsets);
        return;
    }
    const long a_step = kind == groups_of_32 ? 4 : 2;
    const long at = row * w->groups
                    + (kind == groups_of_steps ? (w->groups == 1 ? 0 : s * COPPICE_ROUNDED_STEP / w->group)
                                               : s * a_step);
    const char *f16 = (const char *)w->scales + 2 * at;
    uint64_t halves = 0;
    uint32_t zeros = 0;
    memcpy(&halves, f16, kind == groups_of_32 ? 8 : kind == groups_of_64 ? 4 : 2);
    *scales = _mm_cvtph_ps(_mm_cvtsi64_si128((long long)halves));
    *offsets = _mm_mul_ps(*scales, _mm_set1_ps(w->zero));
    if (!symmetric) {
        memcpy(&zeros, w->zeros + at, kind == groups_of_32 ? 4 : kind == groups_of_64 ? 2 : 1);
        *offsets = _mm_mul_ps(*scales, _mm_cvtepi32_ps(_mm_cvtepu8_epi32(_mm_cvtsi32_si128((int)zeros))));
    }
    if (kind == groups_of_64) {
        *scales = _mm_unpacklo_ps(*scales, *scales);
        *offsets = _mm_unpacklo_ps(*offsets, *offsets);
    } else if (kind == groups_of_steps) {
        *scales = _mm_broadcastss_ps(*scales);
        *offsets = _mm_broadcastss_ps(*offsets);
    }
}

COPPICE_INLINE void masked_step(
    const int value, const grouping kind, const int symmetric, const int guarded, const int R, const int B,
    const int whole, const coppice_packed_weight *w,
    const coppice_rounded_rows *x, long x_first, long row, long s, long ahead, code_place *places, __m512 sums[8][4],
    __m128 corrections[8][2]) {
    const __m512i first_half = _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);
    const __m512i second_half = _mm512_setr_epi32(2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3);
    const long k = s * COPPICE_ROUNDED_STEP, rest = w->columns - k;
    const uint8_t *values = w->values;
    const uint8_t *end = values + (value == COPPICE_PACKED_U4 ? (w->value_count + 1) / 2 : w->value_count);
#pragma clang loop unroll(full)
    for (int r = 0; r < R; r++) {
        __m128 scales, offsets;
        scales_of(kind, symmetric, whole, w, row + r, s, &scales, &offsets);
        __m512i blank = _mm512_set1_epi8((char)(int)w->zero), other = blank;
        if (!symmetric) {
            // Groups of 32 may change in the middle of each half.
            const uint8_t *zeros = w->zeros + (row + r) * w->groups;
            long last = w->groups - 1, group = w->groups == 1 ? w->columns + 128 : w->group;
            __m512i quarters[4];
            for (int i = 0; i < 4; i++) {
                long g = (k + 32 * i) / group;
                quarters[i] = _mm512_set1_epi8((char)zeros[g < last ? g : last]);
            }
            blank = _mm512_mask_blend_epi32(0xFF00, quarters[0], quarters[1]);
            other = _mm512_mask_blend_epi32(0xFF00, quarters[2], quarters[3]);
        }
        _mm_prefetch(
            (const char *)values + places[r].position / (value == COPPICE_PACKED_U4 ? 2 : 1) + ahead, _MM_HINT_T0);
        __m512i first = spread_codes(
            value, guarded, values, end, &places[r].position, mask_of(places[r].masks, k, rest, whole), blank);
        __m512i second = spread_codes(
            value, guarded, values, end, &places[r].position, mask_of(places[r].masks, k + 64, rest - 64, whole),
            other);
#pragma clang loop unroll(full)
        for (int b = 0; b < B; b++) {
            const long at = (x_first + b) * x->padded + k;
            const int8_t *a = x->codes + at;
            __m128 both = _mm_mul_ps(scales, _mm_loadu_ps(x->scales + at / COPPICE_ROUNDED_BLOCK));
            __m128 sum = _mm_loadu_ps(x->sums + at / COPPICE_ROUNDED_BLOCK);
            __m512 t = _mm512_castps128_ps512(both);
            if (B <= 2)
                corrections[b][r] = _mm_fmadd_ps(offsets, sum, corrections[b][r]);
            else // registers are short: the correction goes where the sum is, at twice the price
                sums[b][r] = _mm512_mask3_fnmadd_ps(
                    _mm512_castps128_ps512(offsets), _mm512_castps128_ps512(sum), sums[b][r], 0xF);
            __m512i dots = _mm512_dpbusd_epi32(_mm512_setzero_si512(), first, _mm512_loadu_si512(a));
            __m512i more = _mm512_dpbusd_epi32(_mm512_setzero_si512(), second, _mm512_loadu_si512(a + 64));
            sums[b][r] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dots), _mm512_permutexvar_ps(first_half, t), sums[b][r]);
            sums[b][r] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(more), _mm512_permutexvar_ps(second_half, t), sums[b][r]);
        }
    }
}

COPPICE_INLINE void masked_tile(
    const int value, const grouping kind, const int symmetric, const int guarded, const int R, const int B,
    const coppice_packed_weight *w, const coppice_rounded_rows *x, long x_first, float *y, long y_stride, long row) {
    code_place places[2];
    __m512 sums[8][4];
    __m128 corrections[8][2];
    const int bits = value == COPPICE_PACKED_U4 ? 4 : 8;
    const long ahead = guarded ? 0 : row_offset(w, row + R, bits) - row_offset(w, row, bits);
#pragma clang loop unroll(full)
    for (int r = 0; r < R; r++) {
        places[r] = (code_place){
            (const uint8_t *)w->masks + (row + r) * mask_stride(w),
            w->starts ? w->starts[row + r] : (row + r) * w->row_values};
#pragma clang loop unroll(full)
        for (int b = 0; b < B; b++) {
            sums[b][r] = _mm512_setzero_ps();
            if (B <= 2) corrections[b][r] = _mm_setzero_ps();
        }
    }
    if (!guarded) prefetch_masks(w, row, R);
    const long steps = w->columns / COPPICE_ROUNDED_STEP;
    for (long s = 0; s < steps; s++)
        masked_step(value, kind, symmetric, guarded, R, B, 1, w, x, x_first, row, s, ahead, places, sums, corrections);
    if (steps * COPPICE_ROUNDED_STEP < w->columns)
        masked_step(
            value, kind, symmetric, guarded, R, B, 0, w, x, x_first, row, steps, ahead, places, sums, corrections);
#pragma clang loop unroll(full)
    for (int b = 0; b < B; b++) {
#pragma clang loop unroll(full)
        for (int r = 0; r < R; r++) {
            __m512 all = sums[b][r];
            if (B <= 2) all = _mm512_mask_sub_ps(all, 0xF, all, _mm512_castps128_ps512(corrections[b][r]));
            y[b * y_stride + row + r] = _mm512_reduce_add_ps(all);
        }
    }
}

// MARK: Instances

// Rows of W at once: as many as leave their sums in registers.
#define FLOAT_ROWS(B) ((B) > 4 ? 2 : 4)
#define CODE_ROWS(B) 1

#define FLOATS(V, B) \
    static void floats_##V##_##B( \
        const coppice_packed_weight *w, const float *x, long x_stride, float *y, long y_stride, long first, \
        long last, long safe) { \
        for (; first + FLOAT_ROWS(B) <= safe; first += FLOAT_ROWS(B)) \
            float_tile(COPPICE_PACKED_##V, 0, FLOAT_ROWS(B), B, w, x, x_stride, y, y_stride, first); \
        for (; first < last; first++) float_tile(COPPICE_PACKED_##V, 1, 1, B, w, x, x_stride, y, y_stride, first); \
    }
#define CODES(V, KIND, S, B) \
    static void codes_##V##_##KIND##_##S##_##B( \
        const coppice_packed_weight *w, const coppice_rounded_rows *x, long x_first, float *y, long y_stride, \
        long first, long last, long safe) { \
        for (; first + CODE_ROWS(B) <= safe; first += CODE_ROWS(B)) \
            masked_tile(COPPICE_PACKED_##V, KIND, S, 0, CODE_ROWS(B), B, w, x, x_first, y, y_stride, first); \
        for (; first < last; first++) \
            masked_tile(COPPICE_PACKED_##V, KIND, S, 1, 1, B, w, x, x_first, y, y_stride, first); \
    }
#define FLOAT_BATCHES(V) FLOATS(V, 1) FLOATS(V, 2) FLOATS(V, 4) FLOATS(V, 8)
#define CODE_BATCHES(V, KIND, S) CODES(V, KIND, S, 1) CODES(V, KIND, S, 2) CODES(V, KIND, S, 4) CODES(V, KIND, S, 8)
#define CODE_GROUPS(V, S) \
    CODE_BATCHES(V, groups_of_32, S) CODE_BATCHES(V, groups_of_64, S) CODE_BATCHES(V, groups_of_steps, S)
FLOAT_BATCHES(BF16)
FLOAT_BATCHES(F16)
CODE_GROUPS(U8, 0)
CODE_GROUPS(U8, 1)
CODE_GROUPS(U4, 0)
CODE_GROUPS(U4, 1)
#pragma clang attribute pop

/// The end of those of rows first ..< last in which no load of 64 bytes reaches past the values.
static long safe_rows(const coppice_packed_weight *w, long first, long last, int bits) {
    while (last > first && row_offset(w, last, bits) + 64 > (w->value_count * bits + 7) / 8) last--;
    return last;
}

int coppice_sparse_float_kernels_apply(const coppice_packed_weight *w) {
    return w->masks && (w->value == COPPICE_PACKED_BF16 || w->value == COPPICE_PACKED_F16) && coppice_cpu_has_vnni();
}

void coppice_sparse_float_tiles(
    const coppice_packed_weight *w, const float *x, long x_rows, long x_stride, float *y, long y_stride, long first,
    long last) {
    static void (*const kernels[2][4])(
        const coppice_packed_weight *, const float *, long, float *, long, long, long, long) = {
        {floats_BF16_1, floats_BF16_2, floats_BF16_4, floats_BF16_8},
        {floats_F16_1, floats_F16_2, floats_F16_4, floats_F16_8}};
    kernels[w->value == COPPICE_PACKED_F16][x_rows == 8 ? 3 : x_rows / 2](
        w, x, x_stride, y, y_stride, first, last, safe_rows(w, first, last, 16));
}

void coppice_sparse_integer_tiles(
    const coppice_packed_weight *w, const coppice_rounded_rows *x, float *y, long y_stride, long first, long last) {
#define ENTRY(V, KIND, S) \
    {codes_##V##_##KIND##_##S##_1, codes_##V##_##KIND##_##S##_2, codes_##V##_##KIND##_##S##_4, \
     codes_##V##_##KIND##_##S##_8}
#define ENTRIES(V, S) {ENTRY(V, groups_of_32, S), ENTRY(V, groups_of_64, S), ENTRY(V, groups_of_steps, S)}
    static void (*const kernels[2][2][3][4])(
        const coppice_packed_weight *, const coppice_rounded_rows *, long, float *, long, long, long, long) = {
        {ENTRIES(U8, 0), ENTRIES(U8, 1)}, {ENTRIES(U4, 0), ENTRIES(U4, 1)}};
    const long safe = safe_rows(w, first, last, w->value == COPPICE_PACKED_U4 ? 4 : 8);
    for (long done = 0; done < x->rows;) {
        const long count = coppice_batch_of(x->rows - done);
        kernels[w->value == COPPICE_PACKED_U4][w->zeros == 0][grouping_of(w)][count == 8 ? 3 : count / 2](
            w, x, done, y + done * y_stride, y_stride, first, last, safe);
        done += count;
    }
}
#else
int coppice_sparse_float_kernels_apply(const coppice_packed_weight *w) { return (void)w, 0; }

void coppice_sparse_float_tiles(
    const coppice_packed_weight *w, const float *x, long x_rows, long x_stride, float *y, long y_stride, long first,
    long last) {
    (void)w, (void)x, (void)x_rows, (void)x_stride, (void)y, (void)y_stride, (void)first, (void)last;
}

void coppice_sparse_integer_tiles(
    const coppice_packed_weight *w, const coppice_rounded_rows *x, float *y, long y_stride, long first, long last) {
    (void)w, (void)x, (void)y, (void)y_stride, (void)first, (void)last;
}
#endif
