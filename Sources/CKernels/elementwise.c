#include "elementwise.h"
#include "thread_pool.h"

#include <math.h>
#include <string.h>

#define BODY "elementwise.inc"
#include "variants.h"

enum { chunk = 16384 }; // elements a task works on; part of no result

static const long element_size[] = {[COPPICE_F32] = 4, [COPPICE_F64] = 8, [COPPICE_I32] = 4, [COPPICE_I64] = 8};

// The innermost dimension is walked by a row function; the others, in tasks of several rows, by this frame.
typedef struct frame {
    const coppice_space *space;
    int operands;
    const char *operand[3];
    long size[3]; // bytes an element of each operand takes
    char *out;
    long out_size;
    long rows, inner, rows_in_task, pieces; // `pieces` > 1: a single row cut into parts
    void (*row)(const struct frame *, long n, const char *const *operand, char *out);
    void *variant;
    int op;
    coppice_element type;
} frame;

static void run_task(void *context, long index) {
    const frame *f = context;
    const coppice_space *s = f->space;
    int last = s->rank - 1;
    const char *operand[3];
    if (f->pieces > 1) {
        long row = index / f->pieces, first = index % f->pieces * chunk;
        long n = f->inner - first < chunk ? f->inner - first : chunk;
        long rest = row;
        for (int k = 0; k < f->operands; k++) operand[k] = f->operand[k] + first * s->strides[k][last] * f->size[k];
        for (int d = last - 1; d >= 0; d--) {
            long at = rest % s->shape[d];
            rest /= s->shape[d];
            for (int k = 0; k < f->operands; k++) operand[k] += at * s->strides[k][d] * f->size[k];
        }
        f->row(f, n, operand, f->out + (row * f->inner + first) * f->out_size);
        return;
    }
    long first = index * f->rows_in_task;
    long end = first + f->rows_in_task < f->rows ? first + f->rows_in_task : f->rows;
    long at[COPPICE_MAXIMUM_RANK];
    long rest = first;
    for (int k = 0; k < f->operands; k++) operand[k] = f->operand[k];
    for (int d = last - 1; d >= 0; d--) {
        at[d] = rest % s->shape[d];
        rest /= s->shape[d];
        for (int k = 0; k < f->operands; k++) operand[k] += at[d] * s->strides[k][d] * f->size[k];
    }
    for (long row = first; row < end; row++) {
        f->row(f, f->inner, operand, f->out + row * f->inner * f->out_size);
        for (int d = last - 1; d >= 0; d--) {
            at[d]++;
            for (int k = 0; k < f->operands; k++) operand[k] += s->strides[k][d] * f->size[k];
            if (at[d] < s->shape[d]) break;
            for (int k = 0; k < f->operands; k++) operand[k] -= at[d] * s->strides[k][d] * f->size[k];
            at[d] = 0;
        }
    }
}

static void run(frame *f) {
    const coppice_space *s = f->space;
    f->inner = s->shape[s->rank - 1];
    f->rows = 1;
    for (int d = 0; d < s->rank - 1; d++) f->rows *= s->shape[d];
    if (f->inner == 0 || f->rows == 0) return;
    f->pieces = (f->inner + chunk - 1) / chunk;
    f->rows_in_task = f->inner >= chunk ? 1 : (chunk + f->inner - 1) / f->inner;
    long tasks = f->pieces > 1 ? f->rows * f->pieces : (f->rows + f->rows_in_task - 1) / f->rows_in_task;
    coppice_parallel_for(tasks, f, run_task);
}

static void unary_row(const frame *f, long n, const char *const *operand, char *out) {
    ((void (*)(int, coppice_element, long, const char *, long, char *))f->variant)(
        f->op, f->type, n, operand[0], f->space->strides[0][f->space->rank - 1], out);
}

static void binary_row(const frame *f, long n, const char *const *operand, char *out) {
    int last = f->space->rank - 1;
    ((void (*)(int, coppice_element, long, const char *, long, const char *, long, char *))f->variant)(
        f->op, f->type, n, operand[0], f->space->strides[0][last], operand[1], f->space->strides[1][last], out);
}

void coppice_apply_unary(coppice_unary op, coppice_element type, const coppice_space *space, const void *a, void *out) {
    long size = element_size[type];
    frame f = {.space = space, .operands = 1, .operand = {a}, .size = {size}, .out = out, .out_size = size,
               .row = unary_row, .variant = (void *)CHOOSE(unary), .op = (int)op, .type = type};
    run(&f);
}

void coppice_apply_binary(
    coppice_binary op, coppice_element type, const coppice_space *space, const void *a, const void *b, void *out) {
    long size = element_size[type];
    frame f = {.space = space, .operands = 2, .operand = {a, b}, .size = {size, size}, .out = out, .out_size = size,
               .row = binary_row, .variant = (void *)CHOOSE(binary), .op = (int)op, .type = type};
    run(&f);
}

void coppice_apply_comparison(
    coppice_comparison op, coppice_element type, const coppice_space *space, const void *a, const void *b,
    uint8_t *out) {
    long size = element_size[type];
    frame f = {.space = space, .operands = 2, .operand = {a, b}, .size = {size, size}, .out = (char *)out,
               .out_size = 1, .row = binary_row, .variant = (void *)CHOOSE(compare), .op = (int)op, .type = type};
    run(&f);
}

static void select_row(const frame *f, long n, const char *const *operand, char *out) {
    int last = f->space->rank - 1;
    long sc = f->space->strides[0][last], sa = f->space->strides[1][last], sb = f->space->strides[2][last];
    const uint8_t *c = (const uint8_t *)operand[0];
    if (f->out_size == 4) {
        const uint32_t *a = (const uint32_t *)operand[1], *b = (const uint32_t *)operand[2];
        for (long i = 0; i < n; i++) ((uint32_t *)out)[i] = c[i * sc] ? a[i * sa] : b[i * sb];
    } else {
        const uint64_t *a = (const uint64_t *)operand[1], *b = (const uint64_t *)operand[2];
        for (long i = 0; i < n; i++) ((uint64_t *)out)[i] = c[i * sc] ? a[i * sa] : b[i * sb];
    }
}

void coppice_apply_select(
    coppice_element type, const coppice_space *space, const uint8_t *condition, const void *a, const void *b,
    void *out) {
    long size = element_size[type];
    frame f = {.space = space, .operands = 3, .operand = {(const char *)condition, a, b}, .size = {1, size, size},
               .out = out, .out_size = size, .row = select_row};
    run(&f);
}

// MARK: movement

static void copy_row(const frame *f, long n, const char *const *operand, char *unused) {
    (void)unused;
    int last = f->space->rank - 1;
    long from = f->space->strides[0][last], to = f->space->strides[1][last];
    const char *source = operand[0];
    char *destination = (char *)operand[1];
    if (from == 1 && to == 1) {
        memcpy(destination, source, (size_t)(n * f->size[0]));
        return;
    }
    switch (f->size[0]) {
    case 1: for (long i = 0; i < n; i++) destination[i * to] = source[i * from]; break;
    case 2:
        for (long i = 0; i < n; i++) ((uint16_t *)destination)[i * to] = ((const uint16_t *)source)[i * from];
        break;
    case 4:
        for (long i = 0; i < n; i++) ((uint32_t *)destination)[i * to] = ((const uint32_t *)source)[i * from];
        break;
    default:
        for (long i = 0; i < n; i++) ((uint64_t *)destination)[i * to] = ((const uint64_t *)source)[i * from];
    }
}

void coppice_copy_strided(int size, const coppice_space *space, const void *source, void *destination) {
    frame f = {.space = space, .operands = 2, .operand = {source, destination}, .size = {size, size},
               .out = destination, .out_size = 0, .row = copy_row};
    run(&f);
}

void coppice_fill(int size, const void *value, long count, void *destination) {
    switch (size) {
    case 1: memset(destination, *(const uint8_t *)value, (size_t)count); break;
    case 2: {
        uint16_t v;
        memcpy(&v, value, 2);
        for (long i = 0; i < count; i++) ((uint16_t *)destination)[i] = v;
        break;
    }
    case 4: {
        uint32_t v;
        memcpy(&v, value, 4);
        for (long i = 0; i < count; i++) ((uint32_t *)destination)[i] = v;
        break;
    }
    default: {
        uint64_t v;
        memcpy(&v, value, 8);
        for (long i = 0; i < count; i++) ((uint64_t *)destination)[i] = v;
    }
    }
}
