// Batches of images for training: bytes to normalized numbers, cropped, mirrored and partly hidden on the way.
#pragma once

#include <stdint.h>

/// What is done to one image of a batch.
typedef struct coppice_image_view {
    int64_t index;          ///< the image, counted from the first
    int32_t row, column;    ///< where the view begins in the image; what lies outside is `outside`
    int32_t flip;           ///< 1 mirrors the view left to right
    int32_t hidden_row, hidden_column; ///< where the hidden square begins in the view; may be negative
    int32_t hidden_size;    ///< its rows and columns; 0 hides nothing
} coppice_image_view;

/// Writes `count` views of images as numbers.
///
/// `out[i][c][y][x] = table[c][pixel]`, where the pixel is that of image `views[i].index` at row `views[i].row + y` and
/// column `views[i].column + x`, read from right to left in mirrored views; pixels that lie outside of the image are 0,
/// and the hidden square is the number 0. Each number is looked up, so that it is the same bits everywhere.
///
/// `images`: `[*, channels, rows, columns]`, densely; `table`: `[channels, 256]`; `out`: `[count, channels, rows,
/// columns]`, overlapping nothing; any alignment. Every view has the image's rows and columns. Threaded over images.
void coppice_image_batch(
    const uint8_t *images, long channels, long rows, long columns, const coppice_image_view *views, long count,
    const float *table, float *out);

/// Adds up bytes and their squares by channel: `sums[c]` and `squares[c]` over `[count, channels, plane]`. Exact.
/// Threaded over images; `count · plane` at most 2^47.
void coppice_image_moments(
    const uint8_t *images, long count, long channels, long plane, uint64_t *sums, uint64_t *squares);
