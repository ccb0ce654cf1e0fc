#include "attention.h"

#include <string.h>

#include "cpu_features.h"
#include "thread_pool.h"

enum { ATTENTION_TILE = 32 }; // queries that one task takes at most

typedef struct {
    coppice_attention_shape shape;
    const coppice_attention_row *rows;
    long row_count;
    const float *queries;
    long query_stride;
    float *outputs;
    long output_stride;
    long heads_per_tile, tokens_per_tile, head_tiles; // head_tiles: per kv head
} attention_work;

#define KERNELS "attention_kernels.inc"
#include "inference_variants.inc"

long coppice_cache_value_stride(long head_size) { return (head_size + 15) / 16 * 16; }

static long element_bytes(coppice_cache_element element) { return element == COPPICE_CACHE_F32 ? 4 : 2; }

long coppice_cache_layer_bytes(long kv_heads, long head_size, coppice_cache_element element) {
    return kv_heads * COPPICE_CACHE_BLOCK * (head_size + coppice_cache_value_stride(head_size)) * element_bytes(element);
}

// MARK: Attention

static long tiles_of_row(const attention_work *work, const coppice_attention_row *row) {
    return (row->count + work->tokens_per_tile - 1) / work->tokens_per_tile;
}

static void attention_task(void *context, long index) {
    const attention_work *work = context;
    const long heads = work->shape.kv_heads * work->head_tiles;
    const long head_tile = index % heads;
    long tile = index / heads;
    const coppice_attention_row *row = work->rows;
    while (tile >= tiles_of_row(work, row)) tile -= tiles_of_row(work, row++);
    const long group = work->shape.heads / work->shape.kv_heads;
    const long within = head_tile % work->head_tiles * work->heads_per_tile;
    const long first_head = head_tile / work->head_tiles * group + within;
    const long head_count = group - within < work->heads_per_tile ? group - within : work->heads_per_tile;
    const long first = tile * work->tokens_per_tile;
    const long tokens = row->count - first < work->tokens_per_tile ? row->count - first : work->tokens_per_tile;
    CHOOSE(attend)(work, row, first, tokens, first_head, head_count);
}

void coppice_attention(const coppice_attention_shape *shape, const coppice_attention_row *rows, long row_count,
                       const float *queries, long query_stride, float *outputs, long output_stride) {
    const long group = shape->heads / shape->kv_heads;
    attention_work work = {
        .shape = *shape, .rows = rows, .row_count = row_count, .queries = queries, .query_stride = query_stride,
        .outputs = outputs, .output_stride = output_stride,
        .heads_per_tile = group < ATTENTION_TILE ? group : ATTENTION_TILE,
    };
    work.head_tiles = (group + work.heads_per_tile - 1) / work.heads_per_tile;
    work.tokens_per_tile = ATTENTION_TILE / work.heads_per_tile;
    long tiles = 0;
    for (long i = 0; i < row_count; i++) tiles += tiles_of_row(&work, &rows[i]);
    const long count = tiles * shape->kv_heads * work.head_tiles;
    // A short decoding step is cheaper on one thread than the fork-join.
    long positions = 0;
    for (long i = 0; i < row_count; i++) positions += (rows[i].start + rows[i].count) * rows[i].count;
    if (positions * shape->heads * shape->head_size < 32768) {
        for (long i = 0; i < count; i++) attention_task(&work, i);
    } else {
        coppice_parallel_for(count, &work, attention_task);
    }
}

// MARK: The cache

static unsigned short half_bits(float value) {
    unsigned bits;
    memcpy(&bits, &value, 4);
    const unsigned sign = bits >> 16 & 0x8000u;
    bits &= 0x7FFFFFFFu;
    if (bits > 0x7F800000u) return (unsigned short)(sign | 0x7E00u); // NaN
    if (bits >= 0x477FF000u) return (unsigned short)(sign | 0x7BFFu); // beyond the largest half
    if (bits < 0x38800000u) { // subnormal half: align to a unit of 2^-24 by a float addition that rounds to even
        float magnitude;
        memcpy(&magnitude, &bits, 4);
        magnitude += 0.5f;
        memcpy(&bits, &magnitude, 4);
        return (unsigned short)(sign | (bits - 0x3F000000u));
    }
    bits += 0xFFFu + (bits >> 13 & 1u); // nearest, ties to even
    return (unsigned short)(sign | ((bits - 0x38000000u) >> 13));
}

static float half_value(unsigned short half) {
    const unsigned sign = (unsigned)(half & 0x8000u) << 16;
    unsigned bits = (unsigned)(half & 0x7FFFu) << 13;
    float value;
    memcpy(&value, &bits, 4);
    value *= 5.192296858534828e33f;
    if ((half & 0x7C00u) == 0x7C00u) value = (half & 0x3FFu) ? __builtin_nanf("") : __builtin_inff();
    memcpy(&bits, &value, 4);
    bits |= sign;
    memcpy(&value, &bits, 4);
    return value;
}

static unsigned short brain_bits(float value) {
    unsigned bits;
    memcpy(&bits, &value, 4);
    if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return (unsigned short)(bits >> 16 | 0x40u);
    return (unsigned short)((bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16);
}

static void put(void *base, long index, float value, coppice_cache_element element) {
    switch (element) {
    case COPPICE_CACHE_F32: ((float *)base)[index] = value; break;
    case COPPICE_CACHE_F16: ((unsigned short *)base)[index] = half_bits(value); break;
    case COPPICE_CACHE_BF16: ((unsigned short *)base)[index] = brain_bits(value); break;
    }
}

static float get(const void *base, long index, coppice_cache_element element) {
    if (element == COPPICE_CACHE_F32) return ((const float *)base)[index];
    if (element == COPPICE_CACHE_F16) return half_value(((const unsigned short *)base)[index]);
    const unsigned bits = (unsigned)((const unsigned short *)base)[index] << 16;
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

typedef struct {
    const coppice_attention_shape *shape;
    const coppice_attention_row *rows;
    const float *keys, *values;
    long key_stride, value_stride;
} write_work;

static void write_task(void *context, long index) {
    const write_work *work = context;
    const coppice_attention_shape *shape = work->shape;
    const coppice_attention_row *row = &work->rows[index / shape->kv_heads];
    const long head = index % shape->kv_heads, head_size = shape->head_size;
    const long padded = coppice_cache_value_stride(head_size);
    for (long t = 0; t < row->count; t++) {
        const long position = row->start + t, within = position % COPPICE_CACHE_BLOCK;
        char *base = (char *)row->blocks[position / COPPICE_CACHE_BLOCK] + shape->layer_offset;
        const float *key = work->keys + (row->first_token + t) * work->key_stride + head * head_size;
        const float *value = work->values + (row->first_token + t) * work->value_stride + head * head_size;
        const long keys_at = head * head_size * COPPICE_CACHE_BLOCK + within;
        for (long i = 0; i < head_size; i++) put(base, keys_at + i * COPPICE_CACHE_BLOCK, key[i], shape->element);
        const long values_at =
            shape->kv_heads * head_size * COPPICE_CACHE_BLOCK + (head * COPPICE_CACHE_BLOCK + within) * padded;
        for (long i = 0; i < head_size; i++) put(base, values_at + i, value[i], shape->element);
        for (long i = head_size; i < padded; i++) put(base, values_at + i, 0.0f, shape->element);
    }
}

void coppice_cache_write(const coppice_attention_shape *shape, const coppice_attention_row *rows, long row_count,
                         const float *keys, long key_stride, const float *values, long value_stride) {
    write_work work = {shape, rows, keys, values, key_stride, value_stride};
    long tokens = 0;
    for (long i = 0; i < row_count; i++) tokens += rows[i].count;
    const long count = row_count * shape->kv_heads;
    if (tokens * shape->kv_heads * shape->head_size < 8192) {
        for (long i = 0; i < count; i++) write_task(&work, i);
    } else {
        coppice_parallel_for(count, &work, write_task);
    }
}

void coppice_cache_read(const coppice_attention_shape *shape, void *const *blocks, long position, float *key,
                        float *value) {
    const long within = position % COPPICE_CACHE_BLOCK, head_size = shape->head_size;
    const long padded = coppice_cache_value_stride(head_size);
    const char *base = (const char *)blocks[position / COPPICE_CACHE_BLOCK] + shape->layer_offset;
    for (long head = 0; head < shape->kv_heads; head++) {
        const long keys_at = head * head_size * COPPICE_CACHE_BLOCK + within;
        const long values_at =
            shape->kv_heads * head_size * COPPICE_CACHE_BLOCK + (head * COPPICE_CACHE_BLOCK + within) * padded;
        for (long i = 0; i < head_size; i++) {
            key[head * head_size + i] = get(base, keys_at + i * COPPICE_CACHE_BLOCK, shape->element);
            value[head * head_size + i] = get(base, values_at + i, shape->element);
        }
    }
}
