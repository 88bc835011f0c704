/* The layouts of capp_quant that store a weight row by row, for quant.c. */
#ifndef CAPP_KERNEL_QUANT_ROWS_H
#define CAPP_KERNEL_QUANT_ROWS_H

#include <string.h>

#include "kernel/quant_layout.h"

static inline uint32_t capp_load_word(const void *words, size_t i) {
    uint32_t word;
    memcpy(&word, (const char *)words + i * sizeof word, sizeof word);
    return word;
}

/* Number i of a stream of numbers of `bits` bits each. */
static inline uint32_t capp_of_stream(const void *words, size_t i, unsigned bits) {
    size_t at = i * bits;
    unsigned shift = (unsigned)(at % 32);
    uint32_t value = capp_load_word(words, at / 32) >> shift;
    if (shift + bits > 32) value |= capp_load_word(words, at / 32 + 1) << (32 - shift);
    return value & ((1u << bits) - 1);
}

/* PACKED, INT8: the zero of group g of a row, for numbers above 0. */
uint32_t capp_quant_row_zero(const capp_quant *q, size_t row, size_t g);

/* The number of scratch floats that the rows of q need. */
size_t capp_quant_row_scratch(const capp_quant *q);

/* Fills scratch with what all rows of q have in common; then capp_quant_row dequantizes row after row to out [q->k]. */
void capp_quant_row_begin(const capp_quant *q, float *scratch);
void capp_quant_row_numbers(float *out, const capp_quant *q, size_t row, float *scratch);
void capp_quant_row(float *out, const capp_quant *q, size_t row, float *scratch);

#endif
