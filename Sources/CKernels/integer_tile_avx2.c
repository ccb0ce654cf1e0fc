#include "integer_codes.h"
#include "integer_tile.h"

#if defined(__x86_64__)
#pragma clang attribute push(COPPICE_AVX2, apply_to = function)

// As integer_tile.c, with 32 bytes a register. The dot product of bytes takes an unsigned and a signed operand and
// keeps sums of two products in 16 bits: codes of 4 bits are small enough as they are. Codes of 8 bits become signed by
// subtracting 128, and their signs move to the activations: 2 · 128 · 127 still fits.

/// The 4-byte sums of two rows of products.
COPPICE_INLINE __m256 sums_of_pairs(__m256i pairs) {
    return _mm256_cvtepi32_ps(_mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

/// Adds step `s` of `R` rows of W times `B` rows of x.
COPPICE_INLINE void multiply_step(
    const int value, const int R, const int B, const int whole, const coppice_packed_weight *w,
    const coppice_rounded_rows *x, long x_first, long row, long s, __m256 sums[4][4], __m128 corrections[4][4]) {
    const int nibbles = value == COPPICE_PACKED_U4;
    const int step_bytes = nibbles ? COPPICE_ROUNDED_STEP / 2 : COPPICE_ROUNDED_STEP;
    const __m256i low_bits = _mm256_set1_epi8(15);
    const long k = s * COPPICE_ROUNDED_STEP, at = x_first * x->padded + k;
#pragma clang loop unroll(full)
    for (int r = 0; r < R; r++) {
        const uint8_t *from = (const uint8_t *)w->values + (nibbles ? ((row + r) * w->row_values + k) / 2
                                                                    : (row + r) * w->row_values + k);
        uint8_t rest[COPPICE_ROUNDED_STEP] = {0};
        if (!whole) {
            memcpy(rest, from, (size_t)(nibbles ? (w->columns - k + 1) / 2 : w->columns - k));
            from = rest;
        }
        __m128 scales, offsets;
        block_scales(w, whole, row + r, s, &scales, &offsets);
        if (!nibbles) offsets = _mm_fnmadd_ps(scales, _mm_set1_ps(128), offsets);
        __m128 both[4];
#pragma clang loop unroll(full)
        for (int b = 0; b < B; b++) {
            const long block = (at + b * x->padded) / COPPICE_ROUNDED_BLOCK;
            both[b] = _mm_mul_ps(scales, _mm_loadu_ps(x->scales + block));
            corrections[b][r] = _mm_fmadd_ps(offsets, _mm_loadu_ps(x->sums + block), corrections[b][r]);
        }
#pragma clang loop unroll(full)
        for (int part = 0; part < step_bytes / 32; part++) {
            __m256i codes = _mm256_loadu_si256((const __m256i *)(from + 32 * part));
            __m256i low = _mm256_and_si256(codes, low_bits);
            __m256i high = _mm256_and_si256(_mm256_srli_epi16(codes, 4), low_bits);
            __m256i centred = _mm256_xor_si256(codes, _mm256_set1_epi8((char)0x80));
            __m256i magnitudes = _mm256_abs_epi8(centred);
            // Lanes of 4 bits span two blocks of activations, those of 8 bits one.
            const __m256i lanes = nibbles ? _mm256_setr_epi32(
                                                2 * part, 2 * part, 2 * part, 2 * part, 2 * part + 1, 2 * part + 1,
                                                2 * part + 1, 2 * part + 1)
                                          : _mm256_set1_epi32(part);
#pragma clang loop unroll(full)
            for (int b = 0; b < B; b++) {
                __m256i pairs;
                if (nibbles) {
                    const int8_t *a = x->split_codes + at + b * x->padded + 32 * part;
                    pairs = _mm256_add_epi16(
                        _mm256_maddubs_epi16(low, _mm256_loadu_si256((const __m256i *)a)),
                        _mm256_maddubs_epi16(high, _mm256_loadu_si256((const __m256i *)(a + 64))));
                } else {
                    __m256i a = _mm256_loadu_si256((const __m256i *)(x->codes + at + b * x->padded + 32 * part));
                    pairs = _mm256_maddubs_epi16(magnitudes, _mm256_sign_epi8(a, centred));
                }
                __m256 scale = _mm256_permutevar8x32_ps(_mm256_castps128_ps256(both[b]), lanes);
                sums[b][r] = _mm256_fmadd_ps(sums_of_pairs(pairs), scale, sums[b][r]);
            }
        }
    }
}

/// `R` rows of W from `row` on with `B` rows of x.
COPPICE_INLINE void tile(
    const int value, const int R, const int B, const coppice_packed_weight *w, const coppice_rounded_rows *x,
    long x_first, float *y, long y_stride, long row) {
    __m256 sums[4][4];
    __m128 corrections[4][4];
#pragma clang loop unroll(full)
    for (int r = 0; r < R; r++) {
#pragma clang loop unroll(full)
        for (int b = 0; b < B; b++) {
            sums[b][r] = _mm256_setzero_ps();
            corrections[b][r] = _mm_setzero_ps();
        }
    }
    long steps = w->columns / COPPICE_ROUNDED_STEP;
    for (long s = 0; s < steps; s++) multiply_step(value, R, B, 1, w, x, x_first, row, s, sums, corrections);
    if (steps * COPPICE_ROUNDED_STEP < w->columns)
        multiply_step(value, R, B, 0, w, x, x_first, row, steps, sums, corrections);
#pragma clang loop unroll(full)
    for (int b = 0; b < B; b++) {
#pragma clang loop unroll(full)
        for (int r = 0; r < R; r++) {
            __m128 four = _mm_add_ps(_mm256_castps256_ps128(sums[b][r]), _mm256_extractf128_ps(sums[b][r], 1));
            four = _mm_sub_ps(four, corrections[b][r]);
            four = _mm_add_ps(four, _mm_movehl_ps(four, four));
            y[b * y_stride + row + r] = _mm_cvtss_f32(_mm_add_ss(four, _mm_movehdup_ps(four)));
        }
    }
}

// More than two rows of activations leave registers for two rows of W.
#define TILE(V, B) \
    static void tile_##V##_##B( \
        const coppice_packed_weight *w, const coppice_rounded_rows *x, long x_first, float *y, long y_stride, \
        long row) { \
        tile(COPPICE_PACKED_##V, (B) > 2 ? 2 : 4, B, w, x, x_first, y, y_stride, row); \
        if ((B) > 2) tile(COPPICE_PACKED_##V, 2, B, w, x, x_first, y, y_stride, row + 2); \
    } \
    static void single_##V##_##B( \
        const coppice_packed_weight *w, const coppice_rounded_rows *x, long x_first, float *y, long y_stride, \
        long row) { \
        tile(COPPICE_PACKED_##V, 1, B, w, x, x_first, y, y_stride, row); \
    }
TILE(U8, 1)
TILE(U8, 2)
TILE(U8, 4)
TILE(U4, 1)
TILE(U4, 2)
TILE(U4, 4)
#pragma clang attribute pop

enum { tile_rows = 4, largest_batch = 4 };

void coppice_integer_tiles_avx2(
    const coppice_packed_weight *w, const coppice_rounded_rows *x, float *y, long y_stride, long first, long last) {
    typedef void (*tile_function)(
        const coppice_packed_weight *, const coppice_rounded_rows *, long, float *, long, long);
    static const tile_function fours[2][3] = {{tile_U8_1, tile_U8_2, tile_U8_4}, {tile_U4_1, tile_U4_2, tile_U4_4}};
    static const tile_function ones[2][3] = {
        {single_U8_1, single_U8_2, single_U8_4}, {single_U4_1, single_U4_2, single_U4_4}};
    for (long done = 0; done < x->rows;) {
        long count = coppice_batch_of(x->rows - done < largest_batch ? x->rows - done : largest_batch);
        tile_function four = fours[w->value == COPPICE_PACKED_U4][count / 2];
        tile_function one = ones[w->value == COPPICE_PACKED_U4][count / 2];
        long row = first;
        for (; row + tile_rows <= last; row += tile_rows) four(w, x, done, y + done * y_stride, y_stride, row);
        for (; row < last; row++) one(w, x, done, y + done * y_stride, y_stride, row);
        done += count;
    }
}
#endif
