/* Shared by the tests of kernels: arrays directly before or after pages that may not be touched, in turn, and
 * comparisons that remember the largest error. */
#ifndef CAPP_KERNEL_CHECK_H
#define CAPP_KERNEL_CHECK_H

#include "kernel/kernel.h"
#include "test.h"

static const double EPS = 0x1p-24; /* half a unit in the last place of 1 */

extern double worst;    /* the greatest error in units of its tolerance; above 1 is a failure */
extern char first[160]; /* the first failure */
extern bool at_end;     /* where the next arrays lie */
extern test_random random_state;

/* n random normal floats that end at (at_end) or start after a page which may not be touched; valid until release(). */
float *array(size_t n);
float *copy_of(const float *x, size_t n);
void release(void);

size_t between(size_t least, size_t most);

void reject(const char *what, double got, double want, double ratio);
void near(const char *what, double got, double want, double tolerance);
void same(const char *what, const float *got, const float *want, size_t n);

/* The sum over a row in the order of kernel.h. */
float sum_of_lanes(const float *x, size_t n);

/* Checks c [m][n], with rows ldc apart, against what c was before; nothing between the rows may change. go_on: the
 * chain begins with the old values. */
void expect_product(const char *what, const float *c, const float *before, size_t ldc, const float *a, size_t lda,
                    const float *b, size_t row_b, size_t column_b, size_t m, size_t n, size_t depth, bool go_on);

#endif
