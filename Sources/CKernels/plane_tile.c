#include "plane_tile.h"

#include "integer_codes.h"
#include "integer_panel.h"
#include "row_product.h"

#if defined(__x86_64__)
#pragma clang attribute push(COPPICE_VNNI, apply_to = function)

// As in integer_tile.c a step is 128 columns, four blocks of activations with a scale each, and rows of W are read one
// after the other in one long run of memory, every line asked for ahead. Up to 3 bits, and 4 with tables, the codes of
// a step come out in pairs of groups of columns (plane_codes.h), so that all its products add up in one register of
// integers, which meets the scales once; activations are laid out in the same order beforehand. More bits take two
// loads and two registers.
//
// Where groups are whole steps, or a row has one, sums take only the activations' scales on their way; the weight's
// scale and its zero point (with the group's sum of activations) follow at the group's end.

enum {
    bytes_ahead = 4096, rows_together = 4, long_group = 1024,
    most_bytes = 256 << 10, ///< of activations on the stack
};

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
    plane_decoder decoder;
    long row_bytes;
    long step_groups;     ///< in a step; 1 where groups are longer
    const int8_t *codes;  ///< [rows of x, padded]: in the order in which those of W come out
    const float *sums;    ///< [rows of x, groups]: of activations, where groups are whole steps
} products;

COPPICE_INLINE float from_f16(const void *scales, long at) {
    return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(coppice_load_u16((const char *)scales + 2 * at))));
}

/// Adds step `s` of `R` rows of W times `B` rows of x.
COPPICE_INLINE void multiply_step(
    const plane_kind kind, const int small_groups, const int R, const int B, const int whole, const products *p,
    long row, long s, __m512i tables[2], __m512 sums[8][2], __m128 corrections[8][2]) {
    const int paired = kind != natural_integers;
    const __m512i quarters = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
    const __m512i first_half = _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);
    const __m512i second_half = _mm512_setr_epi32(2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3);
    const coppice_plane_weight *w = p->w;
    const coppice_rounded_rows *x = p->x;
    const long k = s * COPPICE_ROUNDED_STEP, blocks = x->padded / COPPICE_ROUNDED_BLOCK;
    const long block = p->x_first * blocks + k / COPPICE_ROUNDED_BLOCK;
    const long step_bytes = 16 * w->bits, from = s * step_bytes;
    const long bytes = whole ? step_bytes : p->row_bytes - from;
#pragma clang loop unroll(full)
    for (int r = 0; r < R; r++) {
        const uint8_t *planes = w->planes + (row + r) * p->row_bytes + from;
        _mm_prefetch((const char *)planes + bytes_ahead, _MM_HINT_T0);
        if (!paired) _mm_prefetch((const char *)planes + bytes_ahead + 64, _MM_HINT_T0);
        __m512i first, second;
        read_planes(
            paired ? plane_order_paired : plane_order_natural, kind == paired_many_values, &p->decoder, planes, bytes,
            &first, &second);
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
            const int8_t *a = p->codes + b * x->padded + k;
            __m128 by = _mm_loadu_ps(x->scales + block + b * blocks);
            if (small_groups) {
                by = _mm_mul_ps(by, scales);
                corrections[b][r] =
                    _mm_fmadd_ps(offsets, _mm_loadu_ps(x->sums + block + b * blocks), corrections[b][r]);
            }
            __m512 t = _mm512_castps128_ps512(by);
            __m512i dots = _mm512_dpbusd_epi32(_mm512_setzero_si512(), first, _mm512_loadu_si512(a));
            if (paired) {
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

/// `R` rows of W from `row` on times `B` rows of x, each as a vector that is still to be summed.
COPPICE_INLINE void multiply_rows_of(
    const plane_kind kind, const int small_groups, const int R, const int B, const products *p, long row,
    __m512 results[][8]) {
    const coppice_plane_weight *w = p->w;
    __m512 sums[8][2], totals[8][2];
    __m512i tables[2];
    __m128 corrections[8][2];
#pragma clang loop unroll(full)
    for (int b = 0; b < B; b++) {
#pragma clang loop unroll(full)
        for (int r = 0; r < R; r++) {
            totals[b][r] = _mm512_setzero_ps();
            corrections[b][r] = _mm_setzero_ps();
        }
    }
    const long groups = small_groups || w->groups < 1 ? 1 : w->groups;
    for (long g = 0, s = 0; g < groups; g++) {
        const long last = g + 1 == groups ? w->columns : (g + 1) * w->group;
#pragma clang loop unroll(full)
        for (int b = 0; b < B; b++) {
#pragma clang loop unroll(full)
            for (int r = 0; r < R; r++) sums[b][r] = _mm512_setzero_ps();
        }
        if (kind == paired_values && (g == 0 || w->group_tables)) {
#pragma clang loop unroll(full)
            for (int r = 0; r < R; r++) tables[r] = repeated_table(w, row + r, g);
        }
        for (; (s + 1) * COPPICE_ROUNDED_STEP <= last; s++)
            multiply_step(kind, small_groups, R, B, 1, p, row, s, tables, sums, corrections);
        if (s * COPPICE_ROUNDED_STEP < last) // the row's end
            multiply_step(kind, small_groups, R, B, 0, p, row, s, tables, sums, corrections);
#pragma clang loop unroll(full)
        for (int r = 0; r < R; r++) {
            if (small_groups) continue;
            const long at = (row + r) * w->groups + g;
            const float scale = from_f16(w->scales, at), zero = w->zeros ? (float)w->zeros[at] : w->zero;
#pragma clang loop unroll(full)
            for (int b = 0; b < B; b++) {
                totals[b][r] = _mm512_fmadd_ps(sums[b][r], _mm512_set1_ps(scale), totals[b][r]);
                corrections[b][r] = _mm_fmadd_ss(
                    _mm_set_ss(scale * zero), _mm_load_ss(p->sums + b * w->groups + g), corrections[b][r]);
            }
        }
    }
#pragma clang loop unroll(full)
    for (int r = 0; r < R; r++) {
#pragma clang loop unroll(full)
        for (int b = 0; b < B; b++)
            results[r][b] = _mm512_sub_ps(
                small_groups ? sums[b][r] : totals[b][r], _mm512_zextps128_ps512(corrections[b][r]));
    }
}

COPPICE_INLINE void multiply_rows(
    const plane_kind kind, const int small_groups, const int B, const products *p, float *y, long y_stride, long first,
    long last) {
    const int R = B > 2 ? 2 : 1; // Where codes are used often, two rows share each load of activations.
    for (long row = first; row < last; row += rows_together) {
        __m512 sums[rows_together][8];
        const long count = last - row < rows_together ? last - row : rows_together;
        long r = 0;
        for (; r + R <= count; r += R) multiply_rows_of(kind, small_groups, R, B, p, row + r, sums + r);
        for (; r < count; r++) multiply_rows_of(kind, small_groups, 1, B, p, row + r, sums + r);
        for (; r < rows_together; r++)
            for (int b = 0; b < B; b++) sums[r][b] = _mm512_setzero_ps();
        for (int b = 0; b < B; b++)
            _mm_mask_storeu_ps(
                y + b * y_stride + row, (__mmask8)((1 << count) - 1),
                coppice_sum4_512(sums[0][b], sums[1][b], sums[2][b], sums[3][b]));
    }
}

typedef void (*rows_function)(const products *, float *y, long y_stride, long first, long last);

#define ROWS(KIND, SMALL, B) \
    static void rows_##KIND##_##SMALL##_##B(const products *p, float *y, long y_stride, long first, long last) { \
        multiply_rows(KIND, SMALL, B, p, y, y_stride, first, last); \
    }
#define BATCHES(KIND, SMALL) ROWS(KIND, SMALL, 1) ROWS(KIND, SMALL, 2) ROWS(KIND, SMALL, 4) ROWS(KIND, SMALL, 8)
BATCHES(natural_integers, 0)
BATCHES(natural_integers, 1)
BATCHES(paired_integers, 0)
BATCHES(paired_integers, 1)
BATCHES(paired_values, 0)
BATCHES(paired_values, 1)
BATCHES(paired_many_values, 1)
#define ENTRY(KIND, SMALL) \
    {rows_##KIND##_##SMALL##_1, rows_##KIND##_##SMALL##_2, rows_##KIND##_##SMALL##_4, rows_##KIND##_##SMALL##_8}
static const rows_function functions[plane_kinds][2][4] = {
    [natural_integers] = {ENTRY(natural_integers, 0), ENTRY(natural_integers, 1)},
    [paired_integers] = {ENTRY(paired_integers, 0), ENTRY(paired_integers, 1)},
    [paired_values] = {ENTRY(paired_values, 0), ENTRY(paired_values, 1)},
    [paired_many_values] = {{0}, ENTRY(paired_many_values, 1)}};

static plane_decoder decoder_for(const coppice_plane_weight *w, plane_order order, int tables) {
    return plane_decoder_for(order, w->bits, tables);
}

/// A row of activations in paired order.
static void pair_codes(const int8_t *codes, long padded, int8_t *paired) {
    const __m512i even = _mm512_setr_epi64(0, 2, 4, 6, 8, 10, 12, 14);
    const __m512i odd = _mm512_setr_epi64(1, 3, 5, 7, 9, 11, 13, 15);
    for (long k = 0; k < padded; k += COPPICE_ROUNDED_STEP) {
        const __m512i low = _mm512_loadu_si512(codes + k), high = _mm512_loadu_si512(codes + k + 64);
        _mm512_storeu_si512(paired + k, _mm512_permutex2var_epi64(low, even, high));
        _mm512_storeu_si512(paired + k + 64, _mm512_permutex2var_epi64(low, odd, high));
    }
}
#pragma clang attribute pop

/// The sums of a row of activations over each group.
static void sum_groups(const coppice_plane_weight *w, const float *block_sums, float *sums) {
    const long blocks = (w->columns + COPPICE_ROUNDED_BLOCK - 1) / COPPICE_ROUNDED_BLOCK;
    const long length = w->groups > 1 ? w->group / COPPICE_ROUNDED_BLOCK : blocks;
    for (long g = 0; g < w->groups; g++) {
        sums[g] = 0;
        for (long k = g * length; k < (g + 1) * length && k < blocks; k++) sums[g] += block_sums[k];
    }
}

static coppice_packed_weight groups_of(const coppice_plane_weight *w) {
    return (coppice_packed_weight){
        .rows = w->rows, .columns = w->columns, .scales = w->scales, .zeros = w->zeros, .zero = w->zero,
        .group = w->group, .groups = w->groups};
}

/// Groups that begin within a step; 1 where they are longer.
static long groups_in_step(const coppice_packed_weight *groups) {
    return grouping_of(groups) == groups_of_steps ? 1 : COPPICE_ROUNDED_STEP / groups->group;
}

void coppice_plane_tiles(
    const coppice_plane_weight *w, const coppice_rounded_rows *x, float *y, long y_stride, long first, long last) {
    const coppice_packed_weight groups = groups_of(w);
    const long step_groups = groups_in_step(&groups);
    const plane_kind kind = !w->values ? (w->bits <= 3 ? paired_integers : natural_integers)
        : w->group_tables && step_groups > 1 ? paired_many_values : paired_values;
    products p = {
        .w = w, .groups = &groups, .x = x, .row_bytes = coppice_plane_row_bytes(w->bits, w->columns),
        .step_groups = step_groups,
        .decoder = decoder_for(
            w, kind == natural_integers ? plane_order_natural : plane_order_paired,
            kind == paired_many_values ? (int)step_groups : 1)};
    const long row_bytes = x->padded + w->groups * (long)sizeof(float), most = most_bytes / row_bytes;
    for (long done = 0; done < x->rows;) {
        const long rest = x->rows - done, count = coppice_batch_of(rest < most ? rest : most);
        // To end a group costs more than the scales of a few steps.
        const int small = step_groups > 1 || (w->groups > 1 && w->group < long_group);
        _Alignas(64) int8_t codes[kind == natural_integers ? 1 : count * x->padded];
        float sums[small ? 1 : count * w->groups];
        for (long b = 0; b < count; b++) {
            if (kind != natural_integers)
                pair_codes(x->codes + (done + b) * x->padded, x->padded, codes + b * x->padded);
            if (!small)
                sum_groups(w, x->sums + (done + b) * x->padded / COPPICE_ROUNDED_BLOCK, sums + b * w->groups);
        }
        p.x_first = done;
        p.codes = kind == natural_integers ? x->codes + done * x->padded : codes;
        p.sums = sums;
        functions[kind][small][count == 8 ? 3 : count / 2](&p, y + done * y_stride, y_stride, first, last);
        done += count;
    }
}

void coppice_plane_panel_product(
    const coppice_plane_weight *w, const coppice_rounded_rows *x, float *y, long y_stride) {
    const coppice_packed_weight groups = groups_of(w);
    const int tables = w->group_tables ? (int)groups_in_step(&groups) : 1;
    const plane_decoder decoder = decoder_for(w, plane_order_natural, tables);
    const coppice_integer_weight integers = {
        .kind = !w->values ? COPPICE_INTEGER_PLANES
            : tables > 1 ? COPPICE_INTEGER_PLANE_MANY_VALUES : COPPICE_INTEGER_PLANE_VALUES,
        .rows = w->rows, .columns = w->columns, .packed = &groups, .planes = w, .plane_decoder = &decoder};
    coppice_integer_panel_product(&integers, x, y, y_stride);
}
#else
void coppice_plane_tiles(
    const coppice_plane_weight *w, const coppice_rounded_rows *x, float *y, long y_stride, long first, long last) {
    (void)w, (void)x, (void)y, (void)y_stride, (void)first, (void)last;
}

void coppice_plane_panel_product(
    const coppice_plane_weight *w, const coppice_rounded_rows *x, float *y, long y_stride) {
    (void)w, (void)x, (void)y, (void)y_stride;
}
#endif
