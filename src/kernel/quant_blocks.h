/* The integers of folders in blocks, for products of integers (kernel/integers.h). GPTQ, AWQ and compressed-tensors
 * store numbers, zeros and scales apart. A block has what belongs to 1,024 inputs of a row, or to the rest of them, in
 * groups of 32, 64, 128, 256 or 512 inputs; the last group may have fewer:
 *
 *   the scales of the groups, 16 bits each, as in the file
 *   their zeros: 2 bits each for numbers of 2 bits, 4 for 3 and 4, 8 for 8; then zeros up to a multiple of 4 bytes
 *   the numbers, 32 after 32:
 *     2 bits: bits 2 j and 2 j + 1 of byte i of 4 have number 4 j + i, j < 4, and the next 4 bytes the other 16 numbers
 *     3 bits: the same of the lower two bits, then bit j of byte i of 4 has the third bit of number 4 j + i, j < 8
 *     4 bits: byte i of 16 has numbers i and i + 16, the first in its lower half
 *     8 bits: bytes
 *
 * The types are CAPP_GROUP_TYPE_MAP (base/tensor.h). Blocks are as large as the tensors, but for what rounds scales and
 * zeros up to 4 bytes, and zeros of tensors that have none. */
#ifndef CAPP_KERNEL_QUANT_BLOCKS_H
#define CAPP_KERNEL_QUANT_BLOCKS_H

#include "kernel/quant_layout.h"

/* Sets q->blocks to the type with the largest groups that fit those of q. CAPP_TYPE_QUANTIZED: none, because q has
 * no integers, its scales are float32, or some group is no multiple of 32 inputs. If the inputs of
 * groups are not neighbors (act-order), sets q->inputs to the inputs in the order of their groups. room [2 q->k]
 * belongs to q. */
void capp_quant_find_blocks(capp_quant *q, uint32_t *room);

/* Writes the blocks of rows first .. first + n - 1. rows [n][q->k]: the blocks of row i are at the beginning of row i.
 * scratch: capp_quant_scratch floats. */
void capp_quant_blocks(float *rows, const capp_quant *q, size_t first, size_t n, float *scratch);

#endif
