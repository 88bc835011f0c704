#include "kernel/quant_blocks.h"

#include <string.h>

#include "base/tensor.h"
#include "kernel/integers.h"
#include "kernel/quant.h"

enum { LEAST = 32, MOST = 256 };

static size_t input_of(const capp_quant *q, size_t i) {
    return q->inputs ? q->inputs[i] : i;
}

/* Whether each `size` weights of blocks are in one group. */
static bool fits(const capp_quant *q, size_t size) {
    if (q->k % size) return false;
    for (size_t i = 0; i < q->k; i++)
        if (q->group[input_of(q, i)] != q->group[input_of(q, i / size * size)]) return false;
    return true;
}

static void choose(capp_quant *q) {
    static const struct {
        unsigned bits;
        uint32_t type;
    } types[] = {{2, CAPP_TYPE_G2_256}, {2, CAPP_TYPE_G2_128}, {2, CAPP_TYPE_G2_64}, {2, CAPP_TYPE_G2_32},
                 {3, CAPP_TYPE_G3_256}, {3, CAPP_TYPE_G3_128}, {3, CAPP_TYPE_G3_64}, {3, CAPP_TYPE_G3_32},
                 {4, CAPP_TYPE_G4_256}, {4, CAPP_TYPE_G4_128}, {4, CAPP_TYPE_G4_64}, {4, CAPP_TYPE_G4_32},
                 {8, CAPP_TYPE_G8_128}, {8, CAPP_TYPE_G8_64},  {8, CAPP_TYPE_G8_32}};
    for (size_t i = 0; i < sizeof types / sizeof *types && q->blocks == CAPP_TYPE_QUANTIZED; i++)
        if (types[i].bits == q->bits && fits(q, capp_type_get(types[i].type).block_elems)) q->blocks = types[i].type;
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
    if (!integers || q->scale_type == CAPP_TYPE_F32) return;
    choose(q);
    if (q->blocks != CAPP_TYPE_QUANTIZED) return;
    sort_inputs(q, room, room + q->k);
    q->inputs = room;
    choose(q);
}

static uint32_t head_of(const capp_quant *q, size_t row, size_t g) {
    const float scale = capp_quant_scale_of(q, row, g);
    uint32_t bits;
    memcpy(&bits, &scale, sizeof bits);
    return (bits & CAPP_GROUP_SCALE) | capp_quant_zero_of(q, row, g) << (q->bits < 8 ? 8 : 0);
}

/* Writes 32 numbers of that many bits. to [4 * bits]. */
static void put_numbers(unsigned char *to, const uint8_t *numbers, unsigned bits) {
    if (bits == 8) {
        memcpy(to, numbers, LEAST);
        return;
    }
    if (bits == 4) {
        for (size_t i = 0; i < 16; i++) to[i] = (unsigned char)(numbers[i] | numbers[i + 16] << 4);
        return;
    }
    memset(to, 0, LEAST * bits / 8);
    for (size_t i = 0; i < LEAST; i++) to[i / 16 * 4 + i % 4] |= (unsigned char)((numbers[i] & 3) << i / 4 % 4 * 2);
    for (size_t i = 0; i < LEAST && bits == 3; i++) to[8 + i % 4] |= (unsigned char)(numbers[i] >> 2 << i / 4);
}

/* Writes a block of numbers [size]; returns its end. */
static unsigned char *put_block(unsigned char *to, const capp_quant *q, uint32_t head, const uint8_t *numbers,
                                size_t size) {
    const size_t each = LEAST * q->bits / 8, bytes = capp_type_get(q->blocks).block_bytes - size / LEAST * each;
    memcpy(to, (const char *)&head + sizeof head - bytes, bytes);
    to += bytes;
    for (size_t i = 0; i < size; i += LEAST, to += each) put_numbers(to, numbers + i, q->bits);
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
    const size_t size = capp_type_get(q->blocks).block_elems;
    uint8_t numbers[MOST];
    capp_quant_numbers(rows, q, first, n, scratch);
    for (size_t r = 0; r < n; r++) {
        const size_t row = q->order ? q->order[first + r] : first + r;
        const uint8_t *from = to_bytes(rows + r * q->k, q->k);
        unsigned char *to = (unsigned char *)(rows + r * q->k);
        for (size_t i = 0; i < q->k; i += size) {
            for (size_t j = 0; j < size; j++) numbers[j] = from[input_of(q, i + j)];
            to = put_block(to, q, head_of(q, row, q->group[input_of(q, i)]), numbers, size);
        }
    }
}
