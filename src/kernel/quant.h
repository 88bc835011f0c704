/* Dequantizes weights that folders store as small integers, float8 or float4 with scales beside them, to rows of
 * float32. The result is what the methods' own dequantization gives in float32: the same operations in the same order.
 *
 * GPTQ (Frantar et al., arXiv 2210.17323), AWQ (Lin et al., arXiv 2306.00978): scale * (weight - zero), with a scale
 * and a zero for each output and group of inputs. Float8 (Micikevicius et al., arXiv 2209.05433): weight * scale.
 * MXFP4 (OCP Microscaling Formats 1.0): float4, with a power of two for every 32 inputs. */
#ifndef CAPP_KERNEL_QUANT_H
#define CAPP_KERNEL_QUANT_H

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
    CAPP_QUANT_MXFP4
} capp_quant_layout;

/* Words and scales need no alignment. */
typedef struct capp_quant {
    capp_quant_layout layout;
    size_t n, k, groups; /* outputs, inputs, groups of inputs */
    unsigned bits;       /* GPTQ: 2, 3, 4 or 8, and k * bits is a multiple of 32; AWQ: 4, and n is a multiple of 8 */
    bool zeros_less_one; /* zeros are stored minus 1; a zero of 0 is lost, as in AutoGPTQ */
    const void *weights, *zeros, *scales; /* for integers, scales are [groups][n] */
    uint32_t scale_type;                  /* a type that capp_dequant reads, with blocks of 1 */
    const uint32_t *group;                /* integers: [k] the group of each input, below groups */
    size_t block_rows, block_columns;     /* float8 */
    const uint32_t *order;                /* row i is stored as row order[i], below n; NULL: as row i */
} capp_quant;

/* Number of scratch floats that capp_quant_rows needs. */
size_t capp_quant_scratch(const capp_quant *q);

/* Dequantizes the rows first .. first + n - 1 to out [n][q->k]. */
void capp_quant_rows(float *out, const capp_quant *q, size_t first, size_t n, float *scratch);

#endif
