#include "plane_tile.h"

#include "cpu_features.h"
#include "integer_codes.h"
#include "plane_codes.h"

enum { tile_rows = 4, long_group = 512 };

#if defined(__x86_64__)
#pragma clang attribute push(COPPICE_GFNI, apply_to = function)

// As in integer_tile.c a step is 128 columns, four blocks of activations with a scale each. Up to 3 bits, and 4 with tables,
// the codes of a step come out in pairs of groups of columns (plane_codes.h), so that all its products add up in one
// register of integers, which meets the scales once. More bits take two loads and two registers.
//
// Where groups are whole steps, or a row has one, sums take only the activations' scales on their way, which all rows of
// W share; the weight's scale and its zero point (with the sum of the activations) follow at the group's end.

/// How codes are read and what they are. A kernel is compiled for each.
typedef enum {
    natural_integers, paired_integers,
    paired_values,      ///< of one table at a time
    paired_many_values, ///< of a table for each group, several in a step
    plane_kinds,
} plane_kind;

typedef struct {
    const coppice_plane_weight *w;
    const coppice_packed_weight *groups; ///< its scales and zero points
    const coppice_rounded_rows *x;
    long x_first;
    float *y;
    long y_stride;
    plane_decoder decoder;
    long row_bytes;
    long step_groups; ///< in a step; 1 where groups are longer
} products;

COPPICE_INLINE float from_f16(const void *scales, long at) {
    return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(coppice_load_u16((const char *)scales + 2 * at))));
}

/// Adds step `s` of `R` rows of W times `B` rows of x.
COPPICE_INLINE void multiply_step(
    const plane_kind kind, const int small_groups, const int R, const int B, const int whole, const products *p,
    long row, long s, __m512i tables[4], __m512 sums[8][4], __m128 activations[8]) {
    const int paired = kind != natural_integers;
    const __m512i quarters = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
    const __m512i first_half = _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);
    const __m512i second_half = _mm512_setr_epi32(2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3);
    const __m512i even = _mm512_setr_epi64(0, 2, 4, 6, 8, 10, 12, 14);
    const __m512i odd = _mm512_setr_epi64(1, 3, 5, 7, 9, 11, 13, 15);
    const coppice_plane_weight *w = p->w;
    const coppice_rounded_rows *x = p->x;
    const long k = s * COPPICE_ROUNDED_STEP, at = p->x_first * x->padded + k, block = at / COPPICE_ROUNDED_BLOCK;
    const long blocks = x->padded / COPPICE_ROUNDED_BLOCK;
    const long step_bytes = 16 * w->bits, from = s * step_bytes;
    const long bytes = whole ? step_bytes : p->row_bytes - from;
    __m512i a[8][2];
#pragma clang loop unroll(full)
    for (int b = 0; b < B; b++) {
        __m512i low = _mm512_loadu_si512(x->codes + at + b * x->padded);
        __m512i high = _mm512_loadu_si512(x->codes + at + b * x->padded + 64);
        a[b][0] = paired ? _mm512_permutex2var_epi64(low, even, high) : low;
        a[b][1] = paired ? _mm512_permutex2var_epi64(low, odd, high) : high;
        if (!small_groups)
            activations[b] = _mm_add_ps(activations[b], _mm_loadu_ps(x->sums + block + b * blocks));
    }
#pragma clang loop unroll(full)
    for (int r = 0; r < R; r++) {
        const uint8_t *planes = w->planes + (row + r) * p->row_bytes + from;
        __m512i first, second;
        read_planes(
            paired ? plane_order_paired : plane_order_natural, kind == paired_many_values, &p->decoder, planes, bytes,
            &first, &second);
        // Rows are too short for the processor to see where its reads go: it is told the same place of the next tile.
        _mm_prefetch((const char *)planes + R * p->row_bytes, _MM_HINT_T0);
        if (!paired) _mm_prefetch((const char *)planes + R * p->row_bytes + 64, _MM_HINT_T0);
        if (kind == paired_many_values) {
            // The step's groups, whose number may end with the row.
            const long group = s * p->step_groups, left = w->groups - group;
            tables[r] = step_tables(w, row + r, group, p->step_groups < left ? p->step_groups : left);
        } else if (kind == paired_values && small_groups && w->group_tables) {
            tables[r] = repeated_table(w, row + r, k / w->group);
        }
        if (paired && kind != paired_integers) {
            first = _mm512_permutexvar_epi8(first, tables[r]);
            second = _mm512_permutexvar_epi8(second, tables[r]);
        }
        __m128 scales, offsets;
        if (small_groups) block_scales(p->groups, whole, row + r, s, &scales, &offsets);
#pragma clang loop unroll(full)
        for (int b = 0; b < B; b++) {
            __m128 by = _mm_loadu_ps(x->scales + block + b * blocks);
            if (small_groups) {
                by = _mm_mul_ps(by, scales);
                __m128 of = _mm_loadu_ps(x->sums + block + b * blocks);
                sums[b][r] = _mm512_mask3_fnmadd_ps(
                    _mm512_castps128_ps512(offsets), _mm512_castps128_ps512(of), sums[b][r], 0xF);
            }
            __m512 t = _mm512_castps128_ps512(by);
            __m512i dots = _mm512_dpbusd_epi32(_mm512_setzero_si512(), first, a[b][0]);
            if (paired) {
                dots = _mm512_dpbusd_epi32(dots, second, a[b][1]);
                sums[b][r] =
                    _mm512_fmadd_ps(_mm512_cvtepi32_ps(dots), _mm512_permutexvar_ps(quarters, t), sums[b][r]);
            } else {
                __m512i more = _mm512_dpbusd_epi32(_mm512_setzero_si512(), second, a[b][1]);
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
    const plane_kind kind, const int small_groups, const int R, const int B, const products *p, long row) {
    const coppice_plane_weight *w = p->w;
    __m512 sums[8][4], totals[8][4];
    __m512i tables[4];
    __m128 activations[8];
#pragma clang loop unroll(full)
    for (int b = 0; b < B; b++)
#pragma clang loop unroll(full)
        for (int r = 0; r < R; r++) totals[b][r] = _mm512_setzero_ps();
    const long groups = small_groups || w->groups < 1 ? 1 : w->groups;
    for (long g = 0, s = 0; g < groups; g++) {
        const long last = g + 1 == groups ? w->columns : (g + 1) * w->group;
#pragma clang loop unroll(full)
        for (int b = 0; b < B; b++) {
            activations[b] = _mm_setzero_ps();
#pragma clang loop unroll(full)
            for (int r = 0; r < R; r++) sums[b][r] = _mm512_setzero_ps();
        }
        if (kind == paired_values && (g == 0 || w->group_tables)) {
#pragma clang loop unroll(full)
            for (int r = 0; r < R; r++) tables[r] = repeated_table(w, row + r, g);
        }
        for (; (s + 1) * COPPICE_ROUNDED_STEP <= last; s++)
            multiply_step(kind, small_groups, R, B, 1, p, row, s, tables, sums, activations);
        if (s * COPPICE_ROUNDED_STEP < last) // the row's end
            multiply_step(kind, small_groups, R, B, 0, p, row, s, tables, sums, activations);
#pragma clang loop unroll(full)
        for (int r = 0; r < R; r++) {
            const long at = (row + r) * w->groups + g;
            const float zero = w->zeros && !small_groups ? (float)w->zeros[at] : w->zero;
            const float scale = small_groups ? 1 : from_f16(w->scales, at);
#pragma clang loop unroll(full)
            for (int b = 0; b < B; b++) {
                __m512 sum = sums[b][r];
                if (!small_groups)
                    sum = _mm512_mask3_fnmadd_ps(
                        _mm512_set1_ps(zero), _mm512_castps128_ps512(activations[b]), sum, 0xF);
                totals[b][r] = small_groups ? sum : _mm512_fmadd_ps(sum, _mm512_set1_ps(scale), totals[b][r]);
            }
        }
    }
#pragma clang loop unroll(full)
    for (int b = 0; b < B; b++)
#pragma clang loop unroll(full)
        for (int r = 0; r < R; r++) p->y[b * p->y_stride + row + r] = _mm512_reduce_add_ps(totals[b][r]);
}

typedef void (*tile_function)(const products *, long row);

// Rows of W at once: as many as leave the sums in registers.
#define ROWS(B) ((B) > 2 ? 2 : 4)
#define TILE(KIND, SMALL, B) \
    static void tile_##KIND##_##SMALL##_##B(const products *p, long row) { \
        for (int r = 0; r < tile_rows; r += ROWS(B)) tile(KIND, SMALL, ROWS(B), B, p, row + r); \
    } \
    static void single_##KIND##_##SMALL##_##B(const products *p, long row) { tile(KIND, SMALL, 1, B, p, row); }
#define TILES(KIND, SMALL) TILE(KIND, SMALL, 1) TILE(KIND, SMALL, 2) TILE(KIND, SMALL, 4) TILE(KIND, SMALL, 8)
TILES(natural_integers, 0)
TILES(natural_integers, 1)
TILES(paired_integers, 0)
TILES(paired_integers, 1)
TILES(paired_values, 0)
TILES(paired_values, 1)
TILES(paired_many_values, 1)

static plane_decoder decoder_for(const coppice_plane_weight *w, plane_kind kind, long step_groups) {
    return plane_decoder_for(
        kind == natural_integers ? plane_order_natural : plane_order_paired, w->bits,
        kind == paired_many_values ? (int)step_groups : 1);
}
#pragma clang attribute pop

typedef struct {
    tile_function four, one;
} kernel;
#define ENTRY(KIND, SMALL, B) {tile_##KIND##_##SMALL##_##B, single_##KIND##_##SMALL##_##B}
#define ENTRIES(KIND, SMALL) \
    {ENTRY(KIND, SMALL, 1), ENTRY(KIND, SMALL, 2), ENTRY(KIND, SMALL, 4), ENTRY(KIND, SMALL, 8)}
static const kernel kernels[plane_kinds][2][4] = {
    [natural_integers] = {ENTRIES(natural_integers, 0), ENTRIES(natural_integers, 1)},
    [paired_integers] = {ENTRIES(paired_integers, 0), ENTRIES(paired_integers, 1)},
    [paired_values] = {ENTRIES(paired_values, 0), ENTRIES(paired_values, 1)},
    [paired_many_values] = {{{0}}, ENTRIES(paired_many_values, 1)}};

int coppice_plane_tiles_apply(const coppice_plane_weight *w, long x_rows) {
    if (w->columns == 0) return 0;
    if (coppice_cpu_has_vnni() && __builtin_cpu_supports("gfni")) return 1;
    return coppice_cpu_level_in_use() >= COPPICE_CPU_AVX2 && x_rows <= 8;
}

void coppice_plane_tiles(
    const coppice_plane_weight *w, const coppice_rounded_rows *x, long x_first, long x_rows, float *y, long y_stride,
    long first, long last) {
    if (!coppice_cpu_has_vnni() || !__builtin_cpu_supports("gfni")) {
        coppice_plane_tiles_avx2(w, x, x_first, x_rows, y, y_stride, first, last);
        return;
    }
    const coppice_packed_weight groups = {
        .rows = w->rows, .columns = w->columns, .scales = w->scales, .zeros = w->zeros, .zero = w->zero,
        .group = w->group, .groups = w->groups};
    const int within_step = grouping_of(&groups) != groups_of_steps;
    // To end a group costs about as much as a step's scales; with many sums in memory it costs more.
    const int small = within_step || (x_rows > 2 && w->groups > 1 && w->group < long_group);
    products p = {w, &groups, x, x_first, y, y_stride, .row_bytes = coppice_plane_row_bytes(w->bits, w->columns)};
    p.step_groups = within_step ? COPPICE_ROUNDED_STEP / w->group : 1;
    const plane_kind kind = !w->values ? (w->bits <= 3 ? paired_integers : natural_integers)
        : w->group_tables && p.step_groups > 1 ? paired_many_values : paired_values;
    p.decoder = decoder_for(w, kind, p.step_groups);
    kernel k = kernels[kind][small][x_rows == 8 ? 3 : x_rows / 2];
    long row = first;
    for (; row + tile_rows <= last; row += tile_rows) k.four(&p, row);
    for (; row < last; row++) k.one(&p, row);
}
#else
int coppice_plane_tiles_apply(const coppice_plane_weight *w, long x_rows) { return (void)w, (void)x_rows, 0; }

void coppice_plane_tiles(
    const coppice_plane_weight *w, const coppice_rounded_rows *x, long x_first, long x_rows, float *y, long y_stride,
    long first, long last) {
    (void)w, (void)x, (void)x_first, (void)x_rows, (void)y, (void)y_stride, (void)first, (void)last;
}
#endif
