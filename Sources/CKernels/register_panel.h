// What panels of 32 rows of a weight share, whatever their arithmetic: 16 rows lie in a register, so that one word of
// activations, repeated, meets all of them. Internal.
#pragma once

#include "dot_tile.h"

#if defined(__x86_64__)
/// Sixteen rows of 16 words of 4 bytes, `stride` bytes apart, become 16 words of 16 rows.
__attribute__((target("avx512f"))) COPPICE_INLINE void coppice_transpose_words(
    const void *rows, long stride, __m512i out[16]) {
    __m512i a[16], b[16];
#pragma clang loop unroll(full)
    for (int r = 0; r < 16; r++) a[r] = _mm512_loadu_si512((const char *)rows + r * stride);
#pragma clang loop unroll(full)
    for (int r = 0; r < 16; r += 2) {
        b[r] = _mm512_unpacklo_epi32(a[r], a[r + 1]);
        b[r + 1] = _mm512_unpackhi_epi32(a[r], a[r + 1]);
    }
    // a[4 i + j]: rows 4 i ..< 4 i + 4 of piece j of each quarter.
#pragma clang loop unroll(full)
    for (int r = 0; r < 16; r += 4) {
        a[r] = _mm512_unpacklo_epi64(b[r], b[r + 2]);
        a[r + 1] = _mm512_unpackhi_epi64(b[r], b[r + 2]);
        a[r + 2] = _mm512_unpacklo_epi64(b[r + 1], b[r + 3]);
        a[r + 3] = _mm512_unpackhi_epi64(b[r + 1], b[r + 3]);
    }
#pragma clang loop unroll(full)
    for (int j = 0; j < 4; j++) {
        __m512i even_low = _mm512_shuffle_i32x4(a[j], a[4 + j], 0x88);
        __m512i odd_low = _mm512_shuffle_i32x4(a[j], a[4 + j], 0xDD);
        __m512i even_high = _mm512_shuffle_i32x4(a[8 + j], a[12 + j], 0x88);
        __m512i odd_high = _mm512_shuffle_i32x4(a[8 + j], a[12 + j], 0xDD);
        out[j] = _mm512_shuffle_i32x4(even_low, even_high, 0x88);
        out[4 + j] = _mm512_shuffle_i32x4(odd_low, odd_high, 0x88);
        out[8 + j] = _mm512_shuffle_i32x4(even_low, even_high, 0xDD);
        out[12 + j] = _mm512_shuffle_i32x4(odd_low, odd_high, 0xDD);
    }
}

/// y[t][r] += sums[t] for `T` rows of activations and the panel's 32 rows, of which those in `lanes` exist; y = sums
/// where this is the `first` part of the columns.
__attribute__((target("avx512f"))) COPPICE_INLINE void coppice_add_panel_sums(
    const int T, __m512 (*sums)[2], int first, float *y, long y_stride, uint32_t lanes) {
#pragma clang loop unroll(full)
    for (int t = 0; t < T; t++) {
#pragma clang loop unroll(full)
        for (int h = 0; h < 2; h++) {
            float *to = y + t * y_stride + 16 * h;
            __mmask16 mask = (__mmask16)(lanes >> 16 * h);
            __m512 before = first ? _mm512_setzero_ps() : _mm512_maskz_loadu_ps(mask, to);
            _mm512_mask_storeu_ps(to, mask, _mm512_add_ps(before, sums[t][h]));
        }
    }
}
#endif
