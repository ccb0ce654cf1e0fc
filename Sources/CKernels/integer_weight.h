// Weights that integer kernels multiply with rounded activations. Internal.
#pragma once

#include "block_codes.h"
#include "packed_product.h"
#include "plane_product.h"
#include "rounded_rows.h"

/// How a weight's codes are read. A kernel is compiled for each.
typedef enum {
    COPPICE_INTEGER_U8, COPPICE_INTEGER_U8_MASKED, COPPICE_INTEGER_U4, COPPICE_INTEGER_U4_MASKED,
    COPPICE_INTEGER_BLOCKS, ///< the first of the types of blocks
#define KIND(TYPE) COPPICE_INTEGER_##TYPE = COPPICE_INTEGER_BLOCKS + COPPICE_BLOCK_##TYPE,
#define COPPICE_EACH_BLOCK_KIND(DO) \
    DO(Q4_0) DO(Q4_1) DO(Q5_0) DO(Q5_1) DO(Q8_0) DO(IQ4_NL) DO(Q2_K) DO(Q3_K) DO(Q4_K) DO(Q5_K) DO(Q6_K)
    COPPICE_EACH_BLOCK_KIND(KIND)
#undef KIND
    COPPICE_INTEGER_PLANES,            ///< bit planes of integers
    COPPICE_INTEGER_PLANE_VALUES,      ///< of codes of a table
    COPPICE_INTEGER_PLANE_MANY_VALUES, ///< of several tables within a step of 128 columns
    COPPICE_INTEGER_KINDS,
} coppice_integer_kind;
/// Planes have kernels of their own for few rows.
#define COPPICE_EACH_PLANE_KIND(DO) DO(PLANES) DO(PLANE_VALUES) DO(PLANE_MANY_VALUES)
#define COPPICE_EACH_INTEGER_KIND(DO) DO(U8) DO(U4) COPPICE_EACH_BLOCK_KIND(DO)
/// Few rows of activations meet masked codes in sparse_tile.c, many in panels.
#define COPPICE_EACH_MASKED_KIND(DO) DO(U8_MASKED) DO(U4_MASKED)

typedef struct {
    int kind;
    long rows, columns;
    const coppice_packed_weight *packed;
    const coppice_block_weight *blocks;
    const coppice_plane_weight *planes; ///< with `packed` for its scales and zero points
    const void *plane_decoder;          ///< a plane_decoder in natural order
} coppice_integer_weight;

static inline coppice_integer_weight coppice_integer_of_packed(const coppice_packed_weight *w) {
    int kind = (w->value == COPPICE_PACKED_U4 ? COPPICE_INTEGER_U4 : COPPICE_INTEGER_U8) + (w->masks != 0);
    return (coppice_integer_weight){.kind = kind, .rows = w->rows, .columns = w->columns, .packed = w};
}

static inline coppice_integer_weight coppice_integer_of_blocks(const coppice_block_weight *w) {
    return (coppice_integer_weight){
        .kind = COPPICE_INTEGER_BLOCKS + (int)w->type, .rows = w->rows, .columns = w->columns, .blocks = w};
}

/// Columns that share a scale at the finest: 16 or 32.
static inline int coppice_integer_grain(int kind) {
    int type = kind - COPPICE_INTEGER_BLOCKS;
    return type == COPPICE_BLOCK_Q2_K || type == COPPICE_BLOCK_Q3_K || type == COPPICE_BLOCK_Q6_K ? 16 : 32;
}

/// The zero point of all groups of the weight, or -1 where each has its own.
static inline int coppice_integer_zero(const coppice_integer_weight *w) {
    // A zero point between two codes is no integer: such weights are treated as if each group had its own.
    if (w->packed) {
        const int zero = (int)w->packed->zero;
        return w->packed->zeros || w->packed->zero != (float)zero ? -1 : zero;
    }
    switch (w->blocks->type) {
    case COPPICE_BLOCK_Q4_0: return 8;
    case COPPICE_BLOCK_Q5_0: return 16;
    case COPPICE_BLOCK_Q8_0: case COPPICE_BLOCK_IQ4_NL: return 128;
    case COPPICE_BLOCK_Q3_K: return 4;
    case COPPICE_BLOCK_Q6_K: return 32;
    default: return -1;
    }
}
