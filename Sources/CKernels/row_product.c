#include "row_product.h"

#include "conversion.h"
#include "thread_pool.h"

#include <string.h>

// Long enough to be worth a task, short enough that two threads end together; a thread's tasks lie one after the other.
enum { bytes_per_task = 64 << 10, rows_multiple = 4 };

typedef struct {
    const coppice_row_kernel *kernels;
    const coppice_output *outputs;
    const coppice_activations *x;
} products;

static long rows_per_task(const coppice_row_kernel *k) {
    long rows = k->row_bytes > 0 ? bytes_per_task / k->row_bytes / rows_multiple * rows_multiple : k->rows;
    return rows < rows_multiple ? rows_multiple : rows;
}

static long tasks_of(const coppice_row_kernel *k) {
    return k->multiply_rows ? (k->rows + rows_per_task(k) - 1) / rows_per_task(k) : 0;
}

static void run_task(void *context, long index) {
    const products *p = context;
    long k = 0;
    for (; index >= tasks_of(&p->kernels[k]); k++) index -= tasks_of(&p->kernels[k]);
    const coppice_row_kernel *kernel = &p->kernels[k];
    long first = index * rows_per_task(kernel), last = first + rows_per_task(kernel);
    kernel->multiply_rows(
        kernel->weight, p->x, p->outputs[k].y, p->outputs[k].stride, first, last < kernel->rows ? last : kernel->rows);
}

static int any_reads(const coppice_row_kernel *kernels, long count, coppice_activation_form form) {
    for (long k = 0; k < count; k++)
        if (kernels[k].reads == form) return 1;
    return 0;
}

static long rounded_bytes(const coppice_row_kernel *kernels, long count, long x_rows) {
    if (!any_reads(kernels, count, COPPICE_READS_INTEGERS)) return 0;
    return (coppice_rounded_rows_bytes(x_rows, kernels[0].columns) + 63) / 64 * 64;
}

static long padded_columns(long columns) { return (columns + 31) / 32 * 32; }

long coppice_multiply_scratch_bytes(const coppice_row_kernel *kernels, long count, long x_rows) {
    long bytes = rounded_bytes(kernels, count, x_rows);
    if (any_reads(kernels, count, COPPICE_READS_BF16))
        bytes += x_rows * padded_columns(kernels[0].columns) * (long)sizeof(uint16_t);
    return bytes;
}

typedef struct {
    coppice_activations *x;
    uint16_t *to;
} narrowing;

static void narrow_row(void *context, long row) {
    const narrowing *n = context;
    const coppice_activations *x = n->x;
    uint16_t *to = n->to + row * x->padded;
    coppice_convert_serially(COPPICE_DATA_F32, COPPICE_DATA_BF16, x->columns, x->values + row * x->stride, to);
    memset(to + x->columns, 0, (size_t)(x->padded - x->columns) * sizeof(uint16_t));
}

void coppice_multiply(
    const coppice_row_kernel *kernels, const coppice_output *outputs, long count, const float *x, long x_rows,
    long x_stride, void *scratch) {
    if (count == 0 || x_rows == 0) return;
    const long columns = kernels[0].columns;
    coppice_activations activations = {.values = x, .rows = x_rows, .columns = columns, .stride = x_stride};
    coppice_rounded_rows rounded;
    if (any_reads(kernels, count, COPPICE_READS_INTEGERS)) {
        rounded = coppice_round_rows(x, x_rows, columns, x_stride, scratch);
        activations.rounded = &rounded;
    }
    if (any_reads(kernels, count, COPPICE_READS_BF16)) {
        narrowing n = {&activations, (uint16_t *)((char *)scratch + rounded_bytes(kernels, count, x_rows))};
        activations.bf16 = n.to;
        activations.padded = padded_columns(columns);
        coppice_parallel_for(x_rows, &n, narrow_row);
    }
    products p = {kernels, outputs, &activations};
    long tasks = 0;
    for (long k = 0; k < count; k++) {
        tasks += tasks_of(&kernels[k]);
        if (!kernels[k].multiply_rows)
            kernels[k].multiply(kernels[k].weight, &activations, outputs[k].y, outputs[k].stride);
    }
    coppice_parallel_for(tasks, &p, run_task);
}
