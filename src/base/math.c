/* Methods: reduction by multiples of a constant in several parts (Cody & Waite, Software Manual for the Elementary
 * Functions, 1980), the logarithm by atanh (Tang, ACM TOMS 16, 1990), products and sums without error (Dekker,
 * Numerische Mathematik 18, 1971; Knuth, The Art of Computer Programming 2, section 4.2.2). */
#include "base/math.h"

#include <math.h>
#include <stdbool.h>

/* ln(2) = LN2 + LN2_LOW + ..., and shorter: n LN2_SHORT is exact for whole n up to 2^14. */
static const double LN2 = 0x1.62e42fefa39efp-1, LN2_LOW = 0x1.abc9e3b39803fp-56;
static const double LN2_SHORT = 0x1.62e42fefa0000p-1, LN2_REST = 0x1.cf79abc9e3b3ap-40;
static const double LOG2_E = 0x1.71547652b82fep+0, TWO_OVER_PI = 0x1.45f306dc9c883p-1;
static const double HALF_PI[3] = {0x1.921fb54442d18p+0, 0x1.1a62633145c07p-54, -0x1.f1976b7ed8fbcp-110};
static const double MAGIC = 0x1.8p52; /* adding it rounds to an integer, which is left in the low bits */

/* An unevaluated sum; low is at most half a unit in the last place of high. */
typedef struct twofold {
    double high, low;
} twofold;

static twofold sum(double a, double b) {
    double s = a + b, of_b = s - a;
    return (twofold){s, (a - (s - of_b)) + (b - of_b)};
}

/* The same for |a| >= |b| or a = 0. */
static twofold sum_ordered(double a, double b) {
    double s = a + b;
    return (twofold){s, b - (s - a)};
}

static twofold product(double a, double b) {
    const double half = 0x1p27 + 1; /* splits 53 bits into two times 26 */
    double ca = half * a, cb = half * b, a0 = ca - (ca - a), b0 = cb - (cb - b), a1 = a - a0, b1 = b - b0, p = a * b;
    return (twofold){p, ((a0 * b0 - p) + a0 * b1 + a1 * b0) + a1 * b1};
}

static twofold add(twofold a, twofold b) {
    twofold s = sum(a.high, b.high), t = sum(a.low, b.low);
    s = sum_ordered(s.high, s.low + t.high);
    return sum_ordered(s.high, s.low + t.low);
}

static twofold multiply(twofold a, twofold b) {
    twofold p = product(a.high, b.high);
    return sum_ordered(p.high, p.low + (a.high * b.low + a.low * b.high));
}

static twofold divide(twofold a, twofold b) {
    double q = a.high / b.high;
    twofold back = multiply((twofold){q, 0}, b), rest = add(a, (twofold){-back.high, -back.low});
    return sum_ordered(q, (rest.high + rest.low) / b.high);
}

/* 2^n for n from -1022 to 1023. */
static double power_of_two(int n) {
    return capp_double_of_bits((uint64_t)(n + 1023) << 52);
}

/* x 2^n for n from -1080 to 1024 or so, in two factors, so that results below the normal range are right. */
static double times_power(double x, int n) {
    int half = n / 2;
    return x * power_of_two(half) * power_of_two(n - half);
}

double capp_exp(double x) {
    if (isnan(x)) return x;
    if (x > 710) return INFINITY;
    if (x < -746) return 0;
    double n = x * LOG2_E + MAGIC - MAGIC, high = x - n * LN2_SHORT, low = n * LN2_REST;
    double r = high - low, rest = (high - r) - low;
    double p = 1.0 / 87178291200; /* of 14! */
    p = p * r + 1.0 / 6227020800;
    p = p * r + 1.0 / 479001600;
    p = p * r + 1.0 / 39916800;
    p = p * r + 1.0 / 3628800;
    p = p * r + 1.0 / 362880;
    p = p * r + 1.0 / 40320;
    p = p * r + 1.0 / 5040;
    p = p * r + 1.0 / 720;
    p = p * r + 1.0 / 120;
    p = p * r + 1.0 / 24;
    p = p * r + 1.0 / 6;
    p = p * r + 0.5;
    twofold one_and_r = sum_ordered(1, r);
    return times_power(one_and_r.high + (one_and_r.low + (rest + r * r * p)), (int)n);
}

/* x = m 2^n with m from sqrt(1/2) to sqrt(2); x is positive and finite. */
static double mantissa(double x, int *n) {
    int raised = x < 0x1p-1022 ? 54 : 0;
    uint64_t bits = capp_bits_of_double(raised ? x * 0x1p54 : x), from = 0x3fe6a09e667f3bcd; /* sqrt(1/2) */
    int exponent = (int)((bits - from + (1023ull << 52)) >> 52) - 1023;
    *n = exponent - raised;
    return capp_double_of_bits(bits - ((uint64_t)(int64_t)exponent << 52));
}

/* log(1 + f) = 2 atanh(s) for s = f / (2 + f), written as f - (f^2 / 2 - s (f^2 / 2 + z (...))), z = s^2. */
double capp_log(double x) {
    if (!(x > 0)) return x == 0 ? -INFINITY : NAN;
    if (isinf(x)) return x;
    int n;
    double f = mantissa(x, &n) - 1, s = f / (2 + f), z = s * s, half = 0.5 * f * f;
    double p = 2.0 / 23;
    for (int i = 21; i >= 3; i -= 2) p = p * z + 2.0 / i;
    return n * LN2_SHORT - ((half - (s * (half + z * p) + n * LN2_REST)) - f);
}

/* The rounding of 1 + x is known, and the logarithm's slope there is 1 / (1 + x). (Kahan, HP-15C Advanced Functions
 * Handbook) */
double capp_log1p(double x) {
    twofold s = sum(1, x);
    return s.high == 1 ? x : capp_log(s.high) + s.low / s.high;
}

/* As capp_log, with twice the digits. */
static twofold log_twofold(double x) {
    enum { LAST = 43 };
    int n;
    double m = mantissa(x, &n);
    twofold s = divide((twofold){m - 1, 0}, sum(m, 1)), z = multiply(s, s), p = {0, 0};
    for (int i = LAST; i >= 1; i -= 2) p = add(multiply(p, z), divide((twofold){1, 0}, (twofold){i, 0}));
    p = multiply(s, p);
    return add(multiply((twofold){n, 0}, (twofold){LN2, LN2_LOW}), (twofold){2 * p.high, 2 * p.low});
}

/* |x| < 800. */
static double exp_twofold(twofold x) {
    enum { LAST = 23 };
    double n = x.high * LOG2_E + MAGIC - MAGIC;
    twofold r = add(x, multiply((twofold){-n, 0}, (twofold){LN2, LN2_LOW})), p = {1, 0};
    for (int i = LAST; i >= 1; i--) p = add((twofold){1, 0}, multiply(p, divide(r, (twofold){i, 0})));
    return times_power(p.high, (int)n);
}

double capp_pow(double x, double y) {
    if (x == 1 || y == 0) return 1;
    if (!isfinite(x) || !isfinite(y)) return NAN;
    if (x == 0) return y < 0 ? INFINITY : 0;
    bool odd = fmod(y, 2) != 0;
    if (x < 0 && y != floor(y)) return NAN;
    twofold log = log_twofold(fabs(x));
    double size = log.high * y, result;
    if (size > 710)
        result = INFINITY;
    else if (size < -746)
        result = 0;
    else
        result = exp_twofold(multiply(log, (twofold){y, 0}));
    return x < 0 && odd ? -result : result;
}

void capp_sin_cos(double x, double *sine, double *cosine) {
    *sine = *cosine = NAN;
    if (!(fabs(x) < 0x1p50)) return;
    double shifted = x * TWO_OVER_PI + MAGIC, n = shifted - MAGIC;
    uint64_t quarter = capp_bits_of_double(shifted) & 3;
    /* r + rest = x - n pi / 2, |r| <= pi / 4 */
    twofold first = product(n, HALF_PI[0]), second = product(n, HALF_PI[1]);
    twofold a = sum(x, -first.high), b = sum(a.high, -first.low), c = sum(b.high, -second.high);
    twofold reduced = sum(c.high, a.low + b.low + c.low - second.low - n * HALF_PI[2]);
    double r = reduced.high, rest = reduced.low, z = r * r;
    double s = -1.0 / 121645100408832000; /* of 19! */
    s = s * z + 1.0 / 355687428096000;
    s = s * z - 1.0 / 1307674368000;
    s = s * z + 1.0 / 6227020800;
    s = s * z - 1.0 / 39916800;
    s = s * z + 1.0 / 362880;
    s = s * z - 1.0 / 5040;
    s = s * z + 1.0 / 120;
    s = s * z - 1.0 / 6;
    double c18 = -1.0 / 6402373705728000; /* of 18! */
    c18 = c18 * z + 1.0 / 20922789888000;
    c18 = c18 * z - 1.0 / 87178291200;
    c18 = c18 * z + 1.0 / 479001600;
    c18 = c18 * z - 1.0 / 3628800;
    c18 = c18 * z + 1.0 / 40320;
    c18 = c18 * z - 1.0 / 720;
    c18 = c18 * z + 1.0 / 24;
    twofold near_one = sum_ordered(1, -0.5 * z);
    double of_r[2] = {r + (r * z * s + rest * (1 - 0.5 * z)),
                      near_one.high + (near_one.low + (z * z * c18 - r * rest))};
    bool swapped = quarter & 1;
    *sine = quarter & 2 ? -of_r[swapped] : of_r[swapped];
    *cosine = quarter == 1 || quarter == 2 ? -of_r[!swapped] : of_r[!swapped];
}
