#include "packed_tile.h"

#if defined(__x86_64__)
#include "dot_tile.h"

#include <immintrin.h>
#include <string.h>

#pragma clang attribute push( \
    __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c,bmi2,popcnt"))), apply_to = function)

// A step is two blocks, 32 columns. Codes of 4 bits without masks come out as the step's even columns and its odd
// ones, because that costs one shift for all 32; their activations are shuffled the same way, once for all rows of
// the tile. Codes of 4 bits are looked up in a register that holds the group's 16 values. Products stay those of
// the dense matrix: (code - zero) · scale is exact in f32.

/// Bytes that a step may read past the last value of its row.
enum { slack = 136 };

typedef struct {
    const char *values;
    const uint16_t *masks;
    long position; ///< element of the next value
    __m512 table;  ///< 4 bits: the value of each code; 8 bits: the scale in each lane
    __m512 offset; ///< 8 bits: zero · scale in each lane
} row_state;

COPPICE_INLINE void set_group(const coppice_packed_weight *w, const int value, long row, long group, row_state *s) {
    if (value < COPPICE_PACKED_U8) return;
    long at = row * w->groups + group;
    __m512 scale = _mm512_set1_ps((float)((const _Float16 *)w->scales)[at]);
    __m512 zero = _mm512_set1_ps(w->zeros ? (float)w->zeros[at] : w->zero);
    if (value == COPPICE_PACKED_U8) {
        s->table = scale;
        s->offset = _mm512_mul_ps(zero, scale);
    } else {
        const __m512 codes = _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        s->table = _mm512_mul_ps(_mm512_sub_ps(codes, zero), scale);
    }
}

/// The next 16 stored values.
COPPICE_INLINE __m512 next_values(const int value, const row_state *s) {
    switch (value) {
    case COPPICE_PACKED_F32: return coppice_load16(COPPICE_TYPE_F32, s->values, s->position);
    case COPPICE_PACKED_BF16: return coppice_load16(COPPICE_TYPE_BF16, s->values, s->position);
    case COPPICE_PACKED_F16: return coppice_load16(COPPICE_TYPE_F16, s->values, s->position);
    case COPPICE_PACKED_U8: {
        __m128i codes = _mm_loadu_si128((const __m128i *)(s->values + s->position));
        return _mm512_fmsub_ps(_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(codes)), s->table, s->offset);
    }
    default: {
        const char *source = s->values + s->position / 2;
        uint64_t word, odd = (uint64_t)s->position & 1;
        memcpy(&word, source, 8);
        word = word >> 4 * odd | ((uint64_t)(uint8_t)source[8] << 60 & -odd);
        __m128i low = _mm_cvtsi64_si128((long long)word);
        __m128i codes = _mm_unpacklo_epi8(low, _mm_srli_epi16(low, 4));
        return _mm512_permutexvar_ps(_mm512_cvtepu8_epi32(codes), s->table); // reads the low 4 bits of an index
    }
    }
}

/// Columns k ..< k + 32 of a row; block 1 may lie past the last block.
COPPICE_INLINE void step(
    const int value, const int masked, row_state *s, long k, const int whole, __m512 *first, __m512 *second) {
    if (masked) {
        uint32_t mask = s->masks[k / 16], other = whole ? s->masks[k / 16 + 1] : 0;
        *first = _mm512_maskz_expand_ps((__mmask16)mask, next_values(value, s));
        s->position += __builtin_popcount(mask);
        *second = _mm512_maskz_expand_ps((__mmask16)other, next_values(value, s));
        s->position += __builtin_popcount(other);
    } else if (value == COPPICE_PACKED_U4) {
        __m512i codes = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(s->values + s->position / 2)));
        *first = _mm512_permutexvar_ps(codes, s->table);
        *second = _mm512_permutexvar_ps(_mm512_srli_epi32(codes, 4), s->table);
        s->position += 32;
    } else {
        *first = next_values(value, s);
        s->position += 16;
        *second = next_values(value, s);
        s->position += 16;
    }
}

COPPICE_INLINE void multiply_step(
    const int value, const int masked, const int R, const int B, row_state *s, const float *x, long x_stride, long k,
    long rest, const int whole, __m512 sums[8][4]) {
    __m512 first[4], second[4];
#pragma clang loop unroll(full)
    for (int r = 0; r < R; r++) step(value, masked, &s[r], k, whole || rest > 16, &first[r], &second[r]);
    const __m512i evens = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const __m512i odds = _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
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
        if (!masked && value == COPPICE_PACKED_U4) {
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
COPPICE_INLINE void tile(
    const int value, const int masked, const int R, const int B, const coppice_packed_weight *w, const float *x,
    long x_stride, float *y, long y_stride, long row) {
    row_state s[4];
    __m512 sums[8][4];
#pragma clang loop unroll(full)
    for (int r = 0; r < R; r++) {
        s[r].values = w->values;
        s[r].masks = w->masks ? w->masks + (row + r) * ((w->columns + 15) / 16) : 0;
        s[r].position = w->starts ? w->starts[row + r] : (row + r) * w->row_values;
#pragma clang loop unroll(full)
        for (int b = 0; b < B; b++) sums[b][r] = _mm512_setzero_ps();
    }
    const long groups = value < COPPICE_PACKED_U8 ? 1 : w->groups;
    for (long g = 0, k = 0; g < groups; g++) {
        long end = g + 1 == groups ? w->columns : (g + 1) * w->group;
#pragma clang loop unroll(full)
        for (int r = 0; r < R; r++) set_group(w, value, row + r, g, &s[r]);
        for (; k + 32 <= end; k += 32) multiply_step(value, masked, R, B, s, x, x_stride, k, 32, 1, sums);
        if (k < end) multiply_step(value, masked, R, B, s, x, x_stride, k, end - k, 0, sums);
    }
#pragma clang loop unroll(full)
    for (int b = 0; b < B; b++) {
        float out[4];
        _mm_storeu_ps(
            out, coppice_sum4_512(
                     sums[b][0], sums[b][1], R > 2 ? sums[b][2] : sums[b][0], R > 3 ? sums[b][3] : sums[b][0]));
        for (int r = 0; r < R; r++) y[b * y_stride + row + r] = out[r];
    }
}

// Eight rows of x leave registers for two rows of W.
#define TILES(VALUE, MASKED, B) \
    static void tiles_##VALUE##_##MASKED##_##B( \
        const coppice_packed_weight *w, const float *x, long x_stride, float *y, long y_stride, long row) { \
        tile(COPPICE_PACKED_##VALUE, MASKED, (B) > 4 ? 2 : 4, B, w, x, x_stride, y, y_stride, row); \
        if ((B) > 4) tile(COPPICE_PACKED_##VALUE, MASKED, 2, B, w, x, x_stride, y, y_stride, row + 2); \
    }
#define BATCHES(VALUE, MASKED) \
    TILES(VALUE, MASKED, 1) TILES(VALUE, MASKED, 2) TILES(VALUE, MASKED, 4) TILES(VALUE, MASKED, 8)
BATCHES(F32, 1)
BATCHES(BF16, 1)
BATCHES(F16, 1)
BATCHES(U8, 0)
BATCHES(U8, 1)
BATCHES(U4, 0)
BATCHES(U4, 1)
#pragma clang attribute pop

typedef void (*tile_function)(
    const coppice_packed_weight *w, const float *x, long x_stride, float *y, long y_stride, long row);
#define ROW(VALUE, MASKED) \
    {tiles_##VALUE##_##MASKED##_1, tiles_##VALUE##_##MASKED##_2, tiles_##VALUE##_##MASKED##_4, \
     tiles_##VALUE##_##MASKED##_8}
// Floats without masks are dense weights, which have kernels of their own.
static const tile_function tiles[2][5][4] = {
    {{0}, {0}, {0}, ROW(U8, 0), ROW(U4, 0)}, {ROW(F32, 1), ROW(BF16, 1), ROW(F16, 1), ROW(U8, 1), ROW(U4, 1)}};

long coppice_packed_tiles_512(
    const coppice_packed_weight *w, const float *x, long x_rows, long x_stride, float *y, long y_stride, long first,
    long last) {
    static const long bits[] = {32, 16, 16, 8, 4};
    tile_function function = tiles[w->masks != 0][w->value][x_rows == 8 ? 3 : x_rows / 2];
    int has_groups = w->value >= COPPICE_PACKED_U8;
    if (!function || (has_groups && w->groups > 1 && w->group % 32 != 0)) return first;
    long row = first;
    for (; row + coppice_packed_tile_rows <= last; row += coppice_packed_tile_rows) {
        long next = row + coppice_packed_tile_rows;
        long end = w->starts ? w->starts[next] : next * w->row_values;
        if (end * bits[w->value] / 8 + slack > w->value_count * bits[w->value] / 8) break;
        function(w, x, x_stride, y, y_stride, row);
    }
    return row;
}
#else
long coppice_packed_tiles_512(
    const coppice_packed_weight *w, const float *x, long x_rows, long x_stride, float *y, long y_stride, long first,
    long last) {
    (void)w, (void)x, (void)x_rows, (void)x_stride, (void)y, (void)y_stride, (void)last;
    return first;
}
#endif
