// How planes of bits become bytes, in AVX-512. Internal; included by integer_codes.h.
//
// The planes of 8 columns are the rows of an 8 × 8 matrix of bits, and their codes its columns. One instruction
// (gf2p8affine, which multiplies such matrices, here with the unit vectors) transposes the 8 matrices of a register; a
// byte permutation before it spreads `bits` bytes of planes over the 8 rows. So 64 codes of any width cost two
// instructions. With the dot products, 128 columns of one row of 2 bits take 1.5 ns on a core of Zen 4 (weights in the
// second-level cache; 0.8 ns without any decoding). The alternatives there: planes as mask registers of moves and
// additions 2.0 ns (and more for each plane), shifts of packed codes 1.7 ns, and no decoding, but population counts for
// each pair of a weight's plane and one of 8 planes of activations 2.2 ns (1.1 ns for 1 bit, 3.4 for 3), which moreover
// cannot stop for the scale of each 32 columns.
//
// Rows without a plane read a byte that is zero, or constants that say which group of the step a column is in: the
// index into a table then has the group above the code, and one permutation looks up a step's tables that lie one after
// the other.

/// The order in which the 16 groups of 8 columns of a step come out.
typedef enum {
    plane_order_natural, ///< first: columns 0 - 63; second: 64 - 127
    /// First: the groups of even number; second: the odd ones. Lane l of both, 4 columns each, is then in columns
    /// 8 l ..< 8 l + 8 of the step: dot products of both add up in one register.
    plane_order_paired,
} plane_order;

/// What decoding a step needs that is the same for all steps.
typedef struct {
    __m512i first, second;           ///< where bytes come from
    __m512i first_table, second_table; ///< the rest of the index of a table
    __mmask64 planes;                ///< which rows have a plane
    int bits;
} plane_decoder;

/// `tables` is how many tables a step has: 1, 2 or 4. With 1, and one table of at most 16 values repeated over a
/// register, bits above the code do not matter.
COPPICE_INLINE plane_decoder plane_decoder_for(const plane_order order, int bits, int tables) {
    plane_decoder d = {.planes = 0, .bits = bits};
    uint8_t from[2][64], index[2][64];
    for (int half = 0; half < 2; half++)
        for (int q = 0; q < 8; q++) {
            const int group = order == plane_order_paired ? 2 * q + half : q; // of those loaded
            const int block = order == plane_order_paired ? q / 2 : 2 * half + q / 4, table = block * tables / 4;
            for (int i = 0; i < 8; i++) {
                const int at = 8 * q + 7 - i; // the transposition counts rows from the top
                from[half][at] = (uint8_t)(i < bits ? group * bits + i : 63);
                index[half][at] = i >= bits && table >> (i - bits) & 1 ? 0xFF : 0;
                if (i < bits) d.planes |= 1ull << at;
            }
        }
    d.first = _mm512_loadu_si512(from[0]), d.second = _mm512_loadu_si512(from[1]);
    d.first_table = _mm512_loadu_si512(index[0]), d.second_table = _mm512_loadu_si512(index[1]);
    return d;
}

COPPICE_INLINE __m512i transposed_planes(__m512i planes) {
    return _mm512_gf2p8affine_epi64_epi8(_mm512_set1_epi64((long long)0x8040201008040201), planes, 0);
}

/// The lowest `count` bits.
COPPICE_INLINE __mmask64 low_lanes(long count) {
    return count >= 64 ? ~0ull : count <= 0 ? 0 : _bzhi_u64(~0ull, (unsigned)count);
}

/// The codes of a step whose planes are the `bytes` bytes at `from`, at most 16 · bits of them; nothing else is read.
/// With `many_tables` they are indices of a step's tables. Paired order is for 1 to 3 bits, where bits above the code
/// are zero, and for 4 where they do not matter or are those of a table.
COPPICE_INLINE void read_planes(
    const plane_order order, const int many_tables, const plane_decoder *d, const uint8_t *from, long bytes,
    __m512i *first, __m512i *second) {
    __m512i a, b;
    if (order == plane_order_paired) {
        a = b = _mm512_maskz_loadu_epi8(low_lanes(bytes), from);
    } else {
        const long half = 8 * d->bits;
        a = _mm512_maskz_loadu_epi8(low_lanes(bytes < half ? bytes : half), from);
        b = _mm512_maskz_loadu_epi8(low_lanes(bytes - half), from + half);
    }
    if (many_tables) {
        a = _mm512_mask_permutexvar_epi8(d->first_table, d->planes, d->first, a);
        b = _mm512_mask_permutexvar_epi8(d->second_table, d->planes, d->second, b);
    } else {
        // Without a mask, which would cost as much as the permutation.
        a = _mm512_permutexvar_epi8(d->first, a);
        b = _mm512_permutexvar_epi8(d->second, b);
    }
    *first = transposed_planes(a);
    *second = transposed_planes(b);
}

/// A table of at most 16 values, moved by 128 and repeated over the register.
COPPICE_INLINE __m512i repeated_table(const coppice_plane_weight *w, long row, long group) {
    const int8_t *from = w->values + ((row * w->row_tables + group * w->group_tables) << w->bits);
    const __m128i one = _mm_maskz_loadu_epi8((__mmask16)low_lanes(1l << w->bits), from);
    const __m128i times = _mm_set_epi8(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    const __m128i all = _mm_shuffle_epi8(one, _mm_and_si128(times, _mm_set1_epi8((char)((1 << w->bits) - 1))));
    return _mm512_xor_si512(_mm512_broadcast_i32x4(all), _mm512_set1_epi8((char)0x80));
}

/// `count` tables of a row from group `group` on, moved by 128.
COPPICE_INLINE __m512i step_tables(const coppice_plane_weight *w, long row, long group, long count) {
    const int8_t *from = w->values + ((row * w->row_tables + group * w->group_tables) << w->bits);
    return _mm512_xor_si512(
        _mm512_maskz_loadu_epi8(low_lanes(count << w->bits), from), _mm512_set1_epi8((char)0x80));
}
/// Step `s` of row `row`, in order.
COPPICE_INLINE integer_step plane_step(
    const int kind, const int whole, const coppice_integer_weight *w, long row, long s) {
    const coppice_plane_weight *p = w->planes;
    const long k = s * COPPICE_ROUNDED_STEP, row_bytes = coppice_plane_row_bytes(p->bits, p->columns);
    const long from = s * 16 * p->bits, bytes = whole ? 16 * p->bits : row_bytes - from;
    integer_step step;
    read_planes(
        plane_order_natural, kind == COPPICE_INTEGER_PLANE_MANY_VALUES, w->plane_decoder,
        p->planes + row * row_bytes + from, bytes, &step.first, &step.second);
    if (kind != COPPICE_INTEGER_PLANES) {
        const long group = p->groups == 1 ? 0 : k / p->group, left = p->groups - group;
        const long tables = kind == COPPICE_INTEGER_PLANE_MANY_VALUES ? COPPICE_ROUNDED_STEP / p->group : 1;
        const __m512i table = tables == 1 ? repeated_table(p, row, group)
                                          : step_tables(p, row, group, tables < left ? tables : left);
        step.first = _mm512_permutexvar_epi8(step.first, table);
        step.second = _mm512_permutexvar_epi8(step.second, table);
    }
    __m128 scales, offsets;
    block_scales(w->packed, whole, row, s, &scales, &offsets);
    step.scales = _mm256_zextps128_ps256(scales);
    step.offsets = _mm256_zextps128_ps256(offsets);
    return step;
}
