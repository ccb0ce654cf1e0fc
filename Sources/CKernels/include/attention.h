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
    /// Channels of a head that share a scale and a minimum in a quantized cache.
    COPPICE_CACHE_GROUP = 32,
    /// Positions whose softmax is taken together before it is merged with that of the positions before.
    COPPICE_ATTENTION_SPAN = 256,
};

/// How keys and values are stored.
///
/// The quantized types store each position on its own, so what a block holds does not depend on how it was filled.
/// Every group of 32 channels (16 for what is left over in int8) of a position's key or value has a scale s and a
/// minimum m in f16 and codes c of 8 or 4 bits: x ≈ m + s c, as in KIVI (Liu et al., 2024, section 3) for values. Few
/// channels of keys are far larger than the others; instead of scales for each channel, which need all positions of a
/// block at once, keys are turned by an orthonormal Hadamard matrix over each run of 2^n channels (2^n the largest
/// power of two that divides the head size), which spreads such channels over the run (QuaRot, Ashkboos et al., 2024,
/// section 4). Queries are turned alike, so scores stay what they are.
///
/// Error: each channel of a value, and of a turned key, by at most s / 2 (1 + 2^-10) beside the rounding of f32, where
/// s ≤ (largest - smallest) / (2^bits - 1) (1 + 2^-9) + 2^-10 |smallest| / (2^bits - 1) + 2^-24. In attention, queries
/// and the weights of a block's values are rounded to 1 / 65278 of the largest among the group's and the block's.
typedef enum coppice_cache_element {
    COPPICE_CACHE_F32 = 0,
    COPPICE_CACHE_F16 = 1,  ///< IEEE half; values beyond ±65504 are stored as ±65504
    COPPICE_CACHE_BF16 = 2,
    COPPICE_CACHE_INT8 = 3, ///< 9 bits a channel; values beyond ±65504 count as ±65504
    COPPICE_CACHE_INT4 = 4, ///< 5 bits a channel; likewise
} coppice_cache_element;

/// Bytes that one layer's keys and values of one block take, a multiple of 64. Head sizes are rounded up to a multiple
/// of 16, in int4 of 32.
///
/// In the floating-point types keys come first as [kv_heads][head_size][64 positions], then values as
/// [kv_heads][64 positions][rounded size]. Keys lie transposed so that a score is a multiply-add down a column,
/// without sums across lanes.
///
/// In the quantized types each kv head has its keys, then its values, each group by group: codes, the 64 positions'
/// scales and their minima. A lane of 32 bits feeds one 8-bit dot product: key codes are [4][channels / 4]
/// [16 positions][4 channels], value codes [16][channels][4 positions: i, i + 16, i + 32, i + 48]. In int4 a byte holds
/// the codes of two such lanes, the lower one in the low bits: channels 4 apart of keys, 16 apart of values.
long coppice_cache_layer_bytes(long kv_heads, long head_size, coppice_cache_element element);

/// One sequence's share of a pass.
typedef struct coppice_attention_row {
    void *const *blocks; ///< block table; entries that the row's tokens see or write must be set, 64-byte aligned
    long first_token;    ///< index of the row's first token among the pass's tokens
    long start;          ///< position of that token in its sequence
    long count;          ///< tokens, at least 1
} coppice_attention_row;

/// The shape of a layer's attention. Position p sees position t ≤ p where `window` is 0, or t > p - window, or
/// t < sinks (attention sinks: Xiao et al., StreamingLLM, 2023).
typedef struct coppice_attention_shape {
    long heads;
    long kv_heads;     ///< divides `heads`; head h reads the keys of kv head h / (heads / kv_heads)
    long head_size;    ///< 1 ... COPPICE_ATTENTION_MAX_HEAD
    long window;
    long sinks;
    long layer_offset; ///< where the layer's bytes start within a block
    coppice_cache_element element;
    float scale;       ///< multiplies the scores
} coppice_attention_shape;

/// The rotary angles of a pass's tokens, made by `coppice_rotary_angles`: [tokens, pairs] each. The first 2 · pairs
/// channels of a head turn. With `interleaved` the pairs are neighbours (2i, 2i + 1), else halves (i, i + pairs).
typedef struct coppice_rotary_tables {
    const float *cosines, *sines;
    long pairs;
    int interleaved;
} coppice_rotary_tables;

/// Turns the rows' queries in place and stores their turned keys, and their values, in the cache.
///
/// `queries` is [tokens, heads · head_size], `keys` and `values` are [tokens, kv_heads · head_size], with the given
/// strides in elements between tokens; keys and values stay as they are. Rows must be of different sequences.
///
/// Where the sinks are seen at another distance than they were written at, `sink_queries` (the queries' layout, no
/// overlap) takes the queries turned by `sink_angles` instead; else both are NULL. Without `angles` (NULL) nothing
/// turns, and `queries` may be NULL. Threaded.
void coppice_rotate_and_store(const coppice_attention_shape *shape, const coppice_attention_row *rows, long row_count,
                              const coppice_rotary_tables *angles, float *queries, long query_stride,
                              const coppice_rotary_tables *sink_angles, float *sink_queries, const float *keys,
                              long key_stride, const float *values, long value_stride);

/// Reads one position's key and value of all kv heads back as f32, each [kv_heads · head_size].
void coppice_cache_read(const coppice_attention_shape *shape, void *const *blocks, long position, float *key,
                        float *value);

/// Floats of scratch memory that `coppice_attention` needs for these rows; 0 where there is enough to do at once
/// without cutting texts. O(rows).
long coppice_attention_scratch(const coppice_attention_shape *shape, const coppice_attention_row *rows, long row_count);

/// Softmax attention of every row's tokens over its sequence's cache, which must hold the row's own keys and values
/// already. `queries` and `outputs` are [tokens, heads · head_size] with the given strides in elements and must not
/// overlap. `sink_queries` takes the place of the queries for positions below `sinks`; NULL: the same queries.
/// `scratch` holds what `coppice_attention_scratch` says, any alignment of a float.
///
/// Accumulates in f32 with the online softmax of Milakov and Gimelshein (2018), block by block in order of position
/// within spans of 256 positions, which are merged in order. So a token's result does not depend on the other tokens,
/// on the way its prompt was cut into rows, or on the number of threads. Where few rows and kv heads leave processors
/// idle, the spans of a text are computed side by side (Dao et al., Flash-Decoding, 2023), with the same result to the
/// bit. Threaded.
void coppice_attention(const coppice_attention_shape *shape, const coppice_attention_row *rows, long row_count,
                       const float *queries, long query_stride, const float *sink_queries, float *outputs,
                       long output_stride, float *scratch);

#ifdef __cplusplus
}
#endif
