/* Features: Linux Documentation, arch/arm64/elf_hwcaps. FPCR: Arm Architecture Reference Manual, C5.2. */
#define _GNU_SOURCE
#include "base/cpu.h"
#include "base/platform.h"

#include <stdint.h>
#include <sys/auxv.h>

/* Bits of AT_HWCAP and AT_HWCAP2. The names of <asm/hwcap.h> are not in the headers of every C library. */
enum { HWCAP_NEON = 1 << 1, HWCAP_DOTPROD = 1 << 20, HWCAP2_WITH_I8MM = 1 << 13, HWCAP2_WITH_BF16 = 1 << 14 };

unsigned capp_cpu_features(void) {
    const unsigned long first = getauxval(AT_HWCAP), second = getauxval(AT_HWCAP2);
    unsigned features = 0;
    if (!(first & HWCAP_NEON)) return 0;
    features |= CAPP_CPU_NEON;
    if (!(first & HWCAP_DOTPROD)) return features;
    features |= CAPP_CPU_NEON_DOT;
    if (second & HWCAP2_WITH_I8MM) features |= CAPP_CPU_NEON_I8MM;
    if (second & HWCAP2_WITH_BF16) features |= CAPP_CPU_NEON_BF16;
    return features;
}

bool capp_cpu_request(unsigned features) {
    return !(features & ~capp_cpu_features());
}

void capp_pause(void) {
    __asm__ volatile("isb" ::: "memory"); /* waits longer than yield, which does nothing on most processors */
}

/* FPCR 0: round to nearest, denormals kept, no traps, NaN passes through. */
unsigned capp_enter_arithmetic(void) {
    uint64_t saved;
    __asm__ volatile("mrs %0, fpcr" : "=r"(saved));
    __asm__ volatile("msr fpcr, %0" ::"r"((uint64_t)0) : "memory");
    return (unsigned)saved;
}

void capp_leave_arithmetic(unsigned saved) {
    __asm__ volatile("msr fpcr, %0" ::"r"((uint64_t)saved) : "memory");
}
