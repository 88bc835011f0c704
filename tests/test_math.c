/* The library's own elementary functions: compared with the C library's over their whole ranges, and the bits of a few
 * thousand results, which must not depend on compiler or machine. */
#include "base/math.h"

#include <float.h>
#include <math.h>

#include "test.h"

enum { MANY = 200000 };

static test_random random_state = {7};

static double uniform(double low, double high) {
    return low + (high - low) * test_random_unit(&random_state);
}

/* The error of `got`, relative to `want` in long double, in units of the last place of a double or a float. */
static long double error_of(double got, long double want, int digits, int least_exponent) {
    int exponent;
    if (got == (double)want || (isnan(got) && isnan(want))) return 0;
    (void)frexpl(want, &exponent);
    if (exponent < least_exponent) exponent = least_exponent;
    return fabsl((long double)got - want) / ldexpl(1, exponent - digits);
}

static long double worst;
static double worst_at;

static void near_double(double x, double got, long double want) {
    long double error = error_of(got, want, DBL_MANT_DIG, DBL_MIN_EXP);
    if (!(error <= worst)) worst = error, worst_at = x;
}

static void near_float(float x, float got, double want) {
    long double error = error_of((double)got, (long double)want, FLT_MANT_DIG, FLT_MIN_EXP);
    if ((float)want == got) error = 0; /* overflow too */
    if (!(error <= worst)) worst = error, worst_at = (double)x;
}

static void expect(const char *what, double most) {
    if (!(worst <= (long double)most)) FAIL("%s(%a) errs by %g units", what, worst_at, (double)worst);
    worst = 0;
}

TEST(exp) {
    for (int i = 0; i < MANY; i++) {
        double x = i % 2 ? uniform(-745, 709.7) : uniform(-1, 1) * exp2(-(double)(i % 60));
        near_double(x, capp_exp(x), expl((long double)x));
    }
    expect("exp", 0.8);
    CHECK(capp_exp(-INFINITY) == 0 && capp_exp(-1000) == 0 && capp_exp(0) == 1);
    CHECK(isinf(capp_exp(1000)) && isinf(capp_exp(INFINITY)) && isnan(capp_exp(NAN)));
}

TEST(log) {
    for (int i = 0; i < MANY; i++) {
        double x = i % 2 ? exp2(uniform(-1074, 1023.9)) : 1 + uniform(-0.5, 1) * exp2(-(double)(i % 50));
        near_double(x, capp_log(x), logl((long double)x));
    }
    expect("log", 0.8);
    CHECK(capp_log(0) == -INFINITY && isnan(capp_log(-1)) && isnan(capp_log(NAN)) && isinf(capp_log(INFINITY)));
    CHECK(capp_log(1) == 0);
}

TEST(log1p) {
    for (int i = 0; i < MANY; i++) {
        double x = i % 2 ? uniform(-0.9, 10) : uniform(0, 1) * exp2(-(double)(i % 80));
        near_double(x, capp_log1p(x), log1pl((long double)x));
    }
    expect("log1p", 1.2);
    CHECK(capp_log1p(0) == 0);
}

TEST(pow) {
    for (int i = 0; i < MANY / 4; i++) {
        double x = i % 2 ? exp2(uniform(-60, 60)) : uniform(0.5, 2), y = uniform(-16, 16) * (i % 3 ? 1 : 40.0 / 16);
        if (fabs(log(x) * y) > 700) continue;
        near_double(x, capp_pow(x, y), powl((long double)x, (long double)y));
    }
    expect("pow", 0.51); /* the long double has 11 bits more */
    for (int n = 0; n <= 22; n++)
        CHECK(capp_pow(10, n) == strtod((char[]){'1', 'e', (char)('0' + n / 10), (char)('0' + n % 10), 0}, NULL));
    for (int n = -1074; n <= 1023; n++) CHECK(capp_pow(2, n) == ldexp(1, n));
    CHECK(capp_pow(-2, 3) == -8 && capp_pow(-2, -2) == 0.25 && isnan(capp_pow(-2, 0.5)) && capp_pow(7, 0) == 1);
    CHECK(capp_pow(0, 2) == 0 && isinf(capp_pow(0, -1)) && isinf(capp_pow(10, 400)) && capp_pow(10, -400) == 0);
}

TEST(sin_cos) {
    for (int i = 0; i < MANY; i++) {
        double x = i % 4 == 0   ? uniform(-7, 7)
                   : i % 4 == 1 ? (double)test_random_below(&random_state, 1 << 20) * exp2(-uniform(0, 20))
                   : i % 4 == 2 ? 1.57079632679489661923 * (double)test_random_below(&random_state, 1 << 20)
                                : uniform(-0x1p45, 0x1p45);
        double sine, cosine;
        capp_sin_cos(x, &sine, &cosine);
        near_double(x, sine, sinl((long double)x));
        near_double(x, cosine, cosl((long double)x));
    }
    expect("sine or cosine", 0.8);
    double sine, cosine;
    capp_sin_cos(0, &sine, &cosine);
    CHECK(sine == 0 && cosine == 1);
    capp_sin_cos(INFINITY, &sine, &cosine);
    CHECK(isnan(sine) && isnan(cosine));
}

/* Every 997th float. */
static void each_float(const char *what, float (*own)(float), double (*of)(double), double most) {
    for (uint64_t bits = 0; bits <= 0xffffffff; bits += 997) {
        uint32_t these = (uint32_t)bits;
        float x;
        memcpy(&x, &these, sizeof x);
        if (isnan(x))
            CHECK(isnan(own(x)));
        else
            near_float(x, own(x), of((double)x));
    }
    expect(what, most);
}

static float own_expf(float x) {
    return (float)capp_pair_exp(capp_pair_of((double)x))[0];
}
static float own_tanhf(float x) {
    return (float)capp_pair_tanh(capp_pair_of((double)x))[0];
}
static float own_erff(float x) {
    return (float)capp_pair_erf(capp_pair_of((double)x))[0];
}

TEST(expf) {
    each_float("expf", own_expf, exp, 0.51);
}
TEST(tanhf) {
    each_float("tanhf", own_tanhf, tanh, 0.51);
}
TEST(erff) {
    each_float("erff", own_erff, erf, 0.51);
}

/* FNV-1a over the bits of results; the value for version 1 of the arithmetic. */
static uint64_t hash = 0xcbf29ce484222325;

static void add_to_hash(double x) {
    uint64_t bits = capp_bits_of_double(x);
    for (int i = 0; i < 64; i += 8) hash = (hash ^ (bits >> i & 0xff)) * 0x100000001b3;
}

TEST(bits) {
    for (int i = 0; i < 4000; i++) {
        double x = (i - 2000) * 0.37 + 1.0 / (i + 1), sine, cosine;
        capp_sin_cos(x * 100, &sine, &cosine);
        add_to_hash(sine);
        add_to_hash(cosine);
        add_to_hash(capp_exp(x));
        add_to_hash(capp_log(fabs(x)));
        add_to_hash(capp_log1p(fabs(x)));
        add_to_hash(capp_pow(fabs(x), 1.0 / (i + 1)));
        add_to_hash((double)own_expf((float)x));
        add_to_hash((double)own_tanhf((float)(x * 0.01)));
        add_to_hash((double)own_erff((float)(x * 0.01)));
    }
    if (hash != 0xb0fe045c2b860a0b)
        FAIL("the bits hash to 0x%llx; raise the version of the arithmetic", (unsigned long long)hash);
}
