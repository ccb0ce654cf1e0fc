// Round-to-nearest quantization of matrices in groups of columns.
#pragma once

#include <stdint.h>

/// Quantizes x [rows, columns] to unsigned codes of `bits` (4 or 8), one byte each, with one scale for each `group`
/// columns of a row (the last group may be shorter; groups = ceil(columns / group)).
///
/// Symmetric: scale = max|x| / (2^bits - 1) * 2, zero = 2^(bits-1), codes clamped. Asymmetric: the range is widened to
/// hold 0, scale = (max - min) / (2^bits - 1), zero = round(-min / scale). Scales are rounded to f16 before codes are
/// computed; a group of zeros has scale 0. `zeros` is [rows, groups] (also filled where symmetric). 0 has the code
/// `zero`: it stays exactly 0. Returns -1, or the first row whose scale f16 cannot hold. x is finite.
long coppice_quantize_groups(
    const float *x, long rows, long columns, int bits, long group, int symmetric, uint8_t *codes, void *scales,
    uint8_t *zeros);

/// Packs rows of 4-bit codes two in a byte, low bits first: out is [rows, (columns + 1) / 2].
void coppice_pack_nibbles(const uint8_t *codes, long rows, long columns, uint8_t *out);
