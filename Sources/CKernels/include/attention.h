// Attention of decoder rows over a blocked key-value cache, and writing that cache.
#pragma once

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    /// Positions that one cache block holds. Block `i` of a sequence holds positions `64 i ... 64 i + 63`.
    COPPICE_CACHE_BLOCK = 64,
    /// Largest head size that attention takes.
    COPPICE_ATTENTION_MAX_HEAD = 512,
};

/// How keys and values are stored.
typedef enum coppice_cache_element {
    COPPICE_CACHE_F32 = 0,
    COPPICE_CACHE_F16 = 1,  ///< IEEE half; values beyond ±65504 are stored as ±65504
    COPPICE_CACHE_BF16 = 2,
} coppice_cache_element;

/// Elements between two positions of a head's values: the head size rounded up to a multiple of 16.
long coppice_cache_value_stride(long head_size);

/// Bytes that one layer's keys and values of one block take (a multiple of 64). Within them, keys come first as
/// [kv_heads][head_size][64 positions], then values as [kv_heads][64 positions][value stride]. Keys lie transposed
/// so that a score is a multiply-add down a column, without sums across lanes.
long coppice_cache_layer_bytes(long kv_heads, long head_size, coppice_cache_element element);

/// One sequence's share of a pass.
typedef struct coppice_attention_row {
    void *const *blocks; ///< block table; entries up to that of the last position must be set, 64-byte aligned
    long first_token;    ///< index of the row's first token among the pass's tokens
    long start;          ///< position of that token in its sequence
    long count;          ///< tokens, at least 1
} coppice_attention_row;

/// The shape of a layer's attention. `layer_offset` is where the layer's bytes start within a block.
typedef struct coppice_attention_shape {
    long heads;
    long kv_heads;     ///< divides `heads`; head h reads the keys of kv head h / (heads / kv_heads)
    long head_size;    ///< 1 ... COPPICE_ATTENTION_MAX_HEAD
    long window;       ///< position p sees positions p - window + 1 ... p; 0: all up to p
    long layer_offset;
    coppice_cache_element element;
    float scale;       ///< multiplies the scores
} coppice_attention_shape;

/// Stores the rows' keys and values ([tokens, kv_heads · head_size], `stride` elements between tokens) in the
/// cache. Rows must be of different sequences. Padding lanes of the values are set to zero. Threaded.
void coppice_cache_write(const coppice_attention_shape *shape, const coppice_attention_row *rows, long row_count,
                         const float *keys, long key_stride, const float *values, long value_stride);

/// Reads one position's key and value of all kv heads back as f32, each [kv_heads · head_size].
void coppice_cache_read(const coppice_attention_shape *shape, void *const *blocks, long position, float *key,
                        float *value);

/// Causal softmax attention of every row's tokens over its sequence's cache, which must hold the row's own keys
/// and values already. `queries` and `outputs` are [tokens, heads · head_size] with the given strides in elements
/// and must not overlap. Accumulates in f32 with the online softmax of Milakov and Gimelshein (2018), block by
/// block in order of position, so a token's result does not depend on the other tokens, on the way its prompt was
/// cut into rows, or on the number of threads. Threaded.
void coppice_attention(const coppice_attention_shape *shape, const coppice_attention_row *rows, long row_count,
                       const float *queries, long query_stride, float *outputs, long output_stride);

#ifdef __cplusplus
}
#endif
