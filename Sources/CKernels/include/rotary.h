// Rotary position embedding (Su et al., RoFormer, 2021) applied to queries and keys in place.
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

/// Cosines and sines of `position · frequency`, times `scale`, for every token and frequency: both tables are
/// [tokens, frequencies]. The angle is rounded to f32 before the function is taken, as the reference
/// implementations do.
void coppice_rotary_angles(const int *positions, long tokens, const float *frequencies, long frequency_count,
                           float scale, float *cosines, float *sines);

/// Rotates the first `2 · frequencies` elements of each head of each token. `x` is [tokens, heads, head_size] with
/// `stride` elements between tokens; the tables are [tokens, frequencies]. With `interleaved` the pairs are
/// neighbours (2i, 2i + 1), else halves (i, i + frequencies). Threaded.
void coppice_rotary_apply(float *x, long stride, long tokens, long heads, long head_size, const float *cosines,
                          const float *sines, long frequencies, int interleaved);

#ifdef __cplusplus
}
#endif
