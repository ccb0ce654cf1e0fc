// What becomes of a product's outputs. Internal.
#pragma once

#include "row_product.h"

/// Adds the bias to outputs first_row ..< last_row (rows of W) of all `x_rows` rows of activations. On the calling
/// thread, as the next one.
void coppice_add_output_bias(const coppice_output *output, long first_row, long last_row, long x_rows);

/// Combines such outputs with their target.
void coppice_combine_outputs(const coppice_output *output, long first_row, long last_row, long x_rows);
