#include "panel_product.h"

#include "cpu_features.h"
#include "dot_tile.h"
#include "thread_pool.h"

// A task expands `panel_rows` × `panel_columns` of the weight (which then stay in the second-level cache) and
// takes all its activation rows past them, `tile` at a time (which stay in the first level).
enum { panel_columns = 512, largest_panel_rows = 96, x_rows_per_task = 240 };

typedef struct {
    const void *weight;
    coppice_expand_columns expand;
    long rows, columns;
    const float *x;
    long x_rows, x_stride;
    float *y;
    long y_stride;
    long panel_rows, x_tasks;
    coppice_cpu_level level;
} product;

typedef void (*tile_function)(const float *panel, long columns, const float *x, long x_stride, float out[8][4]);

#if defined(__x86_64__)
#define TILE(SUFFIX, TARGET, B)                                                                                       \
    TARGET static void tile_##SUFFIX##_##B(                                                                           \
        const float *panel, long columns, const float *x, long x_stride, float out[8][4]) {                          \
        coppice_dot_tile_##SUFFIX(                                                                                    \
            COPPICE_TYPE_F32, 4, B, (const char *)panel, panel_columns * sizeof(float), columns, x, x_stride, out);   \
    }
TILE(512, COPPICE_AVX512, 1)
TILE(512, COPPICE_AVX512, 2)
TILE(512, COPPICE_AVX512, 3)
TILE(512, COPPICE_AVX512, 4)
TILE(512, COPPICE_AVX512, 5)
TILE(512, COPPICE_AVX512, 6)
TILE(256, COPPICE_AVX2, 1)
TILE(256, COPPICE_AVX2, 2)
TILE(256, COPPICE_AVX2, 3)

static const tile_function tiles_512[6] = {tile_512_1, tile_512_2, tile_512_3, tile_512_4, tile_512_5, tile_512_6};
static const tile_function tiles_256[3] = {tile_256_1, tile_256_2, tile_256_3};
#endif

static void tile_portable(const float *panel, long columns, const float *x, long x_stride, float out[8][4]) {
    (void)x_stride;
    for (int r = 0; r < 4; r++) out[0][r] = coppice_dot_portable(panel + r * panel_columns, x, columns);
}

static const tile_function tiles_portable[1] = {tile_portable};

static void run_task(void *context, long index) {
    const product *p = context;
    long first_row = index / p->x_tasks * p->panel_rows, first_x = index % p->x_tasks * x_rows_per_task;
    long rows = p->rows - first_row < p->panel_rows ? p->rows - first_row : p->panel_rows;
    long x_end = p->x_rows - first_x < x_rows_per_task ? p->x_rows : first_x + x_rows_per_task;
    const tile_function *tiles = tiles_portable;
    long largest_tile = 1;
#if defined(__x86_64__)
    if (p->level == COPPICE_CPU_AVX512) tiles = tiles_512, largest_tile = 6;
    else if (p->level == COPPICE_CPU_AVX2) tiles = tiles_256, largest_tile = 3;
#endif
    _Alignas(64) float panel[largest_panel_rows * panel_columns];
    for (long k = 0; k < p->columns; k += panel_columns) {
        long columns = p->columns - k < panel_columns ? p->columns - k : panel_columns;
        for (long r = 0; r < rows; r++) p->expand(p->weight, first_row + r, k, columns, panel + r * panel_columns);
        for (long r = rows; r < ((rows + 3) & ~3L); r++) memset(panel + r * panel_columns, 0, columns * sizeof(float));
        for (long i = first_x; i < x_end;) {
            long tile = x_end - i < largest_tile ? x_end - i : largest_tile;
            for (long r = 0; r < rows; r += 4) {
                float out[8][4];
                tiles[tile - 1](panel + r * panel_columns, columns, p->x + i * p->x_stride + k, p->x_stride, out);
                long valid = rows - r < 4 ? rows - r : 4;
                for (long b = 0; b < tile; b++) {
                    float *y = p->y + (i + b) * p->y_stride + first_row + r;
                    if (k == 0)
                        for (long j = 0; j < valid; j++) y[j] = out[b][j];
                    else
                        for (long j = 0; j < valid; j++) y[j] += out[b][j];
                }
            }
            i += tile;
        }
    }
}

void coppice_panel_product(
    const void *weight, coppice_expand_columns expand, long rows, long columns, const float *x, long x_rows,
    long x_stride, float *y, long y_stride) {
    if (columns == 0)
        for (long i = 0; i < x_rows; i++) memset(y + i * y_stride, 0, rows * sizeof(float));
    if (rows == 0 || columns == 0 || x_rows == 0) return;
    long panel_rows = rows >= 16 * largest_panel_rows ? largest_panel_rows : 32;
    product p = {weight,   expand,     rows, columns, x, x_rows, x_stride, y, y_stride, panel_rows,
                 (x_rows + x_rows_per_task - 1) / x_rows_per_task, coppice_cpu_level_in_use()};
    coppice_parallel_for((rows + panel_rows - 1) / panel_rows * p.x_tasks, &p, run_task);
}
