#include "conversion.h"

#include "scalar_conversion.h"
#include "thread_pool.h"

#define BODY "conversion.inc"
#include "variants.h"

enum { chunk = 32768 };

static const long size_of_type[] = {4, 8, 2, 2, 1, 1, 4, 8, 1};

typedef struct conversion {
    coppice_data_type from, to;
    long count;
    const char *source;
    char *destination;
    void (*variant)(coppice_data_type, coppice_data_type, long, const void *, void *);
} conversion;

static void convert_chunk(void *context, long index) {
    const conversion *c = context;
    long first = index * chunk, n = c->count - first < chunk ? c->count - first : chunk;
    c->variant(
        c->from, c->to, n, c->source + first * size_of_type[c->from],
        c->destination + first * size_of_type[c->to]);
}

void coppice_convert(
    coppice_data_type from, coppice_data_type to, long count, const void *source, void *destination) {
    conversion c = {from, to, count, source, destination, CHOOSE(convert)};
    coppice_parallel_for((count + chunk - 1) / chunk, &c, convert_chunk);
}

void coppice_convert_serially(
    coppice_data_type from, coppice_data_type to, long count, const void *source, void *destination) {
    CHOOSE(convert)(from, to, count, source, destination);
}
