#include "group_tile.h"

#include "dot_tile.h"
#include "register_panel.h"
#include "thread_pool.h"

#if defined(__x86_64__)
#include <immintrin.h>
#include <string.h>

#pragma clang attribute push( \
    __attribute__((target( \
        "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx512vbmi,avx512vbmi2,avx2,fma,f16c,bmi,bmi2,popcnt"))), \
    apply_to = function)

// A panel is 32 rows of W by 512 columns: kept codes less their zero points as signed bytes, zeros elsewhere. A
// register holds 4 columns of 16 rows, so that one 4-byte piece of activations, repeated, meets 16 rows at once.
// Activations are the unsigned side of the dot products: 128 is added to them, and what that adds to a sum is where it
// starts below zero. Integer sums run over a block of 16 or 32 columns, then its scales are applied.
enum {
    step_columns = COPPICE_GROUP_SPARSE_STEP, panel_rows = 32, panel_columns = 512, x_rows_per_task = 256,
    largest_tile = 6, panel_quads = panel_columns / 4, most_blocks = panel_columns / 16,
};

typedef struct {
    __m512i codes[2][panel_quads];   ///< [16 rows a half][4 columns]
    __m512 scales[most_blocks][2];   ///< of 16 rows
    __m512i starts[most_blocks][2];  ///< minus 128 times the block's sum of codes
    _Alignas(64) uint8_t rows[16][panel_columns];
} panel;

typedef struct {
    const coppice_group_sparse *w;
    const coppice_rounded_rows *x;
    const uint8_t *activations; ///< codes + 128, [rows, padded]
    float *y;
    long y_stride, x_tasks;
} product;

/// One step of a row: 128 bytes of codes less zero points, and the scales of its blocks, 0 where nothing is kept.
static long unpack_step(
    const coppice_group_sparse *w, long row, long step, long position, uint8_t *codes, float *scales, long block) {
    const long groups = step_columns / w->group, group_bytes = w->group * w->bits / 8;
    unsigned mask = (unsigned)w->masks[row * w->mask_stride + step * groups / 8] >> (step * groups % 8);
    memset(codes, 0, step_columns);
    memset(scales, 0, (size_t)(step_columns / block) * sizeof(float));
    for (mask &= (1u << groups) - 1; mask != 0; mask &= mask - 1, position++) {
        const long first = __builtin_ctz(mask) * w->group;
        const uint8_t *from = w->values + position * group_bytes;
        const float scale = coppice_f32_from_f16(coppice_load_u16((const char *)w->scales + 2 * position));
        const __m128i zero = _mm_set1_epi8((char)(w->zeros ? w->zeros[position] : 1 << (w->bits - 1)));
        for (long c = 0; c < w->group; c += 16) {
            __m128i q;
            if (w->bits == 4) {
                const __m128i low_bits = _mm_set1_epi8(15);
                __m128i bytes = _mm_loadl_epi64((const __m128i *)(from + c / 2));
                q = _mm_unpacklo_epi8(
                    _mm_and_si128(bytes, low_bits), _mm_and_si128(_mm_srli_epi16(bytes, 4), low_bits));
            } else {
                q = _mm_loadu_si128((const __m128i *)(from + c));
            }
            _mm_storeu_si128((__m128i *)(codes + first + c), _mm_sub_epi8(q, zero));
        }
        for (long c = 0; c < w->group; c += block) scales[(first + c) / block] = scale;
    }
    return position;
}

/// Unpacks columns k ..< k + 512 of 16 rows; `positions` move on. Rows past the last are zero.
static void unpack(
    const coppice_group_sparse *w, long *positions, long first_row, int half, long k, long block, panel *p) {
    const long columns = w->columns - k < panel_columns ? w->columns - k : panel_columns;
    const long steps = (columns + step_columns - 1) / step_columns, blocks = step_columns / block;
    float scales[panel_columns / 16];
    for (int r = 0; r < 16; r++) {
        if (first_row + r >= w->rows) {
            memset(p->rows[r], 0, panel_columns);
            memset(scales, 0, sizeof scales);
        } else {
            for (long s = 0; s < steps; s++)
                positions[r] = unpack_step(
                    w, first_row + r, k / step_columns + s, positions[r], p->rows[r] + s * step_columns,
                    scales + s * blocks, block);
        }
        for (long g = 0; g < steps * blocks; g++) ((float *)&p->scales[g][half])[r] = scales[g];
    }
    for (long q = 0; q < steps * step_columns / 64; q++)
        coppice_transpose_words(p->rows[0] + q * 64, panel_columns, &p->codes[half][q * 16]);
    const __m512i shift = _mm512_set1_epi8((char)128);
    for (long g = 0; g < steps * blocks; g++) {
        __m512i sum = _mm512_setzero_si512();
        for (long q = g * (block / 4); q < (g + 1) * (block / 4); q++)
            sum = _mm512_dpbusd_epi32(sum, shift, p->codes[half][q]);
        p->starts[g][half] = _mm512_sub_epi32(_mm512_setzero_si512(), sum);
    }
}

/// y[i][r] += the panel's columns, k ..< k + blocks · block, for `T` rows of x and the panel's rows.
COPPICE_INLINE void tile(
    const int T, const int block, const panel *p, const product *t, long i, long k, long blocks, float *y,
    uint32_t lanes) {
    __m512 sums[largest_tile][2];
    const coppice_rounded_rows *x = t->x;
    const uint8_t *codes = t->activations + i * x->padded + k;
    const long blocks_of_row = x->padded / COPPICE_ROUNDED_BLOCK;
    const float *scales = x->scales + i * blocks_of_row + k / COPPICE_ROUNDED_BLOCK;
#pragma clang loop unroll(full)
    for (int n = 0; n < T; n++) sums[n][0] = sums[n][1] = _mm512_setzero_ps();
    for (long g = 0; g < blocks; g++) {
        __m512i dots[largest_tile][2];
#pragma clang loop unroll(full)
        for (int n = 0; n < T; n++) dots[n][0] = p->starts[g][0], dots[n][1] = p->starts[g][1];
#pragma clang loop unroll(full)
        for (int q = 0; q < block / 4; q++) {
            __m512i low = p->codes[0][g * (block / 4) + q], high = p->codes[1][g * (block / 4) + q];
#pragma clang loop unroll(full)
            for (int n = 0; n < T; n++) {
                int32_t four;
                memcpy(&four, codes + n * x->padded + g * block + q * 4, 4);
                __m512i a = _mm512_set1_epi32(four);
                dots[n][0] = _mm512_dpbusd_epi32(dots[n][0], a, low);
                dots[n][1] = _mm512_dpbusd_epi32(dots[n][1], a, high);
            }
        }
#pragma clang loop unroll(full)
        for (int n = 0; n < T; n++) {
            __m512 scale = _mm512_set1_ps(scales[n * blocks_of_row + g * block / COPPICE_ROUNDED_BLOCK]);
#pragma clang loop unroll(full)
            for (int h = 0; h < 2; h++)
                sums[n][h] = _mm512_fmadd_ps(
                    _mm512_cvtepi32_ps(dots[n][h]), _mm512_mul_ps(p->scales[g][h], scale), sums[n][h]);
        }
    }
    coppice_add_panel_sums(T, sums, k == 0, y, t->y_stride, lanes);
}

typedef void (*tile_function)(
    const panel *p, const product *t, long i, long k, long blocks, float *y, uint32_t lanes);
#define TILE(T, BLOCK) \
    static void tile_##T##_##BLOCK( \
        const panel *p, const product *t, long i, long k, long blocks, float *y, uint32_t lanes) { \
        tile(T, BLOCK, p, t, i, k, blocks, y, lanes); \
    }
#define TILES(BLOCK) \
    TILE(1, BLOCK) TILE(2, BLOCK) TILE(3, BLOCK) TILE(4, BLOCK) TILE(5, BLOCK) TILE(6, BLOCK)
TILES(16)
TILES(32)
#define ENTRIES(BLOCK) \
    {tile_1_##BLOCK, tile_2_##BLOCK, tile_3_##BLOCK, tile_4_##BLOCK, tile_5_##BLOCK, tile_6_##BLOCK}
static const tile_function tiles[2][largest_tile] = {ENTRIES(16), ENTRIES(32)};

static void run_task(void *context, long index) {
    const product *t = context;
    const coppice_group_sparse *w = t->w;
    const long row = index / t->x_tasks * panel_rows, first = index % t->x_tasks * x_rows_per_task;
    const long last = first + x_rows_per_task < t->x->rows ? first + x_rows_per_task : t->x->rows;
    const long block = w->group == 16 ? 16 : 32;
    const uint32_t lanes = w->rows - row >= panel_rows ? ~0u : (1u << (w->rows - row)) - 1;
    long positions[panel_rows] = {0};
    for (long r = 0; r < panel_rows && row + r < w->rows; r++) positions[r] = w->starts[row + r];
    panel p;
    for (long k = 0; k < w->columns; k += panel_columns) {
        for (int half = 0; half < 2; half++) unpack(w, positions + 16 * half, row + 16 * half, half, k, block, &p);
        const long rest = t->x->padded - k < panel_columns ? t->x->padded - k : panel_columns;
        for (long i = first; i < last;) {
            const long count = last - i < largest_tile ? last - i : largest_tile;
            tiles[block == 32][count - 1](&p, t, i, k, rest / block, t->y + i * t->y_stride + row, lanes);
            i += count;
        }
    }
}
#pragma clang attribute pop

void coppice_group_panel_product(
    const coppice_group_sparse *w, const coppice_rounded_rows *x, uint8_t *memory, float *y, long y_stride) {
    const long bytes = x->rows * x->padded;
    for (long i = 0; i < bytes; i++) memory[i] = (uint8_t)x->codes[i] ^ 128;
    product p = {w, x, memory, y, y_stride, (x->rows + x_rows_per_task - 1) / x_rows_per_task};
    coppice_parallel_for((w->rows + panel_rows - 1) / panel_rows * p.x_tasks, &p, run_task);
}
#else
void coppice_group_panel_product(
    const coppice_group_sparse *w, const coppice_rounded_rows *x, uint8_t *memory, float *y, long y_stride) {
    (void)w, (void)x, (void)memory, (void)y, (void)y_stride;
}
#endif
