/* Element types of stored tensors: what a block of each holds. The numbers are GGUF's (ggml-quants; gguf-py's
 * GGML_QUANT_SIZES). */
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

/* Types that safetensors has and GGUF has not, with numbers of our own that no GGUF file may name. */
#define CAPP_FOREIGN_TYPE_MAP(X)                                                                                       \
    X(BOOL, 0x10000, 1, 1)                                                                                             \
    X(U8, 0x10001, 1, 1)                                                                                               \
    X(U16, 0x10002, 1, 2)                                                                                              \
    X(U32, 0x10003, 1, 4)                                                                                              \
    X(U64, 0x10004, 1, 8)                                                                                              \
    X(F8_E4M3, 0x10005, 1, 1)                                                                                          \
    X(F8_E5M2, 0x10006, 1, 1)                                                                                          \
    X(QUANTIZED, 0x10007, 1, 1) /* of no file: data is a capp_quant (kernel/quant.h) */

enum { CAPP_FIRST_FOREIGN_TYPE = 0x10000 };

typedef enum capp_type {
#define X(name, number, block, bytes) CAPP_TYPE_##name = (number),
    CAPP_TYPE_MAP(X) CAPP_FOREIGN_TYPE_MAP(X)
#undef X
} capp_type;

typedef struct capp_type_info {
    const char *name;   /* "Q4_K"; NULL: no such type */
    size_t block_elems; /* elements of one block */
    size_t block_bytes; /* bytes of one block */
} capp_type_info;

/* Facts of type number n; .name is NULL for a number that is none. */
capp_type_info capp_type_get(uint32_t n);

/* A tensor of a file, whatever the format. Everything is borrowed from the file. What follows data is of tensors
 * derived from those of files alone. */
typedef struct capp_tensor {
    capp_str name;
    uint32_t n_dims;
    uint64_t dims[4]; /* dims[0] varies fastest; missing ones are 1 */
    uint32_t type;    /* a capp_type that capp_type_get knows */
    uint64_t elements;
    uint64_t bytes;        /* of data; CAPP_TYPE_QUANTIZED: of its weights */
    const void *data;      /* aligned as the file aligned it */
    const float *scale;    /* the numbers in data are to be multiplied by it; NULL: they are as they are */
    uint64_t turned;       /* data is [columns][turned], the rows its columns; 0: it is [rows][columns] */
    const uint32_t *order; /* [rows] row i is row order[i] of data; NULL: they stand in turn */
} capp_tensor;

#endif
