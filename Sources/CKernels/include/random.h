// Counter-based random numbers: Philox4x32-10 (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as
// 1, 2, 3", SC 2011).
//
// Every element is a pure function of the state and its index, computed in arithmetic that rounds the same way
// everywhere (IEEE add, multiply, divide, square root and integers; no fused operations, no libm). So results are
// the same bits on every machine, in every kernel variant and for every number of threads.
#pragma once

#include <stdint.h>

/// Where a stream of random numbers stands. The Philox key is `key`; its counter holds the number of the next block
/// in the low 64 bits, then `stream`, then the number of the attempt (for draws that reject).
typedef struct coppice_random_state {
    uint64_t key;
    uint64_t position;
    uint32_t stream;
} coppice_random_state;

/// One Philox4x32-10 block: `result` = bijection of `counter` chosen by `key`. Arrays may not overlap.
void coppice_philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t result[4]);

// Each function below fills `out[0 ..< count]` (any alignment), is threaded, and returns the number of blocks it
// used: the caller adds it to `position` before the next draw. `count` may be 0.

/// Uniform in [low, high), on a grid of 2^-24 (f32) or 2^-53 (f64) of the range. Returns `low` where `high` <= `low`.
uint64_t coppice_random_uniform_f32(float *out, long count, coppice_random_state state, float low, float high);
uint64_t coppice_random_uniform_f64(double *out, long count, coppice_random_state state, double low, double high);

/// Normal by the transform of Box and Muller, evaluated in f64; the tails reach 6.7 (f32) and 8.5 (f64) deviations.
uint64_t coppice_random_normal_f32(float *out, long count, coppice_random_state state, double mean, double deviation);
uint64_t coppice_random_normal_f64(double *out, long count, coppice_random_state state, double mean, double deviation);

/// 1 with the given probability (in 0 ... 1, resolved to 2^-32), else 0.
uint64_t coppice_random_bernoulli_u8(uint8_t *out, long count, coppice_random_state state, double probability);

/// `value` exactly where `coppice_random_bernoulli_u8` draws 1 from the same state, else 0.
uint64_t coppice_random_mask_f32(float *out, long count, coppice_random_state state, double probability, float value);

/// Integers in low ..< low + span without bias (Lemire, "Fast random integer generation in an interval", 2019).
/// `span` is at least 1, and low + span - 1 must not overflow.
uint64_t coppice_random_integers_i64(int64_t *out, long count, coppice_random_state state, int64_t low, uint64_t span);

/// A permutation of 0 ..< count, each equally likely (Fisher and Yates). Sequential, O(count).
uint64_t coppice_random_permutation_i64(int64_t *out, long count, coppice_random_state state);
