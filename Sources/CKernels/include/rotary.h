// The angles of rotary position embedding (Su et al., RoFormer, 2021). `coppice_rotate_and_store` turns by them.
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

/// Cosines and sines of `position · frequency`, times `scale`, for every token and frequency: both tables are
/// [tokens, frequencies]. The angle is rounded to f32 before the function is taken, as the reference
/// implementations do, unless `exact`: far into a text differences of rounded angles lose precision. Threaded.
void coppice_rotary_angles(const int *positions, long tokens, const float *frequencies, long frequency_count,
                           float scale, int exact, float *cosines, float *sines);

#ifdef __cplusplus
}
#endif
