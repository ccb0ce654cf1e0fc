// Products of f32 activations with N:M sparse weights whose values lie at the same places in every row. y = x Wᵀ.
#pragma once

#include "packed_product.h"

/// A weight of which every `length` consecutive columns have `kept` values: 1:2, 1:4, 2:4 or 2:8.
///
/// `packed` describes it as any weight with masks. Value i of a row is in column i / kept * length + position;
/// positions are numbers of 2 bits (4 for 2:8), lowest bits first, `position_stride` bytes a row. Columns are a
/// multiple of 128.
typedef struct coppice_pattern_weight {
    coppice_packed_weight packed;
    int kept, length;
    const uint8_t *positions;
    long position_stride;
} coppice_pattern_weight;

/// Whether a weight can have positions.
int coppice_pattern_applies(int kept, int length, long columns);

/// Bytes of positions of a row.
long coppice_pattern_position_stride(int kept, int length, long columns);

/// Fills in positions [rows, stride] from masks [rows, columns / 16] that follow the pattern.
void coppice_pattern_positions(
    int kept, int length, long rows, long columns, const uint16_t *masks, uint8_t *positions);

/// The kernel for so many rows of activations, with the bounds of `coppice_packed_kernel`: with VNNI and up to 8 rows
/// of x, activations are fetched from where a position says instead of spreading the values.
coppice_row_kernel coppice_pattern_kernel(const coppice_pattern_weight *weight, long x_rows);
