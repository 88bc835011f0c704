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
    X(QUANTIZED, 0x10007, 1, 1) /* not in files: data is a capp_quant (kernel/quant.h) */                              \
    X(G4_32, 0x10008, 32, 19)   /* these neither: kernel/quant_blocks.h */                                             \
    X(G4_64, 0x10009, 64, 35)                                                                                          \
    X(G4_128, 0x1000a, 128, 67)                                                                                        \
    X(G8_32, 0x1000b, 32, 36)                                                                                          \
    X(G8_64, 0x1000c, 64, 68)                                                                                          \
    X(G8_128, 0x1000d, 128, 132)                                                                                       \
    X(G2_32, 0x1000e, 32, 11)                                                                                          \
    X(G2_64, 0x1000f, 64, 19)                                                                                          \
    X(G2_128, 0x10010, 128, 35)                                                                                        \
    X(G3_32, 0x10011, 32, 15)                                                                                          \
    X(G3_64, 0x10012, 64, 27)                                                                                          \
    X(G3_128, 0x10013, 128, 51)                                                                                        \
    X(G2_256, 0x10014, 256, 68)                                                                                        \
    X(G3_256, 0x10015, 256, 100)                                                                                       \
    X(G4_256, 0x10016, 256, 132)

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
