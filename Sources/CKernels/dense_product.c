#include "dense_product.h"

#include "bf16_panel.h"
#include "conversion.h"
#include "cpu_features.h"
#include "dot_tile.h"
#include "panel_product.h"

// Up to eight activation rows read the weight once, straight from where it lies. For one or two memory bandwidth is the
// limit: rows of the weight are read one after the other, so that a thread reads one long run of memory, which the
// processor's prefetchers follow; asking for lines ahead of them only takes their places.
// More rows share panels: of bf16 where the processor multiplies that, else expanded to f32 (panel_product.c).
enum { largest_direct_batch = 8 };

static long element_size(coppice_float_type type) { return type == COPPICE_TYPE_F32 ? 4 : 2; }

static const char *row_of(const coppice_dense_weight *w, long row) {
    return (const char *)w->values + row * w->columns * element_size(w->type);
}

static void expand(const void *weight, long row, long first_column, long count, float *values) {
    const coppice_dense_weight *w = weight;
    const char *source = row_of(w, row) + first_column * element_size(w->type);
    switch (w->type) {
    case COPPICE_TYPE_F32: memcpy(values, source, count * sizeof(float)); break;
    case COPPICE_TYPE_BF16: coppice_convert_serially(COPPICE_DATA_BF16, COPPICE_DATA_F32, count, source, values); break;
    case COPPICE_TYPE_F16: coppice_convert_serially(COPPICE_DATA_F16, COPPICE_DATA_F32, count, source, values); break;
    }
}

static void multiply_panels(const void *weight, const coppice_activations *x, float *y, long y_stride) {
    const coppice_dense_weight *w = weight;
    coppice_panel_product(w, expand, w->rows, w->columns, x->values, x->rows, x->stride, y, y_stride);
}

static void multiply_panels_in_bf16(const void *weight, const coppice_activations *x, float *y, long y_stride) {
    const coppice_dense_weight *w = weight;
    coppice_bf16_panel_product(w->values, w->rows, w->columns, x, y, y_stride);
}

#if defined(__x86_64__)
/// One row of W times `B` rows of x; even and odd vectors have sums of their own.
COPPICE_AVX512 COPPICE_INLINE void dot_row_512(
    const int type, const int B, const char *row, long columns, const coppice_activations *x, __m512 sums[8]) {
    __m512 odd[8];
#pragma clang loop unroll(full)
    for (int b = 0; b < B; b++) sums[b] = odd[b] = _mm512_setzero_ps();
    long k = 0;
    for (; k + 32 <= columns; k += 32) {
        __m512 first = coppice_load16(type, row, k), second = coppice_load16(type, row, k + 16);
#pragma clang loop unroll(full)
        for (int b = 0; b < B; b++) {
            const float *from = x->values + b * x->stride + k;
            sums[b] = _mm512_fmadd_ps(first, _mm512_loadu_ps(from), sums[b]);
            odd[b] = _mm512_fmadd_ps(second, _mm512_loadu_ps(from + 16), odd[b]);
        }
    }
    for (; k < columns; k += 16) {
        __mmask16 mask = columns - k >= 16 ? 0xFFFF : (__mmask16)((1u << (columns - k)) - 1);
        __m512 rest = coppice_load16_masked(type, row, k, mask);
#pragma clang loop unroll(full)
        for (int b = 0; b < B; b++)
            sums[b] = _mm512_fmadd_ps(rest, _mm512_maskz_loadu_ps(mask, x->values + b * x->stride + k), sums[b]);
    }
#pragma clang loop unroll(full)
    for (int b = 0; b < B; b++) sums[b] = _mm512_add_ps(sums[b], odd[b]);
}

/// Rows of W side by side that share each load of x, as many as keep all sums in registers: more than two rows of x
/// make the product one of arithmetic, and long ones do not stay in the first-level cache.
COPPICE_AVX512 COPPICE_INLINE void shared_rows_512(
    const int type, const int B, const coppice_dense_weight *w, const coppice_activations *x, float *y, long y_stride,
    long first, long last) {
    const int together = 4 * B <= 24 ? 4 : 2;
    const long stride = w->columns * (type == COPPICE_TYPE_F32 ? 4 : 2);
    float out[8][4];
    for (long row = first; row < last;) {
        const int count = row + together <= last ? together : 1;
        if (count == 1)
            coppice_dot_tile_512(type, 1, B, row_of(w, row), stride, w->columns, x->values, x->stride, out);
        else
            coppice_dot_tile_512(type, together, B, row_of(w, row), stride, w->columns, x->values, x->stride, out);
        for (int b = 0; b < B; b++)
            for (int r = 0; r < count; r++) y[b * y_stride + row + r] = out[b][r];
        row += count;
    }
}

COPPICE_AVX512 COPPICE_INLINE void rows_512(
    const int type, const int B, const coppice_dense_weight *w, const coppice_activations *x, float *y, long y_stride,
    long first, long last) {
    enum { together = 4 };
    if (B > 2) {
        shared_rows_512(type, B, w, x, y, y_stride, first, last);
        return;
    }
    for (long row = first; row < last; row += together) {
        __m512 sums[together][2];
        long count = last - row < together ? last - row : together;
        for (long r = 0; r < together; r++) {
            __m512 own[8];
            if (r < count) dot_row_512(type, B, row_of(w, row + r), w->columns, x, own);
#pragma clang loop unroll(full)
            for (int b = 0; b < B; b++) sums[r][b] = r < count ? own[b] : _mm512_setzero_ps();
        }
        for (int b = 0; b < B; b++)
            _mm_mask_storeu_ps(
                y + b * y_stride + row, (__mmask8)((1 << count) - 1),
                coppice_sum4_512(sums[0][b], sums[1][b], sums[2][b], sums[3][b]));
    }
}

COPPICE_AVX2 COPPICE_INLINE void rows_256(
    const int type, const int B, const coppice_dense_weight *w, const coppice_activations *x, float *y, long y_stride,
    long first, long last) {
    for (long r = first; r < last; r++) {
        const char *row = row_of(w, r);
        __m256 sums[8], odd[8];
#pragma clang loop unroll(full)
        for (int b = 0; b < B; b++) sums[b] = odd[b] = _mm256_setzero_ps();
        long k = 0;
        for (; k + 16 <= w->columns; k += 16) {
            __m256 low = coppice_load8(type, row, k), high = coppice_load8(type, row, k + 8);
#pragma clang loop unroll(full)
            for (int b = 0; b < B; b++) {
                const float *from = x->values + b * x->stride + k;
                sums[b] = _mm256_fmadd_ps(low, _mm256_loadu_ps(from), sums[b]);
                // More than four rows of x leave no registers for two sums each.
                if (B <= 4) odd[b] = _mm256_fmadd_ps(high, _mm256_loadu_ps(from + 8), odd[b]);
                else sums[b] = _mm256_fmadd_ps(high, _mm256_loadu_ps(from + 8), sums[b]);
            }
        }
#pragma clang loop unroll(full)
        for (int b = 0; b < B; b++) {
            float sum = coppice_sum_256(B <= 4 ? _mm256_add_ps(sums[b], odd[b]) : sums[b]);
            for (long c = k; c < w->columns; c++) sum += coppice_load1(type, row, c) * x->values[b * x->stride + c];
            y[b * y_stride + r] = sum;
        }
    }
}

typedef void (*rows_function)(
    const coppice_dense_weight *w, const coppice_activations *x, float *y, long y_stride, long first, long last);
#define ROWS(WIDTH, TYPE, B)                                                                                         \
    COPPICE_##WIDTH static void rows_##WIDTH##_##TYPE##_##B(                                                         \
        const coppice_dense_weight *w, const coppice_activations *x, float *y, long y_stride, long first,            \
        long last) {                                                                                                 \
        ROWS_##WIDTH(COPPICE_TYPE_##TYPE, B, w, x, y, y_stride, first, last);                                        \
    }
#define ROWS_AVX512 rows_512
#define ROWS_AVX2 rows_256
#define BATCHES(WIDTH, TYPE)                                                                                         \
    ROWS(WIDTH, TYPE, 1) ROWS(WIDTH, TYPE, 2) ROWS(WIDTH, TYPE, 3) ROWS(WIDTH, TYPE, 4) ROWS(WIDTH, TYPE, 5)         \
    ROWS(WIDTH, TYPE, 6) ROWS(WIDTH, TYPE, 7) ROWS(WIDTH, TYPE, 8)
#define TYPES(WIDTH) BATCHES(WIDTH, F32) BATCHES(WIDTH, BF16) BATCHES(WIDTH, F16)
TYPES(AVX512)
TYPES(AVX2)

#define ENTRIES(WIDTH, TYPE)                                                                                         \
    [COPPICE_TYPE_##TYPE] = {                                                                                        \
        rows_##WIDTH##_##TYPE##_1, rows_##WIDTH##_##TYPE##_2, rows_##WIDTH##_##TYPE##_3, rows_##WIDTH##_##TYPE##_4,  \
        rows_##WIDTH##_##TYPE##_5, rows_##WIDTH##_##TYPE##_6, rows_##WIDTH##_##TYPE##_7, rows_##WIDTH##_##TYPE##_8},
#define TABLE(WIDTH) {ENTRIES(WIDTH, F32) ENTRIES(WIDTH, BF16) ENTRIES(WIDTH, F16)}
static const rows_function functions_512[3][8] = TABLE(AVX512), functions_256[3][8] = TABLE(AVX2);

static void multiply_rows(
    const void *weight, const coppice_activations *x, float *y, long y_stride, long first, long last) {
    const coppice_dense_weight *w = weight;
    int is_512 = coppice_cpu_level_in_use() == COPPICE_CPU_AVX512;
    (is_512 ? functions_512 : functions_256)[w->type][x->rows - 1](w, x, y, y_stride, first, last);
}
#endif

coppice_row_kernel coppice_dense_kernel(const coppice_dense_weight *weight, long x_rows, int may_narrow) {
    coppice_row_kernel kernel = {
        .weight = weight, .rows = weight->rows, .columns = weight->columns,
        .row_bytes = weight->columns * element_size(weight->type), .multiply = multiply_panels};
#if defined(__x86_64__)
    if (coppice_cpu_level_in_use() >= COPPICE_CPU_AVX2 && x_rows <= largest_direct_batch && weight->columns > 0)
        kernel.multiply_rows = multiply_rows;
    else if (may_narrow && weight->type == COPPICE_TYPE_BF16 && coppice_cpu_has_bf16() && weight->columns > 0) {
        kernel.reads = COPPICE_READS_BF16;
        kernel.multiply = multiply_panels_in_bf16;
    }
#else
    (void)x_rows, (void)may_narrow;
#endif
    return kernel;
}
