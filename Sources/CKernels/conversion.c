#include "elementwise.h"
#include "thread_pool.h"

#include <string.h>

#define BODY "element_conversion.inc"
#include "variants.h"

enum { chunk = 32768 };

static const long size_of_type[] = {4, 8, 2, 2, 1, 1, 4, 8, 1};

typedef struct conversion {
    int from, to;
    long count;
    const char *source;
    char *destination;
    void (*variant)(int, int, long, const void *, void *);
} conversion;

static void convert_chunk(void *context, long index) {
    const conversion *c = context;
    long first = index * chunk, n = c->count - first < chunk ? c->count - first : chunk;
    c->variant(c->from, c->to, n, c->source + first * size_of_type[c->from], c->destination + first * size_of_type[c->to]);
}

void coppice_convert(int from, int to, long count, const void *source, void *destination) {
    conversion c = {from, to, count, source, destination, CHOOSE(convert)};
    coppice_parallel_for((count + chunk - 1) / chunk, &c, convert_chunk);
}
