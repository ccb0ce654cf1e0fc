#include "group_tile.h"

#include "dot_tile.h"

enum { tile_rows = COPPICE_GROUP_SPARSE_TILE_ROWS, step_columns = COPPICE_GROUP_SPARSE_STEP };

#if defined(__x86_64__)
#include <immintrin.h>
#include <string.h>

#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,bmi,bmi2,popcnt"))), apply_to = function)

/// Sixteen codes as 16-bit integers, in order.
COPPICE_INLINE __m256i codes_of(const uint8_t *from, const int bits) {
    if (bits == 8) return _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)from));
    const __m128i low_bits = _mm_set1_epi8(15);
    __m128i bytes = _mm_loadl_epi64((const __m128i *)from);
    return _mm256_cvtepu8_epi16(_mm_unpacklo_epi8(
        _mm_and_si128(bytes, low_bits), _mm_and_si128(_mm_srli_epi16(bytes, 4), low_bits)));
}

/// Steps first ..< last of one row of W with `B` rows of x: kept groups one after the other, 16 columns at a time.
COPPICE_INLINE void row_sums(
    const int bits, const int B, const coppice_group_sparse *w, const coppice_rounded_rows *x, long x_first, long row,
    long first, long last, float out[8][tile_rows], long column) {
    const uint8_t *masks = w->masks + row * w->mask_stride;
    const long groups = step_columns / w->group;
    __m256 sums[8];
#pragma clang loop unroll(full)
    for (int b = 0; b < B; b++) sums[b] = _mm256_setzero_ps();
    long position = coppice_group_position(w, row, first);
    for (long s = first; s < last; s++) {
        unsigned mask = (unsigned)masks[s * groups / 8] >> (s * groups % 8) & ((1u << groups) - 1);
        for (; mask != 0; mask &= mask - 1, position++) {
            const long k = s * step_columns + __builtin_ctz(mask) * w->group;
            const uint8_t *codes = w->values + position * w->group * bits / 8;
            float scale = coppice_f32_from_f16(coppice_load_u16((const char *)w->scales + 2 * position));
            __m256i zero = _mm256_set1_epi16((short)(w->zeros ? w->zeros[position] : 1 << (bits - 1)));
            for (long c = 0; c < w->group; c += 16) {
                __m256i q = _mm256_sub_epi16(codes_of(codes + c * bits / 8, bits), zero);
#pragma clang loop unroll(full)
                for (int b = 0; b < B; b++) {
                    const long at = (x_first + b) * x->padded + k + c;
                    __m256i a = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(x->codes + at)));
                    __m256 t = _mm256_set1_ps(scale * x->scales[at / COPPICE_ROUNDED_BLOCK]);
                    sums[b] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(_mm256_madd_epi16(q, a)), t, sums[b]);
                }
            }
        }
    }
#pragma clang loop unroll(full)
    for (int b = 0; b < B; b++) out[b][column] = coppice_sum_256(sums[b]);
}

#define ROWS(B) \
    static void rows_##B( \
        const coppice_group_sparse *w, const coppice_rounded_rows *x, long x_first, long row, long count, \
        long first, long last, float out[8][tile_rows]) { \
        for (long r = 0; r < count; r++) { \
            if (w->bits == 4) row_sums(4, B, w, x, x_first, row + r, first, last, out, r); \
            else row_sums(8, B, w, x, x_first, row + r, first, last, out, r); \
        } \
    }
ROWS(1)
ROWS(2)
ROWS(4)
ROWS(8)
#pragma clang attribute pop

void coppice_group_tile_avx2(
    const coppice_group_sparse *w, const coppice_rounded_rows *x, const coppice_group_lanes *lanes, long x_first,
    long x_rows, long row, long count, long first, long last, float out[8][tile_rows]) {
    static void (*const kernels[])(
        const coppice_group_sparse *, const coppice_rounded_rows *, long, long, long, long, long,
        float[8][tile_rows]) = {rows_1, rows_2, rows_4, rows_8};
    (void)lanes;
    kernels[x_rows == 8 ? 3 : x_rows / 2](w, x, x_first, row, count, first, last, out);
}
#else
void coppice_group_tile_avx2(
    const coppice_group_sparse *w, const coppice_rounded_rows *x, const coppice_group_lanes *lanes, long x_first,
    long x_rows, long row, long count, long first, long last, float out[8][tile_rows]) {
    (void)w, (void)x, (void)lanes, (void)x_first, (void)x_rows, (void)row, (void)count, (void)first, (void)last;
    (void)out;
}
#endif
