// Multiplying and adding in registers as fast as the machine can, to know what bounds the reading of prompts.
#pragma once

/// What is multiplied and added.
typedef enum coppice_arithmetic {
    COPPICE_ARITHMETIC_F32 = 0,  ///< f32 with sums in f32
    COPPICE_ARITHMETIC_BF16 = 1, ///< pairs of bf16 with sums in f32: needs `coppice_cpu_has_bf16`
    COPPICE_ARITHMETIC_INT8 = 2, ///< fours of 8-bit integers with sums in 32 bits: needs `coppice_cpu_has_vnni`
} coppice_arithmetic;

/// Runs `steps` rounds of independent multiply-adds in the registers of every thread, with the instructions that the
/// product kernels of the level in use are made of. Touches no memory.
///
/// Returns the operations done by all threads together, a multiplication and an addition counting one each; 0, at
/// once, where the level in use has no such arithmetic.
double coppice_run_arithmetic(coppice_arithmetic kind, long steps);
