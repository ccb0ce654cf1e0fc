// Products of many rows of activations with dense bf16 weights in bf16 arithmetic, with AVX-512 BF16. Internal.
#pragma once

#include "row_product.h"

/// y = x Wᵀ for W [rows, columns] of bf16 at any address, from `x->bf16`. Sums are in f32. Threaded; the partition
/// depends on the problem only.
void coppice_bf16_panel_product(
    const uint16_t *weight, long rows, long columns, const coppice_activations *x, float *y, long y_stride);
