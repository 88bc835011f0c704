#include "kernel/plain.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "base/math.h"
#include "kernel/kernel.h"

/* y[i] = of(x[i], z[i]), computed in double and rounded once. y may be x or z. */
static inline __attribute__((always_inline)) void each(float *y, const float *x, const float *z, size_t n,
                                                       capp_pair (*of)(capp_pair x, capp_pair z)) {
    size_t i = 0;
    for (; i + 2 <= n; i += 2) {
        const capp_pair t = of((capp_pair){x[i], x[i + 1]}, (capp_pair){z[i], z[i + 1]});
        y[i] = (float)t[0];
        y[i + 1] = (float)t[1];
    }
    if (i < n) y[i] = (float)of(capp_pair_of((double)x[i]), capp_pair_of((double)z[i]))[0];
}

static inline capp_pair gelu_erf(capp_pair x, capp_pair z) {
    (void)z;
    return 0.5 * x * (1 + capp_pair_erf(x * 0.70710678118654752));
}

static inline capp_pair gelu_erf_mul(capp_pair gate, capp_pair up) {
    return gelu_erf(gate, gate) * up;
}

static inline capp_pair clamped_mul(capp_pair gate, capp_pair up) {
    const capp_pair limit = {7, 7};
    gate = capp_pair_choose((capp_pair_bits)(gate > limit), limit, gate);
    up = capp_pair_choose((capp_pair_bits)(up > limit), limit, up);
    up = capp_pair_choose((capp_pair_bits)(up < -limit), -limit, up);
    return gate / (1 + capp_pair_exp(-1.702 * gate)) * (up + 1);
}

static inline capp_pair silu(capp_pair x, capp_pair z) {
    (void)z;
    return x / (1 + capp_pair_exp(-x));
}

static inline capp_pair quick_gelu(capp_pair x, capp_pair z) {
    (void)z;
    return x / (1 + capp_pair_exp(-1.702 * x));
}

void capp_gelu_erf(float *x, size_t n) {
    each(x, x, x, n, gelu_erf);
}

void capp_gelu_erf_mul(float *y, const float *gate, const float *up, size_t n) {
    each(y, gate, up, n, gelu_erf_mul);
}

void capp_clamped_mul(float *y, const float *gate, const float *up, size_t n) {
    each(y, gate, up, n, clamped_mul);
}

void capp_silu(float *x, size_t n) {
    each(x, x, x, n, silu);
}

void capp_quick_gelu(float *x, size_t n) {
    each(x, x, x, n, quick_gelu);
}

void capp_relu(float *x, size_t n) {
    for (size_t i = 0; i < n; i++) x[i] = x[i] > 0 ? x[i] : 0;
}

void capp_relu2(float *x, size_t n) {
    for (size_t i = 0; i < n; i++) x[i] = x[i] > 0 ? x[i] * x[i] : 0;
}

void capp_xielu(float *x, size_t n, float positive, float negative, float beta, float eps) {
    for (size_t i = 0; i < n; i++) {
        double v = (double)x[i], least = v < (double)eps ? v : (double)eps;
        double curve =
            v > 0 ? (double)positive * v * v : (double)negative * (capp_pair_exp(capp_pair_of(least))[0] - 1 - v);
        x[i] = (float)(curve + (double)beta * v);
    }
}

void capp_mul_by(float *y, const float *x, size_t n) {
    for (size_t i = 0; i < n; i++) y[i] *= x[i];
}

float capp_dot(const float *x, const float *y, size_t n) {
    capp_pair even = {0, 0}, odd = {0, 0};
    size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        even += (capp_pair){x[i], x[i + 1]} * (capp_pair){y[i], y[i + 1]};
        odd += (capp_pair){x[i + 2], x[i + 3]} * (capp_pair){y[i + 2], y[i + 3]};
    }
    for (; i < n; i++) even[0] += (double)x[i] * (double)y[i];
    return (float)(even[0] + even[1] + (odd[0] + odd[1]));
}

void capp_cut_below(float *x, size_t n, float cutoff) {
    double sum = 0, squares = 0;
    for (size_t i = 0; i < n; i++) sum += (double)x[i];
    const double mean = sum / (double)n;
    for (size_t i = 0; i < n; i++) squares += ((double)x[i] - mean) * ((double)x[i] - mean);
    const float least = (float)(mean + (double)cutoff * sqrt(squares / (double)n));
    for (size_t i = 0; i < n; i++) x[i] = x[i] > least ? x[i] - least : 0;
}

void capp_soft_cap(float *x, float cap, size_t n) {
    const capp_pair scale = capp_pair_of((double)cap);
    size_t i = 0;
    for (; i + 2 <= n; i += 2) {
        const capp_pair t = scale * capp_pair_tanh((capp_pair){x[i], x[i + 1]} / scale);
        x[i] = (float)t[0];
        x[i + 1] = (float)t[1];
    }
    if (i < n) x[i] = (float)(scale * capp_pair_tanh(capp_pair_of((double)x[i]) / scale))[0];
}

float capp_sum_of_lanes(const float *lanes) {
    float sums[CAPP_LANES];
    memcpy(sums, lanes, sizeof sums);
    for (size_t width = CAPP_LANES / 2; width; width /= 2)
        for (size_t l = 0; l < width; l++) sums[l] += sums[l + width];
    return sums[0];
}

void capp_clamp(float *x, float most, size_t n) {
    for (size_t i = 0; i < n; i++) x[i] = x[i] > most ? most : x[i] < -most ? -most : x[i];
}

void capp_add_slope(float *s, float slope, size_t far, size_t n) {
    for (size_t i = 0; i < n; i++) s[i] -= slope * (float)(far - i);
}

/* Rounds to the nearest bfloat16, ties to even. x must be finite. */
static float rounded_to_bf16(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    bits = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000;
    memcpy(&x, &bits, sizeof x);
    return x;
}

void capp_add_rounded_slope(float *s, float slope, float scale, size_t first, size_t n) {
    slope = rounded_to_bf16(slope);
    for (size_t i = 0; i < n; i++) s[i] += scale * rounded_to_bf16(slope * rounded_to_bf16((float)(first + i)));
}

static float exp_of(float x) {
    return (float)capp_pair_exp(capp_pair_of((double)x))[0];
}

void capp_route(float *x, size_t n, size_t chosen, int among) {
    float max = x[0], sum = 0, least = INFINITY;
    size_t last = 0;
    for (size_t i = 1; i < n; i++) max = x[i] > max ? x[i] : max;
    for (size_t i = 0; i < n && !among; i++) sum += exp_of(x[i] - max);
    /* Each round finds the next best element after (least, last). After `chosen` rounds, that element and all better
     * ones are chosen. */
    for (size_t k = 0; k < chosen; k++) {
        size_t best = n;
        for (size_t i = 0; i < n; i++) {
            int below = x[i] < least || (x[i] == least && i > last);
            if (below && (best == n || x[i] > x[best])) best = i;
        }
        if (best == n) break; /* the rest are NaN */
        least = x[best];
        last = best;
        if (among) sum += exp_of(least - max);
    }
    for (size_t i = 0; i < n; i++) {
        int is = (i <= last && x[i] == least) || x[i] > least;
        x[i] = is ? exp_of(x[i] - max) / sum : -1;
    }
}

void capp_route_near(float *x, size_t n, float near) {
    size_t best[2] = {0};
    float share[2];
    for (size_t k = 0; k < 2; k++) {
        best[k] = k && !best[0] ? 1 : 0;
        for (size_t i = 0; i < n; i++)
            if (!(k && i == best[0]) && x[i] > x[best[k]]) best[k] = i;
        float max = x[best[k]], sum = 0;
        for (size_t i = 0; i < n; i++) {
            float size = fabsf(x[i]) > max ? fabsf(x[i]) : max;
            if (!(k && i == best[0]) && !((max - x[i]) / size > 2 * near)) sum += exp_of(x[i] - max);
        }
        share[k] = 1 / sum;
    }
    for (size_t i = 0; i < n; i++) x[i] = i == best[0] ? share[0] : i == best[1] ? share[1] : -1;
}

float capp_sigmoid(float x) {
    return 1 / (1 + exp_of(-x));
}

/* What the choice of experts depends on. x [n]: the scores. */
typedef struct choice {
    const float *x, *bias;
    size_t size;   /* of a group; 0: no groups */
    uint64_t open; /* bit g: group g is open to choice */
} choice;

static float choice_at(const choice *c, size_t i) {
    if (c->size && !(c->open >> i / c->size & 1)) return -INFINITY;
    return c->bias ? c->x[i] + c->bias[i] : c->x[i];
}

static void open_groups(choice *c, size_t groups, size_t used, int by_best) {
    float sums[CAPP_MOST_GROUPS];
    c->open = UINT64_MAX;
    for (size_t g = 0; g < groups; g++) {
        float first = -INFINITY, second = -INFINITY;
        for (size_t i = g * c->size; i < (g + 1) * c->size; i++) {
            float x = choice_at(c, i);
            second = x > first ? first : x > second ? x : second;
            first = x > first ? x : first;
        }
        sums[g] = c->size > 1 && !by_best ? first + second : first;
    }
    c->open = 0;
    for (size_t k = 0; k < used; k++) {
        size_t best = groups;
        for (size_t g = 0; g < groups; g++)
            if (!(c->open >> g & 1) && (best == groups || sums[g] > sums[best])) best = g;
        c->open |= (uint64_t)1 << best;
    }
}

static void score(float *x, size_t n, int sigmoid) {
    float max = x[0], sum = 0;
    for (size_t i = 1; i < n; i++) max = x[i] > max ? x[i] : max;
    for (size_t i = 0; i < n; i++) x[i] = sigmoid ? capp_sigmoid(x[i]) : exp_of(x[i] - max);
    for (size_t i = 0; i < n && !sigmoid; i++) sum += x[i];
    for (size_t i = 0; i < n && !sigmoid; i++) x[i] /= sum;
}

void capp_route_scored(float *x, size_t n, size_t chosen, const capp_scores *s) {
    unsigned char is[CAPP_MOST_EXPERTS] = {0};
    choice c = {.x = x, .bias = s->bias};
    float sum = 0;
    score(x, n, s->sigmoid);
    if (s->groups) {
        c.size = n / s->groups;
        open_groups(&c, s->groups, s->groups_used, s->by_best);
    }
    for (size_t k = 0; k < chosen; k++) {
        size_t best = n;
        for (size_t i = 0; i < n; i++)
            if (!is[i] && (best == n || choice_at(&c, i) > choice_at(&c, best))) best = i;
        is[best] = 1;
        sum += x[best];
    }
    const float factor = s->among ? s->scale / sum : s->scale;
    for (size_t i = 0; i < n; i++) x[i] = is[i] ? x[i] * factor : -1;
}
