#include "windows.h"

#include <string.h>

#include "thread_pool.h"

// Output columns first ..< end whose element at offset `place` (j * dilation - padding) from the window's start lies
// inside a line of `extent` elements.
static void inside(long extent, long outputs, long stride, long place, long *first, long *end) {
    *first = place >= 0 ? 0 : (-place + stride - 1) / stride;
    *end = extent > place ? (extent - place + stride - 1) / stride : 0;
    if (*end > outputs) *end = outputs;
    if (*first > *end) *first = *end;
}

#define UNFOLD(SUFFIX, TYPE)                                                                                          \
    void coppice_unfold_##SUFFIX(const TYPE *x, long planes, coppice_windows w, TYPE *columns) {                      \
        for (long p = 0; p < planes; p++) {                                                                           \
            const TYPE *plane = x + p * w.height * w.width;                                                           \
            for (long i = 0; i < w.kernel_height; i++) {                                                              \
                for (long j = 0; j < w.kernel_width; j++) {                                                           \
                    long place = j * w.dilation_x - w.left, first, end;                                               \
                    inside(w.width, w.out_width, w.stride_x, place, &first, &end);                                    \
                    for (long r = 0; r < w.out_height; r++, columns += w.out_width) {                                 \
                        long row = r * w.stride_y - w.top + i * w.dilation_y;                                         \
                        if (row < 0 || row >= w.height) {                                                             \
                            memset(columns, 0, (size_t)w.out_width * sizeof(TYPE));                                   \
                            continue;                                                                                 \
                        }                                                                                             \
                        const TYPE *line = plane + row * w.width;                                                     \
                        for (long c = 0; c < first; c++) columns[c] = 0;                                              \
                        for (long c = first; c < end; c++) columns[c] = line[c * w.stride_x + place];                 \
                        for (long c = end; c < w.out_width; c++) columns[c] = 0;                                      \
                    }                                                                                                 \
                }                                                                                                     \
            }                                                                                                         \
        }                                                                                                             \
    }                                                                                                                 \
                                                                                                                      \
    void coppice_fold_add_##SUFFIX(const TYPE *columns, long planes, coppice_windows w, TYPE *x) {                    \
        for (long p = 0; p < planes; p++) {                                                                           \
            TYPE *plane = x + p * w.height * w.width;                                                                 \
            for (long i = 0; i < w.kernel_height; i++) {                                                              \
                for (long j = 0; j < w.kernel_width; j++) {                                                           \
                    long place = j * w.dilation_x - w.left, first, end;                                               \
                    inside(w.width, w.out_width, w.stride_x, place, &first, &end);                                    \
                    for (long r = 0; r < w.out_height; r++, columns += w.out_width) {                                 \
                        long row = r * w.stride_y - w.top + i * w.dilation_y;                                         \
                        if (row < 0 || row >= w.height) continue;                                                     \
                        TYPE *line = plane + row * w.width;                                                           \
                        for (long c = first; c < end; c++) line[c * w.stride_x + place] += columns[c];                \
                    }                                                                                                 \
                }                                                                                                     \
            }                                                                                                         \
        }                                                                                                             \
    }

UNFOLD(f32, float)
UNFOLD(f64, double)

// MARK: Pooling

struct job {
    const void *from;
    void *to;
    long planes, planes_per_task;
    coppice_windows windows;
};

// Planes that one task takes: about 2^15 window elements, whatever the number of threads.
static void run(struct job job, coppice_task task) {
    const coppice_windows *w = &job.windows;
    long work = w->out_height * w->out_width * w->kernel_height * w->kernel_width + w->height * w->width;
    job.planes_per_task = work >= 1 << 15 ? 1 : (1 << 15) / (work + 1) + 1;
    coppice_parallel_for((job.planes + job.planes_per_task - 1) / job.planes_per_task, &job, task);
}

#define FOR_PLANES(JOB, TASK, PLANE)                                                                                  \
    for (long PLANE = (TASK) * (JOB)->planes_per_task;                                                                \
         PLANE < (JOB)->planes && PLANE < ((TASK) + 1) * (JOB)->planes_per_task; PLANE++)

#define POOLING(SUFFIX, TYPE)                                                                                         \
    static void max_pool_##SUFFIX(void *context, long task) {                                                         \
        const struct job *job = context;                                                                              \
        coppice_windows w = job->windows;                                                                             \
        FOR_PLANES(job, task, p) {                                                                                    \
            const TYPE *plane = (const TYPE *)job->from + p * w.height * w.width;                                     \
            int64_t *places = (int64_t *)job->to + p * w.out_height * w.out_width;                                    \
            for (long r = 0; r < w.out_height; r++) {                                                                 \
                for (long c = 0; c < w.out_width; c++) {                                                              \
                    long best = -1;                                                                                   \
                    TYPE largest = 0;                                                                                 \
                    for (long i = 0; i < w.kernel_height; i++) {                                                      \
                        long row = r * w.stride_y - w.top + i * w.dilation_y;                                         \
                        if (row < 0 || row >= w.height) continue;                                                     \
                        for (long j = 0; j < w.kernel_width; j++) {                                                   \
                            long column = c * w.stride_x - w.left + j * w.dilation_x;                                 \
                            if (column < 0 || column >= w.width) continue;                                            \
                            TYPE value = plane[row * w.width + column];                                               \
                            if (best < 0 || value > largest || (value != value && largest == largest)) {              \
                                largest = value;                                                                      \
                                best = row * w.width + column;                                                        \
                            }                                                                                         \
                        }                                                                                             \
                    }                                                                                                 \
                    places[r * w.out_width + c] = best;                                                               \
                }                                                                                                     \
            }                                                                                                         \
        }                                                                                                             \
    }                                                                                                                 \
                                                                                                                      \
    void coppice_max_pool_##SUFFIX(const TYPE *x, long planes, coppice_windows windows, int64_t *places) {            \
        run((struct job){x, places, planes, 1, windows}, max_pool_##SUFFIX);                                          \
    }                                                                                                                 \
                                                                                                                      \
    static void sum_pool_##SUFFIX(void *context, long task) {                                                         \
        const struct job *job = context;                                                                              \
        coppice_windows w = job->windows;                                                                             \
        FOR_PLANES(job, task, p) {                                                                                    \
            const TYPE *plane = (const TYPE *)job->from + p * w.height * w.width;                                     \
            TYPE *y = (TYPE *)job->to + p * w.out_height * w.out_width;                                               \
            for (long r = 0; r < w.out_height; r++, y += w.out_width) {                                               \
                memset(y, 0, (size_t)w.out_width * sizeof(TYPE));                                                     \
                for (long i = 0; i < w.kernel_height; i++) {                                                          \
                    long row = r * w.stride_y - w.top + i * w.dilation_y;                                             \
                    if (row < 0 || row >= w.height) continue;                                                         \
                    const TYPE *line = plane + row * w.width;                                                         \
                    for (long j = 0; j < w.kernel_width; j++) {                                                       \
                        long place = j * w.dilation_x - w.left, first, end;                                           \
                        inside(w.width, w.out_width, w.stride_x, place, &first, &end);                                \
                        for (long c = first; c < end; c++) y[c] += line[c * w.stride_x + place];                      \
                    }                                                                                                 \
                }                                                                                                     \
            }                                                                                                         \
        }                                                                                                             \
    }                                                                                                                 \
                                                                                                                      \
    void coppice_sum_pool_##SUFFIX(const TYPE *x, long planes, coppice_windows windows, TYPE *y) {                    \
        run((struct job){x, y, planes, 1, windows}, sum_pool_##SUFFIX);                                               \
    }                                                                                                                 \
                                                                                                                      \
    static void sum_pool_adjoint_##SUFFIX(void *context, long task) {                                                 \
        const struct job *job = context;                                                                              \
        coppice_windows w = job->windows;                                                                             \
        FOR_PLANES(job, task, p) {                                                                                    \
            const TYPE *y = (const TYPE *)job->from + p * w.out_height * w.out_width;                                 \
            TYPE *plane = (TYPE *)job->to + p * w.height * w.width;                                                   \
            memset(plane, 0, (size_t)(w.height * w.width) * sizeof(TYPE));                                            \
            for (long r = 0; r < w.out_height; r++, y += w.out_width) {                                               \
                for (long i = 0; i < w.kernel_height; i++) {                                                          \
                    long row = r * w.stride_y - w.top + i * w.dilation_y;                                             \
                    if (row < 0 || row >= w.height) continue;                                                         \
                    TYPE *line = plane + row * w.width;                                                               \
                    for (long j = 0; j < w.kernel_width; j++) {                                                       \
                        long place = j * w.dilation_x - w.left, first, end;                                           \
                        inside(w.width, w.out_width, w.stride_x, place, &first, &end);                                \
                        for (long c = first; c < end; c++) line[c * w.stride_x + place] += y[c];                      \
                    }                                                                                                 \
                }                                                                                                     \
            }                                                                                                         \
        }                                                                                                             \
    }                                                                                                                 \
                                                                                                                      \
    void coppice_sum_pool_adjoint_##SUFFIX(const TYPE *y, long planes, coppice_windows windows, TYPE *x) {            \
        run((struct job){y, x, planes, 1, windows}, sum_pool_adjoint_##SUFFIX);                                       \
    }

POOLING(f32, float)
POOLING(f64, double)
