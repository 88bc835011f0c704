/* Element types of stored tensors: what one block of each type contains. The numbers are those of GGUF (ggml-quants;
 * gguf-py's GGML_QUANT_SIZES). */
#ifndef CAPP_BASE_TENSOR_H
#define CAPP_BASE_TENSOR_H

#include <stddef.h>
#include <stdint.h>

#include "capp.h"

/* X(name, gguf number, elements a block, bytes a block) */
#define CAPP_TYPE_MAP(X)                                                                                               \
    X(F32, 0, 1, 4)                                                                                                    \
    X(F16, 1, 1, 2)                                                                                                    \
    X(Q4_0, 2, 32, 18)                                                                                                 \
    X(Q4_1, 3, 32, 20)                                                                                                 \
    X(MXFP4_PAIRS, 4, 32, 17) /* as MXFP4, two neighbors in a byte: GPT-OSS of August 2025 in Ollama */                \
    X(Q5_0, 6, 32, 22)                                                                                                 \
    X(Q5_1, 7, 32, 24)                                                                                                 \
    X(Q8_0, 8, 32, 34)                                                                                                 \
    X(Q8_1, 9, 32, 36)                                                                                                 \
    X(Q2_K, 10, 256, 84)                                                                                               \
    X(Q3_K, 11, 256, 110)                                                                                              \
    X(Q4_K, 12, 256, 144)                                                                                              \
    X(Q5_K, 13, 256, 176)                                                                                              \
    X(Q6_K, 14, 256, 210)                                                                                              \
    X(Q8_K, 15, 256, 292)                                                                                              \
    X(IQ2_XXS, 16, 256, 66)                                                                                            \
    X(IQ2_XS, 17, 256, 74)                                                                                             \
    X(IQ3_XXS, 18, 256, 98)                                                                                            \
    X(IQ1_S, 19, 256, 50)                                                                                              \
    X(IQ4_NL, 20, 32, 18)                                                                                              \
    X(IQ3_S, 21, 256, 110)                                                                                             \
    X(IQ2_S, 22, 256, 82)                                                                                              \
    X(IQ4_XS, 23, 256, 136)                                                                                            \
    X(I8, 24, 1, 1)                                                                                                    \
    X(I16, 25, 1, 2)                                                                                                   \
    X(I32, 26, 1, 4)                                                                                                   \
    X(I64, 27, 1, 8)                                                                                                   \
    X(F64, 28, 1, 8)                                                                                                   \
    X(IQ1_M, 29, 256, 56)                                                                                              \
    X(BF16, 30, 1, 2)                                                                                                  \
    X(TQ1_0, 34, 256, 54)                                                                                              \
    X(TQ2_0, 35, 256, 66)                                                                                              \
    X(MXFP4, 39, 32, 17)                                                                                               \
    X(NVFP4, 40, 64, 36)                                                                                               \
    X(Q1_0, 41, 128, 18)                                                                                               \
    X(Q2_0, 42, 64, 18)

/* Types that safetensors has and GGUF does not. capp gives them its own numbers, which are invalid in a GGUF file. */
#define CAPP_FOREIGN_TYPE_MAP(X)                                                                                       \
    X(BOOL, 0x10000, 1, 1)                                                                                             \
    X(U8, 0x10001, 1, 1)                                                                                               \
    X(U16, 0x10002, 1, 2)                                                                                              \
    X(U32, 0x10003, 1, 4)                                                                                              \
    X(U64, 0x10004, 1, 8)                                                                                              \
    X(F8_E4M3, 0x10005, 1, 1)                                                                                          \
    X(F8_E5M2, 0x10006, 1, 1)                                                                                          \
    X(QUANTIZED, 0x10007, 1, 1) /* not in files: data is a capp_quant (kernel/quant.h) */

/* Blocks that capp makes of the numbers, zeros and scales of folders (kernel/quant_blocks.h): numbers of 2, 3, 4 or 8
 * bits, with a scale of float16 (G) or bfloat16 (B) for each group of up to 32 .. 512 inputs. X(name, number, bits,
 * group, scales are bfloat16) */
#define CAPP_GROUP_TYPES_OF(X, bits, first)                                                                            \
    X(G##bits##_32, first, bits, 32, 0)                                                                                \
    X(G##bits##_64, first + 1, bits, 64, 0)                                                                            \
    X(G##bits##_128, first + 2, bits, 128, 0)                                                                          \
    X(G##bits##_256, first + 3, bits, 256, 0)                                                                          \
    X(G##bits##_512, first + 4, bits, 512, 0)                                                                          \
    X(B##bits##_32, first + 5, bits, 32, 1)                                                                            \
    X(B##bits##_64, first + 6, bits, 64, 1)                                                                            \
    X(B##bits##_128, first + 7, bits, 128, 1)                                                                          \
    X(B##bits##_256, first + 8, bits, 256, 1)                                                                          \
    X(B##bits##_512, first + 9, bits, 512, 1)

#define CAPP_GROUP_TYPE_MAP(X)                                                                                         \
    CAPP_GROUP_TYPES_OF(X, 2, 0x10008)                                                                                 \
    CAPP_GROUP_TYPES_OF(X, 3, 0x10012)                                                                                 \
    CAPP_GROUP_TYPES_OF(X, 4, 0x1001c)                                                                                 \
    CAPP_GROUP_TYPES_OF(X, 8, 0x10026)

/* The inputs of such a block; the last block of a row may have fewer. The bits of one of its zeros. */
#define CAPP_GROUP_BLOCK              1024
#define CAPP_ZERO_BITS(bits)          ((bits) == 3 ? 4 : (bits))
#define CAPP_GROUP_WORDS(heads, bits) (((heads) * (16 + CAPP_ZERO_BITS(bits)) + 31) / 32)

enum { CAPP_FIRST_FOREIGN_TYPE = 0x10000 };

typedef enum capp_type {
#define X(name, number, ...) CAPP_TYPE_##name = (number),
    CAPP_TYPE_MAP(X) CAPP_FOREIGN_TYPE_MAP(X) CAPP_GROUP_TYPE_MAP(X)
#undef X
} capp_type;

typedef struct capp_type_info {
    const char *name;   /* "Q4_K"; NULL: no such type */
    size_t block_elems; /* elements of one block */
    size_t block_bytes; /* bytes of one block */
} capp_type_info;

/* Facts about type number n; .name is NULL if there is no such type. */
capp_type_info capp_type_get(uint32_t n);

/* A tensor of a file, in any format. Everything is borrowed from the file. The members after data are only for tensors
 * that capp derives from tensors of files. */
typedef struct capp_tensor {
    capp_str name;
    uint32_t n_dims;
    uint64_t dims[4]; /* dims[0] varies fastest; missing ones are 1; dims[3] has all slower ones */
    uint32_t type;    /* a capp_type that capp_type_get knows */
    uint64_t elements;
    uint64_t bytes;        /* bytes of data; for CAPP_TYPE_QUANTIZED: bytes of its weights */
    const void *data;      /* with the alignment of the file */
    const float *scale;    /* factor for the numbers in data; NULL: there is no factor */
    uint64_t turned;       /* above 0: data is [columns][turned], so rows are its columns; 0: [rows][columns] */
    const uint32_t *order; /* [rows] row i is row order[i] of data; NULL: rows are in order */
} capp_tensor;

#endif
