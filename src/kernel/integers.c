/* Converts stored blocks to integers, scales and minima, in plain C. This code defines the integers of each type.
 * dequant.c describes the layouts. */
#include "kernel/integers.h"

#include <string.h>

#include "base/tensor.h"
#include "kernel/dequant.h"

typedef capp_integer_block block;

enum { K = 256 }; /* weights of a block of the K types */

static float load_half(const uint8_t *p) {
    uint16_t half;
    memcpy(&half, p, sizeof half);
    return capp_half_to_float(half);
}

/* 16 bytes: numbers 0 .. 15 are the low nibbles, 16 .. 31 the high ones. */
static void nibbles(int8_t *restrict out, const uint8_t *restrict q) {
    for (int i = 0; i < 16; i++) out[i] = (int8_t)(q[i] & 15);
    for (int i = 0; i < 16; i++) out[16 + i] = (int8_t)(q[i] >> 4);
}

static void subtract(int8_t *restrict out, int offset) {
    for (int i = 0; i < 32; i++) out[i] = (int8_t)(out[i] - offset);
}

/* Bit i of the 32 bits at h is the fifth bit of number i. */
static void fifth_bits(int8_t *restrict out, const uint8_t *restrict h) {
    for (int i = 0; i < 4; i++) {
        uint64_t fifth = (h[i] * 0x0101010101010101u) & 0x8040201008040201u, numbers;
        fifth = (fifth + 0x7f7f7f7f7f7f7f7fu) >> 3 & 0x1010101010101010u;
        memcpy(&numbers, out + 8 * i, sizeof numbers);
        numbers |= fifth;
        memcpy(out + 8 * i, &numbers, sizeof numbers);
    }
}

static void read_Q4_0(block *restrict y, const uint8_t *restrict b) {
    y->scale[0] = load_half(b);
    nibbles(y->number, b + 2);
    subtract(y->number, 8);
}

static void read_Q4_1(block *restrict y, const uint8_t *restrict b) {
    y->scale[0] = load_half(b);
    y->minimum[0] = -load_half(b + 2);
    nibbles(y->number, b + 4);
}

static void read_Q5_0(block *restrict y, const uint8_t *restrict b) {
    y->scale[0] = load_half(b);
    nibbles(y->number, b + 6);
    fifth_bits(y->number, b + 2);
    subtract(y->number, 16);
}

static void read_Q5_1(block *restrict y, const uint8_t *restrict b) {
    y->scale[0] = load_half(b);
    y->minimum[0] = -load_half(b + 2);
    nibbles(y->number, b + 8);
    fifth_bits(y->number, b + 4);
}

static void read_Q8_0(block *restrict y, const uint8_t *restrict b) {
    y->scale[0] = load_half(b);
    memcpy(y->number, b + 2, sizeof y->number);
}

static void read_Q2_K(block *restrict y, const uint8_t *restrict b) {
    float d = load_half(b + 80), least = load_half(b + 82);
    for (int g = 0; g < K / 32; g++) {
        const uint8_t *q = b + 16 + g / 4 * 32;
        for (int i = 0; i < 32; i++) y[g].number[i] = (int8_t)(q[i] >> g % 4 * 2 & 3);
        for (int h = 0; h < 2; h++) {
            y[g].scale[h] = d * (float)(b[2 * g + h] & 15);
            y[g].minimum[h] = least * (float)(b[2 * g + h] >> 4);
        }
    }
}

static void read_Q3_K(block *restrict y, const uint8_t *restrict b) {
    const uint8_t *scales = b + 96;
    float d = load_half(b + 108);
    for (int g = 0; g < K / 32; g++) {
        const uint8_t *q = b + 32 + g / 4 * 32;
        for (int i = 0; i < 32; i++) y[g].number[i] = (int8_t)(((q[i] >> g % 4 * 2 & 3) | (b[i] >> g & 1) << 2) - 4);
        for (int h = 0; h < 2; h++) {
            int s = 2 * g + h, low = scales[s % 8] >> s / 8 * 4 & 15, high = scales[8 + s % 4] >> s / 4 * 2 & 3;
            y[g].scale[h] = d * (float)((low | high << 4) - 32);
        }
    }
}

/* Scale and minimum of group g from the 12 bytes of Q4_K and Q5_K. */
static void k_scale(block *y, const uint8_t *s, int g, float d, float least) {
    int a = s[g % 4], m = s[4 + g % 4], low = s[8 + g % 4];
    y->scale[0] = d * (float)(g < 4 ? a & 63 : (low & 15) | (a >> 2 & 48));
    y->minimum[0] = least * (float)(g < 4 ? m & 63 : low >> 4 | (m >> 2 & 48));
}

static void read_Q4_K(block *restrict y, const uint8_t *restrict b) {
    float d = load_half(b), least = load_half(b + 2);
    for (int g = 0; g < K / 32; g++) {
        const uint8_t *q = b + 16 + g / 2 * 32;
        k_scale(&y[g], b + 4, g, d, least);
        for (int i = 0; i < 32; i++) y[g].number[i] = (int8_t)(q[i] >> g % 2 * 4 & 15);
    }
}

static void read_Q5_K(block *restrict y, const uint8_t *restrict b) {
    float d = load_half(b), least = load_half(b + 2);
    for (int g = 0; g < K / 32; g++) {
        const uint8_t *q = b + 48 + g / 2 * 32, *fifth = b + 16;
        k_scale(&y[g], b + 4, g, d, least);
        for (int i = 0; i < 32; i++) y[g].number[i] = (int8_t)((q[i] >> g % 2 * 4 & 15) | (fifth[i] >> g & 1) << 4);
    }
}

static void read_Q6_K(block *restrict y, const uint8_t *restrict b) {
    float d = load_half(b + 208);
    for (int g = 0; g < K / 32; g++) {
        const uint8_t *low = b + g / 4 * 64 + g % 2 * 32, *high = b + 128 + g / 4 * 32;
        for (int i = 0; i < 32; i++)
            y[g].number[i] = (int8_t)(((low[i] >> g / 2 % 2 * 4 & 15) | (high[i] >> g % 4 * 2 & 3) << 4) - 32);
        for (int h = 0; h < 2; h++) y[g].scale[h] = d * (float)(int8_t)b[192 + 2 * g + h];
    }
}

/* Levels of IQ4_NL and IQ4_XS. */
const int8_t capp_iq4_levels[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

/* Levels of MXFP4, doubled. */
const int8_t capp_fp4_levels[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

static void look_up(int8_t *restrict out, const uint8_t *restrict q, const int8_t *restrict levels) {
    for (int i = 0; i < 16; i++) out[i] = levels[q[i] & 15];
    for (int i = 0; i < 16; i++) out[16 + i] = levels[q[i] >> 4];
}

static void read_IQ4_NL(block *restrict y, const uint8_t *restrict b) {
    y->scale[0] = load_half(b);
    look_up(y->number, b + 2, capp_iq4_levels);
}

static void read_IQ4_XS(block *restrict y, const uint8_t *restrict b) {
    float d = load_half(b);
    int high = b[2] | b[3] << 8;
    for (int g = 0; g < K / 32; g++) {
        int low = b[4 + g / 2] >> g % 2 * 4 & 15;
        y[g].scale[0] = d * (float)((low | (high >> 2 * g & 3) << 4) - 32);
        look_up(y[g].number, b + 8 + 16 * g, capp_iq4_levels);
    }
}

static void read_MXFP4(block *restrict y, const uint8_t *restrict b) {
    uint32_t bits = b[0] < 2 ? 0x00200000u << b[0] : (b[0] - 1u) << 23;
    memcpy(&y->scale[0], &bits, sizeof bits);
    look_up(y->number, b + 1, capp_fp4_levels);
}

/* ---- Blocks of kernel/quant_blocks.h ---- */

/* 32 numbers of 2 bits, or of 3, whose third bits follow. */
static void small_numbers(int8_t *restrict out, const uint8_t *restrict b, unsigned bits) {
    for (int i = 0; i < 32; i++) {
        const int low = b[i / 16 * 4 + i % 4] >> i / 4 % 4 * 2 & 3, third = bits > 2 ? b[8 + i % 4] >> i / 4 & 1 : 0;
        out[i] = (int8_t)(low | third << 2);
    }
}

static void group_numbers(int8_t *restrict out, const uint8_t *restrict b, unsigned bits) {
    if (bits == 8)
        memcpy(out, b, 32);
    else if (bits == 4)
        nibbles(out, b);
    else
        small_numbers(out, b, bits);
}

static float bfloat_to_float(const uint8_t *p) {
    const uint32_t bits = (uint32_t)p[0] << 16 | (uint32_t)p[1] << 24;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

/* A block of n weights. */
static void read_groups(block *restrict y, const capp_integer_form *form, const uint8_t *restrict b, size_t n) {
    const capp_group_layout at = capp_group_layout_of(form, n);
    for (size_t g = 0; g < n / 32; g++) {
        const size_t group = g * 32 / form->group, bit = at.zeros + group * at.zero_bits;
        const int zero = b[bit / 8] >> bit % 8 & ((1 << at.zero_bits) - 1);
        y[g].scale[0] = form->bfloat ? bfloat_to_float(b + 2 * group) : load_half(b + 2 * group);
        group_numbers(y[g].number, b + 4 * (at.numbers + g * form->bits), form->bits);
        subtract(y[g].number, form->minima ? 128 : zero);
        if (form->minima) y[g].minimum[0] = y[g].scale[0] * (float)(zero - 128);
    }
}

const capp_integer_form *capp_integer_form_of(uint32_t type) {
    switch (type) {
#define X(type, elements, bytes, width, minima, most)                                                                  \
    case CAPP_TYPE_##type: {                                                                                           \
        static const capp_integer_form form = {width, minima, most, 0, 0, 0};                                          \
        return &form;                                                                                                  \
    }
        CAPP_INTEGER_TYPE_MAP(X)
#undef X
#define X(type, number, bits, group, bfloat)                                                                           \
    case CAPP_TYPE_##type: {                                                                                           \
        static const capp_integer_form form = {32,   (bits) == 8, (bits) == 8 ? 128 : (1 << (bits)) - 1,               \
                                               bits, group,       bfloat};                                             \
        return &form;                                                                                                  \
    }
        CAPP_GROUP_TYPE_MAP(X)
#undef X
    default: return NULL;
    }
}

size_t capp_integer_bytes(uint32_t type, size_t n) {
    const capp_type_info info = capp_type_get(type);
    const capp_integer_form *form = capp_integer_form_of(type);
    const size_t rest = n % info.block_elems, whole = n / info.block_elems * info.block_bytes;
    return rest ? whole + 4 * (capp_group_layout_of(form, rest).numbers + rest / 32 * form->bits) : whole;
}

void capp_integers_read(capp_integer_block *out, uint32_t type, const void *data, size_t n) {
    const uint8_t *b = data;
    switch (type) {
#define X(type, elements, bytes, width, minima, ...)                                                                   \
    case CAPP_TYPE_##type:                                                                                             \
        for (size_t i = 0; i < n / (elements); i++)                                                                    \
            read_##type(out + i * ((elements) / CAPP_INTEGER_BLOCK), b + i * (bytes));                                 \
        break;
        CAPP_INTEGER_TYPE_MAP(X)
#undef X
    default:
        for (size_t i = 0, part; i < n; i += part, b += capp_integer_bytes(type, part)) {
            part = n - i < CAPP_GROUP_BLOCK ? n - i : CAPP_GROUP_BLOCK;
            read_groups(out + i / CAPP_INTEGER_BLOCK, capp_integer_form_of(type), b, part);
        }
    }
}
