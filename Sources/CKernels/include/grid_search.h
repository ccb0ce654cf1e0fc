// Quantization of matrices to few bits: the scale of each group of columns is searched for the least squared error.
#pragma once

#include <stdint.h>

/// Evenly spaced levels (code - zero) · scale for codes 0 ... top.
typedef struct coppice_grid {
    int top;       ///< the largest code
    float zero;    ///< the code of 0, which may lie between two codes; not used with `own_zeros`
    int own_zeros; ///< whether each group has its zero point, one of its codes
} coppice_grid;

/// Finds a scale, f16, for each `group` columns of a row of x [rows, columns] (the last group may be shorter), and the
/// nearest codes, one byte each. `scales` and `zeros` (null without `own_zeros`) are [rows, groups].
///
/// Candidates for the scale, from the group's range down to a quarter of it, are compared by what is left of the values
/// when their codes get the scale of least squares; the best is improved once more. Where more codes lie below 0 than
/// above, scales may be negative. With a code for 0, zeros stay exactly zero. The same result at every level of
/// instructions. Threaded over rows. Returns -1, or a row with a value that no scale in f16 reaches. x is finite.
long coppice_quantize_grid(
    const float *x, long rows, long columns, const coppice_grid *grid, long group, uint8_t *codes, void *scales,
    uint8_t *zeros);
