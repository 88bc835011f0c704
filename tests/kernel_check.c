#define _DEFAULT_SOURCE

#include "kernel_check.h"

#include <sys/mman.h>

enum { LANES = CAPP_LANES, PAGE = 4096, MOST_MAPPED = 32 };

/* Guarded arrays -------------------------------------------------------------------------------------------------- */

static struct {
    char *at;
    size_t bytes;
} mapped[MOST_MAPPED];
static size_t n_mapped;
bool at_end;
test_random random_state = {1};

float *array(size_t n) {
    const size_t inner = (n * sizeof(float) + PAGE - 1) / PAGE * PAGE, bytes = inner + 2 * PAGE;
    char *at = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(at != MAP_FAILED && n_mapped < MOST_MAPPED);
    if (inner) CHECK(!mprotect(at + PAGE, inner, PROT_READ | PROT_WRITE));
    mapped[n_mapped].at = at;
    mapped[n_mapped++].bytes = bytes;
    float *x = (float *)(void *)(at + PAGE + (at_end ? inner - n * sizeof(float) : 0));
    for (size_t i = 0; i < n; i++) x[i] = (float)test_random_normal(&random_state);
    return x;
}

float *copy_of(const float *x, size_t n) {
    float *y = array(n);
    if (n) memcpy(y, x, n * sizeof *y);
    return y;
}

void release(void) {
    while (n_mapped) {
        n_mapped--;
        munmap(mapped[n_mapped].at, mapped[n_mapped].bytes);
    }
}

size_t between(size_t least, size_t most) {
    return least + test_random_below(&random_state, most - least + 1);
}

/* Errors ---------------------------------------------------------------------------------------------------------- */

double worst;
char first[160];

void reject(const char *what, double got, double want, double ratio) {
    if (worst <= 1) snprintf(first, sizeof first, "%s: %.9g, not %.9g", what, got, want);
    worst = ratio;
}

void near(const char *what, double got, double want, double tolerance) {
    const double ratio = fabs(got - want) / tolerance;
    if (!(ratio <= 1))
        reject(what, got, want, HUGE_VAL);
    else if (ratio > worst)
        worst = ratio;
}

static uint32_t bits_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

void same(const char *what, const float *got, const float *want, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (bits_of(got[i]) != bits_of(want[i])) reject(what, (double)got[i], (double)want[i], HUGE_VAL);
}

float sum_of_lanes(const float *x, size_t n) {
    float lane[LANES] = {0};
    for (size_t i = 0; i < n; i++) lane[i % LANES] += x[i];
    for (size_t width = LANES / 2; width; width /= 2)
        for (size_t l = 0; l < width; l++) lane[l] += lane[l + width];
    return lane[0];
}

void expect_product(const char *what, const float *c, const float *before, size_t ldc, const float *a, size_t lda,
                    const float *b, size_t row_b, size_t column_b, size_t m, size_t n, size_t depth, bool go_on) {
    for (size_t r = 0; r < m; r++) {
        for (size_t j = 0; j < n; j++) {
            const float *was = before + r * ldc + j;
            float exact = go_on ? *was : 0;
            double sum = exact, size = fabs(sum);
            for (size_t i = 0; i < depth; i++) {
                const float x = a[r * lda + i], y = b[i * row_b + j * column_b];
                exact = fmaf(x, y, exact);
                sum += (double)x * (double)y;
                size += fabs((double)x * (double)y);
            }
            near(what, (double)c[r * ldc + j], sum, 8 * EPS * size + 1e-30);
            same(what, c + r * ldc + j, &exact, 1);
        }
        if (r + 1 < m) same("between rows", c + r * ldc + n, before + r * ldc + n, ldc - n);
    }
}
