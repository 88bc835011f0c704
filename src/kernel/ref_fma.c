/* The reference kernels for processors with FMA: the same bits as ref.c, but one instruction computes both the product
 * and the sum. */
#include "kernel/kernel.h"

#include "base/cpu.h"
#include "kernel/integers.h"
#include "kernel/plain.h"
#include "kernel/quad.h"

#if defined(__x86_64__)
#include <immintrin.h>

enum { NEEDS = CAPP_CPU_AVX2 };

static inline quad fused(quad a, quad b, quad c) {
    return (quad)_mm_fmadd_ps((__m128)a, (__m128)b, (__m128)c);
}
#elif defined(__aarch64__)
#include <arm_neon.h>

enum { NEEDS = CAPP_CPU_NEON };

static inline quad fused(quad a, quad b, quad c) {
    return (quad)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
}
#endif

#include "kernel/ref.inc"

const capp_kernels capp_kernels_ref_fma = {.name = "ref",
                                           .needs = NEEDS,
                                           .f32 = &products,
                                           .i16 = &capp_integers_ref,
#define X(name, type, parameters) .name = name,
                                           CAPP_OP_MAP(X)
#undef X
};
