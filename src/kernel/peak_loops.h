/* Loops that keep one unit of a processor busy. Each runs `times` rounds of x = x / 2 + 1, which tends to 2, or a
 * product of integers, on SUMS independent registers. That is more than latency times throughput of any unit. The empty
 * asm makes the compiler treat each value as used. */
#ifndef CAPP_KERNEL_PEAK_LOOPS_H
#define CAPP_KERNEL_PEAK_LOOPS_H

#include <stddef.h>

enum { SUMS = 12 };

/* Operations of an instruction that multiplies integers are counted as products of one digit. Where an activation's two
 * digits take an instruction each, a product of whole integers is two of them. */
#define TWO_DIGITS(run)                                                                                                \
    static double run##_twice(size_t times) {                                                                          \
        return run(times) / 2;                                                                                         \
    }

#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

typedef struct capp_peak_loop {
    const char *isa, *products;  /* of kernel.h */
    double (*run)(size_t times); /* returns the number of operations done */
} capp_peak_loop;

/* The loops of this processor's family; ends with an isa of NULL. */
extern const capp_peak_loop capp_peak_loops[];

#endif
