/* The layouts of blocks are from ggml (ggml-common.h, ggml-quants.c). The order of the float32 operations is that of
 * gguf-py's quants.py; the tests compare the results with it bit for bit.
 *
 * Written for the baseline, SSE2. The loops already run as fast as memory takes their output, so there is no version
 * for wider vectors. */
#include "kernel/dequant.h"

#include <string.h>

#include "base/tensor.h"

#define BODY  static inline __attribute__((always_inline)) void
#define SMALL static inline __attribute__((always_inline))

enum { K = 256 }; /* elements of a block of the K types */

/* Non-linear 4-bit levels of IQ4_NL and IQ4_XS (ggml-common.h, kvalues_iq4nl). */
static const float iq4_levels[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

/* Levels of MXFP4 and NVFP4: a sign, two bits of exponent, one of mantissa; all doubled. */
static const float fp4_levels[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

SMALL float float_of_bits(uint32_t bits) {
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

SMALL uint32_t bits_of_float(float f) {
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

SMALL uint16_t load_u16(const uint8_t *p) {
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

SMALL uint32_t load_u32(const uint8_t *p) {
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

/* Uses no branches and no arithmetic on subnormal floats, which is slow. A subnormal half m * 2^-24 is computed as
 * (0.5 + m * 2^-24) - 0.5, which is exact because 2^-24 is a unit in the last place of 0.5. */
SMALL float half_to_float(uint16_t half) {
    uint32_t magnitude = half & 0x7fffu, wide = magnitude << 13;
    uint32_t is_special = 0u - (uint32_t)(wide >= 31u << 23); /* infinity or NaN */
    uint32_t is_subnormal = 0u - (uint32_t)(wide < 1u << 23);
    uint32_t normal = wide + (112u << 23) + (is_special & 112u << 23);
    uint32_t subnormal = bits_of_float(float_of_bits((126u << 23) + magnitude) - 0.5f);
    return float_of_bits((half & 0x8000u) << 16 | (subnormal & is_subnormal) | (normal & ~is_subnormal));
}

SMALL float load_half(const uint8_t *p) {
    return half_to_float(load_u16(p));
}

BODY blocks_f32(float *restrict y, const uint8_t *restrict b, size_t n) {
    memcpy(y, b, n * sizeof *y);
}

BODY blocks_f16(float *restrict y, const uint8_t *restrict b, size_t n) {
    for (size_t i = 0; i < n; i++) y[i] = load_half(b + 2 * i);
}

BODY blocks_bf16(float *restrict y, const uint8_t *restrict b, size_t n) {
    for (size_t i = 0; i < n; i++) y[i] = float_of_bits((uint32_t)load_u16(b + 2 * i) << 16);
}

/* half d, 16 bytes: elements 0..15 are the low nibbles, 16..31 the high ones. */
BODY block_q4_0(float *restrict y, const uint8_t *restrict b) {
    float d = load_half(b);
    for (int i = 0; i < 16; i++) y[i] = d * (float)((b[2 + i] & 15) - 8);
    for (int i = 0; i < 16; i++) y[16 + i] = d * (float)((b[2 + i] >> 4) - 8);
}

/* half d, half m, nibbles as in Q4_0 */
BODY block_q4_1(float *restrict y, const uint8_t *restrict b) {
    float d = load_half(b), m = load_half(b + 2);
    for (int i = 0; i < 16; i++) y[i] = d * (float)(b[4 + i] & 15) + m;
    for (int i = 0; i < 16; i++) y[16 + i] = d * (float)(b[4 + i] >> 4) + m;
}

/* The 32 5-bit numbers of Q5_0 and Q5_1, eight at a time. At h are the 32 fifth bits, at q the nibbles as in Q4_0. A
 * byte of fifth bits is copied to eight bytes; byte i keeps only bit i. Adding 127 then sets the top bit of each byte
 * that is not 0, without a carry. */
SMALL void five_bits(uint8_t *restrict out, const uint8_t *restrict h, const uint8_t *restrict q) {
    for (int i = 0; i < 4; i++) {
        uint64_t fifth = (h[i] * 0x0101010101010101u) & 0x8040201008040201u, nibbles;
        fifth = (fifth + 0x7f7f7f7f7f7f7f7fu) >> 3 & 0x1010101010101010u;
        memcpy(&nibbles, q + i % 2 * 8, 8);
        nibbles = (nibbles >> i / 2 * 4 & 0x0f0f0f0f0f0f0f0fu) | fifth;
        memcpy(out + 8 * i, &nibbles, 8);
    }
}

/* half d, 32 fifth bits, nibbles as in Q4_0 */
BODY block_q5_0(float *restrict y, const uint8_t *restrict b) {
    uint8_t q[32];
    float d = load_half(b);
    five_bits(q, b + 2, b + 6);
    for (int i = 0; i < 32; i++) y[i] = d * (float)(q[i] - 16);
}

/* half d, half m, 32 fifth bits, nibbles as in Q4_0 */
BODY block_q5_1(float *restrict y, const uint8_t *restrict b) {
    uint8_t q[32];
    float d = load_half(b), m = load_half(b + 2);
    five_bits(q, b + 4, b + 8);
    for (int i = 0; i < 32; i++) y[i] = d * (float)q[i] + m;
}

/* half d, 32 signed bytes */
BODY block_q8_0(float *restrict y, const uint8_t *restrict b) {
    float d = load_half(b);
    for (int i = 0; i < 32; i++) y[i] = (float)(int8_t)b[2 + i] * d;
}

/* 16 bytes, each for 16 elements: the scale in the low nibble, the minimum in the high one; 64 bytes: byte 32 h + i
 * holds elements 128 h + 32 s + i at bits 2 s; half d, half dmin */
BODY block_q2_k(float *restrict y, const uint8_t *restrict b) {
    const uint8_t *scales = b, *q = b + 16;
    float d = load_half(b + 80), dmin = load_half(b + 82);
    for (int g = 0; g < K / 16; g++) {
        const uint8_t *from = q + g / 8 * 32 + g % 2 * 16;
        float scale = d * (float)(scales[g] & 15), minimum = dmin * (float)(scales[g] >> 4);
        int shift = g / 2 % 4 * 2;
        for (int i = 0; i < 16; i++) y[16 * g + i] = scale * (float)(from[i] >> shift & 3) - minimum;
    }
}

/* 32 bytes: bit e / 32 of byte e % 32 is the third bit of element e, inverted; 64 bytes as in Q2_K; 12 bytes with 16
 * 6-bit scales: their low nibbles in bytes 0..7 (first all low halves, then all high halves), their high pairs of bits
 * in bytes 8..11; half d */
BODY block_q3_k(float *restrict y, const uint8_t *restrict b) {
    const uint8_t *third = b, *q = b + 32, *scales = b + 96;
    float d = load_half(b + 108);
    for (int g = 0; g < K / 16; g++) {
        int low = scales[g % 8] >> g / 8 * 4 & 15, high = scales[8 + g % 4] >> g / 4 * 2 & 3;
        float scale = d * (float)((low | high << 4) - 32);
        const uint8_t *from = q + g / 8 * 32 + g % 2 * 16, *bits = third + g % 2 * 16;
        int shift = g / 2 % 4 * 2, bit = g / 2;
        for (int i = 0; i < 16; i++)
            y[16 * g + i] = scale * (float)((from[i] >> shift & 3) + (bits[i] >> bit & 1) * 4 - 4);
    }
}

/* 6-bit scale and minimum of group g < 8 from the 12 bytes of Q4_K and Q5_K. Groups 0..3 have them whole, in bytes g
 * and 4 + g. Groups 4..7 have the low nibbles in byte 4 + g and the high pairs of bits above those of group g - 4. */
SMALL void k_scale(const uint8_t *s, int g, float *scale, float *minimum) {
    int a = s[g % 4], m = s[4 + g % 4], low = s[8 + g % 4];
    *scale = (float)(g < 4 ? a & 63 : (low & 15) | (a >> 2 & 48));
    *minimum = (float)(g < 4 ? m & 63 : low >> 4 | (m >> 2 & 48));
}

/* half d, half dmin, 12 bytes of scales, 128 bytes: byte 32 c + i holds elements 64 c + i and 64 c + 32 + i */
BODY block_q4_k(float *restrict y, const uint8_t *restrict b) {
    float d = load_half(b), dmin = load_half(b + 2), scale, minimum;
    for (int g = 0; g < K / 32; g++) {
        const uint8_t *q = b + 16 + g / 2 * 32;
        int shift = g % 2 * 4;
        k_scale(b + 4, g, &scale, &minimum);
        scale = d * scale;
        minimum = dmin * minimum;
        for (int i = 0; i < 32; i++) y[32 * g + i] = scale * (float)(q[i] >> shift & 15) - minimum;
    }
}

/* As Q4_K, with 32 bytes before the nibbles: bit g of byte i is the fifth bit of element 32 g + i */
BODY block_q5_k(float *restrict y, const uint8_t *restrict b) {
    const uint8_t *fifth = b + 16;
    float d = load_half(b), dmin = load_half(b + 2), scale, minimum;
    for (int g = 0; g < K / 32; g++) {
        const uint8_t *q = b + 48 + g / 2 * 32;
        int shift = g % 2 * 4;
        k_scale(b + 4, g, &scale, &minimum);
        scale = d * scale;
        minimum = dmin * minimum;
        for (int i = 0; i < 32; i++)
            y[32 * g + i] = scale * (float)((q[i] >> shift & 15) + (fifth[i] >> g & 1) * 16) - minimum;
    }
}

/* 128 bytes of low nibbles: byte 64 h + i holds elements 128 h + i and 128 h + 64 + i; 64 bytes of high pairs of bits
 * as in Q2_K; 16 signed scales, each for 16 elements; half d */
BODY block_q6_k(float *restrict y, const uint8_t *restrict b) {
    const uint8_t *low = b, *high = b + 128, *scales = b + 192;
    float d = load_half(b + 208);
    for (int g = 0; g < K / 16; g++) {
        float scale = d * (float)(int8_t)scales[g];
        const uint8_t *l = low + g / 8 * 64 + g % 4 * 16, *h = high + g / 8 * 32 + g % 2 * 16;
        int shift = g / 4 % 2 * 4, pair = g / 2 % 4 * 2;
        for (int i = 0; i < 16; i++)
            y[16 * g + i] = scale * (float)((l[i] >> shift & 15) + (h[i] >> pair & 3) * 16 - 32);
    }
}

/* half d, nibbles as in Q4_0; each is the index of a level */
BODY block_iq4_nl(float *restrict y, const uint8_t *restrict b) {
    float d = load_half(b);
    for (int i = 0; i < 16; i++) y[i] = d * iq4_levels[b[2 + i] & 15];
    for (int i = 0; i < 16; i++) y[16 + i] = d * iq4_levels[b[2 + i] >> 4];
}

/* half d; u16: high pairs of bits of 8 6-bit scales; 4 bytes: their low nibbles; 8 groups of 16 bytes as in IQ4_NL */
BODY block_iq4_xs(float *restrict y, const uint8_t *restrict b) {
    float d = load_half(b);
    int high = load_u16(b + 2);
    for (int g = 0; g < K / 32; g++) {
        const uint8_t *q = b + 8 + 16 * g;
        int low = b[4 + g / 2] >> g % 2 * 4 & 15;
        float scale = d * (float)((low | (high >> 2 * g & 3) << 4) - 32);
        for (int i = 0; i < 16; i++) y[32 * g + i] = scale * iq4_levels[q[i] & 15];
        for (int i = 0; i < 16; i++) y[32 * g + 16 + i] = scale * iq4_levels[q[i] >> 4];
    }
}

/* A byte for a power of two, then 32 numbers of 4 bits. (OCP Microscaling Formats, version 1.0) */
BODY block_mxfp4(float *restrict y, const uint8_t *restrict b) {
    float d = float_of_bits(b[0] < 2 ? 0x00200000u << b[0] : (b[0] - 1u) << 23);
    for (int i = 0; i < 16; i++) y[i] = d * fp4_levels[b[1 + i] & 15];
    for (int i = 0; i < 16; i++) y[16 + i] = d * fp4_levels[b[1 + i] >> 4];
}

/* The same, with numbers 2i and 2i + 1 in a byte. */
BODY block_mxfp4_pairs(float *restrict y, const uint8_t *restrict b) {
    float d = float_of_bits(b[0] < 2 ? 0x00200000u << b[0] : (b[0] - 1u) << 23);
    for (int i = 0; i < 32; i++) y[i] = d * fp4_levels[b[1 + i / 2] >> (i % 2 * 4) & 15];
}

/* Half of a number with 4 bits of exponent and 3 of mantissa. The sign is ignored, and 0x7f is 0. */
SMALL float half_of_e4m3(uint8_t e) {
    uint32_t exponent = e >> 3 & 15, mantissa = e & 7;
    if (e == 0x7f) return 0;
    return exponent ? float_of_bits((exponent + 119) << 23 | mantissa << 20) : (float)mantissa * 0x1p-10f;
}

/* 4 scales, each for 16 numbers; 4 groups of 8 bytes: numbers 0..7 are the low nibbles, 8..15 the high ones */
BODY block_nvfp4(float *restrict y, const uint8_t *restrict b) {
    for (int g = 0; g < 4; g++) {
        const uint8_t *q = b + 4 + 8 * g;
        float d = half_of_e4m3(b[g]);
        for (int i = 0; i < 8; i++) y[16 * g + i] = d * fp4_levels[q[i] & 15];
        for (int i = 0; i < 8; i++) y[16 * g + 8 + i] = d * fp4_levels[q[i] >> 4];
    }
}

/* Digits of base 3, stored as fractions of 256. Each of the `count` bytes at q has n digits. Writes the first digit of
 * every byte, then the second of every byte, and so on. */
SMALL void ternary(float *restrict y, const uint8_t *restrict q, int count, int n, float d) {
    for (int power = 1; n--; power *= 3)
        for (int i = 0; i < count; i++) *y++ = d * (float)(((q[i] * power & 255) * 3 >> 8) - 1);
}

BODY block_tq1_0(float *restrict y, const uint8_t *restrict b) {
    float d = load_half(b + 52);
    ternary(y, b, 32, 5, d);
    ternary(y + 160, b + 32, 16, 5, d);
    ternary(y + 240, b + 48, 4, 4, d);
}

BODY block_tq2_0(float *restrict y, const uint8_t *restrict b) {
    float d = load_half(b + 64);
    for (int half = 0; half < 2; half++)
        for (int shift = 0; shift < 8; shift += 2)
            for (int i = 0; i < 32; i++) *y++ = d * (float)((b[32 * half + i] >> shift & 3) - 1);
}

#include "kernel/codebooks.inc"

/* X(type, elements a block, bytes a block, body of one block) */
#define BLOCK_MAP(X)                                                                                                   \
    X(Q4_0, 32, 18, block_q4_0)                                                                                        \
    X(Q4_1, 32, 20, block_q4_1)                                                                                        \
    X(Q5_0, 32, 22, block_q5_0)                                                                                        \
    X(Q5_1, 32, 24, block_q5_1)                                                                                        \
    X(Q8_0, 32, 34, block_q8_0)                                                                                        \
    X(Q2_K, K, 84, block_q2_k)                                                                                         \
    X(Q3_K, K, 110, block_q3_k)                                                                                        \
    X(Q4_K, K, 144, block_q4_k)                                                                                        \
    X(Q5_K, K, 176, block_q5_k)                                                                                        \
    X(Q6_K, K, 210, block_q6_k)                                                                                        \
    X(IQ4_NL, 32, 18, block_iq4_nl)                                                                                    \
    X(IQ4_XS, K, 136, block_iq4_xs)                                                                                    \
    X(TQ1_0, K, 54, block_tq1_0)                                                                                       \
    X(TQ2_0, K, 66, block_tq2_0)                                                                                       \
    X(MXFP4, 32, 17, block_mxfp4)                                                                                      \
    X(MXFP4_PAIRS, 32, 17, block_mxfp4_pairs)                                                                          \
    X(NVFP4, 64, 36, block_nvfp4)                                                                                      \
    X(Q1_0, 128, 18, block_q1_0)                                                                                       \
    X(Q2_0, 64, 18, block_q2_0)                                                                                        \
    X(IQ2_XXS, K, 66, block_iq2_xxs)                                                                                   \
    X(IQ2_XS, K, 74, block_iq2_xs)                                                                                     \
    X(IQ2_S, K, 82, block_iq2_s)                                                                                       \
    X(IQ3_XXS, K, 98, block_iq3_xxs)                                                                                   \
    X(IQ3_S, K, 110, block_iq3_s)                                                                                      \
    X(IQ1_S, K, 50, block_iq1_s)                                                                                       \
    X(IQ1_M, K, 56, block_iq1_m)

/* X(type, body of n elements) */
#define PLAIN_MAP(X)                                                                                                   \
    X(F32, blocks_f32)                                                                                                 \
    X(F16, blocks_f16)                                                                                                 \
    X(BF16, blocks_bf16)

#define X(type, elements, bytes, body)                                                                                 \
    static void type(float *out, const void *data, size_t n) {                                                         \
        const uint8_t *b = data;                                                                                       \
        for (size_t i = 0; i < n / (elements); i++) body(out + i * (elements), b + i * (bytes));                       \
    }
BLOCK_MAP(X)
#undef X
#define X(type, body)                                                                                                  \
    static void type(float *out, const void *data, size_t n) {                                                         \
        body(out, data, n);                                                                                            \
    }
PLAIN_MAP(X)
#undef X

capp_dequant_fn capp_dequant(uint32_t type) {
    switch (type) {
#define X(type, ...)                                                                                                   \
    case CAPP_TYPE_##type: return type;
        BLOCK_MAP(X)
        PLAIN_MAP(X)
#undef X
    default: return NULL;
    }
}

float capp_half_to_float(uint16_t half) {
    return half_to_float(half);
}

float capp_bf16_to_float(uint16_t b) {
    return float_of_bits((uint32_t)b << 16);
}

uint16_t capp_float_to_bf16(float f) {
    uint32_t bits = bits_of_float(f);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return (uint16_t)(bits >> 16 | 0x40); /* quiet, so never an infinity */
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1)) >> 16);
}
