#include "rotary.h"

#include <math.h>

#include "thread_pool.h"

typedef struct {
    const int *positions;
    const float *frequencies;
    long frequency_count;
    float scale;
    int exact;
    float *cosines, *sines;
} angle_work;

static void angle_task(void *context, long token) {
    const angle_work *work = context;
    for (long i = 0; i < work->frequency_count; i++) {
        const double product = (double)work->positions[token] * work->frequencies[i];
        const double angle = work->exact ? product : (double)((float)work->positions[token] * work->frequencies[i]);
        work->cosines[token * work->frequency_count + i] = (float)cos(angle) * work->scale;
        work->sines[token * work->frequency_count + i] = (float)sin(angle) * work->scale;
    }
}

void coppice_rotary_angles(const int *positions, long tokens, const float *frequencies, long frequency_count,
                           float scale, int exact, float *cosines, float *sines) {
    angle_work work = {positions, frequencies, frequency_count, scale, exact, cosines, sines};
    if (tokens * frequency_count < 1024) {
        for (long i = 0; i < tokens; i++) angle_task(&work, i);
    } else {
        coppice_parallel_for(tokens, &work, angle_task);
    }
}
