// Products of many rows of rounded activations with integer weights, in AVX-512 VNNI. Internal.
#pragma once

#include "integer_weight.h"

/// y = x Wᵀ: panels of W are unpacked to bytes and shared by all rows of x. Threaded over rows of W and of x; the
/// partition depends on the problem only.
void coppice_integer_panel_product(
    const coppice_integer_weight *w, const coppice_rounded_rows *x, float *y, long y_stride);
