// Convolutions of images with a weight of which few entries are kept.
//
// Each channel of an image is written once into a padded plane, cut by the strides into one plane for each residue of
// rows and columns, so that an entry of the kernel sees all outputs of a line next to each other: it meets a vector of
// outputs with one multiplication and one load, wherever in the kernel it is and whatever the stride.
#pragma once

#include <stdint.h>

#include "windows.h"

/// What is convolved: images of `channels` planes, [images, channels, height, width], to `outputs` planes each.
typedef struct coppice_sparse_convolution {
    long images, channels, outputs;
    coppice_windows windows;
    /// Elements between the beginnings of images, planes, rows and neighbours of a row of the input.
    long image_step, channel_step, row_step, column_step;
} coppice_sparse_convolution;

/// The kept entries of a weight: those of output o are at `starts[o]` to `starts[o + 1] - 1` of `values` and of `places`,
/// where they lie in the padded planes (``coppice_sparse_convolution_place``).
typedef struct coppice_sparse_kernel {
    const int32_t *starts;
    const int32_t *places;
    const float *values;
} coppice_sparse_kernel;

/// What becomes of each sum: max(scale · sum + shift + residual, least). A sum that is no number stays none.
typedef struct coppice_sparse_epilogue {
    /// One for each output; null for 1 and 0.
    const float *scales, *shifts;
    /// Laid out as the result; null for none.
    const float *residual;
    /// 0 rectifies, -∞ does nothing.
    float least;
} coppice_sparse_epilogue;

/// Floats that the padded planes of one image take.
long coppice_sparse_convolution_plane_count(const coppice_sparse_convolution *convolution);

/// Where the input of output (0, 0) of a kernel's entry (row, column) of a channel lies in the padded planes.
long coppice_sparse_convolution_place(
    const coppice_sparse_convolution *convolution, long channel, long row, long column);

/// out = the convolution, [images, outputs, out_height, out_width], contiguous. `planes` is room for the padded planes of
/// all images. Sums are in the order of entries, whatever the number of threads. Threaded.
void coppice_sparse_convolve(
    const coppice_sparse_convolution *convolution, coppice_sparse_kernel kernel, coppice_sparse_epilogue epilogue,
    const float *images, float *planes, float *out);
