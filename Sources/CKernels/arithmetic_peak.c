#include "arithmetic_peak.h"

#include "cpu_features.h"
#include "thread_pool.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

// Each burst keeps as many sums as hide the latency of one multiply-add, and fit the registers of its level. Factors
// come through volatile memory, so that no product is known to the compiler; sums go back through it.
enum { sums_512 = 16, sums_256 = 12, sums_portable = 8 };

typedef float four_floats __attribute__((vector_size(16)));

typedef struct {
    long steps;
    volatile float factor, sink;
} burst;

typedef void (*burst_body)(burst *work);

static void multiply_portable(burst *work) {
    const float f = work->factor;
    const four_floats factor = {f, f, f, f};
    four_floats sums[sums_portable];
    for (int i = 0; i < sums_portable; i++) sums[i] = factor;
    for (long step = 0; step < work->steps; step++)
#pragma clang loop unroll(full)
        for (int i = 0; i < sums_portable; i++) sums[i] = sums[i] * factor + factor;
    for (int i = 1; i < sums_portable; i++) sums[0] += sums[i];
    work->sink = sums[0][0];
}

#if defined(__x86_64__)
__attribute__((target("avx2,fma"))) static void multiply_avx2(burst *work) {
    const __m256 factor = _mm256_set1_ps(work->factor);
    __m256 sums[sums_256];
    for (int i = 0; i < sums_256; i++) sums[i] = factor;
    for (long step = 0; step < work->steps; step++)
#pragma clang loop unroll(full)
        for (int i = 0; i < sums_256; i++) sums[i] = _mm256_fmadd_ps(sums[i], factor, factor);
    for (int i = 1; i < sums_256; i++) sums[0] = _mm256_add_ps(sums[0], sums[i]);
    work->sink = _mm256_cvtss_f32(sums[0]);
}

__attribute__((target("avx512f"))) static void multiply_avx512(burst *work) {
    const __m512 factor = _mm512_set1_ps(work->factor);
    __m512 sums[sums_512];
    for (int i = 0; i < sums_512; i++) sums[i] = factor;
    for (long step = 0; step < work->steps; step++)
#pragma clang loop unroll(full)
        for (int i = 0; i < sums_512; i++) sums[i] = _mm512_fmadd_ps(sums[i], factor, factor);
    for (int i = 1; i < sums_512; i++) sums[0] = _mm512_add_ps(sums[0], sums[i]);
    work->sink = _mm512_cvtss_f32(sums[0]);
}

__attribute__((target("avx512f,avx512bf16"))) static void multiply_bf16(burst *work) {
    const __m512bh factor = (__m512bh)_mm512_castps_si512(_mm512_set1_ps(work->factor));
    __m512 sums[sums_512];
    for (int i = 0; i < sums_512; i++) sums[i] = _mm512_set1_ps(work->factor);
    for (long step = 0; step < work->steps; step++)
#pragma clang loop unroll(full)
        for (int i = 0; i < sums_512; i++) sums[i] = _mm512_dpbf16_ps(sums[i], factor, factor);
    for (int i = 1; i < sums_512; i++) sums[0] = _mm512_add_ps(sums[0], sums[i]);
    work->sink = _mm512_cvtss_f32(sums[0]);
}

__attribute__((target("avx512f,avx512vnni"))) static void multiply_int8(burst *work) {
    const __m512i factor = _mm512_castps_si512(_mm512_set1_ps(work->factor));
    __m512i sums[sums_512];
    for (int i = 0; i < sums_512; i++) sums[i] = factor;
    for (long step = 0; step < work->steps; step++)
#pragma clang loop unroll(full)
        for (int i = 0; i < sums_512; i++) sums[i] = _mm512_dpbusd_epi32(sums[i], factor, factor);
    for (int i = 1; i < sums_512; i++) sums[0] = _mm512_add_epi32(sums[0], sums[i]);
    work->sink = (float)_mm_cvtsi128_si32(_mm512_castsi512_si128(sums[0]));
}
#endif

typedef struct {
    burst_body body;
    long steps;
} all_bursts;

static void run_one(void *context, long index) {
    const all_bursts *all = context;
    (void)index;
    burst work = {all->steps, 1e-3f, 0};
    all->body(&work);
}

double coppice_run_arithmetic(coppice_arithmetic kind, long steps) {
    all_bursts all = {multiply_portable, steps};
    double operations = 2.0 * 4 * sums_portable; // of a step
#if defined(__x86_64__)
    const coppice_cpu_level level = coppice_cpu_level_in_use();
    if (kind == COPPICE_ARITHMETIC_F32 && level == COPPICE_CPU_AVX512) {
        all.body = multiply_avx512;
        operations = 2.0 * 16 * sums_512;
    } else if (kind == COPPICE_ARITHMETIC_F32 && level == COPPICE_CPU_AVX2) {
        all.body = multiply_avx2;
        operations = 2.0 * 8 * sums_256;
    } else if (kind == COPPICE_ARITHMETIC_BF16 && coppice_cpu_has_bf16()) {
        all.body = multiply_bf16;
        operations = 2.0 * 32 * sums_512;
    } else if (kind == COPPICE_ARITHMETIC_INT8 && coppice_cpu_has_vnni()) {
        all.body = multiply_int8;
        operations = 2.0 * 64 * sums_512;
    } else
#endif
        if (kind != COPPICE_ARITHMETIC_F32)
        return 0;
    const long threads = coppice_thread_count();
    coppice_parallel_for(threads, &all, run_one);
    return operations * (double)steps * (double)threads;
}
