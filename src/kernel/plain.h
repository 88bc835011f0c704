/* Arithmetic that few models ask for, in plain C: the same bits under every instruction set. */
#ifndef CAPP_KERNEL_PLAIN_H
#define CAPP_KERNEL_PLAIN_H

#include <stddef.h>

/* x[i] = x[i] Phi(x[i]), GELU in its exact form. */
void capp_gelu_erf(float *x, size_t n);

/* y[i] = gelu(gate[i]) * up[i], the exact form; y may be gate or up. */
void capp_gelu_erf_mul(float *y, const float *gate, const float *up, size_t n);

/* y[i] = g / (1 + exp(-1.702 g)) * (u + 1), g = min(gate[i], 7), u = up[i] within -7 .. 7. (GPT-OSS) */
void capp_clamped_mul(float *y, const float *gate, const float *up, size_t n);

/* x[i] = x[i] / (1 + exp(-x[i])), or with 1.702 x[i] in it. */
void capp_silu(float *x, size_t n);
void capp_quick_gelu(float *x, size_t n);

/* x[i] = max(x[i], 0), or the square of that. */
void capp_relu(float *x, size_t n);
void capp_relu2(float *x, size_t n);

/* x[i] = positive x[i]^2 + beta x[i] where x[i] > 0, else negative (exp(min(x[i], eps)) - 1 - x[i]) + beta x[i].
 * (xIELU, Huang and Schlag, arXiv 2411.13010) */
void capp_xielu(float *x, size_t n, float positive, float negative, float beta, float eps);

/* y[i] *= x[i] */
void capp_mul_by(float *y, const float *x, size_t n);

/* x[i] = cap tanh(x[i] / cap) */
void capp_soft_cap(float *x, float cap, size_t n);

/* x[i] within -most .. most. */
void capp_clamp(float *x, float most, size_t n);

/* s[i] -= slope * (n - 1 - i): a linear bias by distance from the last. */
void capp_add_slope(float *s, float slope, size_t n);

/* s[i] += scale * slope * (first + i), where slope, the number and their product are rounded to bfloat16: biases by
 * absolute position as Falcon's own code has them, which the rounding makes another thing than distances. */
void capp_add_rounded_slope(float *s, float slope, float scale, size_t first, size_t n);

/* exp(sink - max over i < n of s[i]), n > 0: what a score without a value adds to a softmax's sum. */
float capp_sink(const float *s, size_t n, float sink);

/* The `chosen` largest of x[n], the first of equals, become their shares: the softmax of all n where among is false, of
 * the chosen where it is true. The others become -1. */
void capp_route(float *x, size_t n, size_t chosen, int among);

#endif
