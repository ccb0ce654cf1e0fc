#include "dense_product.h"

#include "conversion.h"
#include "cpu_features.h"
#include "dot_tile.h"
#include "panel_product.h"
#include "thread_pool.h"

// Up to eight activation rows read the weight once, straight from where it lies: memory bandwidth is the limit.
// More rows share expanded panels (panel_product.c).
enum { largest_direct_batch = 8, bytes_per_task = 64 << 10 };

typedef struct {
    const char *weight;
    coppice_float_type type;
    long rows, columns;
    const float *x;
    long x_rows, x_stride;
    float *y;
    long y_stride;
    long rows_per_task;
    coppice_cpu_level level;
} product;

static long element_size(coppice_float_type type) { return type == COPPICE_TYPE_F32 ? 4 : 2; }

static void expand(const void *weight, long row, long first_column, long count, float *values) {
    const product *p = weight;
    const char *source = p->weight + (row * p->columns + first_column) * element_size(p->type);
    switch (p->type) {
    case COPPICE_TYPE_F32: memcpy(values, source, count * sizeof(float)); break;
    case COPPICE_TYPE_BF16: coppice_convert_serially(COPPICE_DATA_BF16, COPPICE_DATA_F32, count, source, values); break;
    case COPPICE_TYPE_F16: coppice_convert_serially(COPPICE_DATA_F16, COPPICE_DATA_F32, count, source, values); break;
    }
}

#if defined(__x86_64__)
// Rows of the weight that share each load of x: as many as keep all sums in registers.
#define ROWS_512(B) (4 * (B) <= 24 ? 4 : 2)
#define ROWS_256(B) ((B) <= 3 ? 4 : (B) <= 5 ? 2 : 1)

#define ROWS_OF_TASK(WIDTH, TARGET, TYPE, B)                                                                          \
    TARGET static void rows_##WIDTH##_##TYPE##_##B(const product *p, long first, long last) {                        \
        const long stride = p->columns * (TYPE == 0 ? 4 : 2);                                                        \
        long r = first;                                                                                               \
        float out[8][4];                                                                                              \
        for (; r + ROWS_##WIDTH(B) <= last; r += ROWS_##WIDTH(B)) {                                                   \
            coppice_dot_tile_##WIDTH(                                                                                 \
                TYPE, ROWS_##WIDTH(B), B, p->weight + r * stride, stride, p->columns, p->x, p->x_stride, out);        \
            for (int b = 0; b < B; b++)                                                                               \
                for (int j = 0; j < ROWS_##WIDTH(B); j++) p->y[b * p->y_stride + r + j] = out[b][j];                  \
        }                                                                                                             \
        for (; r < last; r++) {                                                                                       \
            coppice_dot_tile_##WIDTH(                                                                                 \
                TYPE, 1, B, p->weight + r * stride, stride, p->columns, p->x, p->x_stride, out);                      \
            for (int b = 0; b < B; b++) p->y[b * p->y_stride + r] = out[b][0];                                        \
        }                                                                                                             \
    }
#define ALL_BATCHES(WIDTH, TARGET, TYPE)                                                                              \
    ROWS_OF_TASK(WIDTH, TARGET, TYPE, 1)                                                                              \
    ROWS_OF_TASK(WIDTH, TARGET, TYPE, 2)                                                                              \
    ROWS_OF_TASK(WIDTH, TARGET, TYPE, 3)                                                                              \
    ROWS_OF_TASK(WIDTH, TARGET, TYPE, 4)                                                                              \
    ROWS_OF_TASK(WIDTH, TARGET, TYPE, 5)                                                                              \
    ROWS_OF_TASK(WIDTH, TARGET, TYPE, 6)                                                                              \
    ROWS_OF_TASK(WIDTH, TARGET, TYPE, 7)                                                                              \
    ROWS_OF_TASK(WIDTH, TARGET, TYPE, 8)
ALL_BATCHES(512, COPPICE_AVX512, 0)
ALL_BATCHES(512, COPPICE_AVX512, 1)
ALL_BATCHES(512, COPPICE_AVX512, 2)
ALL_BATCHES(256, COPPICE_AVX2, 0)
ALL_BATCHES(256, COPPICE_AVX2, 1)
ALL_BATCHES(256, COPPICE_AVX2, 2)

typedef void (*rows_function)(const product *p, long first, long last);
#define TABLE(WIDTH, TYPE)                                                                                            \
    {rows_##WIDTH##_##TYPE##_1, rows_##WIDTH##_##TYPE##_2, rows_##WIDTH##_##TYPE##_3, rows_##WIDTH##_##TYPE##_4,     \
     rows_##WIDTH##_##TYPE##_5, rows_##WIDTH##_##TYPE##_6, rows_##WIDTH##_##TYPE##_7, rows_##WIDTH##_##TYPE##_8}
static const rows_function table_512[3][8] = {TABLE(512, 0), TABLE(512, 1), TABLE(512, 2)};
static const rows_function table_256[3][8] = {TABLE(256, 0), TABLE(256, 1), TABLE(256, 2)};

static void run_task(void *context, long index) {
    const product *p = context;
    long first = index * p->rows_per_task;
    long last = first + p->rows_per_task < p->rows ? first + p->rows_per_task : p->rows;
    if (p->level == COPPICE_CPU_AVX512) table_512[p->type][p->x_rows - 1](p, first, last);
    else table_256[p->type][p->x_rows - 1](p, first, last);
}
#endif

void coppice_dense_product(
    const void *weight, coppice_float_type type, long rows, long columns, const float *x, long x_rows, long x_stride,
    float *y, long y_stride) {
    product p = {weight, type, rows, columns, x, x_rows, x_stride, y, y_stride, 0, coppice_cpu_level_in_use()};
#if defined(__x86_64__)
    if (p.level >= COPPICE_CPU_AVX2 && x_rows >= 1 && x_rows <= largest_direct_batch && rows > 0 && columns > 0) {
        p.rows_per_task = bytes_per_task / (columns * element_size(type)) & ~3L;
        if (p.rows_per_task < 4) p.rows_per_task = 4;
        coppice_parallel_for((rows + p.rows_per_task - 1) / p.rows_per_task, &p, run_task);
        return;
    }
#endif
    coppice_panel_product(&p, expand, rows, columns, x, x_rows, x_stride, y, y_stride);
}
