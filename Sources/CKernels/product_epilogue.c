#include "product_epilogue.h"

#include "decoder_layer_kernels.h"
#include "thread_pool.h"

enum { elements_per_task = 16384 };

void coppice_add_output_bias(const coppice_output *output, long first_row, long last_row, long x_rows) {
    if (!output->bias) return;
    for (long i = 0; i < x_rows; i++)
        coppice_decoder_add(
            output->y + i * output->stride + first_row, output->bias + first_row, last_row - first_row);
}

void coppice_combine_outputs(const coppice_output *output, long first_row, long last_row, long x_rows) {
    if (output->combination == COPPICE_KEEPS) return;
    for (long i = 0; i < x_rows; i++) {
        const float *y = output->y + i * output->stride + first_row;
        float *target = output->target + i * output->target_stride + first_row;
        if (output->combination == COPPICE_ADDS) coppice_decoder_add(target, y, last_row - first_row);
        else coppice_decoder_silu_gate(target, y, last_row - first_row);
    }
}

typedef struct {
    coppice_output output;
    long rows, x_rows, x_rows_per_task;
} work;

static void run_task(void *context, long index) {
    const work *w = context;
    const long first = index * w->x_rows_per_task, left = w->x_rows - first;
    const long count = left < w->x_rows_per_task ? left : w->x_rows_per_task;
    coppice_output output = w->output;
    output.y += first * output.stride;
    if (output.target) output.target += first * output.target_stride;
    coppice_add_output_bias(&output, 0, w->rows, count);
    coppice_combine_outputs(&output, 0, w->rows, count);
}

void coppice_finish_product(const coppice_output *output, long rows, long x_rows) {
    if (rows == 0 || x_rows == 0 || (!output->bias && output->combination == COPPICE_KEEPS)) return;
    work w = {*output, rows, x_rows, rows < elements_per_task ? elements_per_task / rows : 1};
    coppice_parallel_for((x_rows + w.x_rows_per_task - 1) / w.x_rows_per_task, &w, run_task);
}
