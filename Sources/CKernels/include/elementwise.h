// Elementwise kernels over strided, broadcast operands, in f32, f64, i32 and i64.
#pragma once

#include <stdint.h>

/// Element types with kernels of their own. Other types are converted first.
typedef enum coppice_element { COPPICE_F32, COPPICE_F64, COPPICE_I32, COPPICE_I64 } coppice_element;

typedef enum coppice_unary {
    COPPICE_NEGATE, COPPICE_ABSOLUTE, COPPICE_SIGN, COPPICE_SQUARE, // all types
    COPPICE_EXP, COPPICE_LOG, COPPICE_SQRT, COPPICE_RSQRT, COPPICE_RECIPROCAL, COPPICE_TANH, COPPICE_SIGMOID,
    COPPICE_SIN, COPPICE_COS, COPPICE_ERF, COPPICE_FLOOR, COPPICE_CEIL, COPPICE_ROUND, // floating point only
} coppice_unary;

typedef enum coppice_binary {
    COPPICE_ADD, COPPICE_SUBTRACT, COPPICE_MULTIPLY, COPPICE_DIVIDE, COPPICE_MAXIMUM, COPPICE_MINIMUM,
    COPPICE_POWER, // floating point only
} coppice_binary;

typedef enum coppice_comparison { COPPICE_EQUAL, COPPICE_LESS, COPPICE_LESS_OR_EQUAL } coppice_comparison;

enum { COPPICE_MAXIMUM_RANK = 12 };

/// An iteration space: `shape` outermost first, and for each operand the distance between neighbours along each
/// dimension, in elements (0 where broadcast, negative allowed). Outputs are contiguous in row-major order.
typedef struct coppice_space {
    int rank; ///< at most COPPICE_MAXIMUM_RANK
    long shape[12];
    long strides[3][12];
} coppice_space;

/// out[i] = op(a[i]). `out` may be `a` where `a` is contiguous. Division of integers by zero gives zero.
void coppice_apply_unary(coppice_unary op, coppice_element type, const coppice_space *space, const void *a, void *out);

/// out[i] = op(a[i], b[i]). `out` may be a contiguous operand. Maximum and minimum propagate NaN.
void coppice_apply_binary(
    coppice_binary op, coppice_element type, const coppice_space *space, const void *a, const void *b, void *out);

/// out[i] = 1 where the comparison holds, else 0.
void coppice_apply_comparison(
    coppice_comparison op, coppice_element type, const coppice_space *space, const void *a, const void *b,
    uint8_t *out);

/// out[i] = condition[i] ? a[i] : b[i]; operand 0 of `space` is the condition, then a, then b.
void coppice_apply_select(
    coppice_element type, const coppice_space *space, const uint8_t *condition, const void *a, const void *b,
    void *out);

/// Copies elements of `size` bytes (1, 2, 4 or 8) between two strided places: operand 0 of `space` is the source,
/// operand 1 the destination. They may not overlap.
void coppice_copy_strided(int size, const coppice_space *space, const void *source, void *destination);

/// Sets `count` elements of `size` bytes to the bit pattern at `value`.
void coppice_fill(int size, const void *value, long count, void *destination);
