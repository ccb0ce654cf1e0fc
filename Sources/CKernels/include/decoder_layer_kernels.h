// The small operations between the matrix products of a decoder layer, in f32, for inference.
//
// All are threaded above a size, and none depends on the number of threads or on the other rows. Pointers need the
// alignment of a float only. Strides are in elements and at least the number of columns.
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

/// out[r, :] = x[r, :] / sqrt(mean(x[r, :]²) + epsilon) · weight, for x [rows, columns] (Zhang and Sennrich, Root
/// Mean Square Layer Normalization, 2019). `out` may be `x`.
void coppice_decoder_rms_norm(const float *x, long x_stride, const float *weight, float epsilon, float *out,
                              long out_stride, long rows, long columns);

/// RMS norm of every head of every token in place: x is [tokens, heads, head_size] with `stride` between tokens.
void coppice_decoder_head_norm(float *x, long stride, const float *weight, float epsilon, long tokens, long heads,
                               long head_size);

/// gate[i] = silu(gate[i]) · up[i] for `count` elements, on the calling thread; silu(x) = x / (1 + exp(-x)). An element
/// does not depend on its place.
void coppice_decoder_silu_gate(float *gate, const float *up, long count);

/// x += y over `count` elements, on the calling thread.
void coppice_decoder_add(float *x, const float *y, long count);

/// log(sum(exp(x[r, :]))) for each row of x [rows, columns], in f64 across blocks of columns. A row that holds a
/// NaN gives NaN.
void coppice_decoder_log_sum_exp(const float *x, long stride, long rows, long columns, double *out);

/// out[i] = exp(x[i] - shift).
void coppice_decoder_exponentials(const float *x, float shift, float *out, long count);

/// The index of the largest element, the first of equal ones; -1 where any element is NaN or there are none.
long coppice_decoder_argmax(const float *x, long count);

#ifdef __cplusplus
}
#endif
