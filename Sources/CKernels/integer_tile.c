#include "integer_tile.h"

#include "cpu_features.h"
#include "integer_codes.h"

#if defined(__x86_64__)
#pragma clang attribute push(COPPICE_VNNI, apply_to = function)

// A step is 128 columns, four blocks of activations. With weight codes q, zero z and scale s of a group, activation
// codes a and scale t of a block, the block adds s t Σ q a - s z (t Σ a): integer dot products whose scales are applied
// once for each block, and a correction that needs only the block's sum.
//
// A dot product of bytes adds four neighbours into a lane. Codes of 4 bits without masks come out as the step's even
// columns and its odd ones, which are laid out the same way in `split_codes`: a lane then holds 8 neighbouring columns
// and a step one register. All else comes in natural order, 4 columns a lane and two registers a step.

/// Adds step `s` of `R` rows of W times `B` rows of x.
COPPICE_INLINE void multiply_step(
    const int value, const int masked, const int R, const int B, const int whole, const coppice_packed_weight *w,
    const coppice_rounded_rows *x, long x_first, long row, long s, cursor cursors[4], __m512 sums[8][4],
    __m128 corrections[2][4]) {
    const int split = value == COPPICE_PACKED_U4 && !masked;
    const __m512i quarters = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
    const __m512i first_half = _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);
    const __m512i second_half = _mm512_setr_epi32(2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3);
    const __m512i low_bits = _mm512_set1_epi8(15);
    const long k = s * COPPICE_ROUNDED_STEP;
    // Rows are too short for the processor to see where its reads go: it is told the same place of the next tile.
    const long ahead = R * w->row_values / (value == COPPICE_PACKED_U4 ? 2 : 1);
#pragma clang loop unroll(full)
    for (int r = 0; r < R; r++) {
        __m512i first, second;
        __m128 scales, offsets;
        block_scales(w, whole, row + r, s, &scales, &offsets);
        if (split) {
            const uint8_t *from = cursors[r].values + cursors[r].position / 2;
            __m512i both = whole ? _mm512_loadu_si512(from)
                                 : load64(from, cursors[r].values + (cursors[r].position + w->columns - k + 1) / 2);
            first = _mm512_and_si512(both, low_bits);
            second = _mm512_and_si512(_mm512_srli_epi16(both, 4), low_bits);
            cursors[r].position += COPPICE_ROUNDED_STEP;
            _mm_prefetch((const char *)from + ahead, _MM_HINT_T0);
        } else {
            if (!masked) {
                const char *from = (const char *)cursors[r].values + cursors[r].position + ahead;
                _mm_prefetch(from, _MM_HINT_T0);
                _mm_prefetch(from + 64, _MM_HINT_T0);
            }
            next_step(value, masked, w, &cursors[r], row + r, k, &first, &second);
        }
#pragma clang loop unroll(full)
        for (int b = 0; b < B; b++) {
            const long at = (x_first + b) * x->padded + k;
            const int8_t *a = (split ? x->split_codes : x->codes) + at;
            __m128 both = _mm_mul_ps(scales, _mm_loadu_ps(x->scales + at / COPPICE_ROUNDED_BLOCK));
            __m512 t = _mm512_castps128_ps512(both);
            __m128 sum = _mm_loadu_ps(x->sums + at / COPPICE_ROUNDED_BLOCK);
            if (B <= 2) {
                corrections[b][r] = _mm_fmadd_ps(offsets, sum, corrections[b][r]);
            } else {
                // Registers are short: the correction goes where the sum is, at twice the price.
                sums[b][r] = _mm512_mask3_fnmadd_ps(
                    _mm512_castps128_ps512(offsets), _mm512_castps128_ps512(sum), sums[b][r], 0xF);
            }
            __m512i dots = _mm512_dpbusd_epi32(_mm512_setzero_si512(), first, _mm512_loadu_si512(a));
            if (split) {
                dots = _mm512_dpbusd_epi32(dots, second, _mm512_loadu_si512(a + 64));
                sums[b][r] =
                    _mm512_fmadd_ps(_mm512_cvtepi32_ps(dots), _mm512_permutexvar_ps(quarters, t), sums[b][r]);
            } else {
                __m512i more = _mm512_dpbusd_epi32(_mm512_setzero_si512(), second, _mm512_loadu_si512(a + 64));
                sums[b][r] =
                    _mm512_fmadd_ps(_mm512_cvtepi32_ps(dots), _mm512_permutexvar_ps(first_half, t), sums[b][r]);
                sums[b][r] =
                    _mm512_fmadd_ps(_mm512_cvtepi32_ps(more), _mm512_permutexvar_ps(second_half, t), sums[b][r]);
            }
        }
    }
}

/// `R` rows of W from `row` on with `B` rows of x.
COPPICE_INLINE void tile(
    const int value, const int masked, const int R, const int B,
    const coppice_packed_weight *w, const coppice_rounded_rows *x, long x_first, float *y, long y_stride, long row) {
    cursor cursors[4];
    __m512 sums[8][4];
    __m128 corrections[2][4];
#pragma clang loop unroll(full)
    for (int r = 0; r < R; r++) {
        cursors[r] = row_cursor(w, row + r);
#pragma clang loop unroll(full)
        for (int b = 0; b < B; b++) {
            sums[b][r] = _mm512_setzero_ps();
            if (B <= 2) corrections[b][r] = _mm_setzero_ps();
        }
    }
    long steps = w->columns / COPPICE_ROUNDED_STEP;
    for (long s = 0; s < steps; s++)
        multiply_step(
            value, masked, R, B, 1, w, x, x_first, row, s, cursors, sums, corrections);
    if (steps * COPPICE_ROUNDED_STEP < w->columns)
        multiply_step(
            value, masked, R, B, 0, w, x, x_first, row, steps, cursors, sums, corrections);
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

typedef void (*tile_function)(
    const coppice_packed_weight *w, const coppice_rounded_rows *x, long x_first, float *y, long y_stride, long row);

// One tile for each kind of value, mask and number of rows of x.
enum { tile_rows = 4 };
// Rows of W at once: as many as leave no register in memory.
#define ROWS(M, B) ((M) ? 1 : (B) > 4 ? 2 : 4)
#define TILE(V, M, B) \
    static void tile_##V##_##M##_##B( \
        const coppice_packed_weight *w, const coppice_rounded_rows *x, long x_first, float *y, long y_stride, \
        long row) { \
        for (int r = 0; r < tile_rows; r += ROWS(M, B)) \
            tile(COPPICE_PACKED_##V, M, ROWS(M, B), B, w, x, x_first, y, y_stride, row + r); \
    } \
    static void single_##V##_##M##_##B( \
        const coppice_packed_weight *w, const coppice_rounded_rows *x, long x_first, float *y, long y_stride, \
        long row) { \
        tile(COPPICE_PACKED_##V, M, 1, B, w, x, x_first, y, y_stride, row); \
    }
#define TILES(V, M) TILE(V, M, 1) TILE(V, M, 2) TILE(V, M, 4) TILE(V, M, 8)
TILES(U8, 0)
TILES(U8, 1)
TILES(U4, 0)
TILES(U4, 1)
#pragma clang attribute pop

typedef struct {
    tile_function four, one;
} kernel;
#define ENTRY(V, M, B) {tile_##V##_##M##_##B, single_##V##_##M##_##B}
#define ENTRIES(V, M) {ENTRY(V, M, 1), ENTRY(V, M, 2), ENTRY(V, M, 4), ENTRY(V, M, 8)}
static const kernel kernels[2][2][4] = {{ENTRIES(U8, 0), ENTRIES(U8, 1)}, {ENTRIES(U4, 0), ENTRIES(U4, 1)}};

int coppice_integer_kernels_apply(const coppice_packed_weight *w, long x_rows) {
    if (w->value < COPPICE_PACKED_U8 || w->columns == 0 || grouping_of(w) == groups_of_others) return 0;
    if (coppice_cpu_has_vnni()) return 1;
    return coppice_cpu_level_in_use() >= COPPICE_CPU_AVX2 && !w->masks && x_rows <= 8;
}

void coppice_integer_tiles(
    const coppice_packed_weight *w, const coppice_rounded_rows *x, long x_first, long x_rows, float *y, long y_stride,
    long first, long last) {
    if (!coppice_cpu_has_vnni()) {
        coppice_integer_tiles_avx2(w, x, x_first, x_rows, y, y_stride, first, last);
        return;
    }
    kernel k = kernels[w->value == COPPICE_PACKED_U4][w->masks != 0][x_rows == 8 ? 3 : x_rows / 2];
    long row = first;
    for (; row + tile_rows <= last; row += tile_rows) k.four(w, x, x_first, y, y_stride, row);
    for (; row < last; row++) k.one(w, x, x_first, y, y_stride, row);
}
#else
int coppice_integer_kernels_apply(const coppice_packed_weight *w, long x_rows) { return (void)w, (void)x_rows, 0; }

void coppice_integer_tiles(
    const coppice_packed_weight *w, const coppice_rounded_rows *x, long x_first, long x_rows, float *y, long y_stride,
    long first, long last) {
    (void)w, (void)x, (void)x_first, (void)x_rows, (void)y, (void)y_stride, (void)first, (void)last;
}
#endif
