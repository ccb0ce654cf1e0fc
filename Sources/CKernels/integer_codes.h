// How integer kernels read weights: codes as bytes, scales block by block. Internal.
#pragma once

#include "block_layouts.h"
#include "integer_weight.h"

/// What a group is to a step. Branches on it always go the same way for a weight.
typedef enum { groups_of_32, groups_of_64, groups_of_steps, groups_of_others } grouping;

static inline grouping grouping_of(const coppice_packed_weight *w) {
    if (w->groups <= 1 || w->group % COPPICE_ROUNDED_STEP == 0) return groups_of_steps;
    return w->group == 32 ? groups_of_32 : w->group == 64 ? groups_of_64 : groups_of_others;
}

#if defined(__x86_64__)
#include "dot_tile.h"

#include <immintrin.h>
#include <string.h>

/// The scales of the four blocks of step `s`, and their products with the zero points.
COPPICE_AVX2 COPPICE_INLINE void block_scales(
    const coppice_packed_weight *w, const int whole, long row, long s, __m128 *scales, __m128 *offsets) {
    const grouping grouping = grouping_of(w);
    const char *f16 = (const char *)w->scales;
    long at, count;
    if (grouping == groups_of_steps) {
        at = row * w->groups + (w->groups == 1 ? 0 : s * COPPICE_ROUNDED_STEP / w->group);
        __m128i one = _mm_cvtsi32_si128(coppice_load_u16(f16 + 2 * at));
        *scales = _mm_broadcastss_ps(_mm_cvtph_ps(one));
        *offsets = w->zeros ? _mm_mul_ps(*scales, _mm_set1_ps((float)w->zeros[at]))
                             : _mm_mul_ps(*scales, _mm_set1_ps(w->zero));
        return;
    }
    const int a_step = grouping == groups_of_32 ? 4 : 2;
    at = s * a_step;
    count = whole ? a_step : w->groups - at;
    at += row * w->groups;
    uint64_t halves;
    uint32_t zeros, two;
    uint16_t two_zeros;
    // Copies of a length that is known are a load each; others are calls that cost more than the rest of the step.
    if (count >= 4 && a_step == 4) {
        memcpy(&halves, f16 + 2 * at, 8);
    } else if (count >= 2) {
        memcpy(&two, f16 + 2 * at, 4);
        halves = two;
        if (count == 3 && a_step == 4) halves |= (uint64_t)coppice_load_u16(f16 + 2 * at + 4) << 32;
    } else {
        halves = coppice_load_u16(f16 + 2 * at);
    }
    *scales = _mm_cvtph_ps(_mm_cvtsi64_si128((long long)halves));
    if (w->zeros) {
        if (count >= 4 && a_step == 4) {
            memcpy(&zeros, w->zeros + at, 4);
        } else if (count >= 2) {
            memcpy(&two_zeros, w->zeros + at, 2);
            zeros = two_zeros;
            if (count == 3 && a_step == 4) zeros |= (uint32_t)w->zeros[at + 2] << 16;
        } else {
            zeros = w->zeros[at];
        }
        __m128 z = _mm_cvtepi32_ps(_mm_cvtepu8_epi32(_mm_cvtsi32_si128((int)zeros)));
        *offsets = _mm_mul_ps(*scales, z);
    } else {
        *offsets = _mm_mul_ps(*scales, _mm_set1_ps(w->zero));
    }
    if (a_step == 2) {
        *scales = _mm_unpacklo_ps(*scales, *scales);
        *offsets = _mm_unpacklo_ps(*offsets, *offsets);
    }
}

#define COPPICE_VNNI \
    __attribute__((target( \
        "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx512vbmi,avx512vbmi2,gfni,avx2,fma,f16c,bmi,bmi2," \
        "popcnt")))
#pragma clang attribute push(COPPICE_VNNI, apply_to = function)

/// A place in a row of codes.
typedef struct {
    const uint8_t *values, *end;
    const uint16_t *masks;
    long position; ///< element of the next value
    __m256 scales, offsets; ///< of the block of 256 columns that is being read, for types that read them together
} cursor;

/// Sixty-four bytes, without reading past `end`.
COPPICE_INLINE __m512i load64(const uint8_t *from, const uint8_t *end) {
    long rest = end - from;
    if (__builtin_expect(rest >= 64, 1)) return _mm512_loadu_si512(from);
    return _mm512_maskz_loadu_epi8(rest <= 0 ? 0 : _bzhi_u64(~0ull, (unsigned)rest), from);
}

/// The next 64 codes of 4 bits, a byte each, in order.
COPPICE_INLINE __m512i next_nibbles(const cursor *c) {
    const __m512i pairs = _mm512_setr_epi32(0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8);
    __m512i words = _mm512_permutexvar_epi32(pairs, load64(c->values + c->position / 2, c->end));
    const __m512i shifts = _mm512_set1_epi64(0x1C1814100C080400);
    __m512i odd = _mm512_set1_epi8((char)((c->position & 1) * 4));
    return _mm512_and_si512(
        _mm512_multishift_epi64_epi8(_mm512_add_epi8(shifts, odd), words), _mm512_set1_epi8(15));
}

/// The codes of columns k ..< k + 64 of a row in order; where there is no value, `blank`.
COPPICE_INLINE __m512i next_codes(const int value, const int masked, cursor *c, long k, long columns, __m512i blank) {
    __m512i codes = value == COPPICE_PACKED_U4 ? next_nibbles(c) : load64(c->values + c->position, c->end);
    if (!masked) {
        c->position += 64;
        return codes;
    }
    uint64_t mask = 0;
    long blocks = (columns - k + 15) / 16; // of this row, so that no other's masks are read
    if (blocks >= 4) memcpy(&mask, c->masks + k / 16, 8);
    else if (blocks > 0) memcpy(&mask, c->masks + k / 16, (size_t)blocks * 2);
    c->position += __builtin_popcountll(mask);
    return _mm512_mask_expand_epi8(blank, mask, codes);
}

/// The place of a row's first code.
COPPICE_INLINE cursor row_cursor(const coppice_packed_weight *w, long row) {
    const uint8_t *values = w->values;
    return (cursor){
        .values = values,
        .end = values + (w->value == COPPICE_PACKED_U4 ? (w->value_count + 1) / 2 : w->value_count),
        .masks = w->masks ? w->masks + row * ((w->columns + 15) / 16) : 0,
        .position = w->starts ? w->starts[row] : row * w->row_values,
    };
}

/// What a step of 128 columns of a row is: W = scale · code - offset.
typedef struct {
    __m512i first, second;  ///< the codes, in order
    __m256 scales, offsets; ///< of each 32 columns (four are used), or of each 16
} integer_step;

#include "block_steps.h"
#include "plane_codes.h"

/// The codes of columns k ..< k + 128 of row `row` in order; where there is no value, the group's zero point.
COPPICE_INLINE void next_step(
    const int value, const int masked, const coppice_packed_weight *w, cursor *c, long row, long k, __m512i *first,
    __m512i *second) {
    __m512i blank = _mm512_set1_epi8((char)(int)w->zero), other = blank;
    if (masked && w->zeros) {
        // Groups of 32 may change in the middle of each half.
        const uint8_t *zeros = w->zeros + row * w->groups;
        long last = w->groups - 1, group = w->groups == 1 ? w->columns + 128 : w->group;
        __m512i quarters[4];
        for (int i = 0; i < 4; i++) {
            long g = (k + 32 * i) / group;
            quarters[i] = _mm512_set1_epi8((char)zeros[g < last ? g : last]);
        }
        blank = _mm512_mask_blend_epi32(0xFF00, quarters[0], quarters[1]);
        other = _mm512_mask_blend_epi32(0xFF00, quarters[2], quarters[3]);
    }
    *first = next_codes(value, masked, c, k, w->columns, blank);
    *second = next_codes(value, masked, c, k + 64, w->columns, other);
}

/// Step `s` of row `row`, of which `whole` says whether it is a whole one; `c` is at its first value and moves on.
COPPICE_INLINE integer_step read_step(
    const int kind, const int whole, const coppice_integer_weight *w, cursor *c, long row, long s) {
    if (kind >= COPPICE_INTEGER_PLANES) return plane_step(kind, whole, w, row, s);
    if (kind >= COPPICE_INTEGER_BLOCKS)
        return block_step(kind - COPPICE_INTEGER_BLOCKS, c, s, w->columns);
    integer_step step;
    __m128 scales, offsets;
    next_step(
        kind >= COPPICE_INTEGER_U4 ? COPPICE_PACKED_U4 : COPPICE_PACKED_U8,
        kind == COPPICE_INTEGER_U8_MASKED || kind == COPPICE_INTEGER_U4_MASKED, w->packed, c, row,
        s * COPPICE_ROUNDED_STEP, &step.first, &step.second);
    block_scales(w->packed, whole, row, s, &scales, &offsets);
    step.scales = _mm256_zextps128_ps256(scales);
    step.offsets = _mm256_zextps128_ps256(offsets);
    return step;
}

/// The place where row `row` starts.
COPPICE_INLINE cursor start_of_row(const int kind, const coppice_integer_weight *w, long row) {
    if (kind < COPPICE_INTEGER_BLOCKS) return row_cursor(w->packed, row);
    if (kind >= COPPICE_INTEGER_PLANES) return (cursor){0};
    const long bytes = coppice_block_row_bytes(w->blocks->type, w->columns);
    return (cursor){.values = (const uint8_t *)w->blocks->blocks + row * bytes};
}
#pragma clang attribute pop
#endif
