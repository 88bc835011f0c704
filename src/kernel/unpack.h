/* Unpacks stored blocks directly into panels. The result is that of capp_dequant and then pack, but without rows of
 * float32 in between. One function for each instruction set and element; each returns NULL for a type that it cannot
 * unpack. */
#ifndef CAPP_KERNEL_UNPACK_H
#define CAPP_KERNEL_UNPACK_H

#include "kernel/kernel.h"

capp_unpack_fn capp_unpack_avx2(uint32_t type);       /* panels of float32, 16 columns */
capp_unpack_fn capp_unpack_avx512(uint32_t type);     /* of float32, 32 columns */
capp_unpack_fn capp_unpack_avx512bf16(uint32_t type); /* of bfloat16, 32 columns */

capp_unpack_fn capp_unpack_neon(uint32_t type); /* of float32, 16 columns */

#endif
