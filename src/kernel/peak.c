#define _POSIX_C_SOURCE 200809L

#include "kernel/peak.h"

#include "base/cpu.h"
#include "kernel/kernel.h"
#include "kernel/peak_loops.h"

#include <string.h>
#include <time.h>

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double capp_peak_gflops(const char *isa, const char *products, double seconds) {
    const size_t slice = 20000; /* at most half a millisecond, so that interrupts disturb few slices */
    const capp_kernels *kernels = capp_kernels_named(isa);
    double best = 0;
    if (!kernels || !capp_cpu_request(kernels->needs)) return 0;
    for (const capp_peak_loop *loop = capp_peak_loops; loop->isa; loop++) {
        if (strcmp(loop->isa, isa) != 0 || strcmp(loop->products, products) != 0) continue;
        for (double start = now(), before = start; before - start < seconds;) {
            const double operations = loop->run(slice), after = now();
            const double rate = operations / (after - before) * 1e-9;
            if (after > before && rate > best) best = rate;
            before = after;
        }
    }
    return best;
}
