#include "plane_tile.h"

#include "dot_tile.h"

#if defined(__x86_64__)
#pragma clang attribute push(COPPICE_AVX2, apply_to = function)

// As integer_tile_avx2.c: the dot product of bytes takes an unsigned and a signed operand and keeps sums of two
// products in 16 bits. Integers become signed and their signs move to the activations: 2 · 128 · 127 fits.

enum { block = COPPICE_ROUNDED_BLOCK, batch = 8 };

/// The codes of a block of 32 columns: four groups of 8, of which `from` has the planes of two and `next` of two more.
COPPICE_INLINE __m256i block_codes(__m128i from, __m128i next, int bits) {
    const __m256i planes = _mm256_set_m128i(next, from);
    const __m256i select = _mm256_set1_epi64x((long long)0x8040201008040201);
    // Each byte takes the byte of its group and plane, and of that its column's bit.
    __m256i source = _mm256_setr_epi64x(0, bits * 0x0101010101010101, 0, bits * 0x0101010101010101);
    __m256i codes = _mm256_setzero_si256(), bit = _mm256_set1_epi8(1);
    for (int i = 0; i < bits; i++) {
        __m256i set = _mm256_and_si256(_mm256_shuffle_epi8(planes, source), select);
        codes = _mm256_or_si256(codes, _mm256_and_si256(_mm256_cmpeq_epi8(set, select), bit));
        source = _mm256_add_epi8(source, _mm256_set1_epi8(1));
        bit = _mm256_add_epi8(bit, bit);
    }
    return codes;
}

/// Sixteen bytes at `from`, of which `count` are there; nothing else is read.
COPPICE_INLINE __m128i bytes_at(const uint8_t *from, long count) {
    if (__builtin_expect(count >= 16, 1)) return _mm_loadu_si128((const __m128i *)from);
    uint8_t rest[16] = {0};
    if (count > 0) memcpy(rest, from, (size_t)count);
    return _mm_loadu_si128((const __m128i *)rest);
}

/// One row of W with `B` rows of x.
COPPICE_INLINE void dot_row(
    const int B, const coppice_plane_weight *w, const coppice_rounded_rows *x, long x_first, float *y, long y_stride,
    long row) {
    __m256 sums[batch];
    float offsets[batch];
    for (int b = 0; b < B; b++) sums[b] = _mm256_setzero_ps(), offsets[b] = 0;
    const long row_bytes = coppice_plane_row_bytes(w->bits, w->columns), blocks = x->padded / block;
    const uint8_t *planes = w->planes + row * row_bytes, *end = planes + row_bytes;
    const __m256i middle = _mm256_set1_epi8((char)(w->values ? 0 : 1 << (w->bits - 1)));
    const float moved = w->values ? 128 : (float)(1 << (w->bits - 1));
    for (long k = 0; k * block < w->columns; k++, planes += 4 * w->bits) {
        const long group = w->groups == 1 ? 0 : k * block / w->group, at = row * w->groups + group;
        const float scale = coppice_f32_from_f16(coppice_load_u16((const char *)w->scales + 2 * at));
        const float offset = scale * ((w->zeros ? (float)w->zeros[at] : w->zero) - moved);
        const uint8_t *next = planes + 2 * w->bits;
        __m256i v = block_codes(bytes_at(planes, end - planes), bytes_at(next, end - next), w->bits);
        if (w->values) {
            const long size = 1l << w->bits;
            __m128i table = bytes_at(
                (const uint8_t *)w->values + (row * w->row_tables + group * w->group_tables) * size, size);
            v = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(table), v);
        } else {
            v = _mm256_sub_epi8(v, middle);
        }
        const __m256i magnitudes = _mm256_abs_epi8(v);
#pragma clang loop unroll(full)
        for (int b = 0; b < B; b++) {
            const long of = (x_first + b) * x->padded + k * block, block_at = (x_first + b) * blocks + k;
            __m256i a = _mm256_loadu_si256((const __m256i *)(x->codes + of));
            __m256i pairs = _mm256_maddubs_epi16(magnitudes, _mm256_sign_epi8(a, v));
            __m256 dots = _mm256_cvtepi32_ps(_mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
            sums[b] = _mm256_fmadd_ps(dots, _mm256_set1_ps(scale * x->scales[block_at]), sums[b]);
            offsets[b] += offset * x->sums[block_at];
        }
    }
    for (int b = 0; b < B; b++) y[b * y_stride + row] = coppice_sum_256(sums[b]) - offsets[b];
}

void coppice_plane_tiles_avx2(
    const coppice_plane_weight *w, const coppice_rounded_rows *x, float *y, long y_stride, long first, long last) {
    for (long done = 0; done < x->rows;) {
        const long count = coppice_batch_of(x->rows - done);
        float *to = y + done * y_stride;
        for (long row = first; row < last; row++)
            switch (count) {
            case 1: dot_row(1, w, x, done, to, y_stride, row); break;
            case 2: dot_row(2, w, x, done, to, y_stride, row); break;
            case 4: dot_row(4, w, x, done, to, y_stride, row); break;
            default: dot_row(8, w, x, done, to, y_stride, row);
            }
        done += count;
    }
}
#pragma clang attribute pop
#else
void coppice_plane_tiles_avx2(
    const coppice_plane_weight *w, const coppice_rounded_rows *x, float *y, long y_stride, long first, long last) {
    (void)w, (void)x, (void)y, (void)y_stride, (void)first, (void)last;
}
#endif
