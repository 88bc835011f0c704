#include "kernel/quant_blocks.h"

#include <string.h>

#include "base/tensor.h"
#include "kernel/integers.h"
#include "kernel/quant.h"

enum { LEAST = 32, BLOCK = CAPP_GROUP_BLOCK };

static size_t input_of(const capp_quant *q, size_t i) {
    return q->inputs ? q->inputs[i] : i;
}

/* Whether each `size` inputs of blocks are in one group. */
static bool fits(const capp_quant *q, size_t size) {
    for (size_t i = 0; i < q->k; i++)
        if (q->group[input_of(q, i)] != q->group[input_of(q, i / size * size)]) return false;
    return q->k % LEAST == 0;
}

static void choose(capp_quant *q) {
    static const struct {
        uint32_t type, bits, group, bfloat;
    } types[] = {
#define X(type, number, bits, group, bfloat) {CAPP_TYPE_##type, bits, group, bfloat},
        CAPP_GROUP_TYPE_MAP(X)
#undef X
    };
    const bool bfloat = q->scale_type == CAPP_TYPE_BF16;
    for (size_t i = sizeof types / sizeof *types; i > 0 && q->blocks == CAPP_TYPE_QUANTIZED; i--)
        if (types[i - 1].bits == q->bits && types[i - 1].bfloat == bfloat && fits(q, types[i - 1].group))
            q->blocks = types[i - 1].type;
}

/* inputs [k] = the inputs in the order of their groups; ends [groups]: room. */
static void sort_inputs(const capp_quant *q, uint32_t *inputs, uint32_t *ends) {
    memset(ends, 0, q->groups * sizeof *ends);
    for (size_t i = 0; i < q->k; i++) ends[q->group[i]]++;
    for (size_t g = 1; g < q->groups; g++) ends[g] += ends[g - 1];
    for (size_t i = q->k; i > 0; i--) inputs[--ends[q->group[i - 1]]] = (uint32_t)(i - 1);
}

void capp_quant_find_blocks(capp_quant *q, uint32_t *room) {
    const bool integers = q->layout == CAPP_QUANT_GPTQ || q->layout == CAPP_QUANT_AWQ ||
                          q->layout == CAPP_QUANT_PACKED || q->layout == CAPP_QUANT_INT8;
    q->blocks = CAPP_TYPE_QUANTIZED;
    if (!integers || (q->scale_type != CAPP_TYPE_F16 && q->scale_type != CAPP_TYPE_BF16)) return;
    choose(q);
    if (q->blocks != CAPP_TYPE_QUANTIZED) return;
    sort_inputs(q, room, room + q->k);
    q->inputs = room;
    choose(q);
}

/* Writes 32 numbers of that many bits. to [4 * bits]. */
static void put_numbers(unsigned char *to, const uint8_t *numbers, unsigned bits) {
    if (bits == 8) {
        memcpy(to, numbers, LEAST);
        return;
    }
    if (bits == 4) {
        /* NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult): to_bytes writes all numbers */
        for (size_t i = 0; i < 16; i++) to[i] = (unsigned char)(numbers[i] | numbers[i + 16] << 4);
        return;
    }
    memset(to, 0, LEAST * bits / 8);
    /* NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult): to_bytes writes all numbers */
    for (size_t i = 0; i < LEAST; i++) to[i / 16 * 4 + i % 4] |= (unsigned char)((numbers[i] & 3) << i / 4 % 4 * 2);
    for (size_t i = 0; i < LEAST && bits == 3; i++) to[8 + i % 4] |= (unsigned char)(numbers[i] >> 2 << i / 4);
}

/* Writes the block of the n inputs from `first` on; returns its end. from [q->k]: the numbers of stored row `row`. */
static unsigned char *put_block(unsigned char *to, const capp_quant *q, size_t row, const uint8_t *from, size_t first,
                                size_t n) {
    const capp_integer_form *form = capp_integer_form_of(q->blocks);
    const capp_group_layout at = capp_group_layout_of(form, n);
    uint8_t numbers[BLOCK];
    for (size_t i = 0; i < n; i++) numbers[i] = from[input_of(q, first + i)];
    memset(to, 0, 4 * (size_t)at.numbers);
    for (size_t i = 0; i < at.groups; i++) {
        const size_t group = q->group[input_of(q, first + i * form->group)], bit = at.zeros + i * at.zero_bits;
        const uint16_t scale = capp_quant_scale_of(q, row, group);
        memcpy(to + 2 * i, &scale, sizeof scale);
        to[bit / 8] |= (unsigned char)(capp_quant_zero_of(q, row, group) << bit % 8);
    }
    to += 4 * (size_t)at.numbers;
    for (size_t i = 0; i < n; i += LEAST, to += 4 * q->bits) put_numbers(to, numbers + i, q->bits);
    return to;
}

/* A row has room for its numbers as floats. First they become bytes, which move to the last quarter; blocks take less
 * than the rest. */
static const uint8_t *to_bytes(float *row, size_t k) {
    unsigned char *bytes = (unsigned char *)row;
    for (size_t i = 0; i < k; i++) bytes[i] = (unsigned char)(int)row[i];
    return memmove(bytes + 3 * k, bytes, k);
}

void capp_quant_blocks(float *rows, const capp_quant *q, size_t first, size_t n, float *scratch) {
    capp_quant_numbers(rows, q, first, n, scratch);
    for (size_t r = 0; r < n; r++) {
        const size_t row = q->order ? q->order[first + r] : first + r;
        const uint8_t *from = to_bytes(rows + r * q->k, q->k);
        unsigned char *to = (unsigned char *)(rows + r * q->k);
        for (size_t i = 0; i < q->k; i += BLOCK)
            to = put_block(to, q, row, from, i, q->k - i < BLOCK ? q->k - i : BLOCK);
    }
}
