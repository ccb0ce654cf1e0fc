// The sizes of GGUF's blocks. Internal.
#pragma once

#include "block_codes.h"

static const struct { short length, bytes; } coppice_block_layouts[] = {
    [COPPICE_BLOCK_Q4_0] = {32, 18},   [COPPICE_BLOCK_Q4_1] = {32, 20},  [COPPICE_BLOCK_Q5_0] = {32, 22},
    [COPPICE_BLOCK_Q5_1] = {32, 24},   [COPPICE_BLOCK_Q8_0] = {32, 34},  [COPPICE_BLOCK_IQ4_NL] = {32, 18},
    [COPPICE_BLOCK_Q2_K] = {256, 84},  [COPPICE_BLOCK_Q3_K] = {256, 110}, [COPPICE_BLOCK_Q4_K] = {256, 144},
    [COPPICE_BLOCK_Q5_K] = {256, 176}, [COPPICE_BLOCK_Q6_K] = {256, 210},
};

/// Bytes of a row of `columns`.
static inline long coppice_block_row_bytes(coppice_block_type type, long columns) {
    return columns / coppice_block_layouts[type].length * coppice_block_layouts[type].bytes;
}
