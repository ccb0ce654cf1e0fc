// How channels of images are cut into blocks for threads: by the shape alone.
//
// Channels last, a block is so many rows of channels that they stay in the second cache between two passes, all of one
// image where that is asked for; else it is one plane. Few channels are widened to whole vectors: `fold` rows count as
// one.
#pragma once

#include "batch_norm.h"

#include <string.h>

enum { block_elements = 16384, wide = 64 };

typedef struct cut {
    coppice_channels shape;
    // Channels last: blocks cut runs of rows, which are those of an image or of all.
    long rows_in_run, rows_in_block, blocks_in_run, blocks, fold;
} cut;

static inline cut cut_of(coppice_channels s, int by_image) {
    cut c = {.shape = s, .fold = 1};
    if (!s.channels_last) {
        c.blocks = s.images * s.channels;
        return c;
    }
    if (s.channels < wide && wide % s.channels == 0) c.fold = wide / s.channels;
    long rows = block_elements / (s.channels * c.fold) * c.fold;
    c.rows_in_block = rows > 0 ? rows : c.fold;
    c.rows_in_run = by_image ? s.plane : s.images * s.plane;
    c.blocks_in_run = (c.rows_in_run + c.rows_in_block - 1) / c.rows_in_block;
    c.blocks = c.blocks_in_run * (by_image ? s.images : 1);
    return c;
}

// Blocks of rows have two vectors each, planes two numbers.
static inline long partial_width(const cut *c) { return c->shape.channels_last ? 2 * c->shape.channels : 2; }

// Channels last: where a block begins, and how many rows it has.
static inline long element_of(const cut *c, long block) {
    long row = block / c->blocks_in_run * c->rows_in_run + block % c->blocks_in_run * c->rows_in_block;
    return row * c->shape.channels;
}

static inline long rows_of(const cut *c, long block) {
    long left = c->rows_in_run - block % c->blocks_in_run * c->rows_in_block;
    return left < c->rows_in_block ? left : c->rows_in_block;
}

// The image of a block that is cut by images, or of a plane.
static inline long image_of(const cut *c, long block) {
    return block / (c->shape.channels_last ? c->blocks_in_run : c->shape.channels);
}

static inline void widen(const cut *c, const float *from, float *to) {
    for (long f = 0; f < c->fold; f++) memcpy(to + f * c->shape.channels, from, (size_t)c->shape.channels * sizeof *to);
}

static inline void narrow(const cut *c, const float *from, float *to) {
    for (long f = 0; f < c->fold; f++)
        for (long i = 0; i < c->shape.channels; i++) to[i] += from[f * c->shape.channels + i];
}
