/* What the CPU and the operating system support, detected at run time. */
#ifndef CAPP_BASE_CPU_H
#define CAPP_BASE_CPU_H

#include <stdbool.h>

enum {
    CAPP_CPU_AVX2 = 1,        /* AVX2, FMA, F16C, with YMM state enabled */
    CAPP_CPU_AVX512 = 2,      /* F, BW, DQ, VL, with ZMM state enabled */
    CAPP_CPU_AVX512_BF16 = 4, /* and AVX512_BF16 */
    CAPP_CPU_AVX512_VNNI = 8, /* and AVX512_VNNI */
    CAPP_CPU_AMX_BF16 = 16,   /* and tiles with BF16, which need permission from the kernel */
    CAPP_CPU_AMX_INT8 = 32,
    CAPP_CPU_AVX_VNNI = 64,    /* AVX2 and VPDPBUSD with VEX */
    CAPP_CPU_NEON = 128,       /* Advanced SIMD of AArch64 */
    CAPP_CPU_NEON_DOT = 256,   /* and SDOT */
    CAPP_CPU_NEON_I8MM = 512,  /* and SMMLA */
    CAPP_CPU_NEON_BF16 = 1024, /* and BFMMLA, BFDOT */
    CAPP_CPU_FAST_BF16 = 2048  /* VDPBF16PS does twice the work of a fused multiply-add of float32 in the same time:
                                  AMD's  does, Intel's does not */
};

/* CAPP_CPU_* bits. Thread-safe. */
unsigned capp_cpu_features(void);

/* Whether the features may be used. For AMX tiles it requests permission from the kernel (arch_prctl). The permission
 * lasts for the process and its children; with it, sigaltstack rejects stacks that are too small for the tiles' state.
 */
bool capp_cpu_request(unsigned features);

#endif
