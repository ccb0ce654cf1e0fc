// Bitmaps over the elements of a matrix: bit `i % 64` of word `i / 64` belongs to element `i`.
#pragma once

#include <stdint.h>

/// Sets `values[i]` to +0 where bit `i` of `kept` is clear, whatever it was (NaN included). `kept` has
/// (count + 63) / 64 words. Threaded.
void coppice_bitmap_apply(float *values, long count, const uint64_t *kept);

/// Sets `scores[i]` to `value` where bit `i` of `kept` is clear. Threaded.
void coppice_bitmap_fill_removed(float *scores, long count, const uint64_t *kept, float value);

/// Writes `values[i]` to `out[i]` where bit `i` of `kept` is set, +0 elsewhere. `out` must not overlap `values`. Threaded.
void coppice_bitmap_copy(const float *values, long count, const uint64_t *kept, float *out);

/// The same for the words of `kept` that differ from `before`; `out` holds what `before` made of these values. Threaded.
void coppice_bitmap_copy_changes(
    const float *values, long count, const uint64_t *before, const uint64_t *kept, float *out);

/// Number of set bits in `words` words.
long coppice_bitmap_count(const uint64_t *a, long words);

/// Number of bits set in both bitmaps.
long coppice_bitmap_count_both(const uint64_t *a, const uint64_t *b, long words);
