#include "cpu_features.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static atomic_int level_in_use = -1;

coppice_cpu_level coppice_cpu_level_available(void) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl")
        && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("fma"))
        return COPPICE_CPU_AVX512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return COPPICE_CPU_AVX2;
#endif
    return COPPICE_CPU_PORTABLE;
}

coppice_cpu_level coppice_set_cpu_level(coppice_cpu_level level) {
    coppice_cpu_level best = coppice_cpu_level_available();
    if (level > best) level = best;
    atomic_store(&level_in_use, (int)level);
    return level;
}

coppice_cpu_level coppice_cpu_level_in_use(void) {
    int level = atomic_load_explicit(&level_in_use, memory_order_relaxed);
    if (level >= 0) return (coppice_cpu_level)level;
    const char *forced = getenv("COPPICE_CPU");
    coppice_cpu_level wanted = COPPICE_CPU_AVX512;
    if (forced && strcmp(forced, "portable") == 0) wanted = COPPICE_CPU_PORTABLE;
    if (forced && strcmp(forced, "avx2") == 0) wanted = COPPICE_CPU_AVX2;
    return coppice_set_cpu_level(wanted);
}

int coppice_cpu_has_vnni(void) {
#if defined(__x86_64__)
    return coppice_cpu_level_in_use() == COPPICE_CPU_AVX512 && __builtin_cpu_supports("avx512vnni");
#else
    return 0;
#endif
}

int coppice_cpu_has_bf16(void) {
#if defined(__x86_64__)
    return coppice_cpu_level_in_use() == COPPICE_CPU_AVX512 && __builtin_cpu_supports("avx512bf16");
#else
    return 0;
#endif
}
