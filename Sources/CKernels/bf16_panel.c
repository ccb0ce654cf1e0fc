#include "bf16_panel.h"

#include "register_panel.h"
#include "thread_pool.h"

#if defined(__x86_64__)
#define COPPICE_BF16 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")))
#pragma clang attribute push(COPPICE_BF16, apply_to = function)

// As in integer_panel.c, with pairs of bf16 where that has fours of bytes: a panel is 32 rows of W by 256 columns, a
// register of it holds 2 columns of 16 rows.
enum {
    panel_rows = 32, panel_columns = 256, panel_pairs = panel_columns / 2, x_rows_per_task = 512, largest_tile = 6,
};

typedef struct {
    __m512i pairs[2][panel_pairs]; ///< [16 rows a half][2 columns]
    _Alignas(64) uint16_t rows[16][panel_columns];
} panel;

typedef struct {
    const uint16_t *weight;
    long rows, columns;
    const coppice_activations *x;
    float *y;
    long y_stride, x_tasks;
} product;

/// Columns k ..< k + 256 of 16 rows. Rows and columns past the last are zero.
static void fill(const product *t, long first_row, int half, long k, panel *p) {
    long columns = t->columns - k < panel_columns ? t->columns - k : panel_columns;
    for (int r = 0; r < 16; r++) {
        const uint16_t *from = t->weight + (first_row + r) * t->columns + k;
        long count = first_row + r < t->rows ? columns : 0;
        for (long c = 0; c < (columns + 31) / 32 * 32; c += 32) {
            long rest = count - c;
            __mmask32 mask = rest >= 32 ? ~0u : rest > 0 ? (1u << rest) - 1 : 0;
            _mm512_store_si512(p->rows[r] + c, _mm512_maskz_loadu_epi16(mask, from + c));
        }
    }
    for (long c = 0; c < columns; c += 32)
        coppice_transpose_words(p->rows[0] + c, panel_columns * 2, &p->pairs[half][c / 2]);
}

/// y[i][r] += columns k ..< k + `columns`, the panel's, for `T` rows of x and the panel's rows.
COPPICE_INLINE void tile(
    const int T, const panel *p, const coppice_activations *x, long i, long k, long columns, float *y, long y_stride,
    uint32_t lanes) {
    __m512 sums[largest_tile][2];
    const uint16_t *from = x->bf16 + i * x->padded + k;
#pragma clang loop unroll(full)
    for (int t = 0; t < T; t++) sums[t][0] = sums[t][1] = _mm512_setzero_ps();
    for (long c = 0; c < columns; c += 2) {
        __m512bh low = (__m512bh)p->pairs[0][c / 2], high = (__m512bh)p->pairs[1][c / 2];
#pragma clang loop unroll(full)
        for (int t = 0; t < T; t++) {
            int32_t two;
            memcpy(&two, from + t * x->padded + c, 4);
            __m512bh pair = (__m512bh)_mm512_set1_epi32(two);
            sums[t][0] = _mm512_dpbf16_ps(sums[t][0], low, pair);
            sums[t][1] = _mm512_dpbf16_ps(sums[t][1], high, pair);
        }
    }
    coppice_add_panel_sums(T, sums, k == 0, y, y_stride, lanes);
}

typedef void (*tile_function)(
    const panel *, const coppice_activations *, long i, long k, long columns, float *, long y_stride, uint32_t lanes);
#define TILE(T) \
    static void tile_##T( \
        const panel *p, const coppice_activations *x, long i, long k, long columns, float *y, long y_stride, \
        uint32_t lanes) { \
        tile(T, p, x, i, k, columns, y, y_stride, lanes); \
    }
TILE(1)
TILE(2)
TILE(3)
TILE(4)
TILE(5)
TILE(6)
static const tile_function tiles[largest_tile] = {tile_1, tile_2, tile_3, tile_4, tile_5, tile_6};

static void run_task(void *context, long index) {
    const product *t = context;
    long row = index / t->x_tasks * panel_rows, first = index % t->x_tasks * x_rows_per_task;
    long last = first + x_rows_per_task < t->x->rows ? first + x_rows_per_task : t->x->rows;
    uint32_t lanes = t->rows - row >= panel_rows ? ~0u : (1u << (t->rows - row)) - 1;
    panel p;
    for (long k = 0; k < t->columns; k += panel_columns) {
        for (int half = 0; half < 2; half++) fill(t, row + 16 * half, half, k, &p);
        long rest = t->x->padded - k < panel_columns ? t->x->padded - k : panel_columns;
        for (long i = first; i < last;) {
            long count = last - i < largest_tile ? last - i : largest_tile;
            tiles[count - 1](&p, t->x, i, k, rest, t->y + i * t->y_stride + row, t->y_stride, lanes);
            i += count;
        }
    }
}
#pragma clang attribute pop

void coppice_bf16_panel_product(
    const uint16_t *weight, long rows, long columns, const coppice_activations *x, float *y, long y_stride) {
    product p = {weight, rows, columns, x, y, y_stride, (x->rows + x_rows_per_task - 1) / x_rows_per_task};
    coppice_parallel_for((rows + panel_rows - 1) / panel_rows * p.x_tasks, &p, run_task);
}
#else
void coppice_bf16_panel_product(
    const uint16_t *weight, long rows, long columns, const coppice_activations *x, float *y, long y_stride) {
    (void)weight, (void)rows, (void)columns, (void)x, (void)y, (void)y_stride;
}
#endif
