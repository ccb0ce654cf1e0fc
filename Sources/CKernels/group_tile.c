#include "group_tile.h"

#include "dot_tile.h"

#if defined(__x86_64__)
#include <immintrin.h>
#include <string.h>

// A step is 128 columns. One expanding move brings the kept groups of 4-bit codes to their columns (two moves those of
// 8 bits), one more their scales; the scale of a group that is not kept is zero. From there on a step is that of a
// dense weight: with codes q, zero z and scale s of a group, activation codes a and scale t of a block, it adds s t Σ
// (q - z) a, of which - z Σ a is what the dot product starts from.
#pragma clang attribute push( \
    __attribute__((target( \
        "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx512vbmi,avx512vbmi2,avx2,fma,f16c,bmi,bmi2,popcnt"))), \
    apply_to = function)

enum { tile_rows = COPPICE_GROUP_SPARSE_TILE_ROWS, step_columns = COPPICE_GROUP_SPARSE_STEP };

typedef struct {
    const uint8_t *masks;
    long position; ///< of the next kept group
} place;

/// `count` bytes at most, of those before `end`, with room for 64. The compiler would make one instruction of a load
/// and an expanding move, which on Zen 4 is half as fast as two.
COPPICE_INLINE __m512i packed_bytes(const uint8_t *from, const uint8_t *end, const int guarded) {
    __m512i bytes;
    if (guarded && end - from < 64)
        bytes = _mm512_maskz_loadu_epi8(_bzhi_u64(~0ull, (unsigned)(end > from ? end - from : 0)), from);
    else
        bytes = _mm512_loadu_si512(from);
    __asm__("" : "+v"(bytes));
    return bytes;
}

/// The bits of a mask, each `times` times.
COPPICE_INLINE uint32_t repeated(uint32_t mask, const int times) {
    const uint32_t places[] = {0, 0xFF, 0x55, 0, 0x11, 0, 0, 0, 0x01};
    return times == 1 ? mask : _pdep_u32(mask, places[times]) * ((1u << times) - 1);
}

/// Lane i's group of a step, `lanes` columns a lane.
COPPICE_INLINE __m512i groups_of_lanes(const int columns, const int half, const int group) {
    const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const int shift = __builtin_ctz(group / columns);
    return _mm512_srli_epi32(_mm512_add_epi32(lane, _mm512_set1_epi32(16 * half)), (unsigned)shift);
}

/// Steps first ..< last of `R` rows of W with `B` rows of x.
COPPICE_INLINE void tile(
    const int bits, const int G, const int symmetric, const int guarded, const int R, const int B,
    const coppice_group_sparse *w, const coppice_rounded_rows *x, const coppice_group_lanes *lanes, long x_first,
    long row, long first, long last, float out[8][tile_rows], const int column) {
    const int count = step_columns / G; // groups of a step
    const int halves = bits == 4 ? 1 : 2, lane_columns = bits == 4 ? 8 : 4;
    const int group_bytes = G * bits / 8;
    const __m512i low_bits = _mm512_set1_epi8(15);
    const uint8_t *values_end = w->values + w->starts[w->rows] * group_bytes;
    const uint8_t *scales_end = (const uint8_t *)w->scales + 2 * w->starts[w->rows];
    const long ahead = guarded ? 0 : w->starts[row + R] - w->starts[row];
    place places[tile_rows];
    __m512 sums[8][tile_rows];
#pragma clang loop unroll(full)
    for (int r = 0; r < R; r++) {
        places[r] = (place){w->masks + (row + r) * w->mask_stride, coppice_group_position(w, row + r, first)};
#pragma clang loop unroll(full)
        for (int b = 0; b < B; b++) sums[b][r] = _mm512_setzero_ps();
    }
    for (long s = first; s < last; s++) {
        const long k = s * step_columns;
        __m512i codes[tile_rows][2];
        __m512 scales[tile_rows][2];
        __m512i zeros[tile_rows][2];
#pragma clang loop unroll(full)
        for (int r = 0; r < R; r++) {
            uint32_t mask = places[r].masks[s * count / 8] >> (s * count % 8);
            if (count < 8) mask &= (1u << count) - 1;
            const long at = places[r].position;
            const uint8_t *values = w->values + at * group_bytes;
            const uint8_t *f16 = (const uint8_t *)w->scales + 2 * at;
            places[r].position += __builtin_popcount(mask);
            if (!guarded) {
                _mm_prefetch((const char *)values + ahead * group_bytes, _MM_HINT_T0);
                if (bits == 8) _mm_prefetch((const char *)values + ahead * group_bytes + 64, _MM_HINT_T0);
                _mm_prefetch((const char *)f16 + ahead * 2, _MM_HINT_T0);
            }
            if (bits == 4) {
                __m512i both = _mm512_maskz_expand_epi64(
                    (__mmask8)repeated(mask, G / 16), packed_bytes(values, values_end, guarded));
                codes[r][0] = _mm512_and_si512(both, low_bits);
                codes[r][1] = _mm512_and_si512(_mm512_srli_epi16(both, 4), low_bits);
            } else {
                uint32_t low = mask & ((1u << count / 2) - 1), high = mask >> count / 2;
                codes[r][0] = _mm512_maskz_expand_epi64(
                    (__mmask8)repeated(low, G / 8), packed_bytes(values, values_end, guarded));
                values += __builtin_popcount(low) * group_bytes;
                codes[r][1] = _mm512_maskz_expand_epi64(
                    (__mmask8)repeated(high, G / 8), packed_bytes(values, values_end, guarded));
            }
            __m128i packed = guarded ? _mm512_castsi512_si128(packed_bytes(f16, scales_end, 1))
                                     : _mm_loadu_si128((const __m128i *)f16);
            __asm__("" : "+v"(packed)); // as for codes
            __m512 all = _mm512_castps256_ps512(_mm256_cvtph_ps(_mm_maskz_expand_epi16((__mmask8)mask, packed)));
#pragma clang loop unroll(full)
            for (int h = 0; h < halves; h++)
                scales[r][h] = _mm512_permutexvar_ps(groups_of_lanes(lane_columns, h, G), all);
            if (!symmetric) {
                uint64_t bytes = 0;
                if (guarded) memcpy(&bytes, w->zeros + at, (size_t)__builtin_popcount(mask));
                else memcpy(&bytes, w->zeros + at, 8);
                __m128i spread = _mm_maskz_expand_epi8((__mmask16)mask, _mm_cvtsi64_si128((long long)bytes));
                __m512i wide = _mm512_castsi256_si512(_mm256_cvtepu8_epi32(spread));
#pragma clang loop unroll(full)
                for (int h = 0; h < halves; h++)
                    zeros[r][h] = _mm512_permutexvar_epi32(groups_of_lanes(lane_columns, h, G), wide);
            }
        }
#pragma clang loop unroll(full)
        for (int b = 0; b < B; b++) {
            const long at = (x_first + b) * x->padded + k;
            const int8_t *a = (bits == 4 ? x->split_codes : x->codes) + at;
            const int32_t *sum = lanes->sums + (x_first + b) * lanes->stride + s * 16 * halves;
            __m512 t = _mm512_castps128_ps512(_mm_loadu_ps(x->scales + at / COPPICE_ROUNDED_BLOCK));
            __m512i a0 = _mm512_loadu_si512(a), a1 = _mm512_loadu_si512(a + 64);
            if (bits == 4) {
                __m512i start = _mm512_load_si512(sum);
                __m512 t0 = _mm512_permutexvar_ps(groups_of_lanes(8, 0, 32), t);
#pragma clang loop unroll(full)
                for (int r = 0; r < R; r++) {
                    __m512i dots = symmetric ? start : _mm512_dpwssd_epi32(_mm512_setzero_si512(), start, zeros[r][0]);
                    dots = _mm512_dpbusd_epi32(dots, codes[r][0], a0);
                    dots = _mm512_dpbusd_epi32(dots, codes[r][1], a1);
                    sums[b][r] = _mm512_fmadd_ps(
                        _mm512_mul_ps(_mm512_cvtepi32_ps(dots), t0), scales[r][0], sums[b][r]);
                }
            } else {
#pragma clang loop unroll(full)
                for (int h = 0; h < 2; h++) {
                    __m512i start = _mm512_load_si512(sum + 16 * h);
                    __m512 th = _mm512_permutexvar_ps(groups_of_lanes(4, h, 32), t);
#pragma clang loop unroll(full)
                    for (int r = 0; r < R; r++) {
                        __m512i dots =
                            symmetric ? start : _mm512_dpwssd_epi32(_mm512_setzero_si512(), start, zeros[r][h]);
                        dots = _mm512_dpbusd_epi32(dots, codes[r][h], h == 0 ? a0 : a1);
                        sums[b][r] = _mm512_fmadd_ps(
                            _mm512_mul_ps(_mm512_cvtepi32_ps(dots), th), scales[r][h], sums[b][r]);
                    }
                }
            }
        }
    }
#pragma clang loop unroll(full)
    for (int b = 0; b < B; b++)
#pragma clang loop unroll(full)
        for (int r = 0; r < R; r++) out[b][column + r] = _mm512_reduce_add_ps(sums[b][r]);
}

/// A whole tile, or what is left of the last one; `safe` where no load of a tile reaches past the values.
#define TILE(BITS, G, S, B) \
    static void tile_##BITS##_##G##_##S##_##B( \
        const coppice_group_sparse *w, const coppice_rounded_rows *x, const coppice_group_lanes *lanes, \
        long x_first, long row, long count, long first, long last, float out[8][tile_rows], int safe) { \
        const int R = (B) > 4 ? 2 : tile_rows; \
        if (safe && count == tile_rows) { \
            for (int r = 0; r < tile_rows; r += R) \
                tile(BITS, G, S, 0, R, B, w, x, lanes, x_first, row + r, first, last, out, r); \
            return; \
        } \
        for (int r = 0; r < count; r++) \
            tile(BITS, G, S, 1, 1, B, w, x, lanes, x_first, row + r, first, last, out, r); \
    }
#define TILES(BITS, G, S) TILE(BITS, G, S, 1) TILE(BITS, G, S, 2) TILE(BITS, G, S, 4) TILE(BITS, G, S, 8)
#define SIZES(BITS) TILES(BITS, 16, 0) TILES(BITS, 16, 1) TILES(BITS, 32, 0) TILES(BITS, 32, 1) TILES(BITS, 64, 0) \
    TILES(BITS, 64, 1)
SIZES(4)
SIZES(8)

void coppice_group_lane_sums(const coppice_group_sparse *w, const coppice_rounded_rows *x, int32_t *sums) {
    const __m512i ones = _mm512_set1_epi8(1), factor = _mm512_set1_epi32(w->zeros ? -1 : -(1 << (w->bits - 1)));
    for (long at = 0; at < x->rows * x->padded; at += step_columns) {
        const int8_t *codes = (w->bits == 4 ? x->split_codes : x->codes) + at;
        __m512i low = _mm512_dpbusd_epi32(_mm512_setzero_si512(), ones, _mm512_loadu_si512(codes));
        __m512i high = _mm512_dpbusd_epi32(_mm512_setzero_si512(), ones, _mm512_loadu_si512(codes + 64));
        if (w->bits == 4) {
            _mm512_store_si512(sums + at / 8, _mm512_mullo_epi32(_mm512_add_epi32(low, high), factor));
        } else {
            _mm512_store_si512(sums + at / 4, _mm512_mullo_epi32(low, factor));
            _mm512_store_si512(sums + at / 4 + 16, _mm512_mullo_epi32(high, factor));
        }
    }
}
#pragma clang attribute pop

typedef void (*tile_function)(
    const coppice_group_sparse *w, const coppice_rounded_rows *x, const coppice_group_lanes *lanes, long x_first,
    long row, long count, long first, long last, float out[8][tile_rows], int safe);
#define BATCHES(BITS, G, S) \
    {tile_##BITS##_##G##_##S##_1, tile_##BITS##_##G##_##S##_2, tile_##BITS##_##G##_##S##_4, tile_##BITS##_##G##_##S##_8}
#define KINDS(BITS) \
    {{BATCHES(BITS, 16, 0), BATCHES(BITS, 16, 1)}, {BATCHES(BITS, 32, 0), BATCHES(BITS, 32, 1)}, \
     {BATCHES(BITS, 64, 0), BATCHES(BITS, 64, 1)}}
static const tile_function tiles[2][3][2][4] = {KINDS(4), KINDS(8)};

void coppice_group_tile_vnni(
    const coppice_group_sparse *w, const coppice_rounded_rows *x, const coppice_group_lanes *lanes, long x_first,
    long x_rows, long row, long count, long first, long last, float out[8][tile_rows]) {
    const int64_t *starts = w->starts;
    // 64 bytes of codes are at most 8 groups, and as many scales and zero points.
    const long bytes = w->group * w->bits / 8, slack = 64 / bytes > 8 ? 64 / bytes : 8;
    int safe = count == tile_rows && starts[row + count] + slack <= starts[w->rows];
    tiles[w->bits == 8][w->group / 32][w->zeros == 0][x_rows == 8 ? 3 : x_rows / 2](
        w, x, lanes, x_first, row, count, first, last, out, safe);
}
#else
void coppice_group_lane_sums(const coppice_group_sparse *w, const coppice_rounded_rows *x, int32_t *sums) {
    (void)w, (void)x, (void)sums;
}

void coppice_group_tile_vnni(
    const coppice_group_sparse *w, const coppice_rounded_rows *x, const coppice_group_lanes *lanes, long x_first,
    long x_rows, long row, long count, long first, long last, float out[8][COPPICE_GROUP_SPARSE_TILE_ROWS]) {
    (void)w, (void)x, (void)lanes, (void)x_first, (void)x_rows, (void)row, (void)count, (void)first, (void)last;
    (void)out;
}
#endif
