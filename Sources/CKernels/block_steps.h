// How integer kernels read GGUF's blocks: 128 columns of a row at a time, as bytes in order. Internal; included by
// integer_codes.h. Layouts are in docs/gguf.md.
//
// Every type comes out as W = scale · code - offset with codes that are not negative: signed ones are moved by their
// zero point.

/// Four numbers of 16 bits, `stride` bytes apart, of which the first `count` exist.
COPPICE_INLINE __m128 four_halves(const uint8_t *from, long stride, long count) {
    uint64_t halves = coppice_load_u16((const char *)from);
    for (long b = 1; b < count; b++) halves |= (uint64_t)coppice_load_u16((const char *)from + b * stride) << 16 * b;
    return _mm_cvtph_ps(_mm_cvtsi64_si128((long long)halves));
}

COPPICE_INLINE float one_half(const uint8_t *from) {
    return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(coppice_load_u16((const char *)from))));
}

COPPICE_INLINE uint32_t load_word(const uint8_t *from) {
    uint32_t word;
    memcpy(&word, from, 4);
    return word;
}

/// Thirty-two bytes, twice: shifted right by `low` bits and by `high` bits. Bits of neighbours come in from above.
COPPICE_INLINE __m512i twice_shifted(const uint8_t *from, int low, int high) {
    __m512i both = _mm512_broadcast_i64x4(_mm256_loadu_si256((const __m256i *)from));
    return _mm512_srlv_epi64(both, _mm512_setr_epi64(low, low, low, low, high, high, high, high));
}

/// Where 32 bytes have bit `low`, then where they have bit `high`.
COPPICE_INLINE __mmask64 twice_bits(const uint8_t *from, int low, int high) {
    __m512i both = _mm512_broadcast_i64x4(_mm256_loadu_si256((const __m256i *)from));
    __m512i bits = _mm512_inserti64x4(
        _mm512_set1_epi8((char)(1 << low)), _mm256_set1_epi8((char)(1 << high)), 1);
    return _mm512_test_epi8_mask(both, bits);
}

/// Four (`count`) blocks of 32 columns.
COPPICE_INLINE integer_step four_blocks(const int type, const uint8_t *from, long count) {
    const int has_minimum = type == COPPICE_BLOCK_Q4_1 || type == COPPICE_BLOCK_Q5_1;
    const int has_fifth_bit = type == COPPICE_BLOCK_Q5_0 || type == COPPICE_BLOCK_Q5_1;
    const long bytes = coppice_block_layouts[type].bytes;
    const uint8_t *rest = from + (has_minimum ? 4 : 2), *codes = rest + (has_fifth_bit ? 4 : 0);
    const __m512i low_bits = _mm512_set1_epi8(15);
    integer_step step;
    __m128 scales = four_halves(from, bytes, count), offsets;
    if (type == COPPICE_BLOCK_Q8_0) {
        __m256i b[4];
        for (long i = 0; i < 4; i++)
            b[i] = i < count ? _mm256_loadu_si256((const __m256i *)(codes + i * bytes)) : _mm256_setzero_si256();
        const __m512i sign = _mm512_set1_epi8((char)0x80);
        step.first = _mm512_xor_si512(_mm512_inserti64x4(_mm512_castsi256_si512(b[0]), b[1], 1), sign);
        step.second = _mm512_xor_si512(_mm512_inserti64x4(_mm512_castsi256_si512(b[2]), b[3], 1), sign);
    } else {
        // A block's 16 bytes hold columns 0-15 in their low bits and 16-31 in their high ones.
        __m128i b[4];
        for (long i = 0; i < 4; i++)
            b[i] = i < count ? _mm_loadu_si128((const __m128i *)(codes + i * bytes)) : _mm_setzero_si128();
        __m512i all = _mm512_inserti64x4(
            _mm512_castsi256_si512(_mm256_set_m128i(b[1], b[0])), _mm256_set_m128i(b[3], b[2]), 1);
        const __m512i shifts = _mm512_setr_epi64(0, 0, 4, 4, 0, 0, 4, 4);
        step.first = _mm512_permutex2var_epi64(all, _mm512_setr_epi64(0, 1, 0, 1, 2, 3, 2, 3), all);
        step.second = _mm512_permutex2var_epi64(all, _mm512_setr_epi64(4, 5, 4, 5, 6, 7, 6, 7), all);
        step.first = _mm512_and_si512(_mm512_srlv_epi64(step.first, shifts), low_bits);
        step.second = _mm512_and_si512(_mm512_srlv_epi64(step.second, shifts), low_bits);
        if (has_fifth_bit) {
            uint64_t bits[2] = {load_word(rest), 0};
            if (count > 1) bits[0] |= (uint64_t)load_word(rest + bytes) << 32;
            if (count > 2) bits[1] = load_word(rest + 2 * bytes);
            if (count > 3) bits[1] |= (uint64_t)load_word(rest + 3 * bytes) << 32;
            const __m512i sixteen = _mm512_set1_epi8(16);
            step.first = _mm512_mask_add_epi8(step.first, bits[0], step.first, sixteen);
            step.second = _mm512_mask_add_epi8(step.second, bits[1], step.second, sixteen);
        }
        if (type == COPPICE_BLOCK_IQ4_NL) {
            // The sixteen values, moved by 128.
            const __m512i values = _mm512_broadcast_i32x4(
                _mm_setr_epi8(1, 24, 45, 63, 79, 93, 106, 118, -127, -115, -103, -90, -75, -59, -39, -15));
            step.first = _mm512_shuffle_epi8(values, step.first);
            step.second = _mm512_shuffle_epi8(values, step.second);
        }
    }
    if (has_minimum) offsets = _mm_sub_ps(_mm_setzero_ps(), four_halves(from + 2, bytes, count));
    else {
        const float zero = type == COPPICE_BLOCK_Q4_0 ? 8 : type == COPPICE_BLOCK_Q5_0 ? 16 : 128;
        offsets = _mm_mul_ps(scales, _mm_set1_ps(zero));
    }
    step.scales = _mm256_zextps128_ps256(scales);
    step.offsets = _mm256_zextps128_ps256(offsets);
    return step;
}

/// Eight small numbers of 8 bits as f32, times `by`.
COPPICE_INLINE __m256 eight_times(uint64_t bytes, float by) {
    __m256i wide = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128((long long)bytes));
    return _mm256_mul_ps(_mm256_cvtepi32_ps(wide), _mm256_set1_ps(by));
}

/// Half `h` of eight numbers, zeros behind it.
COPPICE_INLINE __m256 half_of(__m256 eight, int h) {
    return _mm256_zextps128_ps256(h ? _mm256_extractf128_ps(eight, 1) : _mm256_castps256_ps128(eight));
}

/// Half `h` of a block of 256 columns. The scales of both halves are read with the first.
COPPICE_INLINE integer_step half_block(const int type, const uint8_t *block, int h, cursor *c) {
    integer_step step;
    switch (type) {
    case COPPICE_BLOCK_Q2_K: {
        const __m512i two_bits = _mm512_set1_epi8(3);
        const uint8_t *codes = block + 16 + 32 * h;
        step.first = _mm512_and_si512(twice_shifted(codes, 0, 2), two_bits);
        step.second = _mm512_and_si512(twice_shifted(codes, 4, 6), two_bits);
        uint64_t both;
        memcpy(&both, block + 8 * h, 8);
        step.scales = eight_times(both & 0x0F0F0F0F0F0F0F0F, one_half(block + 80));
        step.offsets = eight_times(both >> 4 & 0x0F0F0F0F0F0F0F0F, one_half(block + 82));
        return step;
    }
    case COPPICE_BLOCK_Q3_K: {
        const __m512i two_bits = _mm512_set1_epi8(3), four = _mm512_set1_epi8(4);
        const uint8_t *codes = block + 32 + 32 * h;
        step.first = _mm512_and_si512(twice_shifted(codes, 0, 2), two_bits);
        step.second = _mm512_and_si512(twice_shifted(codes, 4, 6), two_bits);
        step.first = _mm512_mask_add_epi8(step.first, twice_bits(block, 4 * h, 4 * h + 1), step.first, four);
        step.second = _mm512_mask_add_epi8(step.second, twice_bits(block, 4 * h + 2, 4 * h + 3), step.second, four);
        uint64_t low;
        memcpy(&low, block + 96, 8);
        uint32_t high = load_word(block + 104) >> 4 * h;
        uint64_t two = (high & 0x03030303) | (uint64_t)(high >> 2 & 0x03030303) << 32;
        __m256i wide = _mm256_cvtepu8_epi32(
            _mm_cvtsi64_si128((long long)((low >> 4 * h & 0x0F0F0F0F0F0F0F0F) | two << 4)));
        step.scales = _mm256_mul_ps(
            _mm256_cvtepi32_ps(_mm256_sub_epi32(wide, _mm256_set1_epi32(32))),
            _mm256_set1_ps(one_half(block + 108)));
        step.offsets = _mm256_mul_ps(step.scales, _mm256_set1_ps(4));
        return step;
    }
    case COPPICE_BLOCK_Q4_K:
    case COPPICE_BLOCK_Q5_K: {
        const __m512i low_bits = _mm512_set1_epi8(15), sixteen = _mm512_set1_epi8(16);
        const uint8_t *codes = block + (type == COPPICE_BLOCK_Q4_K ? 16 : 48) + 64 * h;
        step.first = _mm512_and_si512(twice_shifted(codes, 0, 4), low_bits);
        step.second = _mm512_and_si512(twice_shifted(codes + 32, 0, 4), low_bits);
        if (type == COPPICE_BLOCK_Q5_K) {
            const uint8_t *fifth = block + 16;
            step.first = _mm512_mask_add_epi8(step.first, twice_bits(fifth, 4 * h, 4 * h + 1), step.first, sixteen);
            step.second =
                _mm512_mask_add_epi8(step.second, twice_bits(fifth, 4 * h + 2, 4 * h + 3), step.second, sixteen);
        }
        if (h == 0) {
            uint32_t a = load_word(block + 4), b = load_word(block + 8), d = load_word(block + 12);
            uint64_t scales = (d & 0x0F0F0F0F) | (a >> 2 & 0x30303030);
            uint64_t minima = (d >> 4 & 0x0F0F0F0F) | (b >> 2 & 0x30303030);
            c->scales = eight_times(scales << 32 | (a & 0x3F3F3F3F), one_half(block));
            c->offsets = eight_times(minima << 32 | (b & 0x3F3F3F3F), one_half(block + 2));
        }
        step.scales = half_of(c->scales, h);
        step.offsets = half_of(c->offsets, h);
        return step;
    }
    default: {
        const __m512i low_bits = _mm512_set1_epi8(15), upper_bits = _mm512_set1_epi8(0x30);
        __m512i codes = _mm512_loadu_si512(block + 64 * h);
        const uint8_t *upper = block + 128 + 32 * h;
        __m512i both = _mm512_broadcast_i64x4(_mm256_loadu_si256((const __m256i *)upper));
        __m512i first = _mm512_sllv_epi64(both, _mm512_setr_epi64(4, 4, 4, 4, 2, 2, 2, 2));
        __m512i second = _mm512_srlv_epi64(both, _mm512_setr_epi64(0, 0, 0, 0, 2, 2, 2, 2));
        step.first = _mm512_or_si512(_mm512_and_si512(codes, low_bits), _mm512_and_si512(first, upper_bits));
        step.second = _mm512_or_si512(
            _mm512_and_si512(_mm512_srli_epi16(codes, 4), low_bits), _mm512_and_si512(second, upper_bits));
        uint64_t scales;
        memcpy(&scales, block + 192 + 8 * h, 8);
        step.scales = _mm256_mul_ps(
            _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_cvtsi64_si128((long long)scales))),
            _mm256_set1_ps(one_half(block + 208)));
        step.offsets = _mm256_mul_ps(step.scales, _mm256_set1_ps(32));
        return step;
    }
    }
}

/// Step `s` of a row of blocks.
COPPICE_INLINE integer_step block_step(const int type, cursor *c, long s, long columns) {
    const uint8_t *row = c->values;
    switch (type) {
    case COPPICE_BLOCK_Q4_0: case COPPICE_BLOCK_Q4_1: case COPPICE_BLOCK_Q5_0: case COPPICE_BLOCK_Q5_1:
    case COPPICE_BLOCK_Q8_0: case COPPICE_BLOCK_IQ4_NL: {
        long blocks = columns / 32 - 4 * s;
        const uint8_t *from = row + 4 * s * coppice_block_layouts[type].bytes;
        return __builtin_expect(blocks >= 4, 1) ? four_blocks(type, from, 4) : four_blocks(type, from, blocks);
    }
    default: return half_block(type, row + s / 2 * coppice_block_layouts[type].bytes, (int)(s & 1), c);
    }
}
