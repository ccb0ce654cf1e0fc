#include "read_bandwidth.h"

#include "cpu_features.h"
#include "thread_pool.h"

// A few megabytes a task: long enough for the prefetchers, short enough to share out evenly.
enum { floats_per_task = 1 << 19, most_tasks = 4096 };

#define KERNELS "read_bandwidth.inc"
#include "inference_variants.inc"

typedef struct {
    const float *x;
    long count, per_task;
    double *sums;
} read_work;

static void read_task(void *context, long index) {
    const read_work *work = context;
    const long first = index * work->per_task;
    const long count = work->count - first < work->per_task ? work->count - first : work->per_task;
    work->sums[index] = (double)CHOOSE(read_sum)(work->x + first, count);
}

double coppice_read_sum(const float *x, long count) {
    double sums[most_tasks];
    read_work work = {x, count, floats_per_task, sums};
    while ((count + work.per_task - 1) / work.per_task > most_tasks) work.per_task *= 2;
    const long tasks = (count + work.per_task - 1) / work.per_task;
    coppice_parallel_for(tasks, &work, read_task);
    double total = 0;
    for (long i = 0; i < tasks; i++) total += sums[i];
    return total;
}
