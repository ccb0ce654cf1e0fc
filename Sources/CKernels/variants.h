// Compiles a file of static functions once for each instruction set.
//
// A kernel family writes its loops in an .inc file that names every function NAME(f), then says
//     #define BODY "family.inc"
//     #include "variants.h"
// and gets portable_f, avx2_f and avx512_f. CHOOSE(f) is the one for the level in use. VARIANT_AVX512 is defined while
// the last is compiled.
#include "cpu_features.h"

#define NAME(f) portable_##f
#include BODY
#undef NAME

#if defined(__x86_64__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,bmi2"))), apply_to = function)
#define NAME(f) avx2_##f
#include BODY
#undef NAME
#pragma clang attribute pop

#pragma clang attribute push( \
    __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c,bmi2"))), \
    apply_to = function)
#define NAME(f) avx512_##f
#define VARIANT_AVX512
#include BODY
#undef VARIANT_AVX512
#undef NAME
#pragma clang attribute pop

#define CHOOSE(f) \
    (coppice_cpu_level_in_use() == COPPICE_CPU_AVX512 ? avx512_##f \
     : coppice_cpu_level_in_use() == COPPICE_CPU_AVX2 ? avx2_##f : portable_##f)
#else
#define CHOOSE(f) portable_##f
#endif
#undef BODY
