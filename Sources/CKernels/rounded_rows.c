#include "rounded_rows.h"

#include "scalar_conversion.h"
#include "thread_pool.h"

enum { block = COPPICE_ROUNDED_BLOCK, step = COPPICE_ROUNDED_STEP, elements_per_task = 32768 };

typedef float floats32 __attribute__((vector_size(128)));
typedef int32_t integers32 __attribute__((vector_size(128)));
typedef int32_t integers16 __attribute__((vector_size(64)));
typedef int8_t bytes32 __attribute__((vector_size(32)));

typedef struct rounding {
    coppice_rounded_rows result;
    const float *x;
    long stride, rows_per_task;
    void (*round_row)(const coppice_rounded_rows *to, const float *x, long row);
} rounding;

#define BODY "rounded_rows.inc"
#include "variants.h"

static long padded_columns(long columns) { return (columns + step - 1) / step * step; }

static long row_blocks(long padded) { return padded / block; }

// A row's scales take a multiple of 4 floats, as padded is one of 128: rows of scales stay aligned to 16 bytes.
long coppice_rounded_rows_bytes(long rows, long columns) {
    long padded = padded_columns(columns);
    return rows * ((rows <= COPPICE_ROUNDED_FEW ? 2 : 1) * padded + 5 * row_blocks(padded) * (long)sizeof(float)) + 64;
}

static void run_task(void *context, long index) {
    const rounding *r = context;
    long first = index * r->rows_per_task, last = first + r->rows_per_task;
    for (long i = first; i < (last < r->result.rows ? last : r->result.rows); i++)
        r->round_row(&r->result, r->x + i * r->stride, i);
}

coppice_rounded_rows coppice_round_rows(const float *x, long rows, long columns, long stride, void *memory) {
    long padded = padded_columns(columns), count = rows * padded, blocks = rows * row_blocks(padded);
    int8_t *codes = memory, *split = rows <= COPPICE_ROUNDED_FEW ? codes + count : 0;
    float *scales = (float *)(codes + (split ? 2 : 1) * count), *sums = scales + blocks;
    int32_t *totals = (int32_t *)(sums + blocks);
    rounding r = {
        .result = {rows, columns, padded, codes, split, scales, sums, totals, totals + blocks},
        .x = x, .stride = stride, .round_row = CHOOSE(round_row)};
    r.rows_per_task = padded == 0 ? rows : elements_per_task / padded + 1;
    if (rows > 0) coppice_parallel_for((rows + r.rows_per_task - 1) / r.rows_per_task, &r, run_task);
    return r.result;
}
