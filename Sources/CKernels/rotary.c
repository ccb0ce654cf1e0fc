#include "rotary.h"

#include <math.h>

#include "thread_pool.h"

typedef struct {
    const int *positions;
    const float *frequencies;
    long frequency_count;
    float scale;
    float *cosines, *sines;
} angle_work;

static void angle_task(void *context, long token) {
    const angle_work *work = context;
    for (long i = 0; i < work->frequency_count; i++) {
        const float angle = (float)work->positions[token] * work->frequencies[i];
        work->cosines[token * work->frequency_count + i] = (float)cos((double)angle) * work->scale;
        work->sines[token * work->frequency_count + i] = (float)sin((double)angle) * work->scale;
    }
}

void coppice_rotary_angles(const int *positions, long tokens, const float *frequencies, long frequency_count,
                           float scale, float *cosines, float *sines) {
    angle_work work = {positions, frequencies, frequency_count, scale, cosines, sines};
    if (tokens * frequency_count < 1024) {
        for (long i = 0; i < tokens; i++) angle_task(&work, i);
    } else {
        coppice_parallel_for(tokens, &work, angle_task);
    }
}

typedef struct {
    float *x;
    long stride, heads, head_size;
    const float *cosines, *sines;
    long frequencies;
    int interleaved;
} rotary_work;

static void rotate_halves(float *restrict low, float *restrict high, const float *cosines, const float *sines, long count) {
    for (long i = 0; i < count; i++) {
        const float a = low[i], b = high[i];
        low[i] = a * cosines[i] - b * sines[i];
        high[i] = b * cosines[i] + a * sines[i];
    }
}

static void rotate_pairs(float *x, const float *cosines, const float *sines, long count) {
    for (long i = 0; i < count; i++) {
        const float a = x[2 * i], b = x[2 * i + 1];
        x[2 * i] = a * cosines[i] - b * sines[i];
        x[2 * i + 1] = b * cosines[i] + a * sines[i];
    }
}

static void rotary_task(void *context, long token) {
    const rotary_work *work = context;
    const float *cosines = work->cosines + token * work->frequencies, *sines = work->sines + token * work->frequencies;
    for (long head = 0; head < work->heads; head++) {
        float *x = work->x + token * work->stride + head * work->head_size;
        if (work->interleaved) rotate_pairs(x, cosines, sines, work->frequencies);
        else rotate_halves(x, x + work->frequencies, cosines, sines, work->frequencies);
    }
}

void coppice_rotary_apply(float *x, long stride, long tokens, long heads, long head_size, const float *cosines,
                          const float *sines, long frequencies, int interleaved) {
    rotary_work work = {x, stride, heads, head_size, cosines, sines, frequencies, interleaved};
    if (tokens * heads * frequencies < 8192) {
        for (long i = 0; i < tokens; i++) rotary_task(&work, i);
    } else {
        coppice_parallel_for(tokens, &work, rotary_task);
    }
}
