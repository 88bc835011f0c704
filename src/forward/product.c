/* Matrix products of a wave. Tasks are blocks of rows by groups of panels: a block of rows stays in the second-level
 * cache while the group's panels pass. Which worker computes an output never changes its bits: a task has whole sums.
 */
#include "forward/forward.h"
#include "kernel/plain.h"

enum { BLOCK_ROWS = 192, GROUP_PANELS = 2, STRIP_ROWS = 48 };

typedef struct product {
    capp_forward *f;
    const capp_matrix *m;
    const char *x; /* [rows][ldx] elements */
    float *y;
    size_t ldx, ldy, rows, groups;
    bool add;
} product;

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

/* Columns of a panel. */
static size_t columns_of(const capp_matrix *m, size_t nr, size_t panel) {
    return least(m->columns - panel / m->parts * nr, nr);
}

static void multiply(const product *p, float *y, size_t ldy, size_t row, size_t rows, size_t panel, bool add) {
    const capp_products *products = p->f->w->products;
    products->matmul(y, ldy, p->x + row * p->ldx * products->element, p->ldx, p->m->packed + panel * p->m->panel_bytes,
                     rows, columns_of(p->m, products->nr, panel), p->m->k, add);
}

static void product_task(void *user, size_t task, int worker) {
    const product *p = user;
    const capp_matrix *m = p->m;
    (void)worker;
    size_t nr = p->f->w->products->nr, row = task / p->groups * BLOCK_ROWS, rows = least(p->rows - row, BLOCK_ROWS);
    size_t begin = task % p->groups * GROUP_PANELS, end = least(begin + GROUP_PANELS, m->panels);
    for (size_t panel = begin; panel < end; panel++) {
        float *y = p->y + row * p->ldy + panel * nr;
        multiply(p, y, p->ldy, row, rows, panel, p->add);
        for (size_t r = 0; m->bias && r < rows; r++)
            p->f->w->kernels->add(y + r * p->ldy, m->bias + panel * nr, columns_of(m, nr, panel));
    }
}

static size_t blocks_of(size_t rows) {
    return (rows + BLOCK_ROWS - 1) / BLOCK_ROWS;
}

void capp_product(capp_forward *f, const capp_matrix *m, const char *x, size_t ldx, float *y, size_t ldy, size_t rows,
                  bool add) {
    product p = {f, m, x, y, ldx, ldy, rows, (m->panels + GROUP_PANELS - 1) / GROUP_PANELS, add};
    capp_pool_run(f->pool, product_task, &p, blocks_of(rows) * p.groups);
}

/* ---- With the activation ---- */

/* In place in gate [n], which has its bias; up [n] likewise, where there is one. */
static void activate(const capp_weights *w, float *gate, const float *up, size_t n) {
    switch (w->hparams.activation) {
    case CAPP_SILU_GATED: w->kernels->silu_mul(gate, gate, up, n); break;
    case CAPP_GELU_GATED: w->kernels->gelu_mul(gate, gate, up, n); break;
    case CAPP_GELU_ERF_GATED: capp_gelu_erf_mul(gate, gate, up, n); break;
    case CAPP_CLAMPED_GATED: capp_clamped_mul(gate, gate, up, n); break;
    case CAPP_GELU: w->kernels->gelu(gate, n); break;
    case CAPP_GELU_ERF: capp_gelu_erf(gate, n); break;
    case CAPP_RELU: capp_relu(gate, n); break;
    }
}

/* A strip of rows, for a group of columns: the part of gate and the part of up side by side in scratch [row][part]
 * [column], then to f->g. */
static void activate_strip(const product *p, float *scratch, size_t row, size_t rows, size_t first, size_t end) {
    capp_forward *f = p->f;
    const capp_matrix *m = p->m;
    const capp_products *products = f->w->products;
    size_t nr = products->nr, width = GROUP_PANELS * nr, ld = m->parts * width, begin = first * nr;
    size_t columns = least(m->columns - begin, (end - first) * nr), last = end * nr >= m->columns;
    size_t padded = last ? columns + (products->step - m->columns % products->step) % products->step : columns;
    for (size_t j = first; j < end; j++)
        for (size_t part = 0; part < m->parts; part++)
            multiply(p, scratch + part * width + (j - first) * nr, ld, row, rows, j * m->parts + part, false);
    for (size_t r = 0; r < rows; r++) {
        float *gate = scratch + r * ld;
        for (size_t part = 0; m->bias && part < m->parts; part++)
            f->w->kernels->add(gate + part * width, m->bias + part * m->columns + begin, columns);
        activate(f->w, gate, gate + width, columns);
        products->narrow(f->g + ((row + r) * f->g_stride + begin) * products->element, gate, columns, padded);
    }
}

static void activated_task(void *user, size_t task, int worker) {
    const product *p = user;
    float *scratch = p->f->scratch + (size_t)worker * p->f->scratch_stride;
    size_t row = task / p->groups * BLOCK_ROWS, rows_end = least(row + BLOCK_ROWS, p->rows);
    size_t begin = task % p->groups * GROUP_PANELS, end = least(begin + GROUP_PANELS, p->m->panels / p->m->parts);
    for (; row < rows_end; row += STRIP_ROWS)
        activate_strip(p, scratch, row, least(rows_end - row, STRIP_ROWS), begin, end);
}

void capp_product_activated(capp_forward *f, const capp_matrix *m, const char *x, size_t rows) {
    product p = {.f = f, .m = m, .x = x, .ldx = f->h_stride, .rows = rows};
    p.groups = (m->panels / m->parts + GROUP_PANELS - 1) / GROUP_PANELS;
    capp_pool_run(f->pool, activated_task, &p, blocks_of(rows) * p.groups);
}

size_t capp_product_scratch(const capp_weights *w) {
    return STRIP_ROWS * (capp_is_gated(w->hparams.activation) ? 2u : 1u) * GROUP_PANELS * w->products->nr;
}
