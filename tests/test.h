/* A C test program has any number of TEST(name) { CHECK(...); } and is linked with test.c. `PROGRAM --list` prints the
 * names, `PROGRAM NAME` runs one: the runner gives every test its own process. A test returns to pass; a failed CHECK
 * prints where and why and exits with 1; SKIP exits with 77. */
#ifndef CAPP_TEST_H
#define CAPP_TEST_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void test_register(const char *name, void (*fn)(void));
void test_fail(const char *file, int line, const char *format, ...) __attribute__((format(printf, 3, 4), noreturn));
void test_skip(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

#define TEST(name)                                                                                                     \
    static void test_##name(void);                                                                                     \
    __attribute__((constructor)) static void register_##name(void) {                                                   \
        test_register(#name, test_##name);                                                                             \
    }                                                                                                                  \
    static void test_##name(void)

#define FAIL(...) test_fail(__FILE__, __LINE__, __VA_ARGS__)
#define SKIP(...) test_skip(__VA_ARGS__)
#define CHECK(cond)                                                                                                    \
    do {                                                                                                               \
        if (!(cond)) FAIL("%s", #cond);                                                                                \
    } while (0)
#define CHECK_INT(a, b)                                                                                                \
    do {                                                                                                               \
        long long test_a = (long long)(a), test_b = (long long)(b);                                                    \
        if (test_a != test_b) FAIL("%s is %lld, not %s = %lld", #a, test_a, #b, test_b);                               \
    } while (0)
/* |a - b| <= tolerance; NaN fails. */
#define CHECK_NEAR(a, b, tolerance)                                                                                    \
    do {                                                                                                               \
        double test_a = (double)(a), test_b = (double)(b);                                                             \
        if (!(fabs(test_a - test_b) <= (tolerance)))                                                                   \
            FAIL("%s is %.9g, not %s = %.9g within %g", #a, test_a, #b, test_b, (double)(tolerance));                  \
    } while (0)
#define CHECK_STR(a, b)                                                                                                \
    do {                                                                                                               \
        const char *test_a = (a), *test_b = (b);                                                                       \
        if (strcmp(test_a, test_b)) FAIL("%s is \"%s\", not \"%s\"", #a, test_a, test_b);                              \
    } while (0)
#define CHECK_CONTAINS(text, part)                                                                                     \
    do {                                                                                                               \
        const char *test_a = (text), *test_b = (part);                                                                 \
        if (!strstr(test_a, test_b)) FAIL("%s is \"%s\", without \"%s\"", #text, test_a, test_b);                      \
    } while (0)
/* status must be OK; otherwise prints the message of err. */
#define CHECK_OK(call, err)                                                                                            \
    do {                                                                                                               \
        if ((call) != CAPP_OK) FAIL("%s: %s", #call, (err).message);                                                   \
    } while (0)

/* Deterministic random numbers (splitmix64), seeded by the test. */
typedef struct test_random {
    uint64_t state;
} test_random;
uint64_t test_random_u64(test_random *r);
uint64_t test_random_below(test_random *r, uint64_t n); /* 0 .. n - 1 */
double test_random_unit(test_random *r);                /* [0, 1) */
double test_random_normal(test_random *r);              /* mean 0, variance 1 */

/* ../shared beside the checkout (CAPP_SHARED overrides it), or NULL if it is missing. */
const char *test_shared(void);
/* Path of a fetched model ("smollm2", "gemma3") from CAPP_MODELS or the cache folder, or NULL. */
const char *test_model(const char *name);

#endif
