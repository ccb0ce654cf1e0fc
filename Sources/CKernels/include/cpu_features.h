// Which instruction sets the kernels may use, decided at run time.
#pragma once

/// Kernel variants, in increasing order of capability. Every kernel has a portable one; a family without a
/// variant for the chosen level uses the best one below it.
typedef enum coppice_cpu_level {
    COPPICE_CPU_PORTABLE = 0, ///< baseline of the target architecture
    COPPICE_CPU_AVX2 = 1,     ///< AVX2, FMA, F16C
    COPPICE_CPU_AVX512 = 2,   ///< AVX-512 F, BW, VL, DQ
} coppice_cpu_level;

/// The level that the calling thread's kernels use: the best that the processor has, or less where `COPPICE_CPU`
/// (`portable`, `avx2`, `avx512`) or `coppice_set_cpu_level` asks for less.
coppice_cpu_level coppice_cpu_level_in_use(void);

/// The best level that the processor has.
coppice_cpu_level coppice_cpu_level_available(void);

/// Chooses a level for what the calling thread runs from now on, in the pool's threads too (for tests and
/// comparisons). Returns the level set: never above what is available.
coppice_cpu_level coppice_set_cpu_level(coppice_cpu_level level);

/// Whether the level in use includes AVX-512 VNNI (8-bit dot products), with VBMI and VBMI2 (moves of bytes) and GFNI
/// (matrices of bits).
int coppice_cpu_has_vnni(void);

/// Whether the level in use includes AVX-512 BF16 (bfloat16 dot products).
int coppice_cpu_has_bf16(void);
