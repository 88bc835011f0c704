/* CPUID leaves and XCR0 bits: Intel SDM volume 1, chapters 13 to 18. Permission for AMX tiles: Linux Documentation,
 * arch/x86/xstate. */
#define _GNU_SOURCE
#include "base/cpu.h"
#include "base/platform.h"

#include <cpuid.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <xmmintrin.h>

enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_TILEDATA = 18 };
enum { DEFAULT_MXCSR = 0x1f80 };
enum { XCR0_YMM = 0x6, XCR0_ZMM = 0xe6, XCR0_TILES = 0x60000 };

static uint64_t xcr0(void) {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

static bool is_amd(void) {
    unsigned a, b, c, d;
    return __get_cpuid(0, &a, &b, &c, &d) && b == signature_AMD_ebx;
}

static unsigned ask(void) {
    unsigned a, b, c, d, features = 0;
    if (!__get_cpuid(1, &a, &b, &c, &d)) return 0;
    if (!(c & bit_OSXSAVE)) return 0;
    uint64_t state = xcr0();
    int fma = (c & bit_FMA) && (c & bit_F16C) && (c & bit_AVX);
    unsigned a7, b7, c7, d7, a71 = 0, b71, c71, d71;
    if (!__get_cpuid_count(7, 0, &a7, &b7, &c7, &d7)) return 0;
    if (a7 >= 1) __get_cpuid_count(7, 1, &a71, &b71, &c71, &d71);
    if (fma && (b7 & bit_AVX2) && (state & XCR0_YMM) == XCR0_YMM) features |= CAPP_CPU_AVX2;
    if ((features & CAPP_CPU_AVX2) && (a71 & (1u << 4))) features |= CAPP_CPU_AVX_VNNI;
    unsigned needed = bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL;
    if (!(features & CAPP_CPU_AVX2) || (b7 & needed) != needed || (state & XCR0_ZMM) != XCR0_ZMM) return features;
    features |= CAPP_CPU_AVX512;
    if (a71 & (1u << 5)) features |= CAPP_CPU_AVX512_BF16 | (is_amd() ? CAPP_CPU_FAST_BF16 : 0);
    if (c7 & bit_AVX512VNNI) features |= CAPP_CPU_AVX512_VNNI;
    if ((d7 & (1u << 24)) && (state & XCR0_TILES) == XCR0_TILES) {
        if (d7 & (1u << 22)) features |= CAPP_CPU_AMX_BF16;
        if (d7 & (1u << 25)) features |= CAPP_CPU_AMX_INT8;
    }
    return features;
}

/* CPUID is slow under a hypervisor, so it runs only once. Two threads that run it together get the same answer. */
unsigned capp_cpu_features(void) {
    enum { ASKED = 1 << 30 };
    static atomic_uint known;
    unsigned features = atomic_load(&known);
    if (!features) atomic_store(&known, features = ask() | ASKED);
    return features & ~(unsigned)ASKED;
}

bool capp_cpu_request(unsigned features) {
    if (features & ~capp_cpu_features()) return false;
    if (!(features & (CAPP_CPU_AMX_BF16 | CAPP_CPU_AMX_INT8))) return true;
    return !syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_TILEDATA);
}

void capp_pause(void) {
    _mm_pause();
}

unsigned capp_enter_arithmetic(void) {
    unsigned saved = _mm_getcsr();
    _mm_setcsr(DEFAULT_MXCSR);
    return saved;
}

void capp_leave_arithmetic(unsigned saved) {
    _mm_setcsr(saved);
}
