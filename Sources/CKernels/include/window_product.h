// Products of one or two rows of f32 activations with very sparse bf16 or f16 weights. y = x Wᵀ.
#pragma once

#include "packed_product.h"

enum { COPPICE_WINDOW_COLUMNS = 64 };

/// A sparse weight with masks and starts, and which columns its values are in, window by window of 64 columns: what its
/// masks say, in the form that pays where few values are kept.
typedef struct coppice_window_weight {
    coppice_packed_weight packed;
    const uint8_t *counts; ///< [rows, ceil(columns / 64)]: values of each window
    const uint8_t *places; ///< of each value: its column in the window; readable for 16 bytes past the last
} coppice_window_weight;

/// Fills in counts [rows, windows] and places [value_count] of a weight with masks and starts.
void coppice_window_index_fill(const coppice_packed_weight *weight, uint8_t *counts, uint8_t *places);

/// The kernel for so many rows of activations: with AVX-512 one or two rows of f32, for bf16 and f16; else that of the
/// weight without its index.
coppice_row_kernel coppice_window_kernel(const coppice_window_weight *weight, long x_rows);
