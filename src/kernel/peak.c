#define _POSIX_C_SOURCE 200809L

#include "kernel/peak.h"

#include "base/cpu.h"
#include "kernel/kernel.h"

#include <immintrin.h>
#include <string.h>
#include <time.h>

/* Each loop runs `times` rounds of x = x / 2 + 1, which tends to 2, on SUMS independent registers, more than latency
 * times throughput of any unit; returns the float32 operations done. The empty asm makes each value look used. */
enum { SUMS = 12 };

#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

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

static const struct {
    const char *isa;
    double (*run)(size_t times);
} loops[] = {{"ref", run_sse2}, {"avx2", run_avx2}, {"avx512", run_avx512}};

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double capp_peak_gflops(const char *isa, double seconds) {
    const size_t slice = 20000; /* some tens of microseconds: interrupts spoil few of them */
    const capp_kernels *kernels = capp_kernels_named(isa);
    double best = 0;
    if (!kernels || (kernels->needs & ~capp_cpu_features()) != 0) return 0;
    for (size_t i = 0; i < sizeof loops / sizeof *loops; i++) {
        if (strcmp(loops[i].isa, isa) != 0) continue;
        for (double start = now(), before = start; before - start < seconds;) {
            const double operations = loops[i].run(slice), after = now();
            const double rate = operations / (after - before) * 1e-9;
            if (after > before && rate > best) best = rate;
            before = after;
        }
    }
    return best;
}
