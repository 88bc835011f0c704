#include "kernel/plain.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

static float gelu_erf(float x) {
    return 0.5f * x * (1 + erff(x * 0.70710678118654752f));
}

void capp_gelu_erf(float *x, size_t n) {
    for (size_t i = 0; i < n; i++) x[i] = gelu_erf(x[i]);
}

void capp_gelu_erf_mul(float *y, const float *gate, const float *up, size_t n) {
    for (size_t i = 0; i < n; i++) y[i] = gelu_erf(gate[i]) * up[i];
}

void capp_clamped_mul(float *y, const float *gate, const float *up, size_t n) {
    const float limit = 7, alpha = 1.702f;
    for (size_t i = 0; i < n; i++) {
        float g = gate[i] < limit ? gate[i] : limit;
        float u = up[i] < limit ? up[i] : limit;
        u = u > -limit ? u : -limit;
        y[i] = g / (1 + expf(-alpha * g)) * (u + 1);
    }
}

void capp_silu(float *x, size_t n) {
    for (size_t i = 0; i < n; i++) x[i] /= 1 + expf(-x[i]);
}

void capp_quick_gelu(float *x, size_t n) {
    for (size_t i = 0; i < n; i++) x[i] /= 1 + expf(-1.702f * x[i]);
}

void capp_relu(float *x, size_t n) {
    for (size_t i = 0; i < n; i++) x[i] = x[i] > 0 ? x[i] : 0;
}

void capp_relu2(float *x, size_t n) {
    for (size_t i = 0; i < n; i++) x[i] = x[i] > 0 ? x[i] * x[i] : 0;
}

void capp_mul_by(float *y, const float *x, size_t n) {
    for (size_t i = 0; i < n; i++) y[i] *= x[i];
}

void capp_soft_cap(float *x, float cap, size_t n) {
    for (size_t i = 0; i < n; i++) x[i] = cap * tanhf(x[i] / cap);
}

void capp_clamp(float *x, float most, size_t n) {
    for (size_t i = 0; i < n; i++) x[i] = x[i] > most ? most : x[i] < -most ? -most : x[i];
}

void capp_add_slope(float *s, float slope, size_t n) {
    for (size_t i = 0; i < n; i++) s[i] -= slope * (float)(n - 1 - i);
}

/* To nearest, ties to even; finite numbers. */
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

float capp_sink(const float *s, size_t n, float sink) {
    float max = s[0];
    for (size_t i = 1; i < n; i++) max = s[i] > max ? s[i] : max;
    return expf(sink - max);
}

void capp_route(float *x, size_t n, size_t chosen, int among) {
    float max = x[0], sum = 0, least = INFINITY;
    size_t last = 0;
    for (size_t i = 1; i < n; i++) max = x[i] > max ? x[i] : max;
    for (size_t i = 0; i < n && !among; i++) sum += expf(x[i] - max);
    /* The next best after (least, last), as many times as are chosen; then all from there up are. */
    for (size_t k = 0; k < chosen; k++) {
        size_t best = n;
        for (size_t i = 0; i < n; i++) {
            int below = x[i] < least || (x[i] == least && i > last);
            if (below && (best == n || x[i] > x[best])) best = i;
        }
        if (best == n) break; /* not numbers */
        least = x[best];
        last = best;
        if (among) sum += expf(least - max);
    }
    for (size_t i = 0; i < n; i++) {
        int is = (i <= last && x[i] == least) || x[i] > least;
        x[i] = is ? expf(x[i] - max) / sum : -1;
    }
}
