/* How folders store weights as small integers, float8 or float4 with scales beside them.
 *
 * GPTQ (Frantar et al., arXiv 2210.17323), AWQ (Lin et al., arXiv 2306.00978): scale * (weight - zero), with a scale
 * and a zero for each output and group of inputs. Float8 (Micikevicius et al., arXiv 2209.05433): weight * scale.
 * MXFP4 (OCP Microscaling Formats 1.0): float4, with a power of two for every 32 inputs. NVFP4: float4, with a float8
 * for every 16 inputs and a float32 for all. bitsandbytes (Dettmers et al., arXiv 2208.07339 and 2305.14314): level *
 * scale, with 16 levels and a scale for each block of the weight's numbers, row after row, or int8 with a scale for
 * each row. */
#ifndef CAPP_KERNEL_QUANT_LAYOUT_H
#define CAPP_KERNEL_QUANT_LAYOUT_H

#include "kernel/dequant.h"

typedef enum capp_quant_layout {
    /* weights [k * bits / 32][n] words: the inputs of an output are a stream of bits down its column, lowest bits
     * first. zeros [groups][ceil(n * bits / 32)] words: the zeros of the outputs are a stream of bits along the row. */
    CAPP_QUANT_GPTQ,
    /* weights [k][n / 8] words, zeros [groups][n / 8] words: a word has 8 outputs of 4 bits, the even ones first. */
    CAPP_QUANT_AWQ,
    /* weights [n][k] bytes, scales [ceil(n / block_rows)][groups]; a group is block_columns inputs. */
    CAPP_QUANT_E4M3,
    CAPP_QUANT_E5M2,
    /* weights [n][k / 2] bytes, each with two neighbors, the first in the lower half; scales [n][k / 32] bytes. */
    CAPP_QUANT_MXFP4,
    /* The same weights; scales [n][k / 16] bytes of E4M3. `tensor_scale` multiplies or divides each. */
    CAPP_QUANT_NVFP4,
    /* compressed-tensors. weights [n][ceil(k * bits / 32)] words: the inputs of an output are a stream of bits along
     * its row. zeros [ceil(n * bits / 32)][groups] words: the zeros of a group are a stream of bits down its column;
     * NULL: they are 2^(bits - 1). scales [scale_rows][groups]. */
    CAPP_QUANT_PACKED,
    /* weights [n][k] signed bytes; zeros: signed bytes in the shape of scales, or NULL; scales [scale_rows][groups]. */
    CAPP_QUANT_INT8,
    /* bitsandbytes: weights [n][k] signed bytes, scales [n], which are 127 times too large. */
    CAPP_QUANT_INT8_127,
    /* bitsandbytes: weights [n * k / 2] bytes, each with two neighbors, the first in the upper half. A scale is for
     * block_columns neighbors; it is an F32 in scales, or the entry of `codes` for its byte times a second scale for
     * second_block neighbors, plus `offset`. */
    CAPP_QUANT_LEVELS
} capp_quant_layout;

/* Words and scales need no alignment. */
typedef struct capp_quant {
    capp_quant_layout layout;
    size_t n, k, groups; /* outputs, inputs, groups of inputs */
    unsigned bits;       /* GPTQ: 2, 3, 4 or 8, and k * bits is a multiple of 32; AWQ: 4, and n is a multiple of 8;
                            packed: 2, 4 or 8 */
    bool zeros_less_one; /* zeros are stored minus 1; a zero of 0 is lost, as in AutoGPTQ */
    const void *weights, *zeros, *scales; /* for GPTQ and AWQ, scales are [groups][n] */
    uint32_t scale_type;                  /* a type that capp_dequant reads, with blocks of 1 */
    const uint32_t *group;                /* GPTQ, AWQ, packed, int8: [k] the group of each input, below groups */
    size_t block_rows, block_columns;     /* float8; levels: block_columns */
    size_t scale_rows;                    /* packed, int8: n, or 1 for one scale */
    float tensor_scale;                   /* NVFP4 */
    bool divides;
    const void *levels;         /* levels: [16] float32 */
    const void *codes, *second; /* [256] and [ceil(scales / second_block)] float32; NULL: scales are float32 */
    size_t second_block;
    float offset;
    uint32_t blocks; /* the type of its blocks for products of integers (quant_blocks.h); CAPP_TYPE_QUANTIZED: none */
    const uint32_t *inputs; /* [k] weight i of a row of blocks belongs to input inputs[i]; NULL: to input i */
    const uint32_t *order;  /* row i is stored as row order[i], below n; NULL: as row i */
} capp_quant;

#endif
