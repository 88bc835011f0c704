#include "kernel/peak_loops.h"

#include <arm_neon.h>

static double run_neon(size_t times) {
    const float32x4_t half = vdupq_n_f32(0.5f), one = vdupq_n_f32(1.0f);
    float32x4_t x[SUMS];
    UNROLL
    for (int j = 0; j < SUMS; j++) x[j] = one;
    for (size_t i = 0; i < times; i++) UNROLL
    for (int j = 0; j < SUMS; j++) {
        x[j] = vfmaq_f32(one, x[j], half);
        __asm__ volatile("" : "+w"(x[j]));
    }
    return (double)times * SUMS * 4 * 2;
}

/* Eight products of an activation and a weight; the weight is a byte, the activation two digits. */
static double run_smlal(size_t times) {
    const int16x8_t one = vdupq_n_s16(1);
    int32x4_t x[SUMS];
    UNROLL
    for (int j = 0; j < SUMS; j++) x[j] = vdupq_n_s32(1);
    for (size_t i = 0; i < times; i++) UNROLL
    for (int j = 0; j < SUMS; j++) {
        x[j] = vmlal_high_s16(x[j], one, one);
        __asm__ volatile("" : "+w"(x[j]));
    }
    return (double)times * SUMS * 4 * 2;
}

/* A loop of one instruction that adds `products` products to each sum. `one` is what it multiplies with itself.
 * Compilers disagree on the flags of these extensions, so the instructions are written in assembler. */
#define LOOP(function, sum, zero, factor, one, instruction, products)                                                  \
    static double function(size_t times) {                                                                             \
        const factor a = one;                                                                                          \
        sum x[SUMS];                                                                                                   \
        UNROLL                                                                                                         \
        for (int j = 0; j < SUMS; j++) x[j] = zero;                                                                    \
        for (size_t i = 0; i < times; i++) UNROLL                                                                      \
        for (int j = 0; j < SUMS; j++) __asm__ volatile(instruction : "+w"(x[j]) : "w"(a));                            \
        return (double)times * SUMS * (products)*2;                                                                    \
    }

LOOP(run_sdot, int32x4_t, vdupq_n_s32(1), int8x16_t, vdupq_n_s8(1),
     ".arch armv8.2-a+dotprod\n\tsdot %0.4s, %1.16b, %1.16b", 16)
LOOP(run_smmla, int32x4_t, vdupq_n_s32(1), int8x16_t, vdupq_n_s8(1),
     ".arch armv8.2-a+i8mm\n\tsmmla %0.4s, %1.16b, %1.16b", 32)
LOOP(run_bfmmla, float32x4_t, vdupq_n_f32(0), uint16x8_t, vdupq_n_u16(0x3f00),
     ".arch armv8.2-a+bf16\n\tbfmmla %0.4s, %1.8h, %1.8h", 16)

TWO_DIGITS(run_sdot)
TWO_DIGITS(run_smmla)

const capp_peak_loop capp_peak_loops[] = {{"ref", "f32", run_neon},
                                          {"ref", "i16", run_smlal},
                                          {"ref", "i8", run_smlal},
                                          {"neon", "f32", run_neon},
                                          {"neon", "i16", run_smlal},
                                          {"neon", "i8", run_smlal},
                                          {"neondot", "f32", run_neon},
                                          {"neondot", "i16", run_sdot_twice},
                                          {"neondot", "i8", run_sdot},
                                          {"neoni8mm", "f32", run_neon},
                                          {"neoni8mm", "i16", run_smmla_twice},
                                          {"neoni8mm", "i8", run_smmla},
                                          {"neonbf16", "f32", run_neon},
                                          {"neonbf16", "bf16", run_bfmmla},
                                          {"neonbf16", "i16", run_smmla_twice},
                                          {"neonbf16", "i8", run_smmla},
                                          {NULL, NULL, NULL}};
