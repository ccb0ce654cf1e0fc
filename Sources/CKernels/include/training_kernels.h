// Fused f32 kernels of training: each computes exactly what a composition of elementwise operations and reductions
// does, in one pass over memory. Arrays are contiguous, any alignment; outputs may not overlap inputs unless said.
#pragma once

#include <stdint.h>

/// Which columns a row of attention scores sees. Row r belongs to query `r % queries`, which stands at position
/// `first + r % queries`; it sees columns up to its own position, and only the last `window` of them where
/// `window` > 0. `queries` = 0: every row sees all columns.
typedef struct coppice_visibility {
    long queries, first, window;
} coppice_visibility;

/// out[r, c] = exp(scale x[r, c]) / sum over the columns seen; 0 where not seen. A row that sees nothing is 0.
void coppice_softmax(long rows, long columns, float scale, coppice_visibility seen, const float *x, float *out);

/// dx = scale p (g - sum(g p)) for p from `coppice_softmax`.
void coppice_softmax_gradient(long rows, long columns, float scale, const float *p, const float *g, float *dx);

/// out = w x / sqrt(mean(x^2) + epsilon), row by row.
void coppice_rms_norm(long rows, long columns, float epsilon, const float *x, const float *w, float *out);

/// The gradient of `coppice_rms_norm` by x.
void coppice_rms_norm_input_gradient(
    long rows, long columns, float epsilon, const float *x, const float *w, const float *g, float *dx);

/// The gradient of `coppice_rms_norm` by w, summed over each block of COPPICE_NORM_BLOCK rows: `partial` is
/// [ceil(rows / COPPICE_NORM_BLOCK), columns], to be summed by the caller.
enum { COPPICE_NORM_BLOCK = 128 };
void coppice_rms_norm_weight_gradient(
    long rows, long columns, float epsilon, const float *x, const float *g, float *partial);

/// out = w (x - mean(x)) / sqrt(variance(x) + epsilon) + b, row by row.
void coppice_layer_norm(
    long rows, long columns, float epsilon, const float *x, const float *w, const float *b, float *out);

/// The gradient of `coppice_layer_norm` by x.
void coppice_layer_norm_input_gradient(
    long rows, long columns, float epsilon, const float *x, const float *w, const float *g, float *dx);

/// The gradients of `coppice_layer_norm` by b and by w, summed over each block of COPPICE_NORM_BLOCK rows: `partial` is
/// [ceil(rows / COPPICE_NORM_BLOCK), 2, columns], to be summed by the caller.
void coppice_layer_norm_sums(long rows, long columns, float epsilon, const float *x, const float *g, float *partial);

/// Rotates pairs (i, i + size / 2) of each row [positions, heads, size] by the angle whose cosine and sine are
/// cosine[position, i] and direction * sine[position, i], i < size / 2. `batches` such blocks follow each other.
void coppice_rotate(
    long batches, long positions, long heads, long size, const float *cosine, const float *sine, float direction,
    const float *x, float *out);

/// out = gate sigmoid(gate) up.
void coppice_gated_silu(long count, const float *gate, const float *up, float *out);

/// The gradient of `coppice_gated_silu` by the gate.
void coppice_gated_silu_gate_gradient(long count, const float *gate, const float *up, const float *g, float *dgate);

/// out = x (1 + erf(x / sqrt(2))) / 2.
void coppice_gelu(long count, const float *x, float *out);

/// dx = the gradient of `coppice_gelu` times g.
void coppice_gelu_gradient(long count, const float *x, const float *g, float *dx);

/// loss[r] = log(sum(exp(x[r, :]))) - x[r, target[r]]; 0 where the target is negative. Targets are below `columns`.
void coppice_cross_entropy(long rows, long columns, const float *x, const int64_t *target, float *loss);

/// dx[r, c] = g[r] (softmax(x[r])[c] - (c == target[r])); 0 where the target is negative. `dx` may be `x`.
void coppice_cross_entropy_gradient(
    long rows, long columns, const float *x, const int64_t *target, const float *g, float *dx);

/// Both at once: the losses, and dx[r, c] = softmax(x[r])[c] - (c == target[r]). `dx` may be `x`.
void coppice_cross_entropy_step(
    long rows, long columns, const float *x, const int64_t *target, float *loss, float *dx);

/// The sum of squares, in f64 over blocks of f32.
double coppice_square_sum(long count, const float *x);

/// One step of stochastic gradient descent with momentum in place: d = scale g + decay p, m = momentum m + d,
/// p = p - rate (looks_ahead ? d + momentum m : m). `looks_ahead` is Nesterov's momentum (Sutskever et al. 2013).
typedef struct coppice_sgd_step {
    float rate, momentum, decay, scale;
    int looks_ahead;
} coppice_sgd_step;
void coppice_sgd(long count, coppice_sgd_step step, const float *g, float *p, float *m);

/// out = scale g + decay p; scale g where `p` is null.
void coppice_decayed_gradient(long count, float scale, float decay, const float *g, const float *p, float *out);

/// One AdamW step (Loshchilov and Hutter 2019) in place: m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) g^2,
/// p = p (1 - rate decay) - rate (m / c1) / (sqrt(v / c2) + epsilon), with the gradient scaled by `scale` first.
typedef struct coppice_adamw_step {
    float rate, beta1, beta2, epsilon, decay, correction1, correction2, scale;
} coppice_adamw_step;
void coppice_adamw(long count, coppice_adamw_step step, const float *g, float *p, float *m, float *v);
