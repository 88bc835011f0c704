/* Unpacks stored blocks directly into panels. The result is that of capp_dequant and then pack, but without rows of
 * float32 in between. One function for each instruction set and element; each returns NULL for a type that it cannot
 * unpack. */
#ifndef CAPP_KERNEL_UNPACK_H
#define CAPP_KERNEL_UNPACK_H

#include "kernel/dequant.h"
#include "kernel/kernel.h"
#include "kernel/quant_layout.h"

capp_unpack_fn capp_unpack_avx2(uint32_t type);       /* panels of float32, 16 columns */
capp_unpack_fn capp_unpack_avx512(uint32_t type);     /* of float32, 32 columns */
capp_unpack_fn capp_unpack_avx512bf16(uint32_t type); /* of bfloat16, 32 columns */

/* Products of few rows without panels: capp_products.few. NULL for types without blocks: copying them is cheap. */
capp_few_fn capp_few_avx2(uint32_t type);
capp_few_fn capp_few_avx512(uint32_t type);
capp_few_fn capp_few_neon(uint32_t type);

capp_unpack_fn capp_unpack_neon(uint32_t type);     /* of float32, 16 columns */
capp_unpack_fn capp_unpack_neonbf16(uint32_t type); /* of bfloat16, 16 columns */

/* The same for weights of folders: capp_products.unpack_quant. */
bool capp_unpack_quant_avx2(void *panel, const capp_quant *q, size_t first, size_t from, size_t k);
bool capp_unpack_quant_avx512(void *panel, const capp_quant *q, size_t first, size_t from, size_t k);
bool capp_unpack_quant_avx512bf16(void *panel, const capp_quant *q, size_t first, size_t from, size_t k);
bool capp_unpack_quant_neon(void *panel, const capp_quant *q, size_t first, size_t from, size_t k);
bool capp_unpack_quant_neonbf16(void *panel, const capp_quant *q, size_t first, size_t from, size_t k);

#endif
