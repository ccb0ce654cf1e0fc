#include "window_product.h"

#include "cpu_features.h"
#include "dot_tile.h"

enum { window = COPPICE_WINDOW_COLUMNS };

static long windows_of(const coppice_packed_weight *w) { return (w->columns + window - 1) / window; }

void coppice_window_index_fill(const coppice_packed_weight *w, uint8_t *counts, uint8_t *places) {
    const long blocks = (w->columns + 15) / 16, windows = windows_of(w);
    for (long r = 0; r < w->rows; r++) {
        long at = w->starts[r];
        for (long n = 0; n < windows; n++) {
            int count = 0;
            for (long b = n * (window / 16); b < (n + 1) * (window / 16) && b < blocks; b++)
                for (uint32_t mask = w->masks[r * blocks + b]; mask != 0; mask &= mask - 1, count++)
                    places[at++] = (uint8_t)(b * 16 % window + __builtin_ctz(mask));
            counts[r * windows + n] = (uint8_t)count;
        }
    }
}

#if defined(__x86_64__)
#pragma clang attribute push( \
    __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c,bmi,bmi2,popcnt"))), apply_to = function)

// A window's activations are four registers, from which two permutations fetch those that meet up to 16 values. A
// window with more values takes several turns. Nothing is spread over columns: a window costs the same whatever is
// kept.

typedef struct {
    const uint16_t *values;
    const uint8_t *places, *counts;
} cursor;

/// Columns 64 n ..< 64 n + 64 of `R` rows with `B` rows of x.
COPPICE_INLINE void window_step(
    const int value, const int R, const int B, cursor *cursors, long n, const __m512 x[2][4], __m512 sums[2][4]) {
#pragma clang loop unroll(full)
    for (int r = 0; r < R; r++) {
        for (long count = cursors[r].counts[n];;) {
            const __mmask16 lanes = (__mmask16)_bzhi_u32(0xFFFF, (unsigned)count); // saturates
            __m512i places = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)cursors[r].places));
            __m256i halves = _mm256_maskz_loadu_epi16(lanes, cursors[r].values);
            __m512 v = value == COPPICE_PACKED_F16
                           ? _mm512_cvtph_ps(halves)
                           : _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
            const __mmask16 second = _mm512_test_epi32_mask(places, _mm512_set1_epi32(32));
#pragma clang loop unroll(full)
            for (int b = 0; b < B; b++) {
                __m512 low = _mm512_permutex2var_ps(x[b][0], places, x[b][1]);
                __m512 high = _mm512_permutex2var_ps(x[b][2], places, x[b][3]);
                sums[b][r] = _mm512_mask3_fmadd_ps(_mm512_mask_blend_ps(second, low, high), v, sums[b][r], lanes);
            }
            if (__builtin_expect(count <= 16, 1)) {
                cursors[r].values += count;
                cursors[r].places += count;
                break;
            }
            cursors[r].values += 16;
            cursors[r].places += 16;
            count -= 16;
        }
    }
}

/// `R` rows of W from `row` on with `B` rows of x.
COPPICE_INLINE void tile(
    const int value, const int R, const int B, const coppice_window_weight *p, const float *x, long x_stride, float *y,
    long y_stride, long row) {
    const coppice_packed_weight *w = &p->packed;
    const long windows = windows_of(w), whole = w->columns / window;
    cursor cursors[4];
    __m512 sums[2][4], a[2][4];
#pragma clang loop unroll(full)
    for (int r = 0; r < R; r++) {
        const long start = w->starts[row + r];
        cursors[r] = (cursor){
            (const uint16_t *)w->values + start, p->places + start, p->counts + (row + r) * windows};
#pragma clang loop unroll(full)
        for (int b = 0; b < B; b++) sums[b][r] = _mm512_setzero_ps();
    }
    // Rows are too short for the processor to see where its reads go: it is told the same place of the next tile.
    const long ahead = w->starts[row + R] - w->starts[row];
    for (long at = 0; at < R * windows; at += 64)
        _mm_prefetch((const char *)cursors[0].counts + R * windows + at, _MM_HINT_T0);
    for (long n = 0; n < whole; n++) {
#pragma clang loop unroll(full)
        for (int r = 0; r < R; r++) {
            if (n % 2 != r % 2) continue; // twice as often as a line is filled at most
            _mm_prefetch((const char *)(cursors[r].values + ahead), _MM_HINT_T0);
            _mm_prefetch((const char *)(cursors[r].places + ahead), _MM_HINT_T0);
        }
#pragma clang loop unroll(full)
        for (int b = 0; b < B; b++)
#pragma clang loop unroll(full)
            for (int i = 0; i < 4; i++) a[b][i] = _mm512_loadu_ps(x + b * x_stride + n * window + 16 * i);
        window_step(value, R, B, cursors, n, a, sums);
    }
    if (whole < windows) {
        float rest[window] = {0};
#pragma clang loop unroll(full)
        for (int b = 0; b < B; b++) {
            memcpy(rest, x + b * x_stride + whole * window, (size_t)(w->columns - whole * window) * sizeof(float));
#pragma clang loop unroll(full)
            for (int i = 0; i < 4; i++) a[b][i] = _mm512_loadu_ps(rest + 16 * i);
        }
        window_step(value, R, B, cursors, whole, a, sums);
    }
#pragma clang loop unroll(full)
    for (int b = 0; b < B; b++)
#pragma clang loop unroll(full)
        for (int r = 0; r < R; r++) y[b * y_stride + row + r] = _mm512_reduce_add_ps(sums[b][r]);
}

#define ROWS(V, B) \
    static void rows_##V##_##B( \
        const coppice_window_weight *p, const float *x, long x_stride, float *y, \
        long y_stride, long first, long last) { \
        for (; first + 4 <= last; first += 4) \
            tile(COPPICE_PACKED_##V, 4, B, p, x, x_stride, y, y_stride, first); \
        for (; first < last; first++) tile(COPPICE_PACKED_##V, 1, B, p, x, x_stride, y, y_stride, first); \
    }
ROWS(BF16, 1)
ROWS(BF16, 2)
ROWS(F16, 1)
ROWS(F16, 2)
#pragma clang attribute pop

static void multiply_rows(
    const void *weight, const coppice_activations *x, float *y, long y_stride, long first, long last) {
    static void (*const kernels[2][2])(
        const coppice_window_weight *, const float *, long, float *, long, long, long) = {
        {rows_BF16_1, rows_BF16_2}, {rows_F16_1, rows_F16_2}};
    const coppice_window_weight *p = weight;
    kernels[p->packed.value == COPPICE_PACKED_F16][x->rows - 1](p, x->values, x->stride, y, y_stride, first, last);
}

coppice_row_kernel coppice_window_kernel(const coppice_window_weight *weight, long x_rows) {
    const coppice_packed_weight *w = &weight->packed;
    coppice_row_kernel kernel = coppice_packed_kernel(w, x_rows);
    int has_values = w->value == COPPICE_PACKED_BF16 || w->value == COPPICE_PACKED_F16;
    if (!has_values || x_rows > 2 || w->columns == 0 || coppice_cpu_level_in_use() != COPPICE_CPU_AVX512) return kernel;
    kernel.weight = weight;
    kernel.multiply_rows = multiply_rows;
    return kernel;
}
#else
coppice_row_kernel coppice_window_kernel(const coppice_window_weight *weight, long x_rows) {
    return coppice_packed_kernel(&weight->packed, x_rows);
}
#endif
