/* Elementary functions that give the same bits on every machine, with every compiler and at every optimization level.
 *
 * The C library's exp, log, pow, sin and so on differ between versions and processors, so no result may depend on
 * them. The functions here use only additions, subtractions, multiplications, divisions and integer operations on
 * bits. All of these are exact in IEEE 754 arithmetic once the compiler does not fuse them (meson.build turns that
 * off). sqrt, floor, ceil and fmod of the C library are exact too and stay in use.
 *
 * Errors, in units in the last place: pow 0.5, exp, log, sine and cosine below 0.8, log1p below 1.2, the functions of
 * floats 0.5 and a little.
 * Polynomials are Taylor series, long enough for double precision, unless a comment says otherwise. */
#ifndef CAPP_BASE_MATH_H
#define CAPP_BASE_MATH_H

#include <stdint.h>
#include <string.h>

double capp_exp(double x);
double capp_log(double x); /* -inf of 0, NaN below */

/* log(1 + x) for finite x > -1. */
double capp_log1p(double x);

/* x to the power of y for finite x and y; x < 0 only with a whole y. Slower than the others: about a microsecond. */
double capp_pow(double x, double y);

/* Sine and cosine of x, |x| < 2^50; NaN outside. */
void capp_sin_cos(double x, double *sine, double *cosine);

#define CAPP_LN2 0x1.62e42fefa39efp-1

static inline double capp_double_of_bits(uint64_t bits) {
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline uint64_t capp_bits_of_double(double x) {
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* The functions of a pair of doubles below are for floats: their errors are below 2^-29. A pair is a vector of the
 * compiler's portable kind, because compilers do not vectorize loops that choose between floats. */
typedef double capp_pair __attribute__((vector_size(16)));
typedef uint64_t capp_pair_bits __attribute__((vector_size(16)));

static inline capp_pair capp_pair_of(double x) {
    return (capp_pair){x, x};
}

/* For each element: `yes` if the bits of `which` are set, `no` if they are clear. */
static inline capp_pair capp_pair_choose(capp_pair_bits which, capp_pair yes, capp_pair no) {
    return (capp_pair)((which & (capp_pair_bits)yes) | (~which & (capp_pair_bits)no));
}

/* exp(x) for |x| < 700: 2^n exp(r), |r| <= ln(2) / 2. */
static inline capp_pair capp_pair_exp_bounded(capp_pair x) {
    const capp_pair zero = {0, 0}, magic = zero + 0x1.8p52; /* adding it rounds to an integer, left in the low bits */
    const capp_pair shifted = x * 0x1.71547652b82fep+0 + magic, n = shifted - magic;
    const capp_pair r = x - n * CAPP_LN2;
    capp_pair p = zero + 1.0 / 40320;
    p = p * r + 1.0 / 5040;
    p = p * r + 1.0 / 720;
    p = p * r + 1.0 / 120;
    p = p * r + 1.0 / 24;
    p = p * r + 1.0 / 6;
    p = p * r + 0.5;
    p = p * r + 1;
    p = p * r + 1;
    return p * (capp_pair)(((capp_pair_bits)shifted + 1023) << 52);
}

/* exp(x); x below -200 counts as -200, x above 200 as 200; NaN stays NaN. */
static inline capp_pair capp_pair_exp(capp_pair x) {
    const capp_pair zero = {0, 0};
    x = capp_pair_choose((capp_pair_bits)(x < -200), zero - 200, x);
    return capp_pair_exp_bounded(capp_pair_choose((capp_pair_bits)(x > 200), zero + 200, x));
}

/* 1 - 2 / (exp(2 |x|) + 1), and x - x^3 / 3 where that would cancel. */
static inline capp_pair capp_pair_tanh(capp_pair x) {
    const capp_pair size = (capp_pair)((capp_pair_bits)x & INT64_MAX);
    const capp_pair_bits sign = (capp_pair_bits)x & (uint64_t)INT64_MIN;
    const capp_pair bounded = capp_pair_choose((capp_pair_bits)(size > 20), capp_pair_of(20), size);
    const capp_pair large = 1 - 2 / (capp_pair_exp_bounded(2 * bounded) + 1), small = x - x * (x * x) * (1.0 / 3);
    return capp_pair_choose((capp_pair_bits)(size < 0x1p-12), small, (capp_pair)((capp_pair_bits)large | sign));
}

/* erf near 0 is its Maclaurin series, whose term of x^(2 n + 1) is (-1)^n / (n! (2 n + 1)), times 2 / sqrt(pi).
 * Elsewhere it is 1 - exp(-x^2) p(s), where p interpolates exp(x^2) erfc(x) at nine Chebyshev nodes of 3 / (3 + x) for
 * x from 0.75 to 4. (Schonfelder, Chebyshev expansions for the error and related functions, Mathematics of Computation
 * 32, 1978.) x is taken as 4 above that, where erf rounds to the float 1. */
static inline capp_pair capp_pair_erf(capp_pair x) {
    const capp_pair_bits sign = (capp_pair_bits)x & (uint64_t)INT64_MIN;
    const capp_pair zero = {0, 0}, size = (capp_pair)((capp_pair_bits)x & INT64_MAX);
    const capp_pair bounded = capp_pair_choose((capp_pair_bits)(size > 4), zero + 4, size), square = bounded * bounded;
    const capp_pair s = 16.15384615384615 / (3 + bounded) - 3.3076923076923075;
    capp_pair p = zero - 1.8341939624176156e-07;
    p = p * s - 1.7074121695423412e-06;
    p = p * s + 5.921525759055751e-06;
    p = p * s + 0.00020545574703308825;
    p = p * s + 0.001950422393409508;
    p = p * s + 0.011750494884816227;
    p = p * s + 0.05160797418809412;
    p = p * s + 0.17301485305672445;
    p = p * s + 0.2684044192591489;
    capp_pair q = zero - 1.0 / (362880.0 * 19);
    q = q * square + 1.0 / (40320.0 * 17);
    q = q * square - 1.0 / (5040.0 * 15);
    q = q * square + 1.0 / (720.0 * 13);
    q = q * square - 1.0 / (120.0 * 11);
    q = q * square + 1.0 / (24.0 * 9);
    q = q * square - 1.0 / (6.0 * 7);
    q = q * square + 1.0 / (2.0 * 5);
    q = q * square - 1.0 / 3;
    q = q * square + 1;
    const capp_pair large = 1 - capp_pair_exp_bounded(-square) * p, small = x * q * 1.1283791670955126;
    return capp_pair_choose((capp_pair_bits)(size < 0.75), small, (capp_pair)((capp_pair_bits)large | sign));
}

#endif
