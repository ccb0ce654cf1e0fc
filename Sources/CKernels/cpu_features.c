#include "cpu_features.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static atomic_int process_level = -1;      // not decided yet
static _Thread_local int thread_level = -1; // the process's

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

static coppice_cpu_level level_of_process(void) {
    int level = atomic_load_explicit(&process_level, memory_order_relaxed);
    if (level >= 0) return (coppice_cpu_level)level;
    coppice_cpu_level best = coppice_cpu_level_available(), wanted = COPPICE_CPU_AVX512;
    const char *forced = getenv("COPPICE_CPU");
    if (forced && strcmp(forced, "portable") == 0) wanted = COPPICE_CPU_PORTABLE;
    if (forced && strcmp(forced, "avx2") == 0) wanted = COPPICE_CPU_AVX2;
    if (wanted > best) wanted = best;
    atomic_store(&process_level, (int)wanted);
    return wanted;
}

coppice_cpu_level coppice_cpu_level_in_use(void) {
    return thread_level >= 0 ? (coppice_cpu_level)thread_level : level_of_process();
}

coppice_cpu_level coppice_set_cpu_level(coppice_cpu_level level) {
    coppice_cpu_level best = coppice_cpu_level_available();
    if (level > best) level = best;
    thread_level = (int)level;
    return level;
}

int coppice_cpu_has_vnni(void) {
#if defined(__x86_64__)
    return coppice_cpu_level_in_use() == COPPICE_CPU_AVX512 && __builtin_cpu_supports("avx512vnni")
        && __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vbmi2")
        && __builtin_cpu_supports("gfni");
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
