// The product that every format without a kernel of its own for a batch size goes through: panels of the weight
// are expanded to f32 and multiplied by a blocked f32 kernel. Internal.
#pragma once

/// Writes W[row][first_column ..< first_column + count] as f32. `first_column` is a multiple of 512.
typedef void (*coppice_expand_columns)(const void *weight, long row, long first_column, long count, float *values);

/// y = x Wᵀ for a weight [rows, columns] that `expand` can read. Strides in elements. Threaded over weight rows
/// and activation rows; the partition depends on the problem only.
void coppice_panel_product(
    const void *weight, coppice_expand_columns expand, long rows, long columns, const float *x, long x_rows,
    long x_stride, float *y, long y_stride);
