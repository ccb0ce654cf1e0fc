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
//
// Rows of W are read one after the other, never side by side: a thread then reads one long run of memory, which the
// processor's prefetchers follow from row to row. Only codes of 4 bits, whose scales lie elsewhere, gain from being
// asked for ahead.

enum { bytes_ahead = 4096, rows_together = 4 };

/// Adds step `s` of row `row` of W times `B` rows of x, of which the step's codes start at `x_at`. `whole` says whether
/// all of its columns exist, `halves` (1 or 2) how many of its halves have any.
COPPICE_INLINE void multiply_step(
    const int kind, const int B, const int whole, const int halves, const coppice_integer_weight *w,
    const coppice_rounded_rows *x, long x_at, long row, long s, cursor *c, __m512 sums[8], __m256 corrections[8]) {
    const int grain = coppice_integer_grain(kind);
    const __m512i quarters = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
    const __m512i later_quarters = _mm512_setr_epi32(4, 4, 4, 4, 5, 5, 5, 5, 6, 6, 6, 6, 7, 7, 7, 7);
    const __m512i first_half = _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);
    const __m512i second_half = _mm512_setr_epi32(2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3);
    const __m256i twice = _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3);
    integer_step step;
    if (kind == COPPICE_INTEGER_U4) {
        const __m512i low_bits = _mm512_set1_epi8(15);
        const uint8_t *from = c->values + c->position / 2;
        __m512i both = whole ? _mm512_loadu_si512(from)
                             : load64(from, from + (w->columns - s * COPPICE_ROUNDED_STEP + 1) / 2);
        __m128 scales, offsets;
        block_scales(w->packed, whole, row, s, &scales, &offsets);
        step.first = _mm512_and_si512(both, low_bits);
        step.second = _mm512_and_si512(_mm512_srli_epi16(both, 4), low_bits);
        step.scales = _mm256_zextps128_ps256(scales);
        step.offsets = _mm256_zextps128_ps256(offsets);
        c->position += COPPICE_ROUNDED_STEP;
        _mm_prefetch((const char *)from + bytes_ahead, _MM_HINT_T0);
    } else {
        step = read_step(kind, whole, w, c, row, s);
    }
#pragma clang loop unroll(full)
    for (int b = 0; b < B; b++) {
        const long at = x_at + b * x->padded;
        const int8_t *a = (kind == COPPICE_INTEGER_U4 ? x->split_codes : x->codes) + at;
        __m256 by = _mm256_zextps128_ps256(_mm_loadu_ps(x->scales + at / COPPICE_ROUNDED_BLOCK)), sum;
        if (grain == 16) {
            by = _mm256_permutevar8x32_ps(by, twice);
            __m256i totals = _mm256_loadu_si256((const __m256i *)(x->half_totals + at / 16));
            sum = _mm256_mul_ps(_mm256_cvtepi32_ps(totals), by);
        } else {
            sum = _mm256_zextps128_ps256(_mm_loadu_ps(x->sums + at / COPPICE_ROUNDED_BLOCK));
        }
        corrections[b] = _mm256_fmadd_ps(step.offsets, sum, corrections[b]);
        __m512 scales = _mm512_castps256_ps512(_mm256_mul_ps(step.scales, by));
        __m512i dots = _mm512_dpbusd_epi32(_mm512_setzero_si512(), step.first, _mm512_loadu_si512(a));
        if (kind == COPPICE_INTEGER_U4) {
            dots = _mm512_dpbusd_epi32(dots, step.second, _mm512_loadu_si512(a + 64));
            sums[b] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dots), _mm512_permutexvar_ps(quarters, scales), sums[b]);
        } else {
            sums[b] = _mm512_fmadd_ps(
                _mm512_cvtepi32_ps(dots), _mm512_permutexvar_ps(grain == 16 ? quarters : first_half, scales), sums[b]);
            if (halves == 1) continue;
            __m512i more = _mm512_dpbusd_epi32(_mm512_setzero_si512(), step.second, _mm512_loadu_si512(a + 64));
            sums[b] = _mm512_fmadd_ps(
                _mm512_cvtepi32_ps(more), _mm512_permutexvar_ps(grain == 16 ? later_quarters : second_half, scales),
                sums[b]);
        }
    }
}

/// Row `row` of W times rows x_first ..< x_first + B of x, each as a vector that is still to be summed.
COPPICE_INLINE void multiply_row(
    const int kind, const int B, const coppice_integer_weight *w, const coppice_rounded_rows *x, long x_first, long row,
    __m512 result[8]) {
    __m512 sums[8];
    __m256 corrections[8];
    cursor c = start_of_row(kind, w, row);
#pragma clang loop unroll(full)
    for (int b = 0; b < B; b++) {
        sums[b] = _mm512_setzero_ps();
        corrections[b] = _mm256_setzero_ps();
    }
    const long steps = w->columns / COPPICE_ROUNDED_STEP, at = x_first * x->padded;
    long s = 0;
    for (; s + 2 <= steps; s += 2) {
        multiply_step(kind, B, 1, 2, w, x, at + s * COPPICE_ROUNDED_STEP, row, s, &c, sums, corrections);
        multiply_step(kind, B, 1, 2, w, x, at + (s + 1) * COPPICE_ROUNDED_STEP, row, s + 1, &c, sums, corrections);
    }
    if (s < steps) multiply_step(kind, B, 1, 2, w, x, at + s * COPPICE_ROUNDED_STEP, row, s, &c, sums, corrections);
    const long rest = w->columns - steps * COPPICE_ROUNDED_STEP;
    if (rest > COPPICE_ROUNDED_STEP / 2)
        multiply_step(kind, B, 0, 2, w, x, at + steps * COPPICE_ROUNDED_STEP, row, steps, &c, sums, corrections);
    else if (rest > 0)
        multiply_step(kind, B, 0, 1, w, x, at + steps * COPPICE_ROUNDED_STEP, row, steps, &c, sums, corrections);
#pragma clang loop unroll(full)
    for (int b = 0; b < B; b++) result[b] = _mm512_sub_ps(sums[b], _mm512_zextps256_ps512(corrections[b]));
}

COPPICE_INLINE void multiply_rows(
    const int kind, const int B, const coppice_integer_weight *w, const coppice_rounded_rows *x, long x_first, float *y,
    long y_stride, long first, long last) {
    for (long row = first; row < last; row += rows_together) {
        __m512 sums[rows_together][8];
        long count = last - row < rows_together ? last - row : rows_together;
        for (long r = 0; r < count; r++) multiply_row(kind, B, w, x, x_first, row + r, sums[r]);
        for (long r = count; r < rows_together; r++)
            for (int b = 0; b < B; b++) sums[r][b] = _mm512_setzero_ps();
        for (int b = 0; b < B; b++)
            _mm_mask_storeu_ps(
                y + b * y_stride + row, (__mmask8)((1 << count) - 1),
                coppice_sum4_512(sums[0][b], sums[1][b], sums[2][b], sums[3][b]));
    }
}

// One function for each kind of weight and number of rows of x.
#define ROWS(KIND, B) \
    static void rows_##KIND##_##B( \
        const coppice_integer_weight *w, const coppice_rounded_rows *x, long x_first, float *y, long y_stride, \
        long first, long last) { \
        multiply_rows(COPPICE_INTEGER_##KIND, B, w, x, x_first, y, y_stride, first, last); \
    }
#define BATCHES(KIND) ROWS(KIND, 1) ROWS(KIND, 2) ROWS(KIND, 4) ROWS(KIND, 8)
COPPICE_EACH_INTEGER_KIND(BATCHES)
#pragma clang attribute pop

typedef void (*rows_function)(
    const coppice_integer_weight *w, const coppice_rounded_rows *x, long x_first, float *y, long y_stride, long first,
    long last);
#define ENTRY(KIND) \
    [COPPICE_INTEGER_##KIND] = {rows_##KIND##_1, rows_##KIND##_2, rows_##KIND##_4, rows_##KIND##_8},
static const rows_function functions[COPPICE_INTEGER_KINDS][4] = {COPPICE_EACH_INTEGER_KIND(ENTRY)};

void coppice_integer_tiles(
    const coppice_integer_weight *w, const coppice_rounded_rows *x, float *y, long y_stride, long first, long last) {
    for (long done = 0; done < x->rows;) {
        long count = coppice_batch_of(x->rows - done);
        functions[w->kind][count == 8 ? 3 : count / 2](w, x, done, y + done * y_stride, y_stride, first, last);
        done += count;
    }
}
#else
void coppice_integer_tiles(
    const coppice_integer_weight *w, const coppice_rounded_rows *x, float *y, long y_stride, long first, long last) {
    (void)w, (void)x, (void)y, (void)y_stride, (void)first, (void)last;
}

void coppice_integer_tiles_avx2(
    const coppice_packed_weight *w, const coppice_rounded_rows *x, float *y, long y_stride, long first, long last) {
    (void)w, (void)x, (void)y, (void)y_stride, (void)first, (void)last;
}
#endif
