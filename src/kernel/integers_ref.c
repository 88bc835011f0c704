/* Products of integers in plain C: the definition in kernel/integers.h as code. A panel is the type and a copy of the
 * stored rows. */
#include <stdbool.h>

#include "kernel/fused.h"

enum { WIDTH = 8 };

#include "kernel/integers_panel.inc"

static size_t panel_bytes(uint32_t type, size_t k) {
    return HEADER + (NR * capp_integer_bytes(type, k) + 63) / 64 * 64;
}

static void copy_rows(void *panel, uint32_t type, const char *const *rows, size_t n, size_t k) {
    const size_t bytes = capp_integer_bytes(type, k);
    memset(panel, 0, panel_bytes(type, k));
    memcpy(panel, &type, sizeof type);
    for (size_t i = 0; i < n; i++) memcpy((char *)panel + HEADER + i * bytes, rows[i], bytes);
}

#define X(type, ...)                                                                                                   \
    static void unpack_##type(void *panel, const char *const *rows, size_t n, size_t k) {                              \
        copy_rows(panel, CAPP_TYPE_##type, rows, n, k);                                                                \
    }
CAPP_INTEGER_TYPE_MAP(X)
CAPP_GROUP_TYPE_MAP(X)
#undef X

static capp_unpack_fn unpack(uint32_t type) {
    switch (type) {
#define X(type, ...)                                                                                                   \
    case CAPP_TYPE_##type: return unpack_##type;
        CAPP_INTEGER_TYPE_MAP(X)
        CAPP_GROUP_TYPE_MAP(X)
#undef X
    default: return NULL;
    }
}

static int32_t digit_at(const capp_digits *a, size_t i) {
    return 256 * a->high[i] + a->low[i] - 32768;
}

/* Returns sum + the product of a row of activations and a row of `blocks` blocks of weights. */
static float add_products(float sum, const capp_digits *a, const capp_integer_block *w, const capp_integer_form *form,
                          size_t blocks) {
    for (size_t b = 0; b < blocks; b++, a++, w++)
        for (size_t h = 0; h < BLOCK / form->block; h++) {
            int32_t whole = 0, total = 0;
            for (size_t i = h * form->block; i < (h + 1) * form->block; i++) {
                whole += digit_at(a, i) * w->number[i];
                total += digit_at(a, i);
            }
            sum = fused_exactly((float)whole, a->step * w->scale[h], sum);
            if (form->minima) sum = fused_exactly(-(a->step * (float)total), w->minimum[h], sum);
        }
    return sum;
}

static void multiply_panel(float *c, size_t ldc, const void *a, size_t lda, const void *panel, size_t m, size_t n,
                           size_t k, bool go_on, bool add) {
    capp_integer_block w[CAPP_BLOCK_K / BLOCK];
    uint32_t type;
    memcpy(&type, panel, sizeof type);
    const capp_integer_form *form = capp_integer_form_of(type);
    for (size_t j = 0; j < n; j++) {
        capp_integers_read(w, type, (const char *)panel + HEADER + j * capp_integer_bytes(type, k), k);
        for (size_t r = 0; r < m; r++) {
            float *y = c + r * ldc + j;
            const capp_digits *row = (const capp_digits *)a + r * (lda / BLOCK);
            const float sum = add_products(go_on ? *y : 0, row, w, form, k / BLOCK);
            *y = add ? *y + sum : sum;
        }
    }
}

#include "kernel/integers_products.inc"

const capp_products capp_integers_ref = {INTEGER_PRODUCTS};
