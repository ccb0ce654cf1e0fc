#include <string.h>

#include "attention_layout.h"
#include "cpu_features.h"
#include "scalar_conversion.h"
#include "thread_pool.h"

enum { STRIP = 16 }; // positions that are turned before they are stored, so that stores of keys share cache lines

static const float LARGEST_HALF = 65504.0f;

typedef struct {
    const coppice_attention_shape *shape;
    const coppice_attention_row *rows;
    const coppice_rotary_tables *angles, *sink_angles;
    float *queries, *sink_queries;
    const float *keys, *values;
    long query_stride, key_stride, value_stride;
} store_work;

#define KERNELS "attention_store.inc"
#include "inference_variants.inc"

long coppice_cache_layer_bytes(long kv_heads, long head_size, coppice_cache_element element) {
    // Where the keys of one more head would begin.
    const attention_layout end = attention_layout_of(kv_heads, head_size, element, kv_heads);
    return attention_is_quantized(element) ? end.keys : end.values;
}

static long blocks_of_row(const coppice_attention_row *row) {
    return (row->start + row->count - 1) / COPPICE_CACHE_BLOCK - row->start / COPPICE_CACHE_BLOCK + 1;
}

static void store_task(void *context, long index) {
    const store_work *work = context;
    const long kv_head = index % work->shape->kv_heads;
    long block = index / work->shape->kv_heads;
    const coppice_attention_row *row = work->rows;
    while (block >= blocks_of_row(row)) block -= blocks_of_row(row++);
    const long begin = (row->start / COPPICE_CACHE_BLOCK + block) * COPPICE_CACHE_BLOCK - row->start;
    const long first = begin > 0 ? begin : 0;
    const long end = begin + COPPICE_CACHE_BLOCK < row->count ? begin + COPPICE_CACHE_BLOCK : row->count;
    CHOOSE(store_tokens)(work, row, first, end - first, kv_head);
}

void coppice_rotate_and_store(const coppice_attention_shape *shape, const coppice_attention_row *rows, long row_count,
                              const coppice_rotary_tables *angles, float *queries, long query_stride,
                              const coppice_rotary_tables *sink_angles, float *sink_queries, const float *keys,
                              long key_stride, const float *values, long value_stride) {
    store_work work = {
        .shape = shape, .rows = rows, .angles = angles, .sink_angles = sink_angles, .queries = queries,
        .sink_queries = sink_queries, .keys = keys, .values = values, .query_stride = query_stride,
        .key_stride = key_stride, .value_stride = value_stride,
    };
    long tokens = 0, blocks = 0;
    for (long i = 0; i < row_count; i++) {
        tokens += rows[i].count;
        blocks += blocks_of_row(&rows[i]);
    }
    const long count = blocks * shape->kv_heads;
    // A short decoding step is cheaper on one thread than the fork-join.
    if (tokens * (shape->heads + 2 * shape->kv_heads) * shape->head_size < 16384) {
        for (long i = 0; i < count; i++) store_task(&work, i);
    } else {
        coppice_parallel_for(count, &work, store_task);
    }
}

// MARK: Reading back

static float stored_value(const void *base, long index, coppice_cache_element element) {
    if (element == COPPICE_CACHE_F32) return ((const float *)base)[index];
    const uint16_t bits = ((const uint16_t *)base)[index];
    return element == COPPICE_CACHE_F16 ? coppice_f32_from_f16(bits) : coppice_f32_from_bf16(bits);
}

// One position of a key or value; `byte` says where in its group a channel's code lies.
static void read_quantized(const attention_layout *layout, const char *base, long within,
                           long (*byte)(long, long, long, long), long halves_apart, float *x) {
    for (long i = 0; i < layout->size; i++) {
        const long group = i / COPPICE_CACHE_GROUP, channel = i % COPPICE_CACHE_GROUP;
        const char *from = base + group * layout->group_bytes;
        const uint16_t *scales = (const uint16_t *)(from + attention_group_scales(layout, group)) + within;
        unsigned code = (unsigned char)from[byte(channel, within, attention_group_size(layout, group), layout->bits)];
        if (layout->bits == 4) code = channel / halves_apart % 2 ? code >> 4 : code & 15;
        x[i] = coppice_f32_from_f16(scales[COPPICE_CACHE_BLOCK]) + coppice_f32_from_f16(scales[0]) * (float)code;
    }
}

void coppice_cache_read(const coppice_attention_shape *shape, void *const *blocks, long position, float *key,
                        float *value) {
    const long within = position % COPPICE_CACHE_BLOCK, head_size = shape->head_size;
    const char *base = (const char *)blocks[position / COPPICE_CACHE_BLOCK] + shape->layer_offset;
    for (long head = 0; head < shape->kv_heads; head++, key += head_size, value += head_size) {
        const attention_layout layout = attention_layout_of_shape(shape, head);
        if (attention_is_quantized(shape->element)) {
            float x[COPPICE_ATTENTION_MAX_HEAD];
            read_quantized(&layout, base + layout.values, within, attention_value_byte, 16, x);
            memcpy(value, x, (size_t)head_size * sizeof(float));
            read_quantized(&layout, base + layout.keys, within, attention_key_byte, 4, x);
            CHOOSE(turn)(x, layout.size, attention_hadamard_run(head_size)); // the matrix is its own inverse
            memcpy(key, x, (size_t)head_size * sizeof(float));
            continue;
        }
        for (long i = 0; i < head_size; i++) {
            key[i] = stored_value(base + layout.keys, i * COPPICE_CACHE_BLOCK + within, shape->element);
            value[i] = stored_value(base + layout.values, within * layout.size + i, shape->element);
        }
    }
}
