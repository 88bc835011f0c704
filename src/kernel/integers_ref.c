/* Products of integers in plain C: the definition in kernel/integers.h as code. */
#include <stdbool.h>

#include "kernel/fused.h"

enum { WIDTH = 8 };

#include "kernel/integers_panel.inc"
#include "kernel/integers_plain.inc"

static int32_t digit_at(const capp_digits *a, int i) {
    return 256 * a->high[i] + a->low[i] - 32768;
}

/* Returns sum + row a times column j. */
static float sum_column(float sum, const capp_digits *a, const char *body, const capp_integer_form *form, size_t blocks,
                        size_t j) {
    const size_t bytes = block_bytes(form), halves = BLOCK / form->block;
    for (size_t b = 0; b < blocks; b++, a++, body += bytes) {
        const int8_t *numbers = (const int8_t *)body;
        const float *scales = (const float *)(const void *)(body + BLOCK * NR) + halves * NR,
                    *minima = scales + halves * NR;
        for (size_t h = 0; h < halves; h++) {
            int32_t whole = 0, total = 0;
            for (size_t i = h * form->block; i < (h + 1) * form->block; i++) {
                whole += digit_at(a, (int)i) * numbers[(i / 4 * NR + j) * 4 + i % 4];
                total += digit_at(a, (int)i);
            }
            sum = fused_exactly((float)whole, a->step * scales[h * NR + j], sum);
            if (form->minima) sum = fused_exactly(-(a->step * (float)total), minima[h * NR + j], sum);
        }
    }
    return sum;
}

static void multiply_panel(float *c, size_t ldc, const void *a, size_t lda, const void *panel, size_t m, size_t n,
                           size_t k, bool go_on, bool add) {
    capp_integer_form form;
    memcpy(&form, panel, sizeof form);
    for (size_t r = 0; r < m; r++)
        for (size_t j = 0; j < n; j++) {
            const capp_digits *row = (const capp_digits *)a + r * (lda / BLOCK);
            float *y = c + r * ldc + j;
            const float sum =
                sum_column(go_on ? *y : 0, row, (const char *)panel + HEADER, &form, (k + BLOCK - 1) / BLOCK, j);
            *y = add ? *y + sum : sum;
        }
}

#include "kernel/integers_products.inc"

const capp_products capp_integers_ref = {INTEGER_PRODUCTS};
