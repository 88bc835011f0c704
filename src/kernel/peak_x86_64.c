#include "kernel/peak_loops.h"

#include <immintrin.h>
#include <stdint.h>

static double run_sse2(size_t times) {
    const __m128 half = _mm_set1_ps(0.5f), one = _mm_set1_ps(1.0f);
    __m128 x[SUMS];
    UNROLL
    for (int j = 0; j < SUMS; j++) x[j] = one;
    for (size_t i = 0; i < times; i++) UNROLL
    for (int j = 0; j < SUMS; j++) {
        x[j] = _mm_add_ps(_mm_mul_ps(x[j], half), one);
        __asm__ volatile("" : "+x"(x[j]));
    }
    return (double)times * SUMS * 4 * 2;
}

__attribute__((target("avx2,fma"))) static double run_avx2(size_t times) {
    const __m256 half = _mm256_set1_ps(0.5f), one = _mm256_set1_ps(1.0f);
    __m256 x[SUMS];
    UNROLL
    for (int j = 0; j < SUMS; j++) x[j] = one;
    for (size_t i = 0; i < times; i++) UNROLL
    for (int j = 0; j < SUMS; j++) {
        x[j] = _mm256_fmadd_ps(x[j], half, one);
        __asm__ volatile("" : "+x"(x[j]));
    }
    return (double)times * SUMS * 8 * 2;
}

__attribute__((target("avx512f"))) static double run_avx512(size_t times) {
    const __m512 half = _mm512_set1_ps(0.5f), one = _mm512_set1_ps(1.0f);
    __m512 x[SUMS];
    UNROLL
    for (int j = 0; j < SUMS; j++) x[j] = one;
    for (size_t i = 0; i < times; i++) UNROLL
    for (int j = 0; j < SUMS; j++) {
        x[j] = _mm512_fmadd_ps(x[j], half, one);
        __asm__ volatile("" : "+v"(x[j]));
    }
    return (double)times * SUMS * 16 * 2;
}

__attribute__((target("avx512f,avx512bf16"))) static double run_dpbf16(size_t times) {
    const __m512bh halves = (__m512bh)_mm512_set1_epi32(0x3f003f00), none = (__m512bh)_mm512_setzero_si512();
    __m512 x[SUMS];
    UNROLL
    for (int j = 0; j < SUMS; j++) x[j] = _mm512_setzero_ps();
    for (size_t i = 0; i < times; i++) UNROLL
    for (int j = 0; j < SUMS; j++) {
        x[j] = _mm512_dpbf16_ps(x[j], halves, none);
        __asm__ volatile("" : "+v"(x[j]));
    }
    return (double)times * SUMS * 16 * 2 * 2;
}

/* An activation is a whole integer of 16 bits: its two digits take one instruction, and its sum another. */
static double run_madd_sse2(size_t times) {
    const __m128i one = _mm_set1_epi16(1);
    __m128i x[SUMS];
    UNROLL
    for (int j = 0; j < SUMS; j++) x[j] = one;
    for (size_t i = 0; i < times; i++) UNROLL
    for (int j = 0; j < SUMS; j++) {
        x[j] = _mm_add_epi32(x[j], _mm_madd_epi16(x[j], one));
        __asm__ volatile("" : "+x"(x[j]));
    }
    return (double)times * SUMS * 8 * 2;
}

__attribute__((target("avx2"))) static double run_madd_avx2(size_t times) {
    const __m256i one = _mm256_set1_epi16(1);
    __m256i x[SUMS];
    UNROLL
    for (int j = 0; j < SUMS; j++) x[j] = one;
    for (size_t i = 0; i < times; i++) UNROLL
    for (int j = 0; j < SUMS; j++) {
        x[j] = _mm256_add_epi32(x[j], _mm256_madd_epi16(x[j], one));
        __asm__ volatile("" : "+x"(x[j]));
    }
    return (double)times * SUMS * 16 * 2;
}

/* One digit. Sums of 16 bits are widened after 8 instructions at least, which is left out here. */
__attribute__((target("avx2"))) static double run_maddubs(size_t times) {
    const __m256i one = _mm256_set1_epi8(1);
    __m256i x[SUMS];
    UNROLL
    for (int j = 0; j < SUMS; j++) x[j] = one;
    for (size_t i = 0; i < times; i++) UNROLL
    for (int j = 0; j < SUMS; j++) {
        x[j] = _mm256_add_epi16(x[j], _mm256_maddubs_epi16(x[j], one));
        __asm__ volatile("" : "+x"(x[j]));
    }
    return (double)times * SUMS * 32 * 2;
}

__attribute__((target("avx2,avxvnni"))) static double run_dpbusd_avx2(size_t times) {
    const __m256i one = _mm256_set1_epi8(1);
    __m256i x[SUMS];
    UNROLL
    for (int j = 0; j < SUMS; j++) x[j] = one;
    for (size_t i = 0; i < times; i++) UNROLL
    for (int j = 0; j < SUMS; j++) {
        x[j] = _mm256_dpbusd_avx_epi32(x[j], one, one);
        __asm__ volatile("" : "+x"(x[j]));
    }
    return (double)times * SUMS * 32 * 2;
}

__attribute__((target("avx512f,avx512vnni"))) static double run_dpbusd_avx512(size_t times) {
    const __m512i one = _mm512_set1_epi32(0x01010101);
    __m512i x[SUMS];
    UNROLL
    for (int j = 0; j < SUMS; j++) x[j] = one;
    for (size_t i = 0; i < times; i++) UNROLL
    for (int j = 0; j < SUMS; j++) {
        x[j] = _mm512_dpbusd_epi32(x[j], one, one);
        __asm__ volatile("" : "+v"(x[j]));
    }
    return (double)times * SUMS * 64 * 2;
}

TWO_DIGITS(run_dpbusd_avx2)
TWO_DIGITS(run_dpbusd_avx512)

/* Four tiles of sums, as in the kernel. */
static double run_tiles(size_t times) {
    struct {
        uint8_t palette, start_row, reserved[14];
        uint16_t column_bytes[16];
        uint8_t rows[16];
    } config = {.palette = 1};
    for (size_t i = 0; i < 8; i++) config.rows[i] = 16, config.column_bytes[i] = 64;
    __asm__ volatile("ldtilecfg %0\n\ttilezero %%tmm0\n\ttilezero %%tmm1\n\ttilezero %%tmm2\n\ttilezero %%tmm3\n\t"
                     "tilezero %%tmm4\n\ttilezero %%tmm5\n\ttilezero %%tmm6\n\ttilezero %%tmm7" ::"m"(config)
                     : "memory");
    for (size_t i = 0; i < times; i++)
        __asm__ volatile("tdpbf16ps %%tmm6, %%tmm4, %%tmm0\n\ttdpbf16ps %%tmm7, %%tmm4, %%tmm1\n\t"
                         "tdpbf16ps %%tmm6, %%tmm5, %%tmm2\n\ttdpbf16ps %%tmm7, %%tmm5, %%tmm3" ::);
    __asm__ volatile("tilerelease" ::);
    return (double)times * 4 * 16 * 16 * 32 * 2;
}

const capp_peak_loop capp_peak_loops[] = {{"ref", "f32", run_sse2},
                                          {"ref", "i16", run_madd_sse2},
                                          {"ref", "i8", run_madd_sse2},
                                          {"avx2", "f32", run_avx2},
                                          {"avx2", "i16", run_madd_avx2},
                                          {"avx2", "i8", run_maddubs},
                                          {"avxvnni", "f32", run_avx2},
                                          {"avxvnni", "i16", run_dpbusd_avx2_twice},
                                          {"avxvnni", "i8", run_dpbusd_avx2},
                                          {"avx512", "f32", run_avx512},
                                          {"avx512", "i16", run_madd_avx2},
                                          {"avx512", "i8", run_maddubs},
                                          {"avx512vnni", "f32", run_avx512},
                                          {"avx512vnni", "i16", run_dpbusd_avx512_twice},
                                          {"avx512vnni", "i8", run_dpbusd_avx512},
                                          {"avx512bf16", "f32", run_avx512},
                                          {"avx512bf16", "bf16", run_dpbf16},
                                          {"avx512bf16", "bf16", run_avx512}, /* the faster one counts */
                                          {"avx512bf16", "i16", run_dpbusd_avx512_twice},
                                          {"avx512bf16", "i8", run_dpbusd_avx512},
                                          {"amx", "f32", run_avx512},
                                          {"amx", "bf16", run_tiles},
                                          {"amx", "i16", run_dpbusd_avx512_twice},
                                          {"amx", "i8", run_dpbusd_avx512},
                                          {NULL, NULL, NULL}};
