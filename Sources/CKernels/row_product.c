#include "row_product.h"

#include "conversion.h"
#include "product_epilogue.h"
#include "thread_pool.h"

#include <stdatomic.h>
#include <string.h>

// Long enough to be worth a task, short enough that two threads end together; a thread's tasks lie one after the other.
enum { bytes_per_task = 64 << 10, rows_multiple = 4 };

// A product that gates the one before it shares sections of their rows with it: tasks of a section read the one weight,
// then the other, and who comes last combines. Weights that are read in turns of a task each lose what the processor
// fetches ahead (5 % of the product at one row of activations), so sections are few.
enum { section_count = 2 };

/// How a product's rows are cut.
typedef struct {
    long rows;   ///< that are cut: all, or those of a section
    long length; ///< rows of a task
    long tasks;
} cutting;

typedef struct {
    const coppice_row_kernel *kernels;
    const coppice_output *outputs;
    const coppice_activations *x;
    long count;
    long pair; ///< the product that the next one is combined with, both read row by row; -1 where there is none
    cutting cuttings[COPPICE_MOST_PRODUCTS];
    _Alignas(64) atomic_long unfinished[section_count]; ///< tasks of a section of the pair
} products;

static long rounded_up(long a, long b) { return (a + b - 1) / b; }
static long least(long a, long b) { return a < b ? a : b; }

/// As many tasks as the rows' bytes are worth, all of a length but for the last.
static cutting cut(const coppice_row_kernel *k, long rows) {
    long most = k->row_bytes > 0 ? bytes_per_task / k->row_bytes : rows;
    if (most < rows_multiple) most = rows_multiple;
    if (rows == 0 || !k->multiply_rows) return (cutting){rows, most, 0};
    const long length = rounded_up(rounded_up(rows, rounded_up(rows, most)), rows_multiple) * rows_multiple;
    return (cutting){rows, length, rounded_up(rows, length)};
}

/// Rows first ..< last of product `k`, with what can be done to them at once.
static void multiply_rows(const products *p, long k, long first, long last) {
    if (first >= last) return;
    p->kernels[k].multiply_rows(p->kernels[k].weight, p->x, p->outputs[k].y, p->outputs[k].stride, first, last);
    coppice_add_output_bias(&p->outputs[k], first, last, p->x->rows);
}

static void run_pair_task(products *p, long index) {
    const cutting *cuttings = p->cuttings + p->pair;
    const long of_both = cuttings[0].tasks + cuttings[1].tasks, section = index / of_both;
    long place = index % of_both, second = place >= cuttings[0].tasks;
    if (second) place -= cuttings[0].tasks;
    const long all = p->kernels[p->pair].rows, begin = least(section * cuttings->rows, all);
    const long end = least(begin + cuttings->rows, all), first = begin + place * cuttings[second].length;
    multiply_rows(p, p->pair + second, first, least(first + cuttings[second].length, end));
    if (atomic_fetch_sub(&p->unfinished[section], 1) == 1)
        coppice_combine_outputs(&p->outputs[p->pair + 1], begin, end, p->x->rows);
}

/// Tasks that begin at product `k`: a pair's begin at its first.
static long tasks_of(const products *p, long k) {
    if (p->pair < 0 || k < p->pair || k > p->pair + 1) return p->cuttings[k].tasks;
    return k == p->pair ? section_count * (p->cuttings[k].tasks + p->cuttings[k + 1].tasks) : 0;
}

static void run_task(void *context, long index) {
    products *p = context;
    long k = 0;
    for (; index >= tasks_of(p, k); k++) index -= tasks_of(p, k);
    if (k == p->pair) {
        run_pair_task(p, index);
        return;
    }
    const long first = index * p->cuttings[k].length, last = least(first + p->cuttings[k].length, p->kernels[k].rows);
    multiply_rows(p, k, first, last);
    if (p->outputs[k].combination == COPPICE_ADDS) coppice_combine_outputs(&p->outputs[k], first, last, p->x->rows);
}

/// Finds the pair and cuts all products.
static void plan(products *p) {
    const coppice_row_kernel *kernels = p->kernels;
    p->pair = -1;
    for (long k = 0; k < p->count; k++) {
        p->cuttings[k] = cut(&kernels[k], kernels[k].rows);
        if (k > 0 && p->pair < 0 && p->outputs[k].combination == COPPICE_GATES
            && p->outputs[k].target == p->outputs[k - 1].y && kernels[k].multiply_rows && kernels[k - 1].multiply_rows)
            p->pair = k - 1;
    }
    if (p->pair < 0) return;
    cutting *cuttings = p->cuttings + p->pair;
    const long rows = rounded_up(rounded_up(cuttings->rows, section_count), rows_multiple) * rows_multiple;
    for (long i = 0; i < 2; i++) cuttings[i] = cut(&kernels[p->pair + i], rows);
    for (long s = 0; s < section_count; s++) atomic_init(&p->unfinished[s], cuttings[0].tasks + cuttings[1].tasks);
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

/// What tasks have not done. Products by panels are finished in a pass of their own: their tasks write strips of y, and
/// a pass over whole rows costs less (2 to 9 % of the product) than strips of the target beside them.
static void finish(const products *p) {
    for (long k = 0; k < p->count; k++) {
        coppice_output output = p->outputs[k];
        if (p->kernels[k].multiply_rows) {
            if (output.combination != COPPICE_GATES || (p->pair >= 0 && k == p->pair + 1)) continue;
            output.bias = 0; // is there already
        }
        coppice_finish_product(&output, p->kernels[k].rows, p->x->rows);
    }
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
    products p = {.kernels = kernels, .outputs = outputs, .x = &activations, .count = count};
    plan(&p);
    long tasks = 0;
    for (long k = 0; k < count; k++) {
        tasks += tasks_of(&p, k);
        if (!kernels[k].multiply_rows)
            kernels[k].multiply(kernels[k].weight, &activations, outputs[k].y, outputs[k].stride);
    }
    coppice_parallel_for(tasks, &p, run_task);
    finish(&p);
}
