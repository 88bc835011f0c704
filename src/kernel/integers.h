/* Products computed on the weights' own integers: exact integer sums over blocks, one float32 scale for each block.
 *
 * An activation is an integer times the step of its block. 32 activations share a step: the largest of their magnitudes
 * / 32,512. So the integer's magnitude is at most 32,512. A weight is scale * number - minimum. The number is the one
 * in the file (2 to 8 bits, minus the type's offset, or a level from a codebook of bytes). A scale covers 16 or 32
 * weights along k. One output is computed over the blocks of the weight (16 or 32 inputs, depending on the type), in
 * rising order of k:
 *
 *     whole = sum over the block of activation * number                      exact, an int32
 *     sum = fma((float)whole, step * scale, sum)
 *     sum = fma(-(step * (float)(sum of the block's activations)), minimum, sum)     only if the type has minima
 *
 * Here step * scale and step * (float)(...) are rounded to float32, and (float)whole is rounded to nearest. Every
 * instruction set gives these bits, because whole is exact in whatever way it is computed.
 *
 * AVX2 alone multiplies whole integers: see integers_avx2.c. The others use digits.
 *
 * VPDPBUSD multiplies unsigned by signed bytes. The numbers are the signed bytes. An activation is two unsigned digits:
 * integer + 32,768 = 256 high + low, high 1 .. 255, low 0 .. 255. The surplus, 32,768 times the sum of the block's
 * numbers, is known beforehand. To remove it, the sum of the high digits starts from -128 times the sum of the numbers.
 *
 * NEON multiplies signed by signed bytes. There an activation is 256 high + low, high -127 .. 127, low -128 .. 127, and
 * nothing is removed.
 *
 * No int32 overflows, because |number| <= 128. Over 32 inputs the sum of high * number is at most 32 * 255 * 128 =
 * 1,044,480, and its start is at most 128 * 32 * 128 = 524,288. 256 times both together is below 2^29. The part of the
 * low digits is at most 32 * 255 * 128 = 1,044,480. */
#ifndef CAPP_KERNEL_INTEGERS_H
#define CAPP_KERNEL_INTEGERS_H

#include "base/tensor.h"
#include "kernel/kernel.h"

enum {
    CAPP_INTEGER_BLOCK = 32,    /* activations that share a step */
    CAPP_INTEGER_COLUMNS = 32,  /* a multiple of every integer panel's number of columns */
    CAPP_LARGEST_DIGITS = 32512 /* 256 * 127: the largest magnitude of an activation's integer */
};

/* 32 activations. */
typedef struct capp_digits {
    union {
        struct {
            uint8_t high[CAPP_INTEGER_BLOCK];
            union {
                uint8_t low[CAPP_INTEGER_BLOCK];
                int8_t digit[CAPP_INTEGER_BLOCK]; /* AVX2 alone, if not fine: high - 128 */
            };
        };
        int16_t integer[CAPP_INTEGER_BLOCK]; /* AVX2 alone, if fine */
        struct {
            int8_t signed_high[CAPP_INTEGER_BLOCK], signed_low[CAPP_INTEGER_BLOCK]; /* NEON */
        };
        int8_t both[CAPP_INTEGER_BLOCK / 8][2][8]; /* NEON with SMMLA: 8 high digits, then their low digits */
    };
    float step;       /* NaN if an activation is not finite; 0 if all are below 2^-100 */
    float moment;     /* step * (float)(exact sum of the integers) */
    float moments[2]; /* the same for each half, of 16 */
    float energy;     /* about the sum of the squares of the activations: the block's weight in its row */
    int32_t fine;     /* 1; 0: all low digits are 0 */
    int32_t unused[2];
} capp_digits;

_Static_assert(sizeof(capp_digits) == 96, "three bytes an activation");

/* What accompanies the numbers of a type. */
typedef struct capp_integer_form {
    uint32_t block;  /* weights that share a scale: 16 or 32 */
    uint32_t minima; /* 1: a minimum beside each scale */
    uint32_t most;   /* the largest magnitude of a number */
    /* Of types that are made of folders (kernel/quant_blocks.h), else 0: the bits of a number, the inputs of a group,
     * and 1 if scales are bfloat16. */
    uint32_t bits, group, bfloat;
} capp_integer_form;

/* Where a block of n weights of such a type has what belongs to its groups, in bits, and its numbers, in words. */
typedef struct capp_group_layout {
    uint32_t groups, zero_bits, zeros, numbers;
} capp_group_layout;

static inline capp_group_layout capp_group_layout_of(const capp_integer_form *form, size_t n) {
    const uint32_t groups = ((uint32_t)n + form->group - 1) / form->group;
    return (capp_group_layout){groups, CAPP_ZERO_BITS(form->bits), 16 * groups, CAPP_GROUP_WORDS(groups, form->bits)};
}

/* 32 weights of a row. If blocks are of 32, only scale[0] and minimum[0] are used. */
typedef struct capp_integer_block {
    int8_t number[CAPP_INTEGER_BLOCK];
    float scale[2], minimum[2];
} capp_integer_block;

/* Types of files. X(type, weights a block, bytes a block, weights a scale, minima, the largest magnitude of a number)
 */
#define CAPP_INTEGER_TYPE_MAP(X)                                                                                       \
    X(Q4_0, 32, 18, 32, 0, 8)                                                                                          \
    X(Q4_1, 32, 20, 32, 1, 15)                                                                                         \
    X(Q5_0, 32, 22, 32, 0, 16)                                                                                         \
    X(Q5_1, 32, 24, 32, 1, 31)                                                                                         \
    X(Q8_0, 32, 34, 32, 0, 128)                                                                                        \
    X(Q2_K, 256, 84, 16, 1, 3)                                                                                         \
    X(Q3_K, 256, 110, 16, 0, 4)                                                                                        \
    X(Q4_K, 256, 144, 32, 1, 15)                                                                                       \
    X(Q5_K, 256, 176, 32, 1, 31)                                                                                       \
    X(Q6_K, 256, 210, 16, 0, 32)                                                                                       \
    X(IQ4_NL, 32, 18, 32, 0, 127)                                                                                      \
    X(IQ4_XS, 256, 136, 32, 0, 127)                                                                                    \
    X(MXFP4, 32, 17, 32, 0, 12)

/* Levels of IQ4_NL and IQ4_XS; levels of MXFP4, doubled. */
extern const int8_t capp_iq4_levels[16], capp_fp4_levels[16];

/* The form of a capp_type; NULL for a type without integers of 2 to 8 bits. */
const capp_integer_form *capp_integer_form_of(uint32_t type);

/* Bytes of n weights, as they are stored: n is a multiple of the type's block, or of 32 if the type is made of folders.
 * The type has a form; so in the next function. */
size_t capp_integer_bytes(uint32_t type, size_t n);

/* out [n / 32] = n stored weights. */
void capp_integers_read(capp_integer_block *out, uint32_t type, const void *data, size_t n);

/* Products of integers. Their activations are capp_digits, three bytes for each activation. Their panels are made of
 * stored blocks of a type that has a form, and of nothing else: pack is NULL. A panel is about as large as its blocks.
 * A product splits it into numbers, in the first-level cache, for all its rows. */
extern const capp_products capp_integers_ref, capp_integers_avx2, capp_integers_avxvnni, capp_integers_avx512vnni;
extern const capp_products capp_integers_neon, capp_integers_neondot, capp_integers_neoni8mm;

#endif
