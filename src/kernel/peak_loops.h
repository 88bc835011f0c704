/* Loops that keep one unit of a processor busy. Each runs `times` rounds of x = x / 2 + 1, which tends to 2, or a
 * product of integers, on SUMS independent registers. That is more than latency times throughput of any unit. The empty
 * asm makes the compiler treat each value as used. */
#ifndef CAPP_KERNEL_PEAK_LOOPS_H
#define CAPP_KERNEL_PEAK_LOOPS_H

#include <stddef.h>

enum { SUMS = 12 };

/* A product of integers takes two instructions, one for each digit of an activation. */
enum { DIGITS = 2 };

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
