// Products of f32 activations with weights of 1 to 8 bits that are stored as bit planes. y = x Wᵀ, row-major.
#pragma once

#include "row_product.h"

#include <stdint.h>

/// A weight W [rows, columns] of codes of `bits` bits, and what they stand for.
///
/// Eight consecutive columns of a row are a group of `bits` bytes: bit j of byte i is bit i of column j's code. A row
/// is ceil(columns / 8) such groups; codes past the last column are ignored.
///
/// W = (q - zero) · scale with q the code itself, or 128 + values[code] where there are tables. `scales` is [rows,
/// groups] of f16 (2-byte aligned), `zeros` [rows, groups] or null for `zero` everywhere; a group is `group` columns:
/// 32, 64, or a multiple of 128 (or any number where there is one group).
typedef struct coppice_plane_weight {
    long rows, columns;
    int bits;
    const uint8_t *planes;
    const int8_t *values; ///< null, or tables of 2^bits values: at most 4 bits
    /// Table of group g of row r: number r · row_tables + g · group_tables.
    long row_tables, group_tables;
    const void *scales;
    const uint8_t *zeros;
    float zero;
    long group, groups;
} coppice_plane_weight;

/// Bytes of a row of planes.
static inline long coppice_plane_row_bytes(int bits, long columns) { return (columns + 7) / 8 * bits; }

/// The kernel for so many rows of activations.
///
/// With AVX-512 VNNI, and with AVX2 for up to eight rows, activations are rounded to 8 bits in blocks of 32 columns
/// (rounded_rows.h): y is off by at most Σ_c |W[r][c]| m / 254, m the largest magnitude of c's block. Else they stay
/// f32. Sums are in f32.
coppice_row_kernel coppice_plane_kernel(const coppice_plane_weight *weight, long x_rows);

/// Writes W[row][first ..< first + count] as f32; `first` is a multiple of 8.
void coppice_plane_columns(const coppice_plane_weight *weight, long row, long first, long count, float *values);

/// Packs codes [rows, columns], one byte each, into planes. Threaded over rows.
void coppice_pack_planes(const uint8_t *codes, int bits, long rows, long columns, uint8_t *planes);
