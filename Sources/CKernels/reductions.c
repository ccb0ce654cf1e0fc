#include "reductions.h"
#include "thread_pool.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BODY "reductions.inc"
#include "variants.h"

static const long element_size[] = {[COPPICE_F32] = 4, [COPPICE_F64] = 8, [COPPICE_I32] = 4, [COPPICE_I64] = 8};

typedef struct reduction {
    int op;
    coppice_element type;
    long rows, columns, rows_in_task;  // rows
    long middle, inner, width, pieces; // middle
    const char *x;
    char *out;
    void (*row)(int, coppice_element, long, const char *, char *);
    void (*part)(int, coppice_element, long, long, long, const char *, char *);
} reduction;

static void reduce_task(void *context, long index) {
    const reduction *r = context;
    long size = element_size[r->type], first = index * r->rows_in_task;
    long end = first + r->rows_in_task < r->rows ? first + r->rows_in_task : r->rows;
    for (long row = first; row < end; row++)
        r->row(r->op, r->type, r->columns, r->x + row * r->columns * size, r->out + row * size);
}

// A few long rows are cut into pieces of fixed length, whose results are reduced in order.
enum { piece = 65536, most_pieces = 1024 };

void coppice_reduce_rows(
    coppice_reduction op, coppice_element type, long rows, long columns, const void *x, void *out) {
    reduction r = {.op = (int)op, .type = type, .rows = rows, .columns = columns, .x = x, .out = out,
                   .row = CHOOSE(row)};
    long size = element_size[type];
    if (columns >= 2 * piece && rows <= 64) {
        long whole = columns / piece > most_pieces ? (columns + most_pieces - 1) / most_pieces : piece;
        _Alignas(8) char partial[8 * (most_pieces + 1)];
        for (long row = 0; row < rows; row++) {
            const char *from = (const char *)x + row * columns * size;
            long count = columns / whole, rest = columns - count * whole;
            reduction part = r;
            part.rows = count, part.columns = whole, part.rows_in_task = 1, part.x = from, part.out = partial;
            coppice_parallel_for(count, &part, reduce_task);
            if (rest > 0) r.row(r.op, type, rest, from + count * whole * size, partial + count * size);
            r.row(r.op, type, count + (rest > 0), partial, (char *)out + row * size);
        }
        return;
    }
    r.rows_in_task = columns >= 16384 ? 1 : 16384 / (columns > 0 ? columns : 1);
    coppice_parallel_for((rows + r.rows_in_task - 1) / r.rows_in_task, &r, reduce_task);
}

static void middle_task(void *context, long index) {
    const reduction *r = context;
    long size = element_size[r->type];
    long outer = index / r->pieces, first = index % r->pieces * r->width;
    long width = r->inner - first < r->width ? r->inner - first : r->width;
    r->part(r->op, r->type, r->middle, r->inner, width, r->x + (outer * r->middle * r->inner + first) * size,
            r->out + (outer * r->inner + first) * size);
}

void coppice_reduce_middle(
    coppice_reduction op, coppice_element type, long outer, long middle, long inner, const void *x, void *out) {
    reduction r = {.op = (int)op, .type = type, .middle = middle, .inner = inner, .x = x, .out = out,
                   .part = CHOOSE(middle)};
    r.width = 256; // what a task keeps in registers and its first cache
    r.pieces = (inner + r.width - 1) / r.width;
    coppice_parallel_for(outer * r.pieces, &r, middle_task);
}

void coppice_index_of_extreme(
    coppice_element type, int smallest, long rows, long columns, const void *x, int64_t *out) {
#define EXTREME(T) \
    { \
        const T *row = (const T *)x; \
        for (long r = 0; r < rows; r++, row += columns) { \
            long best = 0; \
            for (long c = 1; c < columns && row[best] == row[best]; c++) \
                if (row[c] != row[c] || (smallest ? row[c] < row[best] : row[c] > row[best])) best = c; \
            out[r] = best; \
        } \
        break; \
    }
    switch (type) {
    case COPPICE_F32: EXTREME(float)
    case COPPICE_F64: EXTREME(double)
    case COPPICE_I32: EXTREME(int32_t)
    case COPPICE_I64: EXTREME(int64_t)
    }
#undef EXTREME
}

void coppice_cumulative_sum(
    coppice_element type, int reverse, long outer, long middle, long inner, const void *x, void *out) {
#define SCAN(T, S) \
    for (long o = 0; o < outer; o++) \
        for (long i = 0; i < inner; i++) { \
            S sum = 0; \
            for (long m = 0; m < middle; m++) { \
                long at = (o * middle + (reverse ? middle - 1 - m : m)) * inner + i; \
                sum += (S)((const T *)x)[at]; \
                ((T *)out)[at] = (T)sum; \
            } \
        } \
    break;
    switch (type) {
    case COPPICE_F32: SCAN(float, double)
    case COPPICE_F64: SCAN(double, double)
    case COPPICE_I32: SCAN(int32_t, uint32_t)
    case COPPICE_I64: SCAN(int64_t, uint64_t)
    }
#undef SCAN
}

// MARK: indexed moves

typedef struct indexed {
    int size, along;
    coppice_element type;
    long outer, extent, count, inner, width, pieces;
    const char *x;
    const int64_t *index;
    char *out;
} indexed;

static void take_task(void *context, long task) {
    const indexed *t = context;
    long bytes = t->inner * t->size, rows = t->outer * t->count;
    long first = task * t->width, end = first + t->width < rows ? first + t->width : rows;
    for (long row = first; row < end; row++) {
        long o = row / t->count, j = row % t->count;
        memcpy(t->out + row * bytes, t->x + (o * t->extent + t->index[j]) * bytes, (size_t)bytes);
    }
}

void coppice_take(
    int size, long outer, long extent, long count, long inner, const void *x, const int64_t *index, void *out) {
    indexed t = {.size = size, .outer = outer, .extent = extent, .count = count, .inner = inner, .x = x,
                 .index = index, .out = out};
    long bytes = inner * size;
    if (bytes == 0) return;
    t.width = bytes >= 32768 ? 1 : 32768 / bytes;
    coppice_parallel_for((outer * count + t.width - 1) / t.width, &t, take_task);
}

// Tasks own disjoint ranges of the inner dimension, so each sum runs in the order of the indices.
static void add_task(void *context, long task) {
    const indexed *t = context;
    long o = task / t->pieces, first = task % t->pieces * t->width;
    long end = first + t->width < t->inner ? first + t->width : t->inner;
#define ADD(T) \
    for (long j = 0; j < t->count; j++) { \
        const T *from = (const T *)t->x + (o * t->count + j) * t->inner; \
        T *to = (T *)t->out + (o * t->extent + t->index[j]) * t->inner; \
        for (long i = first; i < end; i++) to[i] += from[i]; \
    }
    switch (t->type) {
    case COPPICE_F32: ADD(float) break;
    case COPPICE_F64: ADD(double) break;
    case COPPICE_I32: ADD(uint32_t) break; // wraps
    case COPPICE_I64: ADD(uint64_t) break;
    }
#undef ADD
}

void coppice_add_at(
    coppice_element type, long outer, long extent, long count, long inner, const void *x, const int64_t *index,
    void *out) {
    indexed t = {.type = type, .outer = outer, .extent = extent, .count = count, .inner = inner, .x = x,
                 .index = index, .out = out, .width = 64};
    t.pieces = (inner + t.width - 1) / t.width;
    coppice_parallel_for(outer * t.pieces, &t, add_task);
}

// Tasks own whole outer indices, so each sum runs in the order of the elements.
#define ALONG(T, MOVE) \
    for (long o = first; o < end; o++) \
        for (long j = 0; j < t->count; j++) \
            for (long i = 0; i < t->inner; i++) { \
                long many = (o * t->count + j) * t->inner + i; \
                long few = (o * t->extent + t->index[many]) * t->inner + i; \
                const T *x = (const T *)t->x; \
                T *out = (T *)t->out; \
                MOVE; \
            } \
    break;

static void take_along_task(void *context, long task) {
    const indexed *t = context;
    long first = task * t->width, end = first + t->width < t->outer ? first + t->width : t->outer;
    switch (t->size) {
    case 1: ALONG(uint8_t, out[many] = x[few])
    case 2: ALONG(uint16_t, out[many] = x[few])
    case 4: ALONG(uint32_t, out[many] = x[few])
    default: ALONG(uint64_t, out[many] = x[few])
    }
}

static void add_along_task(void *context, long task) {
    const indexed *t = context;
    long first = task * t->width, end = first + t->width < t->outer ? first + t->width : t->outer;
    switch (t->type) {
    case COPPICE_F32: ALONG(float, out[few] += x[many])
    case COPPICE_F64: ALONG(double, out[few] += x[many])
    case COPPICE_I32: ALONG(uint32_t, out[few] += x[many]) // wraps
    case COPPICE_I64: ALONG(uint64_t, out[few] += x[many])
    }
}
#undef ALONG

static void run_along(indexed *t, coppice_task task) {
    long elements = t->count * t->inner;
    if (elements == 0) return;
    t->width = elements >= 8192 ? 1 : 8192 / elements;
    coppice_parallel_for((t->outer + t->width - 1) / t->width, t, task);
}

void coppice_take_along(
    int size, long outer, long extent, long count, long inner, const void *x, const int64_t *index, void *out) {
    indexed t = {.size = size, .outer = outer, .extent = extent, .count = count, .inner = inner, .x = x,
                 .index = index, .out = out};
    run_along(&t, take_along_task);
}

void coppice_add_along(
    coppice_element type, long outer, long extent, long count, long inner, const void *x, const int64_t *index,
    void *out) {
    indexed t = {.type = type, .outer = outer, .extent = extent, .count = count, .inner = inner, .x = x,
                 .index = index, .out = out};
    run_along(&t, add_along_task);
}

int coppice_indices_in_range(const int64_t *index, long count, long extent) {
    int good = 1;
    for (long i = 0; i < count; i++) good &= index[i] >= 0 && index[i] < extent;
    return good;
}

// MARK: order

typedef struct ordering {
    coppice_element type;
    int descending;
    long rows, columns;
    const void *x;
    int64_t *out;
} ordering;

static int comes_first(const ordering *o, const void *row, int64_t a, int64_t b) {
#define COMPARE(T) \
    { \
        T x = ((const T *)row)[a], y = ((const T *)row)[b]; \
        if (x != x || y != y) return x == x && y != y; \
        return o->descending ? x > y : x < y; \
    }
    switch (o->type) {
    case COPPICE_F32: COMPARE(float)
    case COPPICE_F64: COMPARE(double)
    case COPPICE_I32: COMPARE(int32_t)
    default: COMPARE(int64_t)
    }
#undef COMPARE
}

// Bottom-up merge sort between the row's own output and a scratch row.
static void sort_row(void *context, long r) {
    const ordering *o = context;
    long n = o->columns;
    const char *row = (const char *)o->x + r * n * element_size[o->type];
    int64_t *from = o->out + r * n, *to = malloc((size_t)n * sizeof *to), *scratch = to;
    if (!to) abort();
    for (long i = 0; i < n; i++) from[i] = i;
    for (long run = 1; run < n; run *= 2) {
        for (long first = 0; first < n; first += 2 * run) {
            long middle = first + run < n ? first + run : n, end = first + 2 * run < n ? first + 2 * run : n;
            long a = first, b = middle;
            for (long k = first; k < end; k++)
                to[k] = b >= end || (a < middle && !comes_first(o, row, from[b], from[a])) ? from[a++] : from[b++];
        }
        int64_t *swap = from;
        from = to, to = swap;
    }
    if (from == scratch) memcpy(o->out + r * n, scratch, (size_t)n * sizeof *scratch);
    free(scratch);
}

void coppice_sort_order(coppice_element type, int descending, long rows, long columns, const void *x, int64_t *out) {
    if (columns == 0) return;
    ordering o = {type, descending, rows, columns, x, out};
    coppice_parallel_for(rows, &o, sort_row);
}
