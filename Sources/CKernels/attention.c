#include "attention.h"

#include <stdatomic.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "attention_layout.h"
#include "cpu_features.h"
#include "thread_pool.h"

enum {
    ATTENTION_TILE = 32, // queries that one task takes at most
    SPAN_BLOCKS = COPPICE_ATTENTION_SPAN / COPPICE_CACHE_BLOCK,
    // Below this many tiles, texts are cut into spans: enough tasks for many cores, and few enough partial results.
    MOST_CUT_TILES = 32,
};

typedef struct {
    coppice_attention_shape shape;
    const coppice_attention_row *rows;
    long row_count;
    const float *queries, *sink_queries;
    long query_stride;
    float *outputs;
    long output_stride;
    long group;                                       // heads of a kv head
    long heads_per_tile, tokens_per_tile, head_tiles; // head_tiles: per kv head
} attention_work;

// Queries that go together: some neighbouring tokens of a row, for some heads of one kv head.
typedef struct {
    const coppice_attention_row *row;
    long first, tokens; // within the row
    long first_head, heads;
    long first_block;   // the first block that the window of any of its tokens reaches
    long sink_spans;    // spans before that block's that hold sinks
    long spans;         // spans that it sees: the sink spans, then all from the first block's to the last token's
} attention_tile;

// The index, counted from the start of the text, of the i-th span that a tile sees.
static long attention_span(const attention_tile *tile, long index) {
    if (index < tile->sink_spans) return index;
    return tile->first_block / SPAN_BLOCKS + index - tile->sink_spans;
}

static long attention_partial_floats(const attention_work *work, const attention_tile *tile) {
    return tile->tokens * tile->heads * (attention_stored_size(work->shape.head_size, work->shape.element) + 2);
}

#define KERNELS "attention_kernels.inc"
#include "inference_variants.inc"

#if defined(__x86_64__)
#pragma clang attribute push( \
    __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c"), min_vector_width(512))), \
    apply_to = function)
#define VARIANT(name) name##_vnni
#define VARIANT_LEVEL 3
#include "attention_kernels.inc"
#undef VARIANT
#undef VARIANT_LEVEL
#pragma clang attribute pop

#define CHOOSE_WITH_VNNI(name) (coppice_cpu_has_vnni() ? name##_vnni : CHOOSE(name))
#else
#define CHOOSE_WITH_VNNI(name) CHOOSE(name)
#endif

// MARK: Cutting the work

static long tiles_of_row(const attention_work *work, const coppice_attention_row *row) {
    return (row->count + work->tokens_per_tile - 1) / work->tokens_per_tile;
}

static attention_work make_work(const coppice_attention_shape *shape, const coppice_attention_row *rows,
                                long row_count) {
    attention_work work = {.shape = *shape, .rows = rows, .row_count = row_count};
    work.group = shape->heads / shape->kv_heads;
    work.heads_per_tile = work.group < ATTENTION_TILE ? work.group : ATTENTION_TILE;
    work.head_tiles = (work.group + work.heads_per_tile - 1) / work.heads_per_tile;
    work.tokens_per_tile = ATTENTION_TILE / work.heads_per_tile;
    return work;
}

static long tile_count(const attention_work *work) {
    long tiles = 0;
    for (long i = 0; i < work->row_count; i++) tiles += tiles_of_row(work, &work->rows[i]);
    return tiles * work->shape.kv_heads * work->head_tiles;
}

static attention_tile tile_at(const attention_work *work, long index) {
    const coppice_attention_shape *shape = &work->shape;
    const long head_tiles = shape->kv_heads * work->head_tiles, head_tile = index % head_tiles;
    long token_tile = index / head_tiles;
    const coppice_attention_row *row = work->rows;
    while (token_tile >= tiles_of_row(work, row)) token_tile -= tiles_of_row(work, row++);
    const long within = head_tile % work->head_tiles * work->heads_per_tile;
    attention_tile tile = {.row = row, .first = token_tile * work->tokens_per_tile};
    const long tokens_left = row->count - tile.first, heads_left = work->group - within;
    tile.tokens = tokens_left < work->tokens_per_tile ? tokens_left : work->tokens_per_tile;
    tile.first_head = head_tile / work->head_tiles * work->group + within;
    tile.heads = heads_left < work->heads_per_tile ? heads_left : work->heads_per_tile;

    const long position = row->start + tile.first, last_span = (position + tile.tokens - 1) / COPPICE_ATTENTION_SPAN;
    const long first_seen = shape->window > 0 && position >= shape->window ? position - shape->window + 1 : 0;
    tile.first_block = first_seen / COPPICE_CACHE_BLOCK;
    const long first_span = tile.first_block / SPAN_BLOCKS;
    const long sink_spans = (shape->sinks + COPPICE_ATTENTION_SPAN - 1) / COPPICE_ATTENTION_SPAN;
    tile.sink_spans = sink_spans < first_span ? sink_spans : first_span;
    tile.spans = tile.sink_spans + last_span - first_span + 1;
    return tile;
}

// Whether so few tiles see so much that their texts are cut.
static int is_cut(const attention_work *work, long tiles) {
    if (tiles >= MOST_CUT_TILES) return 0;
    for (long i = 0; i < work->row_count; i++)
        if (work->rows[i].start + work->rows[i].count > COPPICE_ATTENTION_SPAN) return 1;
    return 0;
}

long coppice_attention_scratch(const coppice_attention_shape *shape, const coppice_attention_row *rows,
                               long row_count) {
    const attention_work work = make_work(shape, rows, row_count);
    const long tiles = tile_count(&work);
    if (!is_cut(&work, tiles)) return 0;
    long floats = 0;
    for (long i = 0; i < tiles; i++) {
        const attention_tile tile = tile_at(&work, i);
        floats += tile.spans * attention_partial_floats(&work, &tile);
    }
    return floats;
}

// MARK: Running it

static void tile_task(void *context, long index) {
    const attention_work *work = context;
    const attention_tile tile = tile_at(work, index);
    CHOOSE_WITH_VNNI(attend)(work, &tile, 0, tile.spans, NULL);
}

typedef struct {
    const attention_work *work;
    long tiles;
    struct {
        attention_tile tile;
        long first_task;
        float *partials;
        atomic_long left; // spans that are not finished
    } parts[MOST_CUT_TILES];
} cut_work;

static void span_task(void *context, long index) {
    cut_work *cut = context;
    long part = 0;
    while (part + 1 < cut->tiles && cut->parts[part + 1].first_task <= index) part++;
    const attention_tile *tile = &cut->parts[part].tile;
    const long span = index - cut->parts[part].first_task;
    CHOOSE_WITH_VNNI(attend)(cut->work, tile, span, span + 1, cut->parts[part].partials);
    // Whoever finishes a tile's last span merges them all, in order.
    if (atomic_fetch_sub_explicit(&cut->parts[part].left, 1, memory_order_acq_rel) == 1)
        CHOOSE_WITH_VNNI(finish)(cut->work, tile, cut->parts[part].partials);
}

static void attend_cut(const attention_work *work, long tiles, float *scratch) {
    cut_work cut = {.work = work, .tiles = tiles};
    long tasks = 0;
    for (long i = 0; i < tiles; i++) {
        const attention_tile tile = tile_at(work, i);
        cut.parts[i].tile = tile;
        cut.parts[i].first_task = tasks;
        cut.parts[i].partials = scratch;
        atomic_init(&cut.parts[i].left, tile.spans);
        tasks += tile.spans;
        scratch += tile.spans * attention_partial_floats(work, &tile);
    }
    coppice_parallel_for(tasks, &cut, span_task);
}

void coppice_attention(const coppice_attention_shape *shape, const coppice_attention_row *rows, long row_count,
                       const float *queries, long query_stride, const float *sink_queries, float *outputs,
                       long output_stride, float *scratch) {
    attention_work work = make_work(shape, rows, row_count);
    work.queries = queries;
    work.sink_queries = sink_queries;
    work.query_stride = query_stride;
    work.outputs = outputs;
    work.output_stride = output_stride;
    const long tiles = tile_count(&work);
    // A short decoding step is cheaper on one thread than the fork-join.
    long positions = 0;
    for (long i = 0; i < row_count; i++) positions += (rows[i].start + rows[i].count) * rows[i].count;
    if (positions * shape->heads * shape->head_size < 32768) {
        for (long i = 0; i < tiles; i++) tile_task(&work, i);
    } else if (scratch && is_cut(&work, tiles)) {
        attend_cut(&work, tiles, scratch);
    } else {
        coppice_parallel_for(tiles, &work, tile_task);
    }
}
