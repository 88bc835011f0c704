/* Matrix products of a wave. Tasks are blocks of rows by groups of panels: a block of rows stays in the second-level
 * cache while the group's panels pass. Which worker computes an output never changes its bits: a task has whole sums.
 */
#include "forward/wave.h"
#include "kernel/plain.h"

enum { BLOCK_ROWS = 192, GROUP_PANELS = 2, STRIP_ROWS = 48 };

typedef struct product {
    const capp_forward *f;
    const capp_matrix *m;   /* or [experts], all of one shape */
    const capp_pick *picks; /* of experts, else NULL */
    size_t n_picks;
    const char *x; /* [rows][ldx] elements */
    float *y;      /* of a plain product */
    char *g;       /* [rows][ldg] elements, of one with activation */
    size_t ldx, ldy, ldg, rows, block, groups;
    bool add;
} product;

/* What a task computes: a group of panels for rows row .. row + rows - 1. */
typedef struct work {
    const capp_matrix *m;
    size_t group, row, rows;
} work;

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

/* Columns of a panel. */
static size_t columns_of(const capp_matrix *m, size_t nr, size_t panel) {
    return least(m->columns - panel / m->parts * nr, nr);
}

/* Of experts, what the task of another expert will read is asked for ahead. */
static work work_of(const product *p, size_t task) {
    enum { AHEAD = 2 };
    size_t block = task / p->groups, group = task % p->groups, row = block * p->block;
    if (!p->picks) return (work){p->m, group, row, least(p->rows - row, p->block)};
    if (!group && block + AHEAD < p->n_picks) capp_matrix_prefetch(p->m + p->picks[block + AHEAD].expert);
    const capp_pick *pick = &p->picks[block];
    return (work){p->m + pick->expert, group, pick->first, pick->rows};
}

static void multiply(const product *p, const char *panel, float *y, size_t ldy, size_t row, size_t rows, size_t n,
                     bool add) {
    const capp_products *products = p->f->w->products;
    products->matmul(y, ldy, p->x + row * p->ldx * products->element, p->ldx, panel, rows, n, p->m->k, add);
}

static float *scratch_of(const capp_forward *f, int worker) {
    return f->scratch + (size_t)worker * f->scratch_stride;
}

static void product_task(void *user, size_t task, int worker) {
    const product *p = user;
    work x = work_of(p, task);
    const capp_matrix *m = x.m;
    size_t nr = p->f->w->products->nr, row = x.row, rows = x.rows;
    size_t begin = x.group * GROUP_PANELS, n = least(GROUP_PANELS, m->panels - begin);
    const char *panels = capp_matrix_panels(p->f->w, m, begin, n, scratch_of(p->f, worker));
    for (size_t i = 0; i < n; i++) {
        size_t columns = columns_of(m, nr, begin + i);
        float *y = p->y + row * p->ldy + (begin + i) * nr;
        multiply(p, panels + i * m->panel_bytes, y, p->ldy, row, rows, columns, p->add);
        for (size_t r = 0; m->bias && r < rows; r++)
            p->f->w->kernels->add(y + r * p->ldy, m->bias + (begin + i) * nr, columns);
    }
}

/* Rows of a task: panels that must be packed first are packed once for all rows. */
static size_t block_of(const capp_matrix *m, size_t rows) {
    return m->packed || !rows ? BLOCK_ROWS : rows;
}

static size_t blocks_of(const product *p) {
    return p->picks ? p->n_picks : (p->rows + p->block - 1) / p->block;
}

/* Asks for the first experts, before a pass over all. */
static product product_of_experts(const capp_forward *f, const capp_matrix *experts, size_t n, const char *x,
                                  size_t ldx) {
    enum { FIRST = 2 };
    for (size_t i = 0; i < n && i < FIRST; i++) capp_matrix_prefetch(experts + f->picks[i].expert);
    return (product){.f = f, .m = experts, .picks = f->picks, .n_picks = n, .x = x, .ldx = ldx};
}

void capp_product(capp_forward *f, const capp_matrix *m, const char *x, size_t ldx, float *y, size_t ldy, size_t rows,
                  bool add) {
    product p = {.f = f, .m = m, .x = x, .ldx = ldx, .rows = rows, .block = block_of(m, rows), .add = add};
    p.y = y, p.ldy = ldy;
    p.groups = (m->panels + GROUP_PANELS - 1) / GROUP_PANELS;
    capp_pool_run(f->pool, product_task, &p, blocks_of(&p) * p.groups);
}

void capp_product_experts(capp_forward *f, const capp_matrix *experts, size_t n) {
    product p = product_of_experts(f, experts, n, f->inner, f->inner_stride);
    p.y = f->mixed, p.ldy = f->w->hparams.width;
    p.groups = (experts->panels + GROUP_PANELS - 1) / GROUP_PANELS;
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
    const capp_matrix *m;
    const char *panels; /* [n][parts] */
    size_t begin, n;
} group;

/* A strip of rows: the group's columns of each part side by side in scratch [row][part][column], then to g. */
static void activate_strip(const product *p, const group *g, float *scratch, size_t row, size_t rows) {
    const capp_forward *f = p->f;
    const capp_matrix *m = g->m;
    const capp_products *products = f->w->products;
    size_t nr = products->nr, width = GROUP_PANELS * nr, ld = m->parts * width, begin = g->begin * nr;
    size_t columns = least(m->columns - begin, g->n * nr), last = begin + columns == m->columns;
    size_t padded = last ? columns + (products->step - m->columns % products->step) % products->step : columns;
    for (size_t i = 0; i < g->n * m->parts; i++)
        multiply(p, g->panels + i * m->panel_bytes, scratch + i % m->parts * width + i / m->parts * nr, ld, row, rows,
                 columns_of(m, nr, g->begin * m->parts + i), false);
    for (size_t r = 0; r < rows; r++) {
        float *gate = scratch + r * ld;
        for (size_t part = 0; m->bias && part < m->parts; part++)
            f->w->kernels->add(gate + part * width, m->bias + part * m->columns + begin, columns);
        activate(f->w, gate, gate + width, columns);
        products->narrow(p->g + ((row + r) * p->ldg + begin) * products->element, gate, columns, padded);
    }
}

static size_t strip_floats(const capp_weights *w, const capp_matrix *m) {
    return STRIP_ROWS * m->parts * GROUP_PANELS * w->products->nr;
}

static void activated_task(void *user, size_t task, int worker) {
    const product *p = user;
    work x = work_of(p, task);
    const capp_matrix *m = x.m;
    float *scratch = scratch_of(p->f, worker);
    size_t row = x.row, end = x.row + x.rows;
    group g = {.m = m, .begin = x.group * GROUP_PANELS};
    g.n = least(GROUP_PANELS, m->panels / m->parts - g.begin);
    g.panels = capp_matrix_panels(p->f->w, m, g.begin * m->parts, g.n * m->parts, scratch + strip_floats(p->f->w, m));
    for (; row < end; row += STRIP_ROWS) activate_strip(p, &g, scratch, row, least(end - row, STRIP_ROWS));
}

void capp_product_activated(capp_forward *f, const capp_matrix *m, const char *x, size_t rows) {
    product p = {.f = f, .m = m, .x = x, .ldx = f->h_stride, .rows = rows, .block = block_of(m, rows)};
    p.g = f->g, p.ldg = f->g_stride;
    p.groups = (m->panels / m->parts + GROUP_PANELS - 1) / GROUP_PANELS;
    capp_pool_run(f->pool, activated_task, &p, blocks_of(&p) * p.groups);
}

void capp_product_experts_activated(capp_forward *f, const capp_matrix *experts, size_t n) {
    product p = product_of_experts(f, experts, n, f->gathered, f->h_stride);
    p.g = f->inner, p.ldg = f->inner_stride;
    p.groups = (experts->panels / experts->parts + GROUP_PANELS - 1) / GROUP_PANELS;
    capp_pool_run(f->pool, activated_task, &p, blocks_of(&p) * p.groups);
}

static size_t plain_scratch(const capp_weights *w, const capp_matrix *m) {
    return m->parts ? capp_matrix_scratch(w, m, GROUP_PANELS) : 0;
}

static size_t activated_scratch(const capp_weights *w, const capp_matrix *m) {
    return m->parts ? strip_floats(w, m) + capp_matrix_scratch(w, m, GROUP_PANELS * m->parts) : 0;
}

static size_t layer_scratch(const capp_weights *w, const capp_layer *l) {
    const size_t needs[] = {plain_scratch(w, &l->qkv), plain_scratch(w, &l->out), plain_scratch(w, &l->down),
                            plain_scratch(w, &l->router), activated_scratch(w, &l->up)};
    size_t most = 0;
    for (size_t i = 0; i < sizeof needs / sizeof *needs; i++) most = needs[i] > most ? needs[i] : most;
    for (size_t e = 0; l->expert_up && e < w->hparams.experts; e++) {
        size_t up = activated_scratch(w, &l->expert_up[e]), down = plain_scratch(w, &l->expert_down[e]);
        most = up > most ? up : most;
        most = down > most ? down : most;
    }
    return most;
}

size_t capp_product_scratch(const capp_weights *w) {
    size_t in = plain_scratch(w, &w->project_in), out = plain_scratch(w, &w->project_out), most = in > out ? in : out;
    for (size_t i = 0; i < w->hparams.layers; i++) {
        size_t n = layer_scratch(w, &w->layers[i]);
        if (n > most) most = n;
    }
    return most;
}
