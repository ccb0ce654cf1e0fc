// Products of many rows of rounded activations with integer weights. Internal.
#pragma once

#include "packed_product.h"
#include "rounded_rows.h"

/// y = x Wᵀ where `coppice_integer_kernels_apply`: panels of W are unpacked to bytes and shared by all rows of x.
/// Threaded over rows of W and of x; the partition depends on the problem only.
void coppice_integer_panel_product(
    const coppice_packed_weight *w, const coppice_rounded_rows *x, float *y, long y_stride);
