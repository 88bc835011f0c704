#include "kernel/kernel.h"

#include "base/cpu.h"

#include <string.h>

static const capp_kernels *const tables[] = {
    &capp_kernels_ref,
#if defined(__x86_64__)
    &capp_kernels_avx2,       &capp_kernels_avxvnni,    &capp_kernels_avx512,
    &capp_kernels_avx512vnni, &capp_kernels_avx512bf16, &capp_kernels_amx,
#elif defined(__aarch64__)
    &capp_kernels_neon, &capp_kernels_neondot, &capp_kernels_neoni8mm, &capp_kernels_neonbf16,
#endif
};

enum { TABLES = sizeof tables / sizeof *tables };

/* There are two tables named "ref", which give the same bits, and two named "avx512bf16". The processor's features
 * choose: ref with FMA if there is FMA, products of bfloat16 by VDPBF16PS if it is fast. */
const capp_kernels *capp_kernels_at(size_t i) {
    if (i == 0 && !(capp_kernels_ref_fma.needs & ~capp_cpu_features())) return &capp_kernels_ref_fma;
    if (i >= TABLES) return NULL;
#if defined(__x86_64__)
    if (tables[i] == &capp_kernels_avx512bf16 && !(capp_cpu_features() & CAPP_CPU_FAST_BF16))
        return &capp_kernels_avx512bf16_fma;
#endif
    return tables[i];
}

const capp_kernels *capp_kernels_named(const char *name) {
    for (size_t i = 0; capp_kernels_at(i); i++)
        if (!strcmp(capp_kernels_at(i)->name, name)) return capp_kernels_at(i);
    return NULL;
}

const capp_kernels *capp_kernels_best(unsigned cpu_features) {
    const capp_kernels *best = &capp_kernels_ref;
    for (size_t i = 0; capp_kernels_at(i); i++)
        if ((capp_kernels_at(i)->needs & ~cpu_features) == 0) best = capp_kernels_at(i);
    return best;
}
