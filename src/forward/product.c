/* Matrix products of a wave. Tasks are blocks of rows by groups of panels: a block of rows stays in the second-level
 * cache while the group's panels pass. Which worker computes an output never changes its bits: a task has whole sums.
 */
#include "forward/forward.h"

enum { BLOCK_ROWS = 192, GROUP_PANELS = 4 };

typedef struct product {
    const capp_kernels *kernels;
    const capp_matrix *m;
    const float *x;
    float *y;
    size_t ldx, ldy, rows, groups;
} product;

static void product_task(void *user, size_t task, int worker) {
    const product *p = user;
    const capp_matrix *m = p->m;
    (void)worker;
    size_t nr = p->kernels->nr, block = task / p->groups, group = task % p->groups;
    size_t row = block * BLOCK_ROWS, rows = p->rows - row < BLOCK_ROWS ? p->rows - row : BLOCK_ROWS;
    size_t begin = group * GROUP_PANELS, end = begin + GROUP_PANELS < m->panels ? begin + GROUP_PANELS : m->panels;
    for (size_t panel = begin; panel < end; panel++) {
        size_t column = panel * nr, columns = m->n - column < nr ? m->n - column : nr;
        float *y = p->y + row * p->ldy + column;
        p->kernels->matmul(y, p->ldy, p->x + row * p->ldx, p->ldx, m->packed + panel * m->panel_bytes, rows, columns,
                           m->k, false);
        if (m->bias)
            for (size_t r = 0; r < rows; r++) p->kernels->add(y + r * p->ldy, m->bias + column, columns);
    }
}

void capp_product(capp_forward *f, const capp_matrix *m, const float *x, size_t ldx, float *y, size_t ldy,
                  size_t rows) {
    product p = {f->w->kernels, m, x, y, ldx, ldy, rows, (m->panels + GROUP_PANELS - 1) / GROUP_PANELS};
    capp_pool_run(f->pool, product_task, &p, (rows + BLOCK_ROWS - 1) / BLOCK_ROWS * p.groups);
}
