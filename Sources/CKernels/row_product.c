#include "row_product.h"

#include "thread_pool.h"

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

static int reads_rounded(const coppice_row_kernel *kernels, long count) {
    for (long k = 0; k < count; k++)
        if (kernels[k].reads_rounded) return 1;
    return 0;
}

long coppice_multiply_scratch_bytes(const coppice_row_kernel *kernels, long count, long x_rows) {
    return reads_rounded(kernels, count) ? coppice_rounded_rows_bytes(x_rows, kernels[0].columns) : 0;
}

void coppice_multiply(
    const coppice_row_kernel *kernels, const coppice_output *outputs, long count, const float *x, long x_rows,
    long x_stride, void *scratch) {
    if (count == 0 || x_rows == 0) return;
    coppice_activations activations = {x, x_rows, kernels[0].columns, x_stride, 0};
    coppice_rounded_rows rounded;
    if (reads_rounded(kernels, count)) {
        rounded = coppice_round_rows(x, x_rows, kernels[0].columns, x_stride, scratch);
        activations.rounded = &rounded;
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
