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

const capp_peak_loop capp_peak_loops[] = {
    {"ref", "f32", run_neon},   {"ref", "i16", run_smlal}, {"neon", "f32", run_neon},
    {"neon", "i16", run_smlal}, {NULL, NULL, NULL},
};
