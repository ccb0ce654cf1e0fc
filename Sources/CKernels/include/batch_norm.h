// Batch normalization of f32, with what usually follows it: factors of gates, the addition of a residual, the
// rectifier. And what gates see: means over images.
//
// Threaded over blocks that follow from the shape alone; partial sums are added in order, in f64. Arrays are dense, any
// alignment; outputs may not overlap inputs unless said.
#pragma once

/// Where element p of channel c of image n lies: at (n * channels + c) * plane + p, or, where `channels_last`, at
/// (n * plane + p) * channels + c.
typedef struct coppice_channels {
    long images, channels, plane;
    int channels_last;
} coppice_channels;

/// y = (x - mean) * inverse * weight + bias, times the factor, plus the residual, then max(y, 0) where `rectifies`. All
/// are [channels] but the factors, [images, channels], and the residual, which lies as x does. Both may be NULL, for
/// ones and zeros; no factor is negative. Without a residual the factor comes after the rectifier.
typedef struct coppice_batch_affine {
    const float *mean, *inverse, *weight, *bias, *residual, *factors;
    int rectifies;
} coppice_batch_affine;

/// Floats that `partial` must hold below, `by_image` where there are factors and for means. `scratch` must hold
/// 4 * channels, or 2 * images * channels where there are factors and that is more.
long coppice_batch_partial_count(coppice_channels shape, int by_image);

/// The mean of each channel and the mean squared distance from it. There is at least one element.
void coppice_batch_statistics(coppice_channels shape, const float *x, float *partial, float *mean, float *variance);

/// out = y. `out` may be x or the residual.
void coppice_batch_normalize(
    coppice_channels shape, const float *x, coppice_batch_affine affine, float *scratch, float *out);

/// sums[c] and sums[channels + c] = the sums over channel c of h and of h (x - mean) inverse, where h is the gradient
/// `g` by y, rectified: 0 where y was below zero before the rectifier, half of g where it was zero. h is written to
/// `rectified` where that is not NULL; it may be g. Where there are factors, which h does not have in it, the sums are
/// of each image: sums[image * channels + c], and the others images * channels behind.
void coppice_batch_gradient_sums(
    coppice_channels shape, const float *x, const float *g, coppice_batch_affine affine, float *rectified,
    float *partial, float *scratch, float *sums);

/// dx = inverse weight (factor h - sums[c] / terms - (x - mean) inverse sums[channels + c] / terms) for `terms`
/// elements a channel; the sums are those over all images of factor h. `dx` may be g. The residual must be NULL where `affine`
/// rectifies: give this function h, and let it not.
void coppice_batch_input_gradient(
    coppice_channels shape, const float *x, const float *g, coppice_batch_affine affine, const float *sums,
    float *scratch, float *dx);

/// means[image * channels + c] = the mean of channel c of an image. There is at least one element.
void coppice_image_means(coppice_channels shape, const float *x, float *partial, float *means);
