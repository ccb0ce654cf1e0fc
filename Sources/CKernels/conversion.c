#include "conversion.h"

#include "cpu_features.h"
#include "scalar_conversion.h"

#if defined(__x86_64__)
#include <immintrin.h>
#define AVX2 __attribute__((target("avx2,fma,f16c")))
#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,fma,f16c")))

AVX512 static void bf16_to_f32_avx512(const char *source, float *destination, long count) {
    for (long i = 0; i < count; i += 16) {
        __mmask16 mask = count - i >= 16 ? 0xFFFF : (__mmask16)((1u << (count - i)) - 1);
        __m512i wide = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, source + 2 * i));
        _mm512_mask_storeu_ps(destination + i, mask, _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16)));
    }
}

AVX512 static void f16_to_f32_avx512(const char *source, float *destination, long count) {
    for (long i = 0; i < count; i += 16) {
        __mmask16 mask = count - i >= 16 ? 0xFFFF : (__mmask16)((1u << (count - i)) - 1);
        _mm512_mask_storeu_ps(
            destination + i, mask, _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask, source + 2 * i)));
    }
}

AVX512 static void f32_to_bf16_avx512(const float *source, char *destination, long count) {
    for (long i = 0; i < count; i += 16) {
        __mmask16 mask = count - i >= 16 ? 0xFFFF : (__mmask16)((1u << (count - i)) - 1);
        __m512 value = _mm512_maskz_loadu_ps(mask, source + i);
        __m512i bits = _mm512_castps_si512(value);
        __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
        __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7FFF)));
        __mmask16 is_nan = _mm512_cmp_ps_mask(value, value, _CMP_UNORD_Q);
        rounded = _mm512_mask_or_epi32(rounded, is_nan, bits, _mm512_set1_epi32(0x400000));
        _mm256_mask_storeu_epi16(
            destination + 2 * i, mask, _mm512_cvtepi32_epi16(_mm512_srli_epi32(rounded, 16)));
    }
}

AVX512 static void f32_to_f16_avx512(const float *source, char *destination, long count) {
    for (long i = 0; i < count; i += 16) {
        __mmask16 mask = count - i >= 16 ? 0xFFFF : (__mmask16)((1u << (count - i)) - 1);
        __m512 value = _mm512_maskz_loadu_ps(mask, source + i);
        _mm256_mask_storeu_epi16(
            destination + 2 * i, mask, _mm512_cvtps_ph(value, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
    }
}

AVX2 static long bf16_to_f32_avx2(const char *source, float *destination, long count) {
    long i = 0;
    for (; i + 8 <= count; i += 8) {
        __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(source + 2 * i)));
        _mm256_storeu_ps(destination + i, _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16)));
    }
    return i;
}

AVX2 static long f16_to_f32_avx2(const char *source, float *destination, long count) {
    long i = 0;
    for (; i + 8 <= count; i += 8)
        _mm256_storeu_ps(destination + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(source + 2 * i))));
    return i;
}

AVX2 static long f32_to_f16_avx2(const float *source, char *destination, long count) {
    long i = 0;
    for (; i + 8 <= count; i += 8)
        _mm_storeu_si128(
            (__m128i *)(destination + 2 * i),
            _mm256_cvtps_ph(_mm256_loadu_ps(source + i), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
    return i;
}
#endif

void coppice_bf16_to_f32(const void *source, float *destination, long count) {
    const char *bytes = source;
    long done = 0;
#if defined(__x86_64__)
    if (coppice_cpu_level_in_use() == COPPICE_CPU_AVX512) {
        bf16_to_f32_avx512(bytes, destination, count);
        return;
    }
    if (coppice_cpu_level_in_use() == COPPICE_CPU_AVX2) done = bf16_to_f32_avx2(bytes, destination, count);
#endif
    for (long i = done; i < count; i++) destination[i] = coppice_f32_from_bf16(coppice_load_u16(bytes + 2 * i));
}

void coppice_f16_to_f32(const void *source, float *destination, long count) {
    const char *bytes = source;
    long done = 0;
#if defined(__x86_64__)
    if (coppice_cpu_level_in_use() == COPPICE_CPU_AVX512) {
        f16_to_f32_avx512(bytes, destination, count);
        return;
    }
    if (coppice_cpu_level_in_use() == COPPICE_CPU_AVX2) done = f16_to_f32_avx2(bytes, destination, count);
#endif
    for (long i = done; i < count; i++) destination[i] = coppice_f32_from_f16(coppice_load_u16(bytes + 2 * i));
}

void coppice_f32_to_bf16(const float *source, void *destination, long count) {
    char *bytes = destination;
#if defined(__x86_64__)
    if (coppice_cpu_level_in_use() == COPPICE_CPU_AVX512) {
        f32_to_bf16_avx512(source, bytes, count);
        return;
    }
#endif
    for (long i = 0; i < count; i++) {
        uint16_t value = coppice_bf16_from_f32(source[i]);
        memcpy(bytes + 2 * i, &value, sizeof value);
    }
}

void coppice_f32_to_f16(const float *source, void *destination, long count) {
    char *bytes = destination;
    long done = 0;
#if defined(__x86_64__)
    if (coppice_cpu_level_in_use() == COPPICE_CPU_AVX512) {
        f32_to_f16_avx512(source, bytes, count);
        return;
    }
    if (coppice_cpu_level_in_use() == COPPICE_CPU_AVX2) done = f32_to_f16_avx2(source, bytes, count);
#endif
    for (long i = done; i < count; i++) {
        uint16_t value = coppice_f16_from_f32(source[i]);
        memcpy(bytes + 2 * i, &value, sizeof value);
    }
}
