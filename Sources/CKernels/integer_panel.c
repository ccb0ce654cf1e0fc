#include "integer_panel.h"

#include "integer_codes.h"
#include "thread_pool.h"

#if defined(__x86_64__)
#pragma clang attribute push(COPPICE_VNNI, apply_to = function)

// A panel is 32 rows of W by 512 columns, as bytes. In it, a register holds 4 columns of 16 rows, so that one 4-byte
// piece of activations, repeated, meets 16 rows at once. Panel and activations of a tile stay in the first-level cache.
// Integer sums run over a block of 32 columns, then its scales are applied.
enum {
    panel_rows = 32, panel_columns = 512, x_rows_per_task = 256, largest_tile = 6,
    panel_blocks = panel_columns / COPPICE_ROUNDED_BLOCK, panel_quads = panel_columns / 4,
};

typedef struct {
    __m512i codes[2][panel_quads];       ///< [16 rows a half][4 columns]
    __m512 scales[panel_blocks][2];      ///< of 16 rows
    __m512 offsets[panel_blocks][2];     ///< scale · zero point
    _Alignas(64) uint8_t rows[16][panel_columns];
} panel;

typedef struct {
    const coppice_packed_weight *w;
    const coppice_rounded_rows *x;
    float *y;
    long y_stride, x_tasks;
} product;

/// Sixteen rows of 16 pieces of 4 bytes become 16 pieces of 16 rows.
COPPICE_INLINE void transpose(const uint8_t *rows, __m512i *out) {
    __m512i a[16], b[16];
#pragma clang loop unroll(full)
    for (int r = 0; r < 16; r++) a[r] = _mm512_loadu_si512(rows + r * panel_columns);
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

/// Unpacks columns k ..< k + 512 of 16 rows; `cursors` move on. Rows and columns past the last are zero.
COPPICE_INLINE void unpack(
    const int value, const int masked, const coppice_packed_weight *w, cursor *cursors, long first_row, int half,
    long k, panel *p) {
    long columns = w->columns - k < panel_columns ? w->columns - k : panel_columns;
    long steps = (columns + COPPICE_ROUNDED_STEP - 1) / COPPICE_ROUNDED_STEP;
    for (int r = 0; r < 16; r++) {
        if (first_row + r >= w->rows) {
            memset(p->rows[r], 0, panel_columns);
            for (int g = 0; g < panel_blocks; g++)
                ((float *)&p->scales[g][half])[r] = ((float *)&p->offsets[g][half])[r] = 0;
            continue;
        }
        for (long s = 0; s < steps; s++) {
            __m512i first, second;
            long step = k / COPPICE_ROUNDED_STEP + s;
            int whole = (step + 1) * COPPICE_ROUNDED_STEP <= w->columns;
            next_step(
                value, masked, w, &cursors[r], first_row + r, step * COPPICE_ROUNDED_STEP, &first, &second);
            _mm512_store_si512(p->rows[r] + s * COPPICE_ROUNDED_STEP, first);
            _mm512_store_si512(p->rows[r] + s * COPPICE_ROUNDED_STEP + 64, second);
            __m128 scales, offsets;
            block_scales(w, whole, first_row + r, step, &scales, &offsets);
            float of[4], zero[4];
            _mm_storeu_ps(of, scales);
            _mm_storeu_ps(zero, offsets);
            for (int g = 0; g < 4; g++) {
                ((float *)&p->scales[s * 4 + g][half])[r] = of[g];
                ((float *)&p->offsets[s * 4 + g][half])[r] = zero[g];
            }
        }
    }
    for (long q = 0; q * 64 < columns; q++) transpose(p->rows[0] + q * 64, &p->codes[half][q * 16]);
}

/// y[i][r] += the panel's columns, k ..< k + 32 blocks, for `T` rows of x and the panel's rows. `zero` is the zero point
/// of all groups, or -1 where each has its own: one for all is taken off the integers, before any scale.
COPPICE_INLINE void tile(
    const int T, const int zero, const panel *p, const coppice_rounded_rows *x, long i, long k, long blocks, float *y, long y_stride,
    uint32_t lanes) {
    __m512 sums[largest_tile][2];
    const int8_t *codes = x->codes + i * x->padded + k;
    const long blocks_of_row = x->padded / COPPICE_ROUNDED_BLOCK, at = i * blocks_of_row + k / COPPICE_ROUNDED_BLOCK;
#pragma clang loop unroll(full)
    for (int t = 0; t < T; t++) sums[t][0] = sums[t][1] = _mm512_setzero_ps();
    for (long g = 0; g < blocks; g++) {
        __m512i dots[largest_tile][2];
#pragma clang loop unroll(full)
        for (int t = 0; t < T; t++)
            dots[t][0] = dots[t][1] =
                zero < 0 ? _mm512_setzero_si512() : _mm512_set1_epi32(-zero * x->totals[at + t * blocks_of_row + g]);
#pragma clang loop unroll(full)
        for (int q = 0; q < COPPICE_ROUNDED_BLOCK / 4; q++) {
            __m512i low = p->codes[0][g * (COPPICE_ROUNDED_BLOCK / 4) + q];
            __m512i high = p->codes[1][g * (COPPICE_ROUNDED_BLOCK / 4) + q];
#pragma clang loop unroll(full)
            for (int t = 0; t < T; t++) {
                int32_t four;
                memcpy(&four, codes + t * x->padded + g * COPPICE_ROUNDED_BLOCK + q * 4, 4);
                __m512i a = _mm512_set1_epi32(four);
                dots[t][0] = _mm512_dpbusd_epi32(dots[t][0], low, a);
                dots[t][1] = _mm512_dpbusd_epi32(dots[t][1], high, a);
            }
        }
#pragma clang loop unroll(full)
        for (int t = 0; t < T; t++) {
            __m512 scale = _mm512_set1_ps(x->scales[at + t * blocks_of_row + g]);
            __m512 sum = _mm512_set1_ps(x->sums[at + t * blocks_of_row + g]);
#pragma clang loop unroll(full)
            for (int h = 0; h < 2; h++) {
                sums[t][h] = _mm512_fmadd_ps(
                    _mm512_cvtepi32_ps(dots[t][h]), _mm512_mul_ps(p->scales[g][h], scale), sums[t][h]);
                if (zero < 0) sums[t][h] = _mm512_fnmadd_ps(p->offsets[g][h], sum, sums[t][h]);
            }
        }
    }
#pragma clang loop unroll(full)
    for (int t = 0; t < T; t++) {
#pragma clang loop unroll(full)
        for (int h = 0; h < 2; h++) {
            float *to = y + t * y_stride + 16 * h;
            __mmask16 mask = (__mmask16)(lanes >> 16 * h);
            __m512 before = k == 0 ? _mm512_setzero_ps() : _mm512_maskz_loadu_ps(mask, to);
            _mm512_mask_storeu_ps(to, mask, _mm512_add_ps(before, sums[t][h]));
        }
    }
}

#define TILE(T, NAME, ZERO) \
    static void tile_##T##_##NAME( \
        const panel *p, const coppice_rounded_rows *x, long i, long k, long blocks, float *y, long y_stride, \
        uint32_t lanes) { \
        tile(T, ZERO, p, x, i, k, blocks, y, y_stride, lanes); \
    }
#define TILES(T) TILE(T, any, -1) TILE(T, 4, 8) TILE(T, 8, 128)
TILES(1)
TILES(2)
TILES(3)
TILES(4)
TILES(5)
TILES(6)

#define UNPACK(V, M) \
    static void unpack_##V##_##M( \
        const coppice_packed_weight *w, cursor *cursors, long first_row, int half, long k, panel *p) { \
        unpack(COPPICE_PACKED_##V, M, w, cursors, first_row, half, k, p); \
    }
UNPACK(U8, 0)
UNPACK(U8, 1)
UNPACK(U4, 0)
UNPACK(U4, 1)

typedef void (*tile_function)(
    const panel *, const coppice_rounded_rows *, long, long, long, float *, long, uint32_t);
#define ENTRIES(NAME) {tile_1_##NAME, tile_2_##NAME, tile_3_##NAME, tile_4_##NAME, tile_5_##NAME, tile_6_##NAME}
static const tile_function tiles_any[] = ENTRIES(any), tiles_4[] = ENTRIES(4), tiles_8[] = ENTRIES(8);
static void (*const unpacks[2][2])(const coppice_packed_weight *, cursor *, long, int, long, panel *) = {
    {unpack_U8_0, unpack_U8_1}, {unpack_U4_0, unpack_U4_1}};

static void run_task(void *context, long index) {
    const product *t = context;
    const coppice_packed_weight *w = t->w;
    long row = index / t->x_tasks * panel_rows, first = index % t->x_tasks * x_rows_per_task;
    long last = first + x_rows_per_task < t->x->rows ? first + x_rows_per_task : t->x->rows;
    uint32_t lanes = w->rows - row >= panel_rows ? ~0u : (1u << (w->rows - row)) - 1;
    cursor cursors[panel_rows];
    for (int r = 0; r < panel_rows && row + r < w->rows; r++) cursors[r] = row_cursor(w, row + r);
    const tile_function *tiles = w->zeros ? tiles_any : w->value == COPPICE_PACKED_U4 ? tiles_4 : tiles_8;
    panel p;
    for (long k = 0; k < w->columns; k += panel_columns) {
        for (int half = 0; half < 2; half++)
            unpacks[w->value == COPPICE_PACKED_U4][w->masks != 0](
                w, cursors + 16 * half, row + 16 * half, half, k, &p);
        long rest = t->x->padded - k < panel_columns ? t->x->padded - k : panel_columns;
        for (long i = first; i < last;) {
            long count = last - i < largest_tile ? last - i : largest_tile;
            tiles[count - 1](
                &p, t->x, i, k, rest / COPPICE_ROUNDED_BLOCK, t->y + i * t->y_stride + row, t->y_stride, lanes);
            i += count;
        }
    }
}
#pragma clang attribute pop

void coppice_integer_panel_product(
    const coppice_packed_weight *w, const coppice_rounded_rows *x, float *y, long y_stride) {
    product p = {w, x, y, y_stride, (x->rows + x_rows_per_task - 1) / x_rows_per_task};
    coppice_parallel_for((w->rows + panel_rows - 1) / panel_rows * p.x_tasks, &p, run_task);
}
#else
void coppice_integer_panel_product(
    const coppice_packed_weight *w, const coppice_rounded_rows *x, float *y, long y_stride) {
    (void)w, (void)x, (void)y, (void)y_stride;
}
#endif
