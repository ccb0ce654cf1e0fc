// Activations rounded to 8-bit integers, so that products with integer weights run in integer arithmetic.
#pragma once

#include <stdint.h>

enum {
    COPPICE_ROUNDED_BLOCK = 32, ///< columns that share a scale
    COPPICE_ROUNDED_STEP = 128, ///< rows are padded to a multiple of this, with zeros
    COPPICE_ROUNDED_FEW = 8,
};

/// Rows of activations as integers: x[i][c] ≈ scales[i][c / 32] codes[i][c], off by at most half a scale, which is the
/// block's largest magnitude / 127. All parts lie in one piece of memory; each row starts on 64 bytes.
typedef struct coppice_rounded_rows {
    long rows, columns;
    long padded;         ///< columns, rounded up to whole steps
    const int8_t *codes; ///< [rows, padded]
    /// [rows, padded]: of each step the 64 even columns, then the 64 odd ones, as 4-bit codes of weights unpack; null
    /// for more than COPPICE_ROUNDED_FEW rows, whose products read codes in order.
    const int8_t *split_codes;
    const float *scales; ///< [rows, padded / 32]
    const float *sums;   ///< [rows, padded / 32]: each block's sum of codes, times its scale
    const int32_t *totals;      ///< [rows, padded / 32]: each block's sum of codes
    const int32_t *half_totals; ///< [rows, padded / 16]: the same of 16 columns
} coppice_rounded_rows;

/// Bytes of memory that `coppice_round_rows` needs.
long coppice_rounded_rows_bytes(long rows, long columns);

/// Rounds `rows` rows of x, `stride` elements apart, to nearest. `memory` is aligned to 64 bytes and must outlive the
/// result. A block with a NaN or an infinity gets scales that are not finite. Multithreaded for many rows.
coppice_rounded_rows coppice_round_rows(const float *x, long rows, long columns, long stride, void *memory);
