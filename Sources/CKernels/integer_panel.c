#include "integer_panel.h"

#include "integer_codes.h"
#include "register_panel.h"
#include "thread_pool.h"

#if defined(__x86_64__)
#pragma clang attribute push(COPPICE_VNNI, apply_to = function)

// A panel is 32 rows of W by 512 columns, as bytes. In it, a register holds 4 columns of 16 rows, so that one 4-byte
// piece of activations, repeated, meets 16 rows at once. Panel and activations of a tile stay in the first-level cache.
// Integer sums run over the columns that share a scale (16 or 32: a group), then scales are applied.
enum {
    panel_rows = 32, panel_columns = 512, x_rows_per_task = 512, largest_tile = 6,
    most_groups = panel_columns / 16, panel_quads = panel_columns / 4,
};

typedef struct {
    __m512i codes[2][panel_quads];    ///< [16 rows a half][4 columns]
    __m512 scales[most_groups][2];    ///< of 16 rows
    __m512 offsets[most_groups][2];   ///< scale · zero point
    _Alignas(64) uint8_t rows[16][panel_columns];
} panel;

typedef struct {
    const coppice_integer_weight *w;
    const coppice_rounded_rows *x;
    float *y;
    long y_stride, x_tasks;
} product;

/// Unpacks columns k ..< k + 512 of 16 rows; `cursors` move on. Rows and columns past the last are zero.
COPPICE_INLINE void unpack(
    const int kind, const coppice_integer_weight *w, cursor *cursors, long first_row, int half, long k, panel *p) {
    const int groups = COPPICE_ROUNDED_STEP / coppice_integer_grain(kind);
    long columns = w->columns - k < panel_columns ? w->columns - k : panel_columns;
    long steps = (columns + COPPICE_ROUNDED_STEP - 1) / COPPICE_ROUNDED_STEP;
    for (int r = 0; r < 16; r++) {
        if (first_row + r >= w->rows) {
            memset(p->rows[r], 0, panel_columns);
            for (long g = 0; g < steps * groups; g++)
                ((float *)&p->scales[g][half])[r] = ((float *)&p->offsets[g][half])[r] = 0;
            continue;
        }
        for (long s = 0; s < steps; s++) {
            long at = k / COPPICE_ROUNDED_STEP + s;
            int whole = (at + 1) * COPPICE_ROUNDED_STEP <= w->columns;
            integer_step step = read_step(kind, whole, w, &cursors[r], first_row + r, at);
            _mm512_store_si512(p->rows[r] + s * COPPICE_ROUNDED_STEP, step.first);
            _mm512_store_si512(p->rows[r] + s * COPPICE_ROUNDED_STEP + 64, step.second);
            float scales[8], offsets[8];
            _mm256_storeu_ps(scales, step.scales);
            _mm256_storeu_ps(offsets, step.offsets);
            for (int g = 0; g < groups; g++) {
                ((float *)&p->scales[s * groups + g][half])[r] = scales[g];
                ((float *)&p->offsets[s * groups + g][half])[r] = offsets[g];
            }
        }
    }
    for (long q = 0; q * 64 < columns; q++)
        coppice_transpose_words(p->rows[0] + q * 64, panel_columns, &p->codes[half][q * 16]);
}

/// y[i][r] += columns k ..< k + `columns`, the panel's, for `T` rows of x and the panel's rows. `zero` is the zero
/// point of all groups, or -1 where each has its own: one for all is taken off the integers, before any scale.
COPPICE_INLINE void tile(
    const int T, const int grain, const int own_zeros, int zero, const panel *p, const coppice_rounded_rows *x, long i,
    long k, long columns, float *y, long y_stride, uint32_t lanes) {
    __m512 sums[largest_tile][2];
    int32_t taken_off[largest_tile][most_groups];
    const int8_t *codes = x->codes + i * x->padded + k;
    const long blocks_of_row = x->padded / COPPICE_ROUNDED_BLOCK, at = i * blocks_of_row + k / COPPICE_ROUNDED_BLOCK;
    const int32_t *totals = grain == 16 ? x->half_totals + 2 * at : x->totals + at;
    const long totals_of_row = x->padded / grain;
#pragma clang loop unroll(full)
    for (int t = 0; t < T; t++) {
        sums[t][0] = sums[t][1] = _mm512_setzero_ps();
        if (!own_zeros)
            for (long g = 0; g < columns / grain; g++) taken_off[t][g] = -zero * totals[t * totals_of_row + g];
    }
    for (long g = 0; g < columns / grain; g++) {
        __m512i dots[largest_tile][2];
        const long block = at + g * grain / COPPICE_ROUNDED_BLOCK;
#pragma clang loop unroll(full)
        for (int t = 0; t < T; t++)
            dots[t][0] = dots[t][1] = own_zeros ? _mm512_setzero_si512() : _mm512_set1_epi32(taken_off[t][g]);
#pragma clang loop unroll(full)
        for (int q = 0; q < grain / 4; q++) {
            __m512i low = p->codes[0][g * (grain / 4) + q];
            __m512i high = p->codes[1][g * (grain / 4) + q];
#pragma clang loop unroll(full)
            for (int t = 0; t < T; t++) {
                int32_t four;
                memcpy(&four, codes + t * x->padded + g * grain + q * 4, 4);
                __m512i a = _mm512_set1_epi32(four);
                dots[t][0] = _mm512_dpbusd_epi32(dots[t][0], low, a);
                dots[t][1] = _mm512_dpbusd_epi32(dots[t][1], high, a);
            }
        }
#pragma clang loop unroll(full)
        for (int t = 0; t < T; t++) {
            __m512 scale = _mm512_set1_ps(x->scales[block + t * blocks_of_row]);
            __m512 sum = grain == 16 ? _mm512_mul_ps(scale, _mm512_set1_ps((float)totals[t * totals_of_row + g]))
                                     : _mm512_set1_ps(x->sums[block + t * blocks_of_row]);
#pragma clang loop unroll(full)
            for (int h = 0; h < 2; h++) {
                sums[t][h] = _mm512_fmadd_ps(
                    _mm512_cvtepi32_ps(dots[t][h]), _mm512_mul_ps(p->scales[g][h], scale), sums[t][h]);
                if (own_zeros) sums[t][h] = _mm512_fnmadd_ps(p->offsets[g][h], sum, sums[t][h]);
            }
        }
    }
    coppice_add_panel_sums(T, sums, k == 0, y, y_stride, lanes);
}

typedef void (*tile_function)(
    int zero, const panel *, const coppice_rounded_rows *, long i, long k, long columns, float *, long y_stride,
    uint32_t lanes);
#define TILE(T, GRAIN, OWN) \
    static void tile_##T##_##GRAIN##_##OWN( \
        int zero, const panel *p, const coppice_rounded_rows *x, long i, long k, long columns, float *y, \
        long y_stride, uint32_t lanes) { \
        tile(T, GRAIN, OWN, zero, p, x, i, k, columns, y, y_stride, lanes); \
    }
#define TILES(GRAIN, OWN) \
    TILE(1, GRAIN, OWN) TILE(2, GRAIN, OWN) TILE(3, GRAIN, OWN) TILE(4, GRAIN, OWN) TILE(5, GRAIN, OWN) \
    TILE(6, GRAIN, OWN)
TILES(16, 0)
TILES(16, 1)
TILES(32, 0)
TILES(32, 1)
#define TILE_ENTRIES(GRAIN, OWN) \
    {tile_1_##GRAIN##_##OWN, tile_2_##GRAIN##_##OWN, tile_3_##GRAIN##_##OWN, tile_4_##GRAIN##_##OWN, \
     tile_5_##GRAIN##_##OWN, tile_6_##GRAIN##_##OWN}
static const tile_function tiles[2][2][largest_tile] = {
    {TILE_ENTRIES(16, 0), TILE_ENTRIES(16, 1)}, {TILE_ENTRIES(32, 0), TILE_ENTRIES(32, 1)}};

typedef void (*unpack_function)(const coppice_integer_weight *, cursor *, long first_row, int half, long k, panel *);
#define UNPACK(KIND) \
    static void unpack_##KIND( \
        const coppice_integer_weight *w, cursor *cursors, long first_row, int half, long k, panel *p) { \
        unpack(COPPICE_INTEGER_##KIND, w, cursors, first_row, half, k, p); \
    }
COPPICE_EACH_INTEGER_KIND(UNPACK)
COPPICE_EACH_MASKED_KIND(UNPACK)
COPPICE_EACH_PLANE_KIND(UNPACK)
#define UNPACK_ENTRY(KIND) [COPPICE_INTEGER_##KIND] = unpack_##KIND,
static const unpack_function unpacks[COPPICE_INTEGER_KINDS] = {
    COPPICE_EACH_INTEGER_KIND(UNPACK_ENTRY) COPPICE_EACH_MASKED_KIND(UNPACK_ENTRY)
    COPPICE_EACH_PLANE_KIND(UNPACK_ENTRY)};

static void run_task(void *context, long index) {
    const product *t = context;
    const coppice_integer_weight *w = t->w;
    long row = index / t->x_tasks * panel_rows, first = index % t->x_tasks * x_rows_per_task;
    long last = first + x_rows_per_task < t->x->rows ? first + x_rows_per_task : t->x->rows;
    uint32_t lanes = w->rows - row >= panel_rows ? ~0u : (1u << (w->rows - row)) - 1;
    cursor cursors[panel_rows];
    for (int r = 0; r < panel_rows && row + r < w->rows; r++) cursors[r] = start_of_row(w->kind, w, row + r);
    const int zero = coppice_integer_zero(w);
    const tile_function *tile = tiles[coppice_integer_grain(w->kind) == 32][zero < 0];
    panel p;
    for (long k = 0; k < w->columns; k += panel_columns) {
        for (int half = 0; half < 2; half++)
            unpacks[w->kind](w, cursors + 16 * half, row + 16 * half, half, k, &p);
        long rest = t->x->padded - k < panel_columns ? t->x->padded - k : panel_columns;
        for (long i = first; i < last;) {
            long count = last - i < largest_tile ? last - i : largest_tile;
            tile[count - 1](zero, &p, t->x, i, k, rest, t->y + i * t->y_stride + row, t->y_stride, lanes);
            i += count;
        }
    }
}
#pragma clang attribute pop

void coppice_integer_panel_product(
    const coppice_integer_weight *w, const coppice_rounded_rows *x, float *y, long y_stride) {
    product p = {w, x, y, y_stride, (x->rows + x_rows_per_task - 1) / x_rows_per_task};
    coppice_parallel_for((w->rows + panel_rows - 1) / panel_rows * p.x_tasks, &p, run_task);
}
#else
void coppice_integer_panel_product(
    const coppice_integer_weight *w, const coppice_rounded_rows *x, float *y, long y_stride) {
    (void)w, (void)x, (void)y, (void)y_stride;
}
#endif
