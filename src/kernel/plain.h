/* Arithmetic that few models need, in plain C. It gives the same bits with every instruction set. */
#ifndef CAPP_KERNEL_PLAIN_H
#define CAPP_KERNEL_PLAIN_H

#include <stddef.h>

/* x[i] = x[i] Phi(x[i]), GELU in its exact form. */
void capp_gelu_erf(float *x, size_t n);

/* y[i] = gelu(gate[i]) * up[i], the exact form; y may be gate or up. */
void capp_gelu_erf_mul(float *y, const float *gate, const float *up, size_t n);

/* y[i] = g / (1 + exp(-1.702 g)) * (u + 1), g = min(gate[i], 7), u = up[i] limited to -7 .. 7. (GPT-OSS) */
void capp_clamped_mul(float *y, const float *gate, const float *up, size_t n);

/* x[i] = x[i] / (1 + exp(-x[i])); capp_quick_gelu has exp(-1.702 x[i]) instead. */
void capp_silu(float *x, size_t n);
void capp_quick_gelu(float *x, size_t n);

/* x[i] = max(x[i], 0); capp_relu2 squares that. */
void capp_relu(float *x, size_t n);
void capp_relu2(float *x, size_t n);

/* x[i] = positive x[i]^2 + beta x[i] where x[i] > 0, else negative (exp(min(x[i], eps)) - 1 - x[i]) + beta x[i].
 * (xIELU, Huang and Schlag, arXiv 2411.13010) */
void capp_xielu(float *x, size_t n, float positive, float negative, float beta, float eps);

/* y[i] *= x[i] */
void capp_mul_by(float *y, const float *x, size_t n);

/* The sum of x[i] y[i]. */
float capp_dot(const float *x, const float *y, size_t n);

/* x[i] = max(x[i] - (mean + cutoff * deviation), 0), with the mean and the standard deviation of x[n]. */
void capp_cut_below(float *x, size_t n, float cutoff);

/* x[i] = cap tanh(x[i] / cap) */
void capp_soft_cap(float *x, float cap, size_t n);

/* The sum of lanes [CAPP_LANES] in the order of kernel.h. */
float capp_sum_of_lanes(const float *lanes);

/* Limits x[i] to -most .. most. */
void capp_clamp(float *x, float most, size_t n);

/* s[i] -= slope * (far - i), i < n: a linear bias by the distance from element `far`, n - 1 or a later one. */
void capp_add_slope(float *s, float slope, size_t far, size_t n);

/* s[i] += scale * slope * (first + i). The slope, the number first + i and their product are each rounded to bfloat16.
 * These are biases by absolute position, as in Falcon's own code. Because of the rounding they differ from biases by
 * distance. */
void capp_add_rounded_slope(float *s, float slope, float scale, size_t first, size_t n);

/* Replaces the `chosen` largest elements of x[n] by their shares; of equal elements, the first ones are chosen. Shares
 * are the softmax over all n if among is false, over the chosen elements if it is true. The other elements become
 * -1. */
void capp_route(float *x, size_t n, size_t chosen, int among);

/* Phi-MoE's choice of two experts (SparseMixer, Liu et al., arXiv 2409.12136): each is the best of those that are left,
 * and its share is its softmax among those of them that are at most 2 * near below it, relative to the larger of its
 * own score and the other's size. */
void capp_route_near(float *x, size_t n, float near);

/* 1 / (1 + exp(-x)) */
float capp_sigmoid(float x);

enum { CAPP_MOST_EXPERTS = 1 << 12, CAPP_MOST_GROUPS = 64 };

/* How a router scores experts. */
typedef struct capp_scores {
    int sigmoid;       /* nonzero: scores are the sigmoid of each logit; 0: the softmax of all */
    int among;         /* nonzero: shares are divided by the sum of the chosen shares */
    float scale;       /* factor of all shares */
    const float *bias; /* [n] added to the scores to choose experts, not to shares; or NULL */
    /* Experts are in groups of n / groups. Only the groups_used groups with the largest sums of their two best scores
     * are open to choice. groups 0: all experts are open. */
    size_t groups, groups_used;
    int by_best; /* nonzero: groups with the largest best scores instead */
} capp_scores;

/* The same as capp_route, with the scores that `scores` describes. */
void capp_route_scored(float *x, size_t n, size_t chosen, const capp_scores *scores);

#endif
