/* Arithmetic that few models need, in plain C: the same bits with every instruction set. */
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

/* Replaces the `chosen` largest of x[n] (of equals the first) by their shares: the softmax of all n if among is false,
 * of the chosen if it is true. The others become -1. */
void capp_route(float *x, size_t n, size_t chosen, int among);

/* 1 / (1 + exp(-x)) */
float capp_sigmoid(float x);

enum { CAPP_MOST_EXPERTS = 1 << 12, CAPP_MOST_GROUPS = 64 };

/* How a router scores experts. */
typedef struct capp_scores {
    int sigmoid;       /* of each logit; else the softmax of all */
    int among;         /* shares are divided by their sum over the chosen */
    float scale;       /* of shares */
    const float *bias; /* [n] added when experts are chosen, not to shares; or NULL */
    /* Of n / groups experts each: those with the largest sums of their two best scores are open to choice. groups 0:
     * all are. */
    size_t groups, groups_used;
} capp_scores;

/* capp_route for scores of that kind. */
void capp_route_scored(float *x, size_t n, size_t chosen, const capp_scores *scores);

#endif
