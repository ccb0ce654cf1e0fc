// Tiles of a group-sparse weight with one to eight rows of rounded activations. Internal.
#pragma once

#include "group_sparse.h"
#include "rounded_rows.h"

/// The sums of activations that zero points multiply, for each lane of a step's dot products: with 4 bits 16 lanes of 8
/// columns, with 8 bits 32 lanes of 4. Symmetric: minus zero times the sum; asymmetric: minus the sum.
typedef struct coppice_group_lanes {
    const int32_t *sums; ///< [x rows, stride], aligned to 64 bytes
    long stride;
} coppice_group_lanes;

/// Lanes of a step.
static inline long coppice_group_lane_count(const coppice_group_sparse *w) { return w->bits == 4 ? 16 : 32; }

/// Sums over steps first ..< last of `count` rows of W from `row` on (at most `TILE_ROWS`) times x_rows rows of x from
/// x_first on, x_rows 1, 2, 4 or 8. out[b][r].
typedef void (*coppice_group_tile)(
    const coppice_group_sparse *w, const coppice_rounded_rows *x, const coppice_group_lanes *lanes, long x_first,
    long x_rows, long row, long count, long first, long last, float out[8][COPPICE_GROUP_SPARSE_TILE_ROWS]);

void coppice_group_tile_vnni(
    const coppice_group_sparse *w, const coppice_rounded_rows *x, const coppice_group_lanes *lanes, long x_first,
    long x_rows, long row, long count, long first, long last, float out[8][COPPICE_GROUP_SPARSE_TILE_ROWS]);

void coppice_group_tile_avx2(
    const coppice_group_sparse *w, const coppice_rounded_rows *x, const coppice_group_lanes *lanes, long x_first,
    long x_rows, long row, long count, long first, long last, float out[8][COPPICE_GROUP_SPARSE_TILE_ROWS]);

/// Fills in the sums of all rows of x, with VNNI.
void coppice_group_lane_sums(const coppice_group_sparse *w, const coppice_rounded_rows *x, int32_t *sums);

/// Kept groups of a row before step `step`.
long coppice_group_position(const coppice_group_sparse *w, long row, long step);

/// y = x Wᵀ for many rows of x, with VNNI, for codes whose difference from their zero point fits a signed byte: all but
/// asymmetric ones of 8 bits. `memory`: x->rows * x->padded bytes.
void coppice_group_panel_product(
    const coppice_group_sparse *w, const coppice_rounded_rows *x, uint8_t *memory, float *y, long y_stride);
