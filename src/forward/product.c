/* Matrix products of a wave. A task is a block of rows by a panel or a group of panels. A long k is processed in parts:
 * the second-level cache then holds one part of the group's panels and the 192 rows that currently use them. The bits
 * of an output do not depend on the worker that computes it: a task computes whole sums, each as one chain, and each
 * part continues where the last one stopped. */
#include "forward/tasks.h"
#include "forward/wave.h"
#include "kernel/plain.h"

enum { BLOCK_ROWS = 192, GROUP_PANELS = 2, MOST_PARTS = 2 };

/* Two panels have all activations that share a step of the next product. */
_Static_assert(GROUP_PANELS *CAPP_LANES >= CAPP_MAX_STEP, "a group is whole steps of products");

typedef struct product {
    const capp_forward *f;
    const capp_matrix *m;          /* one matrix, or [experts] of one shape */
    const capp_products *products; /* products of m */
    const capp_products *next;     /* products of the matrix that reads g */
    const capp_pick *picks;        /* for experts, else NULL */
    size_t n_picks;
    const char *x; /* [rows][ldx] elements */
    float *y;      /* for a plain product */
    char *g;       /* [rows][ldg] elements, for a product with activation */
    size_t ldx, ldy, ldg, rows;
    size_t unit;   /* panels that no task divides; of one part */
    capp_cut cut;  /* without picks */
    size_t groups; /* with picks: groups of panels */
    bool add;
} product;

/* What a task computes: the panels begin .. begin + n - 1 of a part for the rows row .. row + rows - 1. */
typedef struct work {
    const capp_matrix *m;
    size_t begin, n, row, rows;
} work;

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

/* Columns of a panel. */
static size_t columns_of(const capp_matrix *m, size_t nr, size_t panel) {
    return least(m->columns - panel / m->parts * nr, nr);
}

/* Panels of a part of m. */
static size_t panels_of(const capp_matrix *m) {
    return m->panels / m->parts;
}

/* For experts, prefetches what the task of the next expert will read. */
static work work_of_pick(const product *p, size_t task) {
    enum { AHEAD = 2 };
    const size_t at = task / p->groups, group = task % p->groups, begin = group * GROUP_PANELS;
    if (!group && at + AHEAD < p->n_picks) capp_matrix_prefetch(p->m + p->picks[at + AHEAD].expert);
    const capp_pick *pick = &p->picks[at];
    return (work){p->m + pick->expert, begin, least(panels_of(p->m) - begin, GROUP_PANELS), pick->first, pick->rows};
}

static work work_of(const product *p, size_t task) {
    if (p->picks) return work_of_pick(p, task);
    const capp_piece x = capp_cut_piece(&p->cut, task);
    const size_t begin = x.unit * p->unit;
    return (work){p->m, begin, least(panels_of(p->m) - begin, x.units * p->unit), x.row, x.rows};
}

void capp_multiply(const capp_products *products, float *c, size_t ldc, const char *x, size_t ldx, const char *panel,
                   size_t rows, size_t n, size_t from, size_t part) {
    if (from)
        products->matmul_on(c, ldc, x, ldx, panel, rows, n, part);
    else
        products->matmul(c, ldc, x, ldx, panel, rows, n, part, false);
}

/* Computes a part along k that begins at `from`, for the rows from `row` on. */
static void multiply(const product *p, const char *panel, float *y, size_t ldy, size_t row, size_t rows, size_t n,
                     size_t from) {
    const capp_products *products = p->products;
    capp_multiply(products, y, ldy, p->x + (row * p->ldx + from) * products->element, p->ldx, panel, rows, n, from,
                  capp_part_of(products, p->m->k, from));
}

static bool is_whole(const capp_products *products, const capp_matrix *m) {
    return capp_part_of(products, m->k, 0) == m->k;
}

static float *scratch_of(const capp_forward *f, int worker) {
    return f->scratch + (size_t)worker * f->scratch_stride;
}

/* Computes the panels begin .. begin + n - 1 of a task's matrix, to columns of y [rows][ldy]. */
typedef struct panel_group {
    size_t begin, n;
    float *y;
} panel_group;

/* All of k in one part: adds to y as matmul does. */
static void multiply_whole(const product *p, const work *x, const panel_group *g, float *scratch) {
    const capp_products *products = p->products;
    const char *parts[GROUP_PANELS];
    capp_matrix_parts(p->f->weights, x->m, g->begin, g->n, 0, scratch, parts);
    for (size_t r = 0; r < x->rows; r += BLOCK_ROWS)
        for (size_t i = 0; i < g->n; i++)
            products->matmul(g->y + r * p->ldy + i * products->nr, p->ldy,
                             p->x + (x->row + r) * p->ldx * products->element, p->ldx, parts[i],
                             least(x->rows - r, BLOCK_ROWS), columns_of(x->m, products->nr, g->begin + i), x->m->k,
                             p->add);
}

/* Adds the sums of a group of panels, c [rows][ldc], to y. */
static void add_sums(const product *p, const work *x, const panel_group *g, const float *c, size_t ldc) {
    const size_t n = least(x->m->columns - g->begin * p->products->nr, g->n * p->products->nr);
    for (size_t r = 0; r < x->rows; r++) p->f->weights->kernels->add(g->y + r * p->ldy, c + r * ldc, n);
}

/* Computes one part of k after another, each for all rows. Sums that are added to y stay in scratch until they are
 * complete. */
static void multiply_parts(const product *p, const work *x, const panel_group *g, float *scratch) {
    const capp_weights *w = p->f->weights;
    size_t nr = p->products->nr, width = GROUP_PANELS * nr, ldc = p->add ? width : p->ldy;
    const char *parts[GROUP_PANELS];
    float *c = p->add ? scratch : g->y, *room = scratch + x->rows * width;
    for (size_t from = 0; from < x->m->k; from += capp_part_of(p->products, x->m->k, from)) {
        capp_matrix_parts(w, x->m, g->begin, g->n, from, room, parts);
        for (size_t r = 0; r < x->rows; r += BLOCK_ROWS)
            for (size_t i = 0; i < g->n; i++)
                multiply(p, parts[i], c + r * ldc + i * nr, ldc, x->row + r, least(x->rows - r, BLOCK_ROWS),
                         columns_of(x->m, nr, g->begin + i), from);
    }
    if (p->add) add_sums(p, x, g, c, ldc);
}

static const float *rows_of_task(const product *p, const work *x) {
    return (const float *)(const void *)p->x + x->row * p->ldx;
}

/* Few rows: multiplies without making panels. Returns false where panels must be made. */
static bool multiply_few(const product *p, const work *x, const panel_group *g, float *scratch) {
    size_t nr = p->products->nr, width = GROUP_PANELS * nr, ldc = p->add ? width : p->ldy;
    float *c = p->add ? scratch : g->y;
    for (size_t i = 0; i < g->n; i++)
        if (!capp_matrix_few(p->f->weights, x->m, g->begin + i, c + i * nr, ldc, rows_of_task(p, x), p->ldx, x->rows))
            return false;
    if (p->add) add_sums(p, x, g, c, ldc);
    return true;
}

static void product_task(void *user, size_t task, int worker) {
    const product *p = user;
    work x = work_of(p, task);
    const capp_matrix *m = x.m;
    size_t nr = p->products->nr;
    const panel_group g = {x.begin, x.n, p->y + x.row * p->ldy + x.begin * nr};
    if (!multiply_few(p, &x, &g, scratch_of(p->f, worker)))
        (is_whole(p->products, m) ? multiply_whole : multiply_parts)(p, &x, &g, scratch_of(p->f, worker));
    capp_rest(p->products);
    capp_change_add(p->f, m, g.y, p->ldy, x.row, x.rows, g.begin * nr, least(m->columns - g.begin * nr, g.n * nr));
    for (size_t r = 0; m->bias && r < x.rows; r++)
        p->f->weights->kernels->add(g.y + r * p->ldy, m->bias + g.begin * nr,
                                    least(m->columns - g.begin * nr, g.n * nr));
}

/* Panels that are not kept are packed once for all rows of a task. */
static capp_cut cut_of(const product *p) {
    const bool kept = capp_matrix_keeps(p->m);
    return capp_cut_of(&(capp_load){.rows = p->rows,
                                    .units = (panels_of(p->m) + p->unit - 1) / p->unit,
                                    .width = GROUP_PANELS / p->unit,
                                    .most = kept ? BLOCK_ROWS : p->rows,
                                    .extra = kept ? CAPP_KEPT_ROWS : CAPP_MADE_ROWS,
                                    .threads = (size_t)capp_pool_threads(p->f->pool)});
}

/* Runs a task for each group of panels of each expert, or for each piece of one matrix. unit: panels that a task may
 * not divide. */
static void run_tasks(product *p, capp_task_fn task, size_t unit) {
    for (size_t i = 0; i < p->n_picks; i++) capp_matrix_use(p->m + p->picks[i].expert);
    if (!p->picks) capp_matrix_use(p->m);
    p->unit = unit;
    p->groups = (panels_of(p->m) + GROUP_PANELS - 1) / GROUP_PANELS;
    if (!p->picks) p->cut = cut_of(p);
    capp_pool_run(p->f->pool, task, p, p->picks ? p->n_picks * p->groups : capp_cut_tasks(&p->cut));
}

enum { COARSEN_ROWS = 8 };

static void coarsen_task(void *user, size_t task, int worker) {
    const product *p = user;
    char *x = p->g;
    (void)worker;
    for (size_t r = task * COARSEN_ROWS; r < least((task + 1) * COARSEN_ROWS, p->rows); r++)
        p->products->coarsen(x + r * p->ldx * p->products->element, p->m->k, p->f->weights->share);
}

void capp_coarsen_rows(capp_forward *f, const capp_matrix *m, char *x, size_t ldx, size_t rows) {
    product p = {.f = f, .m = m, .products = capp_products_of(f->weights, m), .g = x, .ldx = ldx, .rows = rows};
    if (f->weights->share > 0 && p.products->coarsen)
        capp_pool_run(f->pool, coarsen_task, &p, (rows + COARSEN_ROWS - 1) / COARSEN_ROWS);
}

/* Works on rows x [rows][ldx]. */
static product new_product(capp_forward *f, const capp_matrix *m, char *x, size_t ldx, size_t rows) {
    capp_coarsen_rows(f, m, x, ldx, rows);
    return (product){.f = f, .m = m, .products = capp_products_of(f->weights, m), .x = x, .ldx = ldx, .rows = rows};
}

/* Prefetches the first experts before a pass over all experts. */
static product product_of_experts(capp_forward *f, const capp_matrix *experts, size_t n, char *x, size_t ldx,
                                  size_t rows) {
    enum { FIRST = 2 };
    for (size_t i = 0; i < n && i < FIRST; i++) capp_matrix_prefetch(experts + f->picks[i].expert);
    product p = new_product(f, experts, x, ldx, rows);
    p.picks = f->picks, p.n_picks = n;
    return p;
}

static void run_plain(product *p, float *y, size_t ldy) {
    p->y = y, p->ldy = ldy;
    run_tasks(p, product_task, 1);
}

void capp_product(capp_forward *f, const capp_matrix *m, char *x, size_t ldx, float *y, size_t ldy, size_t rows,
                  bool add) {
    product p = new_product(f, m, x, ldx, rows);
    capp_change_begin(f, m, x, rows);
    p.add = add;
    run_plain(&p, y, ldy);
}

void capp_product_experts(capp_forward *f, const capp_layer *layer, size_t n, size_t rows) {
    product p = product_of_experts(f, layer->expert_down, n, f->inner, f->inner_stride, rows);
    run_plain(&p, f->mixed, f->weights->hparams.width);
}

/* ---- With the activation ---- */

/* Applies the activation in place to gate [n], which includes its bias; `up` [n], if it exists, also includes its bias.
 */
static void activate(const capp_weights *w, const capp_curve *curve, float *gate, const float *up, size_t n) {
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
    case CAPP_XIELU: capp_xielu(gate, n, curve->positive, curve->negative, curve->beta, curve->eps); break;
    }
}

/* A group of columns of gate and up (or of up alone): the panels begin .. begin + n - 1 of each. */
typedef struct group {
    const capp_matrix *m;
    const char *parts[GROUP_PANELS * MOST_PARTS]; /* [n][m->parts] */
    size_t begin, n;
} group;

/* Computes the sums of a part of k for a strip of rows. The group's columns of gate and of up are side by side in sums
 * [row][gate, up][column]. */
static void multiply_strip(const product *p, const group *g, float *sums, size_t row, size_t rows, size_t from) {
    const capp_matrix *m = g->m;
    size_t nr = p->products->nr, width = GROUP_PANELS * nr, ld = m->parts * width;
    for (size_t i = 0; i < g->n * m->parts; i++)
        multiply(p, g->parts[i], sums + i % m->parts * width + i / m->parts * nr, ld, row, rows,
                 columns_of(m, nr, g->begin * m->parts + i), from);
}

/* Writes whole sums to g. */
static void activate_strip(const product *p, const group *g, float *sums, size_t row, size_t rows) {
    const capp_forward *f = p->f;
    const capp_matrix *m = g->m;
    const capp_products *products = p->next;
    size_t nr = p->products->nr, width = GROUP_PANELS * nr, ld = m->parts * width, begin = g->begin * nr;
    size_t columns = least(m->columns - begin, g->n * nr), last = begin + columns == m->columns;
    size_t padded = last ? columns + (products->step - m->columns % products->step) % products->step : columns;
    const float *bias = m->outputs && p->products == f->weights->integers ? m->outputs_bias : m->bias;
    for (size_t part = 0; part < m->parts; part++)
        capp_change_add(f, m, sums + part * width, ld, row, rows, part * m->columns + begin, columns);
    for (size_t r = 0; r < rows; r++) {
        float *gate = sums + r * ld;
        for (size_t part = 0; bias && part < m->parts; part++)
            f->weights->kernels->add(gate + part * width, bias + part * m->columns + begin, columns);
        activate(f->weights, &m->curve, gate, gate + width, columns);
        capp_change_keep(f, p->g, row + r, begin, gate, columns);
        products->narrow(p->g + ((row + r) * p->ldg + begin) * products->element, gate, columns, padded);
    }
}

/* Number of rows whose sums a task of `rows` rows holds at the same time: a strip, or all rows if k is processed in
 * parts. */
static size_t sums_floats(const capp_products *products, const capp_matrix *m, size_t rows) {
    return (is_whole(products, m) ? capp_strip_of(products) : rows) * m->parts * GROUP_PANELS * products->nr;
}

/* As multiply_few, for a group of an activated product. sums: as in multiply_strip. */
static bool sum_few(const product *p, const work *x, const group *g, float *sums) {
    size_t nr = p->products->nr, width = GROUP_PANELS * nr, parts = x->m->parts;
    for (size_t i = 0; i < g->n * parts; i++)
        if (!capp_matrix_few(p->f->weights, x->m, g->begin * parts + i, sums + i % parts * width + i / parts * nr,
                             parts * width, rows_of_task(p, x), p->ldx, x->rows))
            return false;
    return true;
}

static void activated_task(void *user, size_t task, int worker) {
    const product *p = user;
    work x = work_of(p, task);
    const capp_matrix *m = x.m;
    const capp_products *products = p->products;
    float *scratch = scratch_of(p->f, worker), *room = scratch + sums_floats(products, m, x.rows);
    size_t ld = is_whole(products, m) ? 0 : m->parts * GROUP_PANELS * products->nr;
    size_t strip = is_whole(products, m) ? capp_strip_of(products) : BLOCK_ROWS;
    group g = {.m = m, .begin = x.begin, .n = x.n};
    if (sum_few(p, &x, &g, scratch)) {
        activate_strip(p, &g, scratch, x.row, x.rows);
        return;
    }
    for (size_t from = 0, part; from < m->k; from += part) {
        part = capp_part_of(products, m->k, from);
        capp_matrix_parts(p->f->weights, m, g.begin * m->parts, g.n * m->parts, from, room, g.parts);
        for (size_t r = 0; r < x.rows; r += strip) {
            size_t rows = least(x.rows - r, strip);
            multiply_strip(p, &g, scratch + r * ld, x.row + r, rows, from);
            if (from + part == m->k) activate_strip(p, &g, scratch + r * ld, x.row + r, rows);
        }
    }
    capp_rest(products);
}

static void run_activated(product *p, const capp_matrix *next, char *g, size_t ldg) {
    p->next = capp_products_of(p->f->weights, next);
    p->g = g, p->ldg = ldg;
    run_tasks(p, activated_task, p->products->nr < CAPP_MAX_STEP ? GROUP_PANELS : 1);
}

void capp_product_activated(capp_forward *f, const capp_matrix *up, const capp_matrix *down, char *x, size_t rows) {
    product p = new_product(f, up, x, f->h_stride, rows);
    capp_change_begin(f, up, x, rows);
    run_activated(&p, down, f->g, f->g_stride);
}

void capp_product_experts_activated(capp_forward *f, const capp_layer *layer, size_t n, size_t rows) {
    product p = product_of_experts(f, layer->expert_up, n, f->gathered, f->h_stride, rows);
    run_activated(&p, layer->expert_down, f->inner, f->inner_stride);
}

static size_t larger(size_t a, size_t b) {
    return a > b ? a : b;
}

/* rows: the largest number of rows of a task. */
static size_t plain_scratch(const capp_weights *w, const capp_matrix *m, size_t rows) {
    if (!m->parts) return 0;
    const capp_products *products = capp_products_of(w, m);
    size_t sums = is_whole(products, m) ? 0 : rows * GROUP_PANELS * products->nr;
    return sums + capp_matrix_scratch(w, m, GROUP_PANELS);
}

static size_t activated_scratch(const capp_weights *w, const capp_matrix *m, size_t rows) {
    if (!m->parts) return 0;
    return sums_floats(capp_products_of(w, m), m, rows) + capp_matrix_scratch(w, m, GROUP_PANELS * m->parts);
}

static size_t layer_scratch(const capp_weights *w, const capp_layer *l, size_t rows) {
    const capp_matrix *plain[] = {&l->qkv,        &l->out,          &l->mix_in,    &l->mix_rates,
                                  &l->mix_out,    &l->down,         &l->router,    &l->shared_router,
                                  &l->side.gate,  &l->side.context, &l->side.out,  &l->latent.q_b,
                                  &l->altup.left, &l->altup.right,  &l->expert_in, &l->expert_out};
    size_t most = activated_scratch(w, &l->up, rows);
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) most = larger(most, plain_scratch(w, plain[i], rows));
    for (size_t i = 0; i < CAPP_MOST_INNER; i++) most = larger(most, plain_scratch(w, &l->mix_inner[i], rows));
    for (size_t e = 0; l->latent.k_b && e < 2 * (size_t)w->hparams.heads; e++)
        most = larger(most, plain_scratch(w, &l->latent.k_b[e], rows));
    for (size_t e = 0; l->expert_up && e < w->hparams.experts; e++) {
        most = larger(most, activated_scratch(w, &l->expert_up[e], rows));
        most = larger(most, plain_scratch(w, &l->expert_down[e], rows));
    }
    return most;
}

size_t capp_product_scratch(const capp_weights *w, size_t rows) {
    size_t most = larger(plain_scratch(w, &w->project_in, rows), plain_scratch(w, &w->project_out, rows));
    for (size_t i = 0; i + 1 < w->hparams.streams; i++) {
        most = larger(most, plain_scratch(w, &w->spread[i], rows));
        most = larger(most, plain_scratch(w, &w->merge[i], rows));
    }
    for (size_t i = 0; i < w->hparams.layers; i++) most = larger(most, layer_scratch(w, &w->layers[i], rows));
    return most;
}
