// Exact selection of the smallest scores by their bit patterns, without sorting and without moving them.
//
// A float's order key is an unsigned integer that sorts as the float does (-0 and +0 share one key). Selection by
// global rank takes three counting passes over the key's digits of 11, 11 and 10 bits; the last digit's bucket is
// one key, so the threshold and the number of ties at it are exact. Counts are integers added in any order, so
// nothing here depends on the number of threads.
#pragma once

#include <stdint.h>

/// Buckets of the widest digit: size of the `counts` arrays below.
enum { COPPICE_SELECTION_BUCKETS = 2048 };

/// The order key of a score that is not NaN.
uint32_t coppice_order_key(float score);

/// Adds to `counts[digit]` the number of scores whose key has the digits `prefix` above the one counted.
///
/// `level` 0 counts bits 31-21 (`prefix` unused), 1 bits 20-10 (`prefix` = key >> 21), 2 bits 9-0
/// (`prefix` = key >> 10). `counts` has COPPICE_SELECTION_BUCKETS entries and is not cleared. No alignment needed;
/// `scores` and `counts` must not overlap. Threaded.
void coppice_selection_count(const float *scores, long count, int level, uint32_t prefix, uint64_t *counts);

/// Index of the first NaN or infinite score, or -1. Threaded.
long coppice_first_non_finite(const float *scores, long count);

/// Returns how many scores have a key below `threshold` and writes to `equal` how many have that key. Threaded.
long coppice_selection_count_below(const float *scores, long count, uint32_t threshold, long *equal);

/// Writes the scores (their sizes, where `by_size` is not 0) from `low` to `high` to `found`, in their order, and adds to
/// `below` the number of those below `low`.
/// Returns how many it wrote; -1 where there are more than `limit`, and then `below` is not to be used. `found` has room
/// for `limit` + 64 scores.
long coppice_selection_between(
    const float *scores, long count, int by_size, float low, float high, float *found, long limit, long *below);

/// Writes a bitmap with bit `i % 64` of `kept[i / 64]` set where score `i` is kept: its key (that of its size, where
/// `by_size` is not 0) is above `threshold`, or equal to it and not among the first `ties` such scores. Unused bits of the last word are zero. `kept` has
/// (count + 63) / 64 words. Returns the number of ties that were removed (less than `ties` if there are fewer).
/// Threaded.
long coppice_selection_mask(
    const float *scores, long count, int by_size, uint32_t threshold, long ties, uint64_t *kept);

/// For each of `groups` runs of `length` scores, removes exactly `removed` of the smallest (one more in the first
/// `extra` runs), earliest first among equals, and writes the bitmap of the kept ones as above over all
/// `groups * length` scores. Requires 0 <= removed <= length, and removed < length where there is one more. Threaded.
void coppice_selection_groups(
    const float *scores, long groups, long length, long removed, long extra, uint64_t *kept);
