/* Converts stored blocks to float32, with the same bits as dequantize of the gguf Python package. */
#ifndef CAPP_KERNEL_DEQUANT_H
#define CAPP_KERNEL_DEQUANT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Converts n elements of a capp_type at data (unaligned) to out [n] float32; n is a multiple of the type's block. Reads
 * and writes nothing else; out and data do not overlap. Scales that are infinite or NaN give what IEEE 754 says. */
typedef void (*capp_dequant_fn)(float *out, const void *data, size_t n);

/* NULL for a type that capp cannot read: integers, F64 and the types of activations (Q8_1, Q8_K). */
capp_dequant_fn capp_dequant(uint32_t type);

float capp_half_to_float(uint16_t half);
uint16_t capp_float_to_bf16(float f); /* round to nearest even; NaN stays NaN */
float capp_bf16_to_float(uint16_t b);

#endif
