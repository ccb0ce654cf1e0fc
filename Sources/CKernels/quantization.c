#include "quantization.h"

#include "scalar_conversion.h"
#include "thread_pool.h"

#include <math.h>
#include <stdatomic.h>

typedef struct quantization {
    const float *x;
    long rows, columns;
    int bits;
    long group;
    int symmetric;
    uint8_t *codes;
    uint16_t *scales;
    uint8_t *zeros;
    atomic_long failed;
} quantization;

static void quantize_row(void *context, long row) {
    quantization *q = context;
    const float *x = q->x + row * q->columns;
    uint8_t *codes = q->codes + row * q->columns;
    long groups = (q->columns + q->group - 1) / q->group;
    const float top = (float)((1 << q->bits) - 1);
    for (long g = 0; g < groups; g++) {
        long first = g * q->group, end = first + q->group < q->columns ? first + q->group : q->columns;
        float low = 0, high = 0;
        for (long c = first; c < end; c++) {
            low = x[c] < low ? x[c] : low;
            high = x[c] > high ? x[c] : high;
        }
        float span = q->symmetric ? 2 * (high > -low ? high : -low) : high - low;
        uint16_t half = coppice_f16_from_f32(span / top);
        if (half == 0 && span > 0) half = 1; // the smallest scale there is
        float scale = coppice_f32_from_f16(half);
        if (!isfinite(scale)) {
            long none = -1;
            atomic_compare_exchange_strong(&q->failed, &none, row);
            scale = 0;
        }
        float inverse = scale > 0 ? 1 / scale : 0;
        float zero = q->symmetric ? (float)(1 << (q->bits - 1)) : rintf(-low * inverse);
        zero = zero > top ? top : zero;
        q->scales[row * groups + g] = half;
        q->zeros[row * groups + g] = (uint8_t)zero;
        for (long c = first; c < end; c++) {
            float code = rintf(x[c] * inverse) + zero;
            codes[c] = (uint8_t)(code < 0 ? 0 : code > top ? top : code);
        }
    }
}

long coppice_quantize_groups(
    const float *x, long rows, long columns, int bits, long group, int symmetric, uint8_t *codes, void *scales,
    uint8_t *zeros) {
    quantization q = {x, rows, columns, bits, group, symmetric, codes, scales, zeros, -1};
    coppice_parallel_for(rows, &q, quantize_row);
    return atomic_load(&q.failed);
}

void coppice_pack_nibbles(const uint8_t *codes, long rows, long columns, uint8_t *out) {
    long bytes = (columns + 1) / 2;
    for (long r = 0; r < rows; r++)
        for (long b = 0; b < bytes; b++) {
            uint8_t low = codes[r * columns + 2 * b], high = 2 * b + 1 < columns ? codes[r * columns + 2 * b + 1] : 0;
            out[r * bytes + b] = (uint8_t)(low | high << 4);
        }
}
