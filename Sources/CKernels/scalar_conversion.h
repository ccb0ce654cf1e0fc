// Conversions of single numbers, shared by the kernels. Internal.
#pragma once

#include <stdint.h>
#include <string.h>

static inline float coppice_float_from_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline uint32_t coppice_bits_from_float(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline uint16_t coppice_load_u16(const void *address) {
    uint16_t value;
    memcpy(&value, address, sizeof value);
    return value;
}

static inline float coppice_f32_from_bf16(uint16_t value) { return coppice_float_from_bits((uint32_t)value << 16); }

static inline uint16_t coppice_bf16_from_f32(float value) {
    uint32_t bits = coppice_bits_from_float(value);
    uint32_t rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16;
    return (uint16_t)(value != value ? (bits >> 16) | 0x40 : rounded);
}

static inline float coppice_f32_from_f16(uint16_t half) {
    uint32_t sign = (uint32_t)(half & 0x8000) << 16;
    uint32_t magnitude = half & 0x7FFF;
    if (magnitude >= 0x7C00) return coppice_float_from_bits(sign | 0x7F800000 | ((magnitude & 0x3FF) << 13));
    if (magnitude >= 0x400) return coppice_float_from_bits(sign | ((magnitude << 13) + (112u << 23)));
    float value = (float)magnitude * 0x1p-24f; // subnormal: exact in f32
    return sign ? -value : value;
}

static inline uint16_t coppice_f16_from_f32(float value) {
    uint32_t bits = coppice_bits_from_float(value);
    uint16_t sign = (uint16_t)((bits >> 16) & 0x8000);
    uint32_t magnitude = bits & 0x7FFFFFFF;
    if (magnitude > 0x7F800000) return (uint16_t)(sign | 0x7E00 | ((magnitude >> 13) & 0x3FF));
    if (magnitude >= 0x477FF000) return (uint16_t)(sign | 0x7C00); // rounds to 2^16 or more
    if (magnitude < 0x38800000) {
        // Below the least normal half. Adding 2^-1 leaves the result in units of 2^-24 in the low mantissa bits,
        // rounded by the addition.
        float shifted = coppice_float_from_bits(magnitude) + 0.5f;
        return (uint16_t)(sign | (coppice_bits_from_float(shifted) - 0x3F000000));
    }
    uint32_t rebiased = magnitude - (112u << 23);
    return (uint16_t)(sign | ((rebiased + 0xFFF + ((rebiased >> 13) & 1)) >> 13));
}
