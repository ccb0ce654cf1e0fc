// Products of f32 activations with a weight that is read from a small shared pool. y = x Wᵀ, row-major.
#pragma once

#include "row_product.h"

enum {
    COPPICE_POOL_LINE = 16,  ///< entries of a cache line: rotations and pools are multiples of it
    COPPICE_POOL_SIGNS = 64, ///< weights whose signs come from one hash
};

/// A weight W [rows, columns] of which element i, row-major, is scale · sign(i) · pool[place(i)].
///
/// Elements are cut into pieces of `size`. Piece j = i / size lies over the pool with one rotation: place(i) =
/// (u(j) + i % size) % size, u(j) = 16 (((a j + b j² + c) mod P) mod (size / 16)), P = 2038074743, with a, b and c from
/// the seed. So neighbours of a piece are neighbours in the pool, no two of a piece share an entry, and all entries
/// have the same number of weights, but for one. sign(i) is bit i % 64 of a hash of the seed and i / 64.
typedef struct coppice_pool_weight {
    const float *pool; ///< 4-byte aligned
    long size;         ///< a positive multiple of 16
    long rows, columns;
    float scale;
    uint64_t seed;
} coppice_pool_weight;

/// The kernel for so many rows of activations. Sums are in f32.
coppice_row_kernel coppice_pool_kernel(const coppice_pool_weight *weight, long x_rows);

/// Writes W[row][first ..< first + count].
void coppice_pool_columns(const coppice_pool_weight *weight, long row, long first, long count, float *values);

/// Adds sign(i) w[i] of all elements i of w [rows, columns] to their places in `sums`, and 1 to `counts` [size]: the
/// transpose of reading the pool. Neither is cleared before.
void coppice_pool_add(const coppice_pool_weight *weight, const float *w, double *sums, int64_t *counts);
