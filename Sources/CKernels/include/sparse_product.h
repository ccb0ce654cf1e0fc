// Products of batches with a matrix of which few entries are kept, forwards and backwards.
//
// Batches lie in panels: of 64 rows at a time, column after column, so that an entry of the matrix meets 64 rows in
// registers. A panel of a batch whose rows end within it is filled up with zeros.
#pragma once

#include <stdint.h>

/// Rows of a batch in a panel.
enum { COPPICE_SPARSE_PANEL = 64 };

/// The kept entries of a matrix, line after line: those of line i are at `places[starts[i]]` to
/// `places[starts[i + 1] - 1]` of it, in rising order.
typedef struct coppice_sparse_lines {
    long count;
    const int32_t *starts;
    const int32_t *places;
    /// Elements between the beginnings of neighbouring lines, and between neighbouring places of a line, in memory.
    long line_step, place_step;
} coppice_sparse_lines;

/// Writes a batch `[rows, columns]` into ⌈rows / 64⌉ panels `[columns][64]`. Threaded.
void coppice_sparse_pack(long rows, long columns, const float *batch, float *panels);

/// Writes panels back into a batch `[rows, columns]`. Threaded.
void coppice_sparse_unpack(long rows, long columns, const float *panels, float *batch);

/// out[i] = the sum over the kept entries k of line i of matrix[i, k] · in[k]: of each panel `[places][64]` one
/// `[lines][64]`. Sums are in the order of places. Threaded.
void coppice_sparse_product(
    long panels, coppice_sparse_lines lines, long places, const float *matrix, const float *in, float *out);

/// matrix[i, k] = the sum over all rows of left[i] · right[k] for kept entries, 0 for the others; `left` are panels
/// `[lines][64]`, `right` `[places][64]`. `place_step` must be 1. Threaded.
void coppice_sparse_outer_product(
    long panels, coppice_sparse_lines lines, long places, const float *left, const float *right, float *matrix);
