// Products of f32 activations with compressed weights: quantized, sparse, or both. y = x Wᵀ, row-major.
#pragma once

#include "row_product.h"

#include <stdint.h>

/// How kept values are stored. Integers are unsigned codes; codes of 4 bits lie two in a byte, low bits first.
typedef enum coppice_packed_value {
    COPPICE_PACKED_F32, COPPICE_PACKED_BF16, COPPICE_PACKED_F16, COPPICE_PACKED_U8, COPPICE_PACKED_U4,
} coppice_packed_value;

/// Bits of a stored value.
static inline long coppice_packed_bits(coppice_packed_value value) {
    return value == COPPICE_PACKED_F32 ? 32 : value == COPPICE_PACKED_U8 ? 8 : value == COPPICE_PACKED_U4 ? 4 : 16;
}

/// A weight W [rows, columns] as blocks of 16 columns.
///
/// Value number i of row r is element `starts[r] + i` of `values` (`r * row_values + i` where `starts` is null). Where
/// `masks` is null all columns have values; else bit c of `masks[r * blocks + b]` says whether column 16 b + c has one,
/// blocks = ceil(columns / 16), and bits past the last column are zero.
/// A code stands for (code - zero) * scale: `scales` is [rows, groups] of f16 (2-byte aligned), `zeros` [rows, groups]
/// or null for `zero` everywhere; a group is `group` columns, a multiple of 16. Rows of 4-bit codes start on whole
/// bytes.
typedef struct coppice_packed_weight {
    coppice_packed_value value;
    long rows, columns;
    const void *values;
    long value_count; ///< elements in `values`: nothing past them is read
    const uint16_t *masks;
    const int64_t *starts;
    long row_values;
    const void *scales;
    const uint8_t *zeros;
    float zero;
    long group, groups;
} coppice_packed_weight;

/// The kernel for so many rows of activations.
///
/// Where codes of 4 or 8 bits are in groups of 32, 64, a multiple of 128 columns or whole rows, and the processor has
/// AVX-512 VNNI (or AVX2, for up to 8 rows and weights without masks), activations are rounded to 8 bits in blocks of
/// 32 columns (rounded_rows.h): y is off by at most Σ_c |W[r][c]| m / 254, m the largest magnitude of c's block.
/// Else they stay f32. Sums are in f32.
coppice_row_kernel coppice_packed_kernel(const coppice_packed_weight *weight, long x_rows);

/// Writes W[row][first ..< first + count] as f32; `first` is a multiple of 16.
void coppice_packed_columns(const coppice_packed_weight *weight, long row, long first, long count, float *values);
