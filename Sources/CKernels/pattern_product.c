#include "pattern_product.h"

#include "cpu_features.h"
#include "integer_codes.h"
#include "rounded_rows.h"

#include <string.h>

enum { step_columns = COPPICE_ROUNDED_STEP };

static int position_bits(int length) { return length > 4 ? 4 : 2; }

int coppice_pattern_applies(int kept, int length, long columns) {
    int is_known = (kept == 1 && (length == 2 || length == 4)) || (kept == 2 && (length == 4 || length == 8));
    return is_known && columns % step_columns == 0;
}

long coppice_pattern_position_stride(int kept, int length, long columns) {
    return columns / length * kept * position_bits(length) / 8;
}

void coppice_pattern_positions(
    int kept, int length, long rows, long columns, const uint16_t *masks, uint8_t *positions) {
    const long stride = coppice_pattern_position_stride(kept, length, columns);
    const int bits = position_bits(length);
    memset(positions, 0, (size_t)(rows * stride));
    for (long r = 0; r < rows; r++) {
        long i = 0;
        for (long c = 0; c < columns; c++) {
            if (!(masks[r * (columns / 16) + c / 16] >> c % 16 & 1)) continue;
            positions[r * stride + i * bits / 8] |= (uint8_t)(c % length << i * bits % 8);
            i++;
        }
    }
}

#if defined(__x86_64__)
#pragma clang attribute push(COPPICE_VNNI, apply_to = function)

// A step is 128 columns, two registers of activation codes, of which a permutation by bytes fetches those that meet
// values: 64 of 2:4, 32 of 1:4. Zero points are taken off by a second dot product over the same activations. Of f32
// activations a step is 32 columns.

/// Numbers of values, and the first column of each one's place: i / kept * length.
COPPICE_INLINE __m512i first_columns(const int kept, const int length) {
    uint8_t first[64];
#pragma clang loop unroll(full)
    for (int i = 0; i < 64; i++) first[i] = (uint8_t)(i / kept * length & 127);
    return _mm512_loadu_si512(first);
}

/// The columns, of 128, of a step's values.
COPPICE_INLINE __m512i columns_of(const int kept, const int length, const uint8_t *positions) {
    const int bits = length > 4 ? 4 : 2;
    const __m512i mask = _mm512_set1_epi8(length > 4 ? 7 : 3);
    const int bytes = step_columns / length * kept * bits / 8; // 8 or 16
    __m512i spread, shifts;
    if (bits == 2) {
        shifts = _mm512_set_epi64(
            0x3E3C3A3836343230, 0x2E2C2A2826242220, 0x1E1C1A1816141210, 0x0E0C0A0806040200, 0x3E3C3A3836343230,
            0x2E2C2A2826242220, 0x1E1C1A1816141210, 0x0E0C0A0806040200);
    } else {
        shifts = _mm512_set_epi64(
            0, 0, 0, 0, 0x3C3834302C282420, 0x1C1814100C080400, 0x3C3834302C282420, 0x1C1814100C080400);
    }
    if (bytes == 8) {
        long long word;
        memcpy(&word, positions, 8);
        spread = _mm512_set1_epi64(word);
    } else {
        __m512i words = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)positions));
        spread = _mm512_permutexvar_epi64(
            bits == 2 ? _mm512_setr_epi64(0, 0, 0, 0, 1, 1, 1, 1) : _mm512_setr_epi64(0, 0, 1, 1, 0, 0, 1, 1), words);
    }
    __m512i at = _mm512_multishift_epi64_epi8(shifts, spread);
    return _mm512_ternarylogic_epi64(at, mask, first_columns(kept, length), 0xEA); // (at & mask) | first
}

/// A step's codes, a byte each, in order.
COPPICE_INLINE __m512i codes_of(const int value, const int count, const uint8_t *from) {
    if (value == COPPICE_PACKED_U8)
        return count == 64 ? _mm512_loadu_si512(from)
                           : _mm512_castsi256_si512(_mm256_loadu_si256((const __m256i *)from));
    const __m512i twice = _mm512_setr_epi64(0, 0, 1, 1, 2, 2, 3, 3);
    const __m512i shifts = _mm512_set4_epi64(
        0x3C3834302C282420, 0x1C1814100C080400, 0x3C3834302C282420, 0x1C1814100C080400);
    __m512i packed = count == 64 ? _mm512_castsi256_si512(_mm256_loadu_si256((const __m256i *)from))
                                 : _mm512_castsi128_si512(_mm_loadu_si128((const __m128i *)from));
    return _mm512_and_si512(
        _mm512_multishift_epi64_epi8(shifts, _mm512_permutexvar_epi64(twice, packed)), _mm512_set1_epi8(15));
}

COPPICE_INLINE void integer_tile(
    const int value, const int kept, const int length, const int R, const int B, const coppice_pattern_weight *p,
    const coppice_rounded_rows *x, long x_first, float *y, long y_stride, long row) {
    const coppice_packed_weight *w = &p->packed;
    const int count = step_columns / length * kept, bits = value == COPPICE_PACKED_U4 ? 4 : 8;
    const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512i blocks = _mm512_srli_epi32(lane, count == 64 ? 2 : 1); // of lanes of 4 values
    const long row_bytes = w->row_values * bits / 8;
    __m512 sums[8][4];
#pragma clang loop unroll(full)
    for (int r = 0; r < R; r++)
#pragma clang loop unroll(full)
        for (int b = 0; b < B; b++) sums[b][r] = _mm512_setzero_ps();
    for (long s = 0; s < w->columns / step_columns; s++) {
        const long k = s * step_columns;
#pragma clang loop unroll(full)
        for (int r = 0; r < R; r++) {
            const uint8_t *from = (const uint8_t *)w->values + (row + r) * row_bytes + s * (count * bits / 8);
            const uint8_t *at = p->positions + (row + r) * p->position_stride
                                + s * (count * (length > 4 ? 4 : 2) / 8);
            _mm_prefetch((const char *)from + R * row_bytes, _MM_HINT_T0);
            _mm_prefetch((const char *)at + R * p->position_stride, _MM_HINT_T0);
            __m128 scales, offsets;
            block_scales(w, 1, row + r, s, &scales, &offsets);
            __m512i zero = _mm512_set1_epi8((char)(int)w->zero);
            if (w->zeros) {
                uint8_t zeros[4];
                for (int i = 0; i < 4; i++)
                    zeros[i] = w->zeros[(row + r) * w->groups + (w->groups == 1 ? 0 : (k + 32 * i) / w->group)];
                int32_t four;
                memcpy(&four, zeros, 4);
                __m512i each = _mm512_permutexvar_epi32(blocks, _mm512_cvtepu8_epi32(_mm_cvtsi32_si128(four)));
                zero = _mm512_shuffle_epi8(
                    each, _mm512_broadcast_i32x4(_mm_setr_epi32(0, 0x04040404, 0x08080808, 0x0C0C0C0C)));
            }
            __m512i q = codes_of(value, count, from), columns = columns_of(kept, length, at);
#pragma clang loop unroll(full)
            for (int b = 0; b < B; b++) {
                const long place = (x_first + b) * x->padded + k;
                __m512i a = _mm512_permutex2var_epi8(
                    _mm512_loadu_si512(x->codes + place), columns, _mm512_loadu_si512(x->codes + place + 64));
                __m512 t = _mm512_castps128_ps512(
                    _mm_mul_ps(scales, _mm_loadu_ps(x->scales + place / COPPICE_ROUNDED_BLOCK)));
                __m512i dots = _mm512_sub_epi32(
                    _mm512_dpbusd_epi32(_mm512_setzero_si512(), q, a),
                    _mm512_dpbusd_epi32(_mm512_setzero_si512(), zero, a));
                if (count == 64) {
                    sums[b][r] =
                        _mm512_fmadd_ps(_mm512_cvtepi32_ps(dots), _mm512_permutexvar_ps(blocks, t), sums[b][r]);
                } else { // half a register of values
                    __m256 low = _mm256_fmadd_ps(
                        _mm256_cvtepi32_ps(_mm512_castsi512_si256(dots)),
                        _mm512_castps512_ps256(_mm512_permutexvar_ps(blocks, t)), _mm512_castps512_ps256(sums[b][r]));
                    sums[b][r] = _mm512_zextps256_ps512(low);
                }
            }
        }
    }
#pragma clang loop unroll(full)
    for (int b = 0; b < B; b++)
#pragma clang loop unroll(full)
        for (int r = 0; r < R; r++) y[b * y_stride + row + r] = _mm512_reduce_add_ps(sums[b][r]);
}

COPPICE_INLINE void float_tile(
    const int value, const int kept, const int length, const int R, const int B, const coppice_pattern_weight *p,
    const float *x, long x_stride, float *y, long y_stride, long row) {
    const coppice_packed_weight *w = &p->packed;
    const int count = 32 / length * kept, bits = length > 4 ? 4 : 2; // 16 or 8 values
    const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512i shifts = _mm512_mullo_epi32(lane, _mm512_set1_epi32(bits));
    const __m512i first = _mm512_mullo_epi32(
        _mm512_srli_epi32(lane, kept == 2 ? 1 : 0), _mm512_set1_epi32(length));
    const __m512i mask = _mm512_set1_epi32(length > 4 ? 7 : 3);
    const long row_bytes = w->row_values * 2;
    __m512 sums[8][4];
#pragma clang loop unroll(full)
    for (int r = 0; r < R; r++)
#pragma clang loop unroll(full)
        for (int b = 0; b < B; b++) sums[b][r] = _mm512_setzero_ps();
    for (long k = 0; k < w->columns; k += 32) {
#pragma clang loop unroll(full)
        for (int r = 0; r < R; r++) {
            const uint8_t *from = (const uint8_t *)w->values + (row + r) * row_bytes + k / 32 * (count * 2);
            const uint8_t *at = p->positions + (row + r) * p->position_stride + k / 32 * (count * bits / 8);
            _mm_prefetch((const char *)from + R * row_bytes, _MM_HINT_T0);
            if (k % 512 == 0) _mm_prefetch((const char *)at + R * p->position_stride, _MM_HINT_T0);
            uint32_t word = 0;
            memcpy(&word, at, (size_t)(count * bits / 8));
            __m512i columns = _mm512_ternarylogic_epi32(
                _mm512_srlv_epi32(_mm512_set1_epi32((int)word), shifts), mask, first, 0xEA);
            __m512 v;
            if (count == 16) {
                __m256i halves = _mm256_loadu_si256((const __m256i *)from);
                v = value == COPPICE_PACKED_F16
                        ? _mm512_cvtph_ps(halves)
                        : _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
            } else {
                __m128i halves = _mm_loadu_si128((const __m128i *)from);
                v = _mm512_zextps256_ps512(
                    value == COPPICE_PACKED_F16
                        ? _mm256_cvtph_ps(halves)
                        : _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16)));
            }
#pragma clang loop unroll(full)
            for (int b = 0; b < B; b++) {
                const float *a = x + b * x_stride + k;
                sums[b][r] = _mm512_fmadd_ps(
                    v, _mm512_permutex2var_ps(_mm512_loadu_ps(a), columns, _mm512_loadu_ps(a + 16)), sums[b][r]);
            }
        }
    }
#pragma clang loop unroll(full)
    for (int b = 0; b < B; b++)
#pragma clang loop unroll(full)
        for (int r = 0; r < R; r++) {
            __m512 all = sums[b][r];
            // The other lanes have met values of zero, which an infinite activation makes NaN.
            if (count == 8) all = _mm512_zextps256_ps512(_mm512_castps512_ps256(all));
            y[b * y_stride + row + r] = _mm512_reduce_add_ps(all);
        }
}

// Rows of W at once. Rows of codes are read one after the other, one long run of memory that the processor's
// prefetchers follow; floats share what is read of x.
#define CODE_ROWS 1
#define FLOAT_ROWS(B) ((B) > 4 ? 2 : 4)
#define CODES(V, KEPT, LENGTH, B) \
    static void codes_##V##_##KEPT##_##LENGTH##_##B( \
        const coppice_pattern_weight *w, const coppice_rounded_rows *x, long x_first, float *y, long y_stride, \
        long first, long last) { \
        for (; first < last; first++) \
            integer_tile(COPPICE_PACKED_##V, KEPT, LENGTH, CODE_ROWS, B, w, x, x_first, y, y_stride, first); \
    }
#define FLOATS(V, KEPT, LENGTH, B) \
    static void floats_##V##_##KEPT##_##LENGTH##_##B( \
        const coppice_pattern_weight *w, const float *x, long x_stride, float *y, long y_stride, long first, \
        long last) { \
        for (; first + FLOAT_ROWS(B) <= last; first += FLOAT_ROWS(B)) \
            float_tile(COPPICE_PACKED_##V, KEPT, LENGTH, FLOAT_ROWS(B), B, w, x, x_stride, y, y_stride, first); \
        for (; first < last; first++) \
            float_tile(COPPICE_PACKED_##V, KEPT, LENGTH, 1, B, w, x, x_stride, y, y_stride, first); \
    }
#define BATCHES(KIND, V, KEPT, LENGTH) \
    KIND(V, KEPT, LENGTH, 1) KIND(V, KEPT, LENGTH, 2) KIND(V, KEPT, LENGTH, 4) KIND(V, KEPT, LENGTH, 8)
#define PATTERNS(KIND, V) \
    BATCHES(KIND, V, 1, 2) BATCHES(KIND, V, 1, 4) BATCHES(KIND, V, 2, 4) BATCHES(KIND, V, 2, 8)
PATTERNS(CODES, U8)
PATTERNS(CODES, U4)
PATTERNS(FLOATS, BF16)
PATTERNS(FLOATS, F16)
#pragma clang attribute pop

typedef void (*integer_rows)(
    const coppice_pattern_weight *, const coppice_rounded_rows *, long, float *, long, long, long);
typedef void (*float_rows)(const coppice_pattern_weight *, const float *, long, float *, long, long, long);
#define ENTRIES(KIND, V, KEPT, LENGTH) \
    {KIND##_##V##_##KEPT##_##LENGTH##_1, KIND##_##V##_##KEPT##_##LENGTH##_2, KIND##_##V##_##KEPT##_##LENGTH##_4, \
     KIND##_##V##_##KEPT##_##LENGTH##_8}
#define TABLE(KIND, V) \
    {ENTRIES(KIND, V, 1, 2), ENTRIES(KIND, V, 1, 4), ENTRIES(KIND, V, 2, 4), ENTRIES(KIND, V, 2, 8)}
static const integer_rows code_kernels[2][4][4] = {TABLE(codes, U8), TABLE(codes, U4)};
static const float_rows float_kernels[2][4][4] = {TABLE(floats, BF16), TABLE(floats, F16)};

static int pattern_of(const coppice_pattern_weight *p) { return p->length == 2 ? 0 : p->length == 8 ? 3 : p->kept; }

static void multiply_rows(
    const void *weight, const coppice_activations *x, float *y, long y_stride, long first, long last) {
    const coppice_pattern_weight *p = weight;
    for (long done = 0; done < x->rows;) {
        const long count = coppice_batch_of(x->rows - done), batch = count == 8 ? 3 : count / 2;
        if (p->packed.value >= COPPICE_PACKED_U8)
            code_kernels[p->packed.value == COPPICE_PACKED_U4][pattern_of(p)][batch](
                p, x->rounded, done, y + done * y_stride, y_stride, first, last);
        else
            float_kernels[p->packed.value == COPPICE_PACKED_F16][pattern_of(p)][batch](
                p, x->values + done * x->stride, x->stride, y + done * y_stride, y_stride, first, last);
        done += count;
    }
}

coppice_row_kernel coppice_pattern_kernel(const coppice_pattern_weight *weight, long x_rows) {
    const coppice_packed_weight *w = &weight->packed;
    coppice_row_kernel kernel = coppice_packed_kernel(w, x_rows);
    if (!coppice_cpu_has_vnni() || x_rows > 8 || w->columns == 0 || w->value == COPPICE_PACKED_F32) return kernel;
    if (w->value >= COPPICE_PACKED_U8 && kernel.reads != COPPICE_READS_INTEGERS) return kernel;
    kernel.weight = weight;
    kernel.multiply_rows = multiply_rows;
    return kernel;
}
#else
coppice_row_kernel coppice_pattern_kernel(const coppice_pattern_weight *weight, long x_rows) {
    return coppice_packed_kernel(&weight->packed, x_rows);
}
#endif
