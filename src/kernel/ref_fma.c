/* The reference kernels for processors with FMA: the same bits as ref.c, but one instruction computes both the product
 * and the sum. */
#include "kernel/kernel.h"

#include "base/cpu.h"
#include "kernel/integers.h"
#include "kernel/quad.h"

#include <immintrin.h>

static inline quad fused(quad a, quad b, quad c) {
    return (quad)_mm_fmadd_ps((__m128)a, (__m128)b, (__m128)c);
}

#include "kernel/ref.inc"

const capp_kernels capp_kernels_ref_fma = {.name = "ref",
                                           .needs = CAPP_CPU_AVX2,
                                           .f32 = &products,
                                           .i16 = &capp_integers_ref,
#define X(name, type, parameters) .name = name,
                                           CAPP_OP_MAP(X)
#undef X
};
