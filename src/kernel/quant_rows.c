/* Layouts that store a weight row by row. A row's scales are read first, then its numbers in order. */
#include "kernel/quant_rows.h"

#include "base/tensor.h"

#define SMALL static inline __attribute__((always_inline))

enum { VALUES = 256, LEVELS = 16 };

static const uint8_t *row_of(const capp_quant *q, size_t row, size_t bytes) {
    return (const uint8_t *)q->weights + row * bytes;
}

/* scales [groups] = row `row` of the scales. */
static void read_scales(float *scales, const capp_quant *q, size_t row) {
    size_t size = capp_type_get(q->scale_type).block_bytes;
    capp_dequant(q->scale_type)(scales, (const char *)q->scales + row * q->groups * size, q->groups);
}

/* ---- Float8 and float4 ---------------------------------------------------------------------------------------------
 */

SMALL float float_of_bits(uint32_t bits) {
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

/* A sign, 4 bits of exponent with bias 7, 3 of fraction. All ones are NaN, and there is no infinity. A subnormal
 * m * 2^-9 is computed as (2^14 + m * 2^-9) - 2^14, which is exact because 2^-9 is a unit in the last place of 2^14. */
SMALL float e4m3(uint8_t b) {
    uint32_t magnitude = b & 0x7fu, sign = (b & 0x80u) << 24;
    float normal = float_of_bits((magnitude << 20) + (120u << 23) + (magnitude == 0x7f ? 120u << 23 : 0));
    float subnormal = float_of_bits((141u << 23) + magnitude) - 0x1p14f;
    uint32_t bits;
    memcpy(&bits, magnitude < 8 ? &subnormal : &normal, sizeof bits);
    return float_of_bits(bits | sign);
}

/* values [VALUES]: the values of all bytes. E5M2 is the upper half of a half float. */
static void value_table(float *values, capp_quant_layout layout) {
    for (unsigned b = 0; b < VALUES; b++)
        values[b] = layout == CAPP_QUANT_E5M2 ? capp_half_to_float((uint16_t)(b << 8)) : e4m3((uint8_t)b);
}

static void float8(float *restrict out, const capp_quant *q, size_t row, float *restrict scratch) {
    const float *values = scratch;
    float *scales = scratch + VALUES;
    const uint8_t *b = row_of(q, row, q->k);
    read_scales(scales, q, row / q->block_rows);
    for (size_t g = 0, i = 0; g < q->groups; g++) {
        size_t end = q->k - i < q->block_columns ? q->k : i + q->block_columns;
        for (; i < end; i++) out[i] = values[b[i]] * scales[g];
    }
}

/* Rearranges each block to the form of GGUF: there a byte holds elements i and i + 16 of 32, here 2i and 2i + 1. */
static void mxfp4(float *restrict out, const capp_quant *q, size_t row, float *restrict scratch) {
    enum { ELEMENTS = 32, HALF = ELEMENTS / 2 };
    const uint8_t *weights = row_of(q, row, q->k / 2), *scales = (const uint8_t *)q->scales + row * (q->k / ELEMENTS);
    (void)scratch;
    for (size_t g = 0; g < q->k / ELEMENTS; g++, weights += HALF) {
        unsigned char block[1 + HALF] = {scales[g]};
        for (size_t i = 0; i < HALF; i++) {
            unsigned low = weights[i / 2] >> (i % 2 * 4) & 15, high = weights[(i + HALF) / 2] >> (i % 2 * 4) & 15;
            block[1 + i] = (unsigned char)(low | high << 4);
        }
        capp_dequant(CAPP_TYPE_MXFP4)(out + g * ELEMENTS, block, ELEMENTS);
    }
}

static void nvfp4(float *restrict out, const capp_quant *q, size_t row, float *restrict scratch) {
    enum { ELEMENTS = 16 };
    static const float levels[LEVELS / 2] = {0, 0.5F, 1, 1.5F, 2, 3, 4, 6};
    const uint8_t *b = row_of(q, row, q->k / 2), *scales = (const uint8_t *)q->scales + row * (q->k / ELEMENTS);
    const float *values = scratch;
    for (size_t g = 0; g < q->k / ELEMENTS; g++) {
        float scale = q->divides ? values[scales[g]] / q->tensor_scale : values[scales[g]] * q->tensor_scale;
        for (size_t i = g * ELEMENTS; i < (g + 1) * ELEMENTS; i++) {
            unsigned code = b[i / 2] >> (i % 2 * 4) & 15;
            out[i] = (code & 8 ? -levels[code & 7] : levels[code & 7]) * scale;
        }
    }
}

/* ---- Integers ------------------------------------------------------------------------------------------------------
 */

uint32_t capp_quant_row_zero(const capp_quant *q, size_t row, size_t g) {
    const size_t of = q->scale_rows > 1 ? row : 0, at = of * q->bits;
    if (!q->zeros) return 1u << (q->bits - 1);
    if (q->layout == CAPP_QUANT_INT8) return (uint32_t)(((const int8_t *)q->zeros)[of * q->groups + g] + 128);
    return capp_load_word(q->zeros, at / 32 * q->groups + g) >> at % 32 & ((1u << q->bits) - 1);
}

static void packed(float *restrict out, const capp_quant *q, size_t row, float *restrict scratch) {
    float *scales = scratch + VALUES, *zeros = scales + q->groups;
    const unsigned bits = q->bits;
    const uint8_t *words = row_of(q, row, (q->k * bits + 31) / 32 * sizeof(uint32_t));
    read_scales(scales, q, q->scale_rows > 1 ? row : 0);
    for (size_t g = 0; g < q->groups; g++) zeros[g] = (float)capp_quant_row_zero(q, row, g);
    for (size_t i = 0; i < q->k; i++) {
        const size_t g = q->group[i];
        out[i] = ((float)capp_of_stream(words, i, bits) - zeros[g]) * scales[g];
    }
}

static void int8(float *restrict out, const capp_quant *q, size_t row, float *restrict scratch) {
    float *scales = scratch + VALUES, *zeros = scales + q->groups;
    const int8_t *b = (const int8_t *)q->weights + row * q->k;
    read_scales(scales, q, q->scale_rows > 1 ? row : 0);
    for (size_t g = 0; g < q->groups; g++) zeros[g] = (float)capp_quant_row_zero(q, row, g) - 128;
    for (size_t i = 0; i < q->k; i++) {
        const size_t g = q->group[i];
        out[i] = ((float)b[i] - zeros[g]) * scales[g];
    }
}

static void int8_127(float *restrict out, const capp_quant *q, size_t row, float *restrict scratch) {
    const float inverse = 7.874015718698502e-3F; /* 1 / 127, as bitsandbytes writes it */
    const int8_t *b = (const int8_t *)q->weights + row * q->k;
    read_scales(scratch, q, row);
    for (size_t i = 0; i < q->k; i++) out[i] = (float)b[i] * scratch[0] * inverse;
}

/* ---- Levels --------------------------------------------------------------------------------------------------------
 */

SMALL float float_at(const void *floats, size_t i) {
    return float_of_bits(capp_load_word(floats, i));
}

static float block_scale(const capp_quant *q, size_t block) {
    if (!q->codes) return float_at(q->scales, block);
    const float code = float_at(q->codes, ((const uint8_t *)q->scales)[block]);
    const float product = code * float_at(q->second, block / q->second_block);
    return product + q->offset;
}

static void levels(float *restrict out, const capp_quant *q, size_t row, float *restrict scratch) {
    const uint8_t *b = q->weights;
    const size_t begin = row * q->k, end = begin + q->k;
    (void)scratch;
    for (size_t at = begin, stop; at < end; at = stop) {
        const size_t block = at / q->block_columns;
        const float scale = block_scale(q, block);
        stop = end - block * q->block_columns < q->block_columns ? end : (block + 1) * q->block_columns;
        for (size_t i = at; i < stop; i++)
            out[i - begin] = float_at(q->levels, b[i / 2] >> (i % 2 ? 0 : 4) & 15) * scale;
    }
}

/* ---- All -----------------------------------------------------------------------------------------------------------
 */

void capp_quant_row_numbers(float *out, const capp_quant *q, size_t row, float *scratch) {
    const uint8_t *words = row_of(q, row, (q->k * q->bits + 31) / 32 * sizeof(uint32_t));
    const int8_t *bytes = (const int8_t *)q->weights + row * q->k;
    (void)scratch;
    for (size_t i = 0; i < q->k; i++)
        out[i] = q->layout == CAPP_QUANT_INT8 ? (float)(bytes[i] + 128) : (float)capp_of_stream(words, i, q->bits);
}

size_t capp_quant_row_scratch(const capp_quant *q) {
    return VALUES + 2 * q->groups;
}

void capp_quant_row_begin(const capp_quant *q, float *scratch) {
    if (q->layout == CAPP_QUANT_E4M3 || q->layout == CAPP_QUANT_E5M2 || q->layout == CAPP_QUANT_NVFP4)
        value_table(scratch, q->layout);
}

void capp_quant_row(float *out, const capp_quant *q, size_t row, float *scratch) {
    static void (*const rows[])(float *restrict, const capp_quant *, size_t, float *restrict) = {
        [CAPP_QUANT_E4M3] = float8,       [CAPP_QUANT_E5M2] = float8,   [CAPP_QUANT_MXFP4] = mxfp4,
        [CAPP_QUANT_NVFP4] = nvfp4,       [CAPP_QUANT_PACKED] = packed, [CAPP_QUANT_INT8] = int8,
        [CAPP_QUANT_INT8_127] = int8_127, [CAPP_QUANT_LEVELS] = levels};
    rows[q->layout](out, q, row, scratch);
}
