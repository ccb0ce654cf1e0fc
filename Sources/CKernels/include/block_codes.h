// Weights in the block types of GGUF files: 32 or 256 consecutive columns of a row share scales, and lie together with
// them. y = x Wᵀ, row-major. Nothing needs to be aligned: blocks may lie anywhere in a mapped file.
#pragma once

#include "row_product.h"

/// Block types, by the names that GGUF files have for them. Layouts are in docs/gguf.md.
typedef enum coppice_block_type {
    COPPICE_BLOCK_Q4_0, COPPICE_BLOCK_Q4_1, COPPICE_BLOCK_Q5_0, COPPICE_BLOCK_Q5_1, COPPICE_BLOCK_Q8_0,
    COPPICE_BLOCK_IQ4_NL, COPPICE_BLOCK_Q2_K, COPPICE_BLOCK_Q3_K, COPPICE_BLOCK_Q4_K, COPPICE_BLOCK_Q5_K,
    COPPICE_BLOCK_Q6_K,
} coppice_block_type;

/// A weight W [rows, columns], its blocks row after row. `columns` is a multiple of the block's length.
typedef struct coppice_block_weight {
    coppice_block_type type;
    long rows, columns;
    const void *blocks;
} coppice_block_weight;

/// Columns of a block: 32 or 256.
long coppice_block_length(coppice_block_type type);

/// Bytes of a block.
long coppice_block_bytes(coppice_block_type type);

/// Writes W[row][first ..< first + count] as f32: every product and difference rounded to f32 by itself, as the
/// format's reference does it. `first` and `count` are multiples of the block's length.
void coppice_block_columns(const coppice_block_weight *weight, long row, long first, long count, float *values);

/// The kernel for so many rows of activations. Without AVX-512 VNNI its sums are of the values of
/// `coppice_block_columns` in f32; with it activations are rounded as in `coppice_packed_kernel`.
coppice_row_kernel coppice_block_kernel(const coppice_block_weight *weight, long x_rows);

/// Encodes values [rows, columns], all finite, into blocks of type Q4_0, Q8_0, Q4_K or Q6_K. Scales (and minima) are
/// searched for the least squared error; for Q4_K and Q6_K larger values weigh more. Threaded over rows.
///
/// Returns the first row with values that a scale in f16 cannot reach (which is then not encoded), or -1.
long coppice_block_encode(coppice_block_type type, const float *values, long rows, long columns, void *blocks);

/// As above with scales, and minima for Q4_1 and Q5_1, that are given: f16, one for each block of 32 columns,
/// [rows, columns / 32]. For Q4_0, Q4_1, Q5_0, Q5_1 and Q8_0. Values that their codes can say exactly are kept exactly.
void coppice_block_encode_scaled(
    coppice_block_type type, const float *values, const void *scales, const void *minima, long rows, long columns,
    void *blocks);
