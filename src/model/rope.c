/* Numbers for positions: frequencies of rotations, slopes of linear biases. */
#include <math.h>

#include "base/math.h"
#include "model/arch.h"

static const double TAU = 6.28318530717958647692;

/* Llama 3.1: long waves are stretched, short waves stay, and there is a smooth transition between them. */
static double llama3(const capp_rope *r, double frequency) {
    double wave = TAU / frequency;
    if (wave > r->original / r->low) return frequency / r->factor;
    if (wave < r->original / r->high) return frequency;
    double smooth = (r->original / wave - r->low) / (r->high - r->low);
    return (1 - smooth) * frequency / r->factor + smooth * frequency;
}

/* The dimension whose wave rotates this many times within the original context. */
static double yarn_dimension(const capp_rope *r, uint32_t dims, double turns) {
    return dims * capp_log(r->original / (turns * TAU)) / (2 * capp_log(r->base));
}

/* YaRN (Peng et al., arXiv 2309.00071): like Llama 3.1, with bounds on dimensions. */
static double yarn(const capp_rope *r, uint32_t dims, uint32_t i, double frequency) {
    double low = yarn_dimension(r, dims, r->high), high = yarn_dimension(r, dims, r->low);
    if (!r->untruncated) {
        low = floor(low);
        high = ceil(high);
    }
    low = fmax(low, 0);
    high = fmin(high, dims - 1.0);
    double ramp = (i - low) / (high == low ? 0.001 : high - low);
    ramp = fmin(fmax(ramp, 0), 1);
    return frequency / r->factor * ramp + frequency * (1 - ramp);
}

void capp_rope_frequencies(double *out, const capp_rope *r, uint32_t dims, const float *factors) {
    for (uint32_t i = 0; i < dims / 2; i++) {
        double frequency = capp_pow(r->base, -2.0 * i / dims);
        switch (r->scaling) {
        case CAPP_SCALING_NONE: break;
        case CAPP_SCALING_LINEAR: frequency /= r->factor; break;
        case CAPP_SCALING_LLAMA3: frequency = llama3(r, frequency); break;
        case CAPP_SCALING_YARN: frequency = yarn(r, dims, i, frequency); break;
        case CAPP_SCALING_FACTORS: frequency /= (double)factors[i]; break;
        case CAPP_SCALING_PROPORTIONAL: frequency = i < r->moving ? frequency / r->factor : 0; break;
        }
        out[i] = frequency;
    }
}

/* Powers of one base for the largest power of two that is not above heads, then odd powers of its root for the rest
 * (Press et al., arXiv 2108.12409). */
void capp_alibi_slopes(float *out, uint32_t heads, double largest) {
    uint32_t power = 1;
    while (power * 2 <= heads) power *= 2;
    for (uint32_t i = 0; i < heads; i++) {
        double exponent = i < power ? (i + 1.0) / power : (2.0 * (i - power) + 1) / (2.0 * power);
        out[i] = (float)capp_pow(2, -largest * exponent);
    }
}
