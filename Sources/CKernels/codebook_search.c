#include "codebook_search.h"

#include "scalar_conversion.h"
#include "thread_pool.h"

#include <math.h>

typedef float vector16 __attribute__((vector_size(64)));
typedef int32_t words16 __attribute__((vector_size(64)));
typedef uint8_t bytes16 __attribute__((vector_size(16)));

#pragma clang diagnostic ignored "-Wpsabi"
#pragma STDC FP_CONTRACT OFF
#define BODY "codebook_search.inc"
#include "variants.h"

enum { half_bins = COPPICE_HISTOGRAM_BINS / 2, small_half = 255, small_bins = 2 * small_half + 1, most_values = 16 };

// MARK: Clustering

/// Points on a line, ascending, as running sums.
typedef struct {
    int count;
    double weights[COPPICE_HISTOGRAM_BINS + 1], sums[COPPICE_HISTOGRAM_BINS + 1];
} points;

/// What points first ..< last lose when they are all their mean: less the constant Σ w x².
static double cost(const points *p, int first, int last) {
    double w = p->weights[last] - p->weights[first], s = p->sums[last] - p->sums[first];
    return w > 0 ? -s * s / w : 0;
}

/// One layer of the programme: the best place where the last cluster of points 0 ..< j starts, for j in first ... last.
/// It does not move back as j grows, so the middle's place bounds both halves'.
static void layer(
    const points *p, const double *before, double *now, uint16_t *start, int first, int last, int least, int most) {
    if (first > last) return;
    const int middle = (first + last) / 2;
    double best = INFINITY;
    int place = least;
    for (int i = least; i <= (most < middle ? most : middle); i++) {
        double sum = before[i] + cost(p, i, middle);
        if (sum < best) best = sum, place = i;
    }
    now[middle] = best;
    start[middle] = (uint16_t)place;
    layer(p, before, now, start, first, middle - 1, least, place);
    layer(p, before, now, start, middle + 1, last, place, most);
}

/// Bins with something in them become points; the one at `zero` (if any) weighs so much that its cluster's mean is 0.
static void cluster(
    const double *weights, const double *sums, int bins, int zero, int count, float *centers) {
    points p;
    p.count = 0, p.weights[0] = p.sums[0] = 0;
    double heavy = 0;
    if (zero >= 0) for (int i = 0; i < bins; i++) heavy += weights[i];
    for (int i = 0; i < bins; i++) {
        double w = weights[i] + (i == zero ? heavy * 1e6 : 0);
        if (w <= 0) continue;
        p.weights[p.count + 1] = p.weights[p.count] + w;
        p.sums[p.count + 1] = p.sums[p.count] + (i == zero ? 0 : sums[i]);
        p.count++;
    }
    for (int k = 0; k < count; k++) centers[k] = 0;
    if (p.count == 0) return;
    const int clusters = count < p.count ? count : p.count;
    double rows[2][COPPICE_HISTOGRAM_BINS + 1];
    uint16_t starts[most_values][COPPICE_HISTOGRAM_BINS + 1];
    for (int j = 0; j <= p.count; j++) rows[0][j] = cost(&p, 0, j), starts[0][j] = 0;
    for (int k = 1; k < clusters; k++) {
        rows[k % 2][0] = 0, starts[k][0] = 0;
        layer(&p, rows[(k + 1) % 2], rows[k % 2], starts[k], 1, p.count, 0, p.count);
    }
    for (int k = clusters - 1, last = p.count; k >= 0; k--) {
        int first = starts[k][last];
        double w = p.weights[last] - p.weights[first];
        // A cluster that rounding left empty repeats its neighbour.
        float center = w > 0 ? (float)((p.sums[last] - p.sums[first]) / w) : k + 1 < clusters ? centers[k + 1] : 0;
        centers[k] = zero >= 0 && fabsf(center) < 1e-5f ? 0 : center;
        last = first;
    }
    for (int k = clusters; k < count; k++) centers[k] = centers[clusters - 1];
}

void coppice_histogram_centers(const double *weights, const double *sums, int count, int keep_zero, float *centers) {
    cluster(weights, sums, COPPICE_HISTOGRAM_BINS, keep_zero ? half_bins : -1, count, centers);
}

// MARK: Histograms

typedef struct {
    const float *x;
    const float *magnitudes;
    long rows, columns, group, groups;
    double *parts;
    float *found;
    long table;
    int bits, keep_zero;
    int8_t *values;
    float *reach;
    const int8_t *tables;
    long row_tables, group_tables;
    const char *scales;
    uint8_t *codes;
} search;

static long least(long a, long b) { return a < b ? a : b; }

static void find_magnitudes(void *context, long row) {
    const search *s = context;
    for (long g = 0; g < s->groups; g++) {
        const long first = g * s->group;
        s->found[row * s->groups + g] =
            CHOOSE(magnitude)(s->x + row * s->columns + first, least(s->group, s->columns - first));
    }
}

void coppice_group_magnitudes(const float *x, long rows, long columns, long group, float *magnitudes) {
    search s = {
        .x = x, .columns = columns, .group = group, .groups = (columns + group - 1) / group, .found = magnitudes};
    coppice_parallel_for(rows, &s, find_magnitudes);
}

/// Adds columns first ..< last of a row to bins -half ... half.
static void gather(const search *s, long row, long first, long last, int half, double *weights, double *sums) {
    for (long c = first; c < last;) {
        const long end = least((c / s->group + 1) * s->group, last);
        const float m = s->magnitudes[row * s->groups + c / s->group], inverse = m > 0 ? 1 / m : 0;
        const double square = (double)m * m;
        for (; c < end; c++) {
            float v = s->x[row * s->columns + c] * inverse;
            int bin = (int)rintf(v * (float)half);
            bin = (bin < -half ? -half : bin > half ? half : bin) + half;
            weights[bin] += square;
            sums[bin] += square * (double)v;
        }
    }
}

static void gather_part(void *context, long part) {
    const search *s = context;
    double *weights = s->parts + part * 2 * COPPICE_HISTOGRAM_BINS, *sums = weights + COPPICE_HISTOGRAM_BINS;
    memset(weights, 0, 2 * COPPICE_HISTOGRAM_BINS * sizeof *weights);
    const long first = s->rows * part / COPPICE_HISTOGRAM_PARTS, last = s->rows * (part + 1) / COPPICE_HISTOGRAM_PARTS;
    for (long row = first; row < last; row++) gather(s, row, 0, s->columns, half_bins, weights, sums);
}

void coppice_normalized_histogram(
    const float *x, const float *magnitudes, long rows, long columns, long group, double *parts) {
    search s = {
        .x = x, .magnitudes = magnitudes, .rows = rows, .columns = columns, .group = group,
        .groups = (columns + group - 1) / group, .parts = parts};
    coppice_parallel_for(COPPICE_HISTOGRAM_PARTS, &s, gather_part);
}

// MARK: Tables

static void find_tables(void *context, long row) {
    const search *s = context;
    const long tables = (s->columns + s->table - 1) / s->table;
    const int count = 1 << s->bits;
    for (long t = 0; t < tables; t++) {
        double weights[small_bins] = {0}, sums[small_bins] = {0};
        gather(s, row, t * s->table, least((t + 1) * s->table, s->columns), small_half, weights, sums);
        float centers[most_values], reach = 0;
        cluster(weights, sums, small_bins, s->keep_zero ? small_half : -1, count, centers);
        for (int k = 0; k < count; k++) reach = fmaxf(reach, fabsf(centers[k]));
        const float by = reach > 0 ? 127 / reach : 0;
        for (int k = 0; k < count; k++) s->values[(row * tables + t) * count + k] = (int8_t)rintf(centers[k] * by);
        s->reach[row * tables + t] = reach;
    }
}

void coppice_table_centers(
    const float *x, const float *magnitudes, long rows, long columns, long group, long table, int bits, int keep_zero,
    int8_t *values, float *reach) {
    search s = {
        .x = x, .magnitudes = magnitudes, .columns = columns, .group = group,
        .groups = (columns + group - 1) / group, .table = table, .bits = bits, .keep_zero = keep_zero,
        .values = values, .reach = reach};
    coppice_parallel_for(rows, &s, find_tables);
}

static void find_codes(void *context, long row) {
    const search *s = context;
    const int count = 1 << s->bits;
    for (long g = 0; g < s->groups; g++) {
        const long first = g * s->group, at = row * s->columns + first;
        const int8_t *table = s->tables + ((row * s->row_tables + g * s->group_tables) << s->bits);
        const float scale = coppice_f32_from_f16(coppice_load_u16(s->scales + 2 * (row * s->groups + g)));
        float middles[most_values];
        for (int t = 0; t + 1 < count; t++) middles[t] = (float)(table[t] + table[t + 1]) * 0.5f * scale;
        CHOOSE(nearest)(s->x + at, least(s->group, s->columns - first), count, middles, s->codes + at);
    }
}

void coppice_nearest_values(
    const float *x, long rows, long columns, long group, int bits, const int8_t *values, long row_tables,
    long group_tables, const void *scales, uint8_t *codes) {
    search s = {
        .x = x, .columns = columns, .group = group, .groups = (columns + group - 1) / group, .bits = bits,
        .tables = values, .row_tables = row_tables, .group_tables = group_tables, .scales = scales, .codes = codes};
    coppice_parallel_for(rows, &s, find_codes);
}
