// Steps of scores that decide which weights are kept.
#pragma once

#include <stdint.h>

/// How scores s of weights w move along the gradient of a mask, d = w g − (1/γ) g² − c (w g)², where g is the gradient by
/// the masked weight; the middle term only of weights that are kept.
typedef struct coppice_score_settings {
    float rate, momentum, decay;
    float inverse_gamma; // 1/γ; 0 for none
    float square;        // c; 0 for none
    int by_size;         // whether |s| decides, so that d is multiplied with the sign of s
} coppice_score_settings;

/// v = momentum v + (d + decay s), s -= rate v. Bit `i % 64` of `kept[i / 64]` is set where weight i is kept; `kept` may
/// be null where `inverse_gamma` is 0. Nothing may overlap. Returns whether every g is finite. Threaded.
int coppice_score_step(
    long count, coppice_score_settings settings, const float *weights, const float *slopes, const uint64_t *kept,
    float *velocities, float *scores);
