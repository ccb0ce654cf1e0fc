// Where keys, values and their scales lie within a layer's bytes of a cache block. Internal; see attention.h.
#pragma once

#include "attention.h"

enum {
    /// Largest magnitude of an operand of the integer products: two signed bytes, high and low, 127 · 256 + 127.
    ATTENTION_OPERAND_LARGEST = 32639,
};

static inline int attention_is_quantized(coppice_cache_element element) {
    return element == COPPICE_CACHE_INT8 || element == COPPICE_CACHE_INT4;
}

/// The head size as stored: zeros follow the channels.
static inline long attention_stored_size(long head_size, coppice_cache_element element) {
    const long multiple = element == COPPICE_CACHE_INT4 ? COPPICE_CACHE_GROUP : 16;
    return (head_size + multiple - 1) / multiple * multiple;
}

/// The runs over which the Hadamard matrix turns keys: the largest power of two that divides the head size.
static inline long attention_hadamard_run(long head_size) { return head_size & -head_size; }

/// Offsets in bytes within the layer's bytes of a block.
typedef struct attention_layout {
    long size;        ///< channels as stored
    long keys, values;
    long bits;        ///< of quantized types, as are the next two
    long groups;
    long group_bytes; ///< of 32 channels, scales and minima included
} attention_layout;

static inline long attention_element_bytes(coppice_cache_element element) {
    return element == COPPICE_CACHE_F32 ? 4 : 2;
}

static inline attention_layout attention_layout_of(long kv_heads, long head_size, coppice_cache_element element,
                                                   long kv_head) {
    attention_layout layout = {.size = attention_stored_size(head_size, element)};
    if (!attention_is_quantized(element)) {
        const long bytes = attention_element_bytes(element) * COPPICE_CACHE_BLOCK;
        layout.keys = kv_head * head_size * bytes;
        layout.values = (kv_heads * head_size + kv_head * layout.size) * bytes;
        return layout;
    }
    layout.bits = element == COPPICE_CACHE_INT4 ? 4 : 8;
    layout.groups = (layout.size + COPPICE_CACHE_GROUP - 1) / COPPICE_CACHE_GROUP;
    const long scales = 2 * COPPICE_CACHE_BLOCK * 2;
    layout.group_bytes = COPPICE_CACHE_GROUP * COPPICE_CACHE_BLOCK * layout.bits / 8 + scales;
    const long bytes = layout.size * COPPICE_CACHE_BLOCK * layout.bits / 8 + layout.groups * scales;
    layout.keys = kv_head * 2 * bytes;
    layout.values = layout.keys + bytes;
    return layout;
}

static inline attention_layout attention_layout_of_shape(const coppice_attention_shape *shape, long kv_head) {
    return attention_layout_of(shape->kv_heads, shape->head_size, shape->element, kv_head);
}

/// Channels of a group.
static inline long attention_group_size(const attention_layout *layout, long group) {
    const long left = layout->size - group * COPPICE_CACHE_GROUP;
    return left < COPPICE_CACHE_GROUP ? left : COPPICE_CACHE_GROUP;
}

/// Where a group's scales begin within the group; the minima follow them.
static inline long attention_group_scales(const attention_layout *layout, long group) {
    return attention_group_size(layout, group) * COPPICE_CACHE_BLOCK * layout->bits / 8;
}

/// The byte within its group of a key's code. In int4 channels that are 4 apart share one. A lane's bytes hold channels
/// 0, 2, 1, 3 of four: the even bytes are then two neighbours, as are the odd ones, which is how 16-bit products take
/// them.
static inline long attention_key_byte(long channel, long position, long group_size, long bits) {
    const long within = channel % 4, byte = within == 1 ? 2 : within == 2 ? 1 : within;
    const long halves = 8 / bits, lane = channel / 4 / halves, lanes = group_size / 4 / halves;
    return ((position / 16 * lanes + lane) * 16 + position % 16) * 4 + byte;
}

/// The byte within its group of a value's code. In int4 channels that are 16 apart share one.
static inline long attention_value_byte(long channel, long position, long group_size, long bits) {
    if (bits == 4) group_size = 16;
    return (position % 16 * group_size + channel % group_size) * 4 + position / 16;
}
