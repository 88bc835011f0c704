/* Dequantizes the weights of folders (quant_layout.h) to rows of float32. The result is what the methods' own
 * dequantization gives in float32: the same operations in the same order. */
#ifndef CAPP_KERNEL_QUANT_H
#define CAPP_KERNEL_QUANT_H

#include "kernel/quant_layout.h"

/* Number of scratch floats that capp_quant_rows needs. */
size_t capp_quant_scratch(const capp_quant *q);

/* Dequantizes the rows first .. first + n - 1 to out [n][q->k]. */
void capp_quant_rows(float *out, const capp_quant *q, size_t first, size_t n, float *scratch);

/* The same rows as numbers, without zeros and scales; only for layouts of integers. Signed bytes plus 128. */
void capp_quant_numbers(float *out, const capp_quant *q, size_t first, size_t n, float *scratch);

/* The scale, of 16 bits, and the zero of stored row `row` and group g, to which the numbers belong. */
uint16_t capp_quant_scale_of(const capp_quant *q, size_t row, size_t g);
uint32_t capp_quant_zero_of(const capp_quant *q, size_t row, size_t g);

#endif
