// Conversions between 32-bit and 16-bit floating-point numbers.
//
// All functions convert `count` elements. The 16-bit side may have any alignment (it may lie in a mapped file);
// the ranges must not overlap. Single-threaded: callers split large arrays.
#pragma once

/// bfloat16 to f32, exact.
void coppice_bf16_to_f32(const void *source, float *destination, long count);

/// IEEE half to f32, exact (subnormals included).
void coppice_f16_to_f32(const void *source, float *destination, long count);

/// f32 to bfloat16, round to nearest, ties to even. NaN stays NaN (made quiet), overflow gives infinity.
void coppice_f32_to_bf16(const float *source, void *destination, long count);

/// f32 to IEEE half, round to nearest, ties to even. NaN stays NaN, overflow gives infinity.
void coppice_f32_to_f16(const float *source, void *destination, long count);
