// Windows that slide over planes: pooling, and the unfolding that turns a convolution into a matrix product.
#pragma once

#include <stdint.h>

/// How windows lie on a plane of `height` by `width` elements. Output element (r, c) sees the input elements
/// (r * stride_y - top + i * dilation_y, c * stride_x - left + j * dilation_x) for i < kernel_height and
/// j < kernel_width; those outside the plane are padding.
typedef struct coppice_windows {
    long height, width;
    long kernel_height, kernel_width;
    long out_height, out_width;
    long stride_y, stride_x;
    long dilation_y, dilation_x;
    long top, left;
} coppice_windows;

// Planes are contiguous and follow each other. Pointers may not overlap. Pooling is threaded over planes; unfolding
// runs on the calling thread.

/// Unfolds `planes` planes: `columns` is [planes * kernel_height * kernel_width, out_height * out_width], zero where
/// padding.
void coppice_unfold_f32(const float *x, long planes, coppice_windows windows, float *columns);
void coppice_unfold_f64(const double *x, long planes, coppice_windows windows, double *columns);

/// The adjoint of unfolding: adds each element of `columns` to the element of `x` that it would have been taken from.
void coppice_fold_add_f32(const float *columns, long planes, coppice_windows windows, float *x);
void coppice_fold_add_f64(const double *columns, long planes, coppice_windows windows, double *x);

/// The place within its plane (row * width + column) of the first largest element of each window, or of the first NaN.
/// Padding never wins; every window must touch its plane. `places` is [planes, out_height, out_width].
void coppice_max_pool_f32(const float *x, long planes, coppice_windows windows, int64_t *places);
void coppice_max_pool_f64(const double *x, long planes, coppice_windows windows, int64_t *places);

/// The sum of each window, padding counting as zero: `y` is [planes, out_height, out_width].
void coppice_sum_pool_f32(const float *x, long planes, coppice_windows windows, float *y);
void coppice_sum_pool_f64(const double *x, long planes, coppice_windows windows, double *y);

/// The adjoint of summing: sets each element of `x` to the sum of the elements of `y` whose windows see it.
void coppice_sum_pool_adjoint_f32(const float *y, long planes, coppice_windows windows, float *x);
void coppice_sum_pool_adjoint_f64(const double *y, long planes, coppice_windows windows, double *x);
