// Tiles of dot products between weight rows and activation rows, unrolled for constant sizes. Internal.
#pragma once

#include "dense_product.h"
#include "scalar_conversion.h"

#define COPPICE_INLINE static inline __attribute__((always_inline))

#if defined(__x86_64__)
#include <immintrin.h>
#define COPPICE_AVX2 __attribute__((target("avx2,fma,f16c")))
#define COPPICE_AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,fma,f16c")))

COPPICE_AVX512 COPPICE_INLINE __m512 coppice_load16(const int type, const char *row, long k) {
    if (type == COPPICE_TYPE_F32) return _mm512_loadu_ps(row + 4 * k);
    __m256i half = _mm256_loadu_si256((const __m256i *)(row + 2 * k));
    if (type == COPPICE_TYPE_F16) return _mm512_cvtph_ps(half);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
}

COPPICE_AVX512 COPPICE_INLINE __m512 coppice_load16_masked(const int type, const char *row, long k, __mmask16 mask) {
    if (type == COPPICE_TYPE_F32) return _mm512_maskz_loadu_ps(mask, row + 4 * k);
    __m256i half = _mm256_maskz_loadu_epi16(mask, row + 2 * k);
    if (type == COPPICE_TYPE_F16) return _mm512_cvtph_ps(half);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
}

/// Sums of four vectors, in order.
COPPICE_AVX512 COPPICE_INLINE __m128 coppice_sum4_512(__m512 a, __m512 b, __m512 c, __m512 d) {
    __m512 ab = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
    __m512 cd = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
    __m512d low = _mm512_unpacklo_pd(_mm512_castps_pd(ab), _mm512_castps_pd(cd));
    __m512d high = _mm512_unpackhi_pd(_mm512_castps_pd(ab), _mm512_castps_pd(cd));
    __m512 sum = _mm512_add_ps(_mm512_castpd_ps(low), _mm512_castpd_ps(high));
    __m256 half = _mm256_add_ps(_mm512_castps512_ps256(sum), _mm512_extractf32x8_ps(sum, 1));
    return _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
}

/// out[b][r] = Σ_k W[r][k] x[b][k] for W's `R` rows (`weight_stride` bytes apart) and `B` rows of x.
COPPICE_AVX512 COPPICE_INLINE void coppice_dot_tile_512(
    const int type, const int R, const int B, const char *weight, long weight_stride, long columns, const float *x,
    long x_stride, float out[8][4]) {
    __m512 sums[8][4];
#pragma clang loop unroll(full)
    for (int b = 0; b < B; b++)
#pragma clang loop unroll(full)
        for (int r = 0; r < R; r++) sums[b][r] = _mm512_setzero_ps();
    long k = 0;
    for (; k + 16 <= columns; k += 16) {
        __m512 w[4];
#pragma clang loop unroll(full)
        for (int r = 0; r < R; r++) w[r] = coppice_load16(type, weight + r * weight_stride, k);
#pragma clang loop unroll(full)
        for (int b = 0; b < B; b++) {
            __m512 xb = _mm512_loadu_ps(x + b * x_stride + k);
#pragma clang loop unroll(full)
            for (int r = 0; r < R; r++) sums[b][r] = _mm512_fmadd_ps(w[r], xb, sums[b][r]);
        }
    }
    if (k < columns) {
        __mmask16 mask = (__mmask16)((1u << (columns - k)) - 1);
#pragma clang loop unroll(full)
        for (int r = 0; r < R; r++) {
            __m512 w = coppice_load16_masked(type, weight + r * weight_stride, k, mask);
#pragma clang loop unroll(full)
            for (int b = 0; b < B; b++)
                sums[b][r] = _mm512_fmadd_ps(w, _mm512_maskz_loadu_ps(mask, x + b * x_stride + k), sums[b][r]);
        }
    }
#pragma clang loop unroll(full)
    for (int b = 0; b < B; b++)
        _mm_storeu_ps(
            out[b], coppice_sum4_512(
                        sums[b][0], R > 1 ? sums[b][1] : sums[b][0], R > 2 ? sums[b][2] : sums[b][0],
                        R > 3 ? sums[b][3] : sums[b][0]));
}

COPPICE_AVX2 COPPICE_INLINE __m256 coppice_load8(const int type, const char *row, long k) {
    if (type == COPPICE_TYPE_F32) return _mm256_loadu_ps((const float *)(row + 4 * k));
    __m128i half = _mm_loadu_si128((const __m128i *)(row + 2 * k));
    if (type == COPPICE_TYPE_F16) return _mm256_cvtph_ps(half);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16));
}

COPPICE_AVX2 COPPICE_INLINE float coppice_sum_256(__m256 v) {
    __m128 half = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    half = _mm_add_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_add_ss(half, _mm_movehdup_ps(half)));
}
#endif

COPPICE_INLINE float coppice_load1(const int type, const char *row, long k) {
    if (type == COPPICE_TYPE_F32) {
        float value;
        memcpy(&value, row + 4 * k, sizeof value);
        return value;
    }
    uint16_t half = coppice_load_u16(row + 2 * k);
    return type == COPPICE_TYPE_F16 ? coppice_f32_from_f16(half) : coppice_f32_from_bf16(half);
}

#if defined(__x86_64__)
/// As `coppice_dot_tile_512` with half the width.
COPPICE_AVX2 COPPICE_INLINE void coppice_dot_tile_256(
    const int type, const int R, const int B, const char *weight, long weight_stride, long columns, const float *x,
    long x_stride, float out[8][4]) {
    __m256 sums[8][4];
#pragma clang loop unroll(full)
    for (int b = 0; b < B; b++)
#pragma clang loop unroll(full)
        for (int r = 0; r < R; r++) sums[b][r] = _mm256_setzero_ps();
    long k = 0;
    for (; k + 8 <= columns; k += 8) {
        __m256 xs[8];
#pragma clang loop unroll(full)
        for (int b = 0; b < B; b++) xs[b] = _mm256_loadu_ps(x + b * x_stride + k);
#pragma clang loop unroll(full)
        for (int r = 0; r < R; r++) {
            __m256 w = coppice_load8(type, weight + r * weight_stride, k);
#pragma clang loop unroll(full)
            for (int b = 0; b < B; b++) sums[b][r] = _mm256_fmadd_ps(w, xs[b], sums[b][r]);
        }
    }
#pragma clang loop unroll(full)
    for (int b = 0; b < B; b++)
#pragma clang loop unroll(full)
        for (int r = 0; r < R; r++) {
            float sum = coppice_sum_256(sums[b][r]);
            for (long c = k; c < columns; c++)
                sum += coppice_load1(type, weight + r * weight_stride, c) * x[b * x_stride + c];
            out[b][r] = sum;
        }
}
#endif

/// One dot product in 16 partial sums, which the compiler keeps in baseline vectors.
COPPICE_INLINE float coppice_dot_portable(const float *a, const float *b, long columns) {
    float partial[16] = {0};
    long k = 0;
    for (; k + 16 <= columns; k += 16)
        for (int i = 0; i < 16; i++) partial[i] += a[k + i] * b[k + i];
    for (int i = 0; k < columns; k++, i++) partial[i] += a[k] * b[k];
    float sum = 0;
    for (int i = 0; i < 16; i++) sum += partial[i];
    return sum;
}
