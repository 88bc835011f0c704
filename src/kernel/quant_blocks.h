/* The integers of folders in blocks, for products of integers (kernel/integers.h). GPTQ, AWQ and compressed-tensors
 * store numbers, zeros and scales apart. A block has what belongs to a group of a row's inputs, or to a part of a
 * group:
 *
 *   a head, with the scale and the zero: the highest 20 bits of the scale as a float32, which is all of a float16 or
 *   bfloat16; for 2 to 4 bits the zero in bits 8 .. 11, for 8 bits in bits 0 .. 7. For 2 to 4 bits, blocks of up
 *   to 128 inputs store it without its lowest byte, which is 0.
 *   the numbers: 4 bits: byte i of 16 has numbers i and i + 16 of 32, the first in its lower half; 8 bits: bytes;
 *   2 bits: bits 2 j and 2 j + 1 of byte i of 4 have number 4 j + i, j < 4, and the next 4 bytes the other 16 numbers;
 *   3 bits: the same of the lower two bits, then bit j of byte i of 4 has the third bit of number 4 j + i, j < 8
 *
 * The types are G2_32, G2_64, G2_128, G2_256, G3_32 ... G8_128, by the bits of a number and the inputs of a block. */
#ifndef CAPP_KERNEL_QUANT_BLOCKS_H
#define CAPP_KERNEL_QUANT_BLOCKS_H

#include "kernel/quant_layout.h"

/* Sets q->blocks to the type with the largest blocks that fit the groups of q. CAPP_TYPE_QUANTIZED: none, because q has
 * no integers, its scales are float32, or some group is no multiple of 32 inputs. If the inputs of
 * groups are not neighbors (act-order), sets q->inputs to the inputs in the order of their groups. room [2 q->k]
 * belongs to q. */
void capp_quant_find_blocks(capp_quant *q, uint32_t *room);

/* Writes the blocks of rows first .. first + n - 1. rows [n][q->k]: the blocks of row i are at the beginning of row i.
 * scratch: capp_quant_scratch floats. */
void capp_quant_blocks(float *rows, const capp_quant *q, size_t first, size_t n, float *scratch);

#endif
