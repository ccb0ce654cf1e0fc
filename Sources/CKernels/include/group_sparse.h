// Products of f32 activations with group-sparse quantized weights: of each row some groups of consecutive columns are
// kept, as 4- or 8-bit codes with a scale for each group. y = x Wᵀ, row-major.
#pragma once

#include <stdint.h>

enum {
    COPPICE_GROUP_SPARSE_TILE_ROWS = 4, ///< rows of W that are taken together
    COPPICE_GROUP_SPARSE_STEP = 128,    ///< columns of a step
};

/// A weight W [rows, columns]. A row has ceil(columns / group) groups; bit g % 8 of byte g / 8 of its masks says
/// whether group g is kept. A kept group is `group` codes (those past the last column count for nothing) and a scale;
/// kept groups follow each other row after row, `starts[r]` of them before row r. A code stands for (code - zero) *
/// scale.
///
/// Products are cut into tasks of equal work. A unit of work is `TILE_ROWS` rows by `STEP` columns, unit number
/// tile * steps + step; task i has units cuts[i] ..< cuts[i + 1], whatever row that begins and ends in.
typedef struct coppice_group_sparse {
    long rows, columns;
    int bits;              ///< 4 (two codes in a byte, low bits first) or 8
    long group;            ///< 16, 32 or 64
    const uint8_t *masks;  ///< [rows, mask_stride]; bits past the last group are zero
    long mask_stride;      ///< bytes: whole steps, rounded up
    const uint8_t *values; ///< kept groups * group * bits / 8 bytes
    const void *scales;    ///< f16 of each kept group, 2-byte aligned
    const uint8_t *zeros;  ///< of each kept group; null: 8 or 128 everywhere
    const int64_t *starts; ///< [rows + 1]
    const int64_t *cuts;   ///< [task_count + 1]
    long task_count;
} coppice_group_sparse;

/// Bytes of masks of a row.
long coppice_group_sparse_mask_stride(long columns, long group);

/// Writes the cuts of tasks of about `work` each, at most `capacity` tasks, and returns how many there are. A step of
/// a row costs 8 and a kept group 1 for each 16 columns; rows without groups cost next to nothing. The result depends
/// on the weight alone. `cuts` and `task_count` of the weight are not read. O(rows · steps).
long coppice_group_sparse_cut(const coppice_group_sparse *w, long work, int64_t *cuts, long capacity);

/// Bytes of memory that a product of this size needs.
long coppice_group_sparse_scratch_bytes(const coppice_group_sparse *w, long x_rows);

/// y[i][r] = Σ_c x[i][c] W[r][c]. y overlaps neither; strides are in elements; `scratch` is aligned to 64 bytes.
///
/// With VNNI or AVX2, activations are rounded to 8 bits in blocks of 32 columns (rounded_rows.h): y is off by at most
/// Σ_c |W[r][c]| m / 254, m the largest magnitude of c's block. The portable level keeps them f32, as do AVX2 and
/// AVX-512 without VNNI for more than 8 rows. Sums are in f32, partial sums of cut rows are added in the order of
/// tasks: the result does not depend on the number of threads.
void coppice_group_sparse_product(
    const coppice_group_sparse *w, const float *x, long x_rows, long x_stride, float *y, long y_stride, void *scratch);

/// Writes W[row] as f32.
void coppice_group_sparse_row(const coppice_group_sparse *w, long row, float *values);
