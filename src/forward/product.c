/* Matrix products of a wave. Tasks are blocks of rows by groups of panels. A long k goes part by part: what stays in
 * the second-level cache is the group's panels' part and, while they pass, that of 192 rows. Which worker computes an
 * output never changes its bits: a task has whole sums, each one chain, which a part goes on with where the last one
 * left it. */
#include "forward/forward.h"
#include "kernel/plain.h"

enum { BLOCK_ROWS = 192, GROUP_PANELS = 2, STRIP_ROWS = 48, MOST_PARTS = 2 };

typedef struct product {
    const capp_forward *f;
    const capp_matrix *m;
    const char *x; /* [rows][ldx] elements */
    float *y;
    size_t ldx, ldy, rows, block, groups;
    bool add;
} product;

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

/* Columns of a panel. */
static size_t columns_of(const capp_matrix *m, size_t nr, size_t panel) {
    return least(m->columns - panel / m->parts * nr, nr);
}

void capp_multiply(const capp_products *products, float *c, size_t ldc, const char *x, size_t ldx, const char *panel,
                   size_t rows, size_t n, size_t from, size_t part) {
    if (from)
        products->matmul_on(c, ldc, x, ldx, panel, rows, n, part);
    else
        products->matmul(c, ldc, x, ldx, panel, rows, n, part, false);
}

/* A part along k that begins at `from`, of rows from `row` on. */
static void multiply(const product *p, const char *panel, float *y, size_t ldy, size_t row, size_t rows, size_t n,
                     size_t from) {
    const capp_products *products = p->f->w->products;
    capp_multiply(products, y, ldy, p->x + (row * p->ldx + from) * products->element, p->ldx, panel, rows, n, from,
                  capp_part_of(products, p->m->k, from));
}

static bool is_whole(const capp_products *products, const capp_matrix *m) {
    return capp_part_of(products, m->k, 0) == m->k;
}

static float *scratch_of(const capp_forward *f, int worker) {
    return f->scratch + (size_t)worker * f->scratch_stride;
}

/* Panels of a task: begin .. begin + n - 1, to columns of y [rows][ldy]. */
typedef struct panel_group {
    size_t begin, n;
    float *y;
    size_t ldy;
} panel_group;

/* All of k in one part, from rows `row` on: with its own way to add. */
static void multiply_whole(const product *p, const panel_group *g, float *scratch, size_t row, size_t rows) {
    const capp_products *products = p->f->w->products;
    const char *parts[GROUP_PANELS];
    capp_matrix_parts(p->f->w, p->m, g->begin, g->n, 0, scratch, parts);
    for (size_t end = row + rows, r = row, strip; r < end; r += strip) {
        strip = least(end - r, BLOCK_ROWS);
        for (size_t i = 0; i < g->n; i++)
            products->matmul(g->y + (r - row) * g->ldy + i * products->nr, g->ldy,
                             p->x + r * p->ldx * products->element, p->ldx, parts[i], strip,
                             columns_of(p->m, products->nr, g->begin + i), p->m->k, p->add);
    }
}

/* Part after part along k, each for all rows. Sums that are to be added to y stand in scratch until they are whole. */
static void multiply_parts(const product *p, const panel_group *g, float *scratch, size_t row, size_t rows) {
    const capp_weights *w = p->f->w;
    size_t nr = w->products->nr, width = GROUP_PANELS * nr, ldc = p->add ? width : g->ldy;
    const char *parts[GROUP_PANELS];
    float *c = p->add ? scratch : g->y, *room = scratch + p->block * width;
    for (size_t from = 0; from < p->m->k; from += capp_part_of(w->products, p->m->k, from)) {
        capp_matrix_parts(w, p->m, g->begin, g->n, from, room, parts);
        for (size_t r = 0; r < rows; r += BLOCK_ROWS)
            for (size_t i = 0; i < g->n; i++)
                multiply(p, parts[i], c + r * ldc + i * nr, ldc, row + r, least(rows - r, BLOCK_ROWS),
                         columns_of(p->m, nr, g->begin + i), from);
    }
    for (size_t r = 0; p->add && r < rows; r++)
        w->kernels->add(g->y + r * g->ldy, c + r * ldc, least(p->m->columns - g->begin * nr, g->n * nr));
}

static void product_task(void *user, size_t task, int worker) {
    const product *p = user;
    const capp_matrix *m = p->m;
    size_t nr = p->f->w->products->nr, row = task / p->groups * p->block, rows = least(p->rows - row, p->block);
    panel_group g = {.begin = task % p->groups * GROUP_PANELS};
    g.n = least(GROUP_PANELS, m->panels - g.begin);
    g.y = p->y + row * p->ldy + g.begin * nr, g.ldy = p->ldy;
    float *scratch = scratch_of(p->f, worker);
    (is_whole(p->f->w->products, m) ? multiply_whole : multiply_parts)(p, &g, scratch, row, rows);
    for (size_t r = 0; m->bias && r < rows; r++)
        p->f->w->kernels->add(g.y + r * g.ldy, m->bias + g.begin * nr, least(m->columns - g.begin * nr, g.n * nr));
}

/* Rows of a task: panels that must be packed first are packed once for all rows. */
static size_t block_of(const capp_matrix *m, size_t rows) {
    return m->packed || !rows ? BLOCK_ROWS : rows;
}

static size_t blocks_of(const product *p) {
    return (p->rows + p->block - 1) / p->block;
}

void capp_product(capp_forward *f, const capp_matrix *m, const char *x, size_t ldx, float *y, size_t ldy, size_t rows,
                  bool add) {
    product p = {.f = f, .m = m, .x = x, .ldx = ldx, .rows = rows, .block = block_of(m, rows), .add = add};
    p.y = y, p.ldy = ldy;
    p.groups = (m->panels + GROUP_PANELS - 1) / GROUP_PANELS;
    capp_pool_run(f->pool, product_task, &p, blocks_of(&p) * p.groups);
}

/* ---- With the activation ---- */

/* In place in gate [n], which has its bias; up [n] likewise, where there is one. */
static void activate(const capp_weights *w, float *gate, const float *up, size_t n) {
    switch (w->hparams.activation) {
    case CAPP_SILU_GATED: w->kernels->silu_mul(gate, gate, up, n); break;
    case CAPP_GELU_GATED: w->kernels->gelu_mul(gate, gate, up, n); break;
    case CAPP_GELU_ERF_GATED: capp_gelu_erf_mul(gate, gate, up, n); break;
    case CAPP_QUICK_GELU_GATED: capp_quick_gelu(gate, n), capp_mul_by(gate, up, n); break;
    case CAPP_RELU_GATED: capp_relu(gate, n), capp_mul_by(gate, up, n); break;
    case CAPP_RELU2_GATED: capp_relu2(gate, n), capp_mul_by(gate, up, n); break;
    case CAPP_CLAMPED_GATED: capp_clamped_mul(gate, gate, up, n); break;
    case CAPP_SILU: capp_silu(gate, n); break;
    case CAPP_GELU: w->kernels->gelu(gate, n); break;
    case CAPP_GELU_ERF: capp_gelu_erf(gate, n); break;
    case CAPP_QUICK_GELU: capp_quick_gelu(gate, n); break;
    case CAPP_RELU: capp_relu(gate, n); break;
    case CAPP_RELU2: capp_relu2(gate, n); break;
    }
}

/* A group of columns of gate and up (or of up alone), of which panels are begin .. begin + n - 1 of each part. */
typedef struct group {
    const char *parts[GROUP_PANELS * MOST_PARTS]; /* [n][parts] */
    size_t begin, n;
} group;

/* The sums of a part of k, of a strip of rows: the group's columns of each matrix side by side in sums
 * [row][matrix][column]. */
static void multiply_strip(const product *p, const group *g, float *sums, size_t row, size_t rows, size_t from) {
    const capp_matrix *m = p->m;
    size_t nr = p->f->w->products->nr, width = GROUP_PANELS * nr, ld = m->parts * width;
    for (size_t i = 0; i < g->n * m->parts; i++)
        multiply(p, g->parts[i], sums + i % m->parts * width + i / m->parts * nr, ld, row, rows,
                 columns_of(m, nr, g->begin * m->parts + i), from);
}

/* Whole sums to f->g. */
static void activate_strip(const product *p, const group *g, float *sums, size_t row, size_t rows) {
    const capp_forward *f = p->f;
    const capp_matrix *m = p->m;
    const capp_products *products = f->w->products;
    size_t nr = products->nr, width = GROUP_PANELS * nr, ld = m->parts * width, begin = g->begin * nr;
    size_t columns = least(m->columns - begin, g->n * nr), last = begin + columns == m->columns;
    size_t padded = last ? columns + (products->step - m->columns % products->step) % products->step : columns;
    for (size_t r = 0; r < rows; r++) {
        float *gate = sums + r * ld;
        for (size_t part = 0; m->bias && part < m->parts; part++)
            f->w->kernels->add(gate + part * width, m->bias + part * m->columns + begin, columns);
        activate(f->w, gate, gate + width, columns);
        products->narrow(f->g + ((row + r) * f->g_stride + begin) * products->element, gate, columns, padded);
    }
}

/* Rows whose sums a task holds at once: a strip, or all of its rows where k goes in parts. */
static size_t rows_held(const capp_products *products, const capp_matrix *m, size_t block) {
    return is_whole(products, m) ? STRIP_ROWS : block;
}

static size_t sums_floats(const capp_products *products, const capp_matrix *m, size_t block) {
    return rows_held(products, m, block) * m->parts * GROUP_PANELS * products->nr;
}

static void activated_task(void *user, size_t task, int worker) {
    const product *p = user;
    const capp_matrix *m = p->m;
    const capp_products *products = p->f->w->products;
    float *scratch = scratch_of(p->f, worker), *room = scratch + sums_floats(products, m, p->block);
    size_t begin = task / p->groups * p->block, end = least(begin + p->block, p->rows);
    size_t ld = is_whole(products, m) ? 0 : m->parts * GROUP_PANELS * products->nr;
    group g = {.begin = task % p->groups * GROUP_PANELS};
    g.n = least(GROUP_PANELS, m->panels / m->parts - g.begin);
    for (size_t from = 0, part; from < m->k; from += part) {
        part = capp_part_of(products, m->k, from);
        capp_matrix_parts(p->f->w, m, g.begin * m->parts, g.n * m->parts, from, room, g.parts);
        for (size_t row = begin; row < end; row += STRIP_ROWS) {
            float *sums = scratch + (row - begin) * ld;
            size_t rows = least(end - row, STRIP_ROWS);
            multiply_strip(p, &g, sums, row, rows, from);
            if (from + part == m->k) activate_strip(p, &g, sums, row, rows);
        }
    }
}

void capp_product_activated(capp_forward *f, const capp_matrix *m, const char *x, size_t rows) {
    product p = {.f = f, .m = m, .x = x, .ldx = f->h_stride, .rows = rows, .block = block_of(m, rows)};
    p.groups = (m->panels / m->parts + GROUP_PANELS - 1) / GROUP_PANELS;
    capp_pool_run(f->pool, activated_task, &p, blocks_of(&p) * p.groups);
}

/* Of a product without activation. */
static size_t plain_scratch(const capp_weights *w, const capp_matrix *m, size_t rows) {
    size_t sums = is_whole(w->products, m) ? 0 : block_of(m, rows) * GROUP_PANELS * w->products->nr;
    return sums + capp_matrix_scratch(w, m, GROUP_PANELS);
}

/* Of a product with activation. */
static size_t activated_scratch(const capp_weights *w, const capp_matrix *m, size_t rows) {
    return sums_floats(w->products, m, block_of(m, rows)) + capp_matrix_scratch(w, m, GROUP_PANELS * m->parts);
}

static size_t larger(size_t a, size_t b) {
    return a > b ? a : b;
}

static size_t layer_scratch(const capp_weights *w, const capp_layer *layer, size_t rows) {
    size_t most = larger(plain_scratch(w, &layer->qkv, rows), plain_scratch(w, &layer->out, rows));
    if (!layer->expert_up)
        return larger(most, larger(activated_scratch(w, &layer->up, rows), plain_scratch(w, &layer->down, rows)));
    most = larger(most, plain_scratch(w, &layer->router, rows));
    for (size_t e = 0; e < w->hparams.experts; e++) {
        most = larger(most, activated_scratch(w, &layer->expert_up[e], rows));
        most = larger(most, plain_scratch(w, &layer->expert_down[e], rows));
    }
    return most;
}

size_t capp_product_scratch(const capp_weights *w, size_t rows) {
    const capp_matrix *ends[] = {&w->project_in, &w->project_out};
    size_t most = 0;
    for (size_t i = 0; i < w->hparams.layers; i++) most = larger(most, layer_scratch(w, &w->layers[i], rows));
    for (size_t i = 0; i < 2; i++)
        if (ends[i]->parts) most = larger(most, plain_scratch(w, ends[i], rows));
    return most;
}

static double size_of(const capp_matrix *m) {
    return 2.0 * (double)m->n * (double)m->k;
}

double capp_forward_flops(const capp_weights *w, size_t rows, size_t n_heads) {
    double total = (size_of(&w->head) + size_of(&w->project_out)) * (double)n_heads;
    total += size_of(&w->project_in) * (double)rows;
    for (size_t i = 0; i < w->hparams.layers; i++) {
        const capp_layer *l = &w->layers[i];
        double feed = size_of(&l->up) + size_of(&l->down) + size_of(&l->router);
        if (l->expert_up) feed += w->hparams.experts_used * (size_of(l->expert_up) + size_of(l->expert_down));
        size_t going_on = i + 1 == w->hparams.layers ? n_heads : rows; /* past the last layer's keys and values */
        total += size_of(&l->qkv) * (double)rows + (size_of(&l->out) + feed) * (double)going_on;
    }
    return total;
}
