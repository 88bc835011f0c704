#include "kernel/peak_loops.h"

#include <immintrin.h>
#include <stdint.h>

/* A loop with the instructions `features` over vectors: each sum begins as `first` and becomes `next`, which computes
 * from x[j] and adds `products` products to it. in: the registers of a vector, for the assembler. */
#define LOOP(function, features, vector, in, first, next, products)                                                    \
    __attribute__((target(features))) static double function(size_t times) {                                           \
        vector x[SUMS];                                                                                                \
        UNROLL                                                                                                         \
        for (int j = 0; j < SUMS; j++) x[j] = first;                                                                   \
        for (size_t i = 0; i < times; i++) UNROLL                                                                      \
        for (int j = 0; j < SUMS; j++) {                                                                               \
            x[j] = next;                                                                                               \
            __asm__ volatile("" : in(x[j]));                                                                           \
        }                                                                                                              \
        return (double)times * SUMS * (products)*2;                                                                    \
    }

LOOP(run_sse2, "sse2", __m128, "+x", _mm_set1_ps(1), _mm_add_ps(_mm_mul_ps(x[j], _mm_set1_ps(0.5f)), _mm_set1_ps(1)), 4)
LOOP(run_avx2, "avx2,fma", __m256, "+x", _mm256_set1_ps(1),
     _mm256_fmadd_ps(x[j], _mm256_set1_ps(0.5f), _mm256_set1_ps(1)), 8)
LOOP(run_avx512, "avx512f", __m512, "+v", _mm512_set1_ps(1),
     _mm512_fmadd_ps(x[j], _mm512_set1_ps(0.5f), _mm512_set1_ps(1)), 16)
LOOP(run_dpbf16, "avx512f,avx512bf16", __m512, "+v", _mm512_setzero_ps(),
     _mm512_dpbf16_ps(x[j], (__m512bh)_mm512_set1_epi32(0x3f003f00), (__m512bh)_mm512_setzero_si512()), 32)

/* An activation is a whole integer of 16 bits: its two digits take one instruction, and its sum another. */
LOOP(run_madd_sse2, "sse2", __m128i, "+x", _mm_set1_epi16(1),
     _mm_add_epi32(x[j], _mm_madd_epi16(x[j], _mm_set1_epi16(1))), 8)
LOOP(run_madd_avx2, "avx2", __m256i, "+x", _mm256_set1_epi16(1),
     _mm256_add_epi32(x[j], _mm256_madd_epi16(x[j], _mm256_set1_epi16(1))), 16)

/* One digit. Sums of 16 bits are widened after 8 instructions at least, which is left out here. */
LOOP(run_maddubs, "avx2", __m256i, "+x", _mm256_set1_epi8(1),
     _mm256_add_epi16(x[j], _mm256_maddubs_epi16(x[j], _mm256_set1_epi8(1))), 32)
LOOP(run_dpbusd_avx2, "avx2,avxvnni", __m256i, "+x", _mm256_set1_epi8(1),
     _mm256_dpbusd_avx_epi32(x[j], _mm256_set1_epi8(1), _mm256_set1_epi8(1)), 32)
LOOP(run_dpbusd_avx512, "avx512f,avx512vnni", __m512i, "+v", _mm512_set1_epi32(0x01010101),
     _mm512_dpbusd_epi32(x[j], _mm512_set1_epi32(0x01010101), _mm512_set1_epi32(0x01010101)), 64)

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
