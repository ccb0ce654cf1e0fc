// Products of f32 activations with compressed weights: quantized, sparse, or both. y = x Wᵀ, row-major.
#pragma once

#include <stdint.h>

/// How kept values are stored. Integers are unsigned codes; codes of 4 bits lie two in a byte, low bits first.
typedef enum coppice_packed_value {
    COPPICE_PACKED_F32, COPPICE_PACKED_BF16, COPPICE_PACKED_F16, COPPICE_PACKED_U8, COPPICE_PACKED_U4,
} coppice_packed_value;

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

/// Bytes of memory that a product of this size needs to run in integer arithmetic; 0 where that is not to be had: for
/// floating-point values, groups other than 32, 64, multiples of 128 columns and whole rows, or this processor.
long coppice_packed_scratch_bytes(const coppice_packed_weight *weight, long x_rows);

/// y[i][r] = Σ_c x[i][c] W[r][c]. Sums are in f32; the result does not depend on the number of threads. y overlaps
/// neither; strides are in elements.
///
/// With `scratch`, `coppice_packed_scratch_bytes` bytes aligned to 64, activations are rounded to 8 bits in blocks of 32
/// columns (rounded_rows.h): y is off by at most Σ_c |W[r][c]| m / 254, m the largest magnitude of c's block. Without,
/// activations stay f32.
void coppice_packed_product(
    const coppice_packed_weight *weight, const float *x, long x_rows, long x_stride, float *y, long y_stride,
    void *scratch);

/// Writes W[row][first ..< first + count] as f32; `first` is a multiple of 16.
void coppice_packed_columns(const coppice_packed_weight *weight, long row, long first, long count, float *values);
