/* The feed-forward part as experts: a router gives each row to a few of many experts. Rows are sorted by expert once.
 * Then each of the two products is one pass of tasks over all experts that some row chose. In a task, a worker unpacks
 * a group of an expert's panels once for all rows that chose this expert. Nothing of the other experts is read. The
 * outputs of a row are added in the order of the experts, so other rows do not change the result. */
#include <stdlib.h>
#include <string.h>

#include "forward/wave.h"
#include "kernel/plain.h"

enum { CHUNK = 8 };

typedef struct routing {
    capp_forward *f;
    const capp_layer *layer;
    size_t rows, n; /* rows of the wave; choices of all rows, which are the rows of the experts' products */
} routing;

static void run_chunks(const routing *r, capp_task_fn fn, size_t n) {
    capp_pool_run(r->f->pool, fn, (void *)(uintptr_t)r, (n + CHUNK - 1) / CHUNK);
}

static size_t chunk_end(size_t task, size_t n) {
    return (task + 1) * CHUNK < n ? (task + 1) * CHUNK : n;
}

static void route_rows(void *user, size_t task, int worker) {
    const routing *x = user;
    const capp_hparams *h = &x->f->weights->hparams;
    (void)worker;
    const capp_scores scores = {.sigmoid = h->router_sigmoid,
                                .among = h->router_norm,
                                .scale = h->router_scale,
                                .bias = x->layer->choice_bias,
                                .groups = h->expert_groups,
                                .groups_used = h->expert_groups_used,
                                .by_best = h->groups_by_best};
    bool plain = !scores.sigmoid && !scores.bias && !scores.groups && scores.scale == 1;
    for (size_t r = task * CHUNK; r < chunk_end(task, x->rows); r++) {
        float *shares = x->f->shares + r * h->experts;
        if (h->near > 0)
            capp_route_near(shares, h->experts, h->near);
        else if (plain)
            capp_route(shares, h->experts, h->experts_used, h->router_norm);
        else
            capp_route_scored(shares, h->experts, h->experts_used, &scores);
    }
}

/* Shares that are NaN count as chosen: they make the row's logits NaN, which is reported as an error. */
static bool chose(float share) {
    return !(share < 0);
}

/* Orders experts by their rows, most first: the last tasks are short, and threads end together. */
static int by_rows(const void *a, const void *b) {
    const capp_pick *x = a, *y = b;
    if (x->rows != y->rows) return x->rows > y->rows ? -1 : 1;
    return (x->expert > y->expert) - (x->expert < y->expert);
}

/* Fills f->picks, and for each row the places of its choices among the sorted ones. Returns the number of experts that
 * are chosen. A row with infinite logits could choose more than experts_used; choices beyond that number are left out.
 */
static size_t sort_choices(routing *x) {
    capp_forward *f = x->f;
    const size_t experts = f->weights->hparams.experts, used = f->weights->hparams.experts_used;
    size_t n = 0;
    for (size_t e = 0; e < experts; e++) f->picks[e] = (capp_pick){.expert = (uint32_t)e};
    for (size_t r = 0; r < x->rows; r++)
        for (size_t e = 0, i = 0; e < experts && i < used; e++)
            if (chose(f->shares[r * experts + e])) f->picks[e].rows++, i++;
    x->n = 0;
    for (size_t e = 0; e < experts; e++) {
        f->picks[e].first = (uint32_t)x->n;
        x->n += f->picks[e].rows;
        f->picks[e].rows = 0;
    }
    for (size_t r = 0; r < x->rows; r++) {
        size_t i = 0;
        for (size_t e = 0; e < experts && i < used; e++) {
            if (!chose(f->shares[r * experts + e])) continue;
            uint32_t at = f->picks[e].first + f->picks[e].rows++;
            f->chosen[at] = (uint32_t)r;
            float scale = x->layer->expert_scale ? x->layer->expert_scale[e] : 1;
            f->choices[r * used + i++] = (capp_choice){at, f->shares[r * experts + e] * scale};
        }
        for (; i < used; i++) f->choices[r * used + i] = (capp_choice){CAPP_NO_CHOICE, 0};
    }
    for (size_t e = 0; e < experts; e++)
        if (f->picks[e].rows) f->picks[n++] = f->picks[e];
    qsort(f->picks, n, sizeof *f->picks, by_rows);
    return n;
}

static void gather_rows(void *user, size_t task, int worker) {
    const routing *x = user;
    capp_forward *f = x->f;
    size_t bytes = f->h_stride * capp_products_of(f->weights, x->layer->expert_up)->element;
    (void)worker;
    for (size_t i = task * CHUNK; i < chunk_end(task, x->n); i++)
        memcpy(f->gathered + i * bytes, f->h + f->chosen[i] * bytes, bytes);
}

/* Whether some expert or the shared one, whose order f->h has, has an order of inputs of its own. */
static bool are_ordered(const routing *x) {
    const capp_weights *w = x->f->weights;
    bool any = x->layer->up.gather;
    if (capp_products_of(w, x->layer->expert_up) != w->integers) return false;
    for (size_t e = 0; e < w->hparams.experts; e++) any = any || x->layer->expert_up[e].gather;
    return any;
}

/* As gather_rows, for such experts. A task is an expert that some row chose. */
static void gather_ordered(void *user, size_t task, int worker) {
    const routing *x = user;
    capp_forward *f = x->f;
    const capp_pick *pick = &f->picks[task];
    const capp_norm *norm = x->layer->expert_norm.weight ? &x->layer->expert_norm : &x->layer->feed_norm;
    const size_t width = f->weights->hparams.width;
    float *normed = f->scratch + (size_t)worker * f->scratch_stride;
    for (size_t i = pick->first; i < pick->first + pick->rows; i++) {
        capp_norm_row(f->weights, norm, normed, f->x + f->chosen[i] * width, width);
        capp_narrow_row(f, &x->layer->expert_up[pick->expert], f->gathered, i, normed);
    }
}

/* Writes a row's inputs of each expert that it chose, times its share. */
static void gather_scaled(void *user, size_t task, int worker) {
    const routing *x = user;
    capp_forward *f = x->f;
    const capp_weights *w = f->weights;
    const size_t width = w->hparams.width, used = w->hparams.experts_used;
    float *normed = f->scratch + (size_t)worker * f->scratch_stride;
    for (size_t r = task * CHUNK; r < chunk_end(task, x->rows); r++)
        for (size_t i = 0; i < used && f->choices[r * used + i].at != CAPP_NO_CHOICE; i++) {
            capp_choice *c = &f->choices[r * used + i];
            capp_norm_row(w, &x->layer->feed_norm, normed, f->x + r * width, width);
            w->kernels->scale(normed, c->share, width);
            capp_narrow_row(f, x->layer->expert_up, f->gathered, c->at, normed);
            c->share = 1;
        }
}

/* As gather_rows, for experts that read latent vectors, which are in f->u. */
static void gather_latent(void *user, size_t task, int worker) {
    const routing *x = user;
    capp_forward *f = x->f;
    const size_t width = f->weights->hparams.width;
    (void)worker;
    for (size_t i = task * CHUNK; i < chunk_end(task, x->n); i++)
        capp_narrow_row(f, x->layer->expert_up, f->gathered, i, f->u + f->chosen[i] * width);
}

/* Writes the inputs of expert_out to the first rows of f->gathered. */
static void return_latent(void *user, size_t task, int worker) {
    const routing *x = user;
    capp_forward *f = x->f;
    const size_t width = f->weights->hparams.width;
    (void)worker;
    for (size_t r = task * CHUNK; r < chunk_end(task, x->rows); r++)
        capp_narrow_row(f, &x->layer->expert_out, f->gathered, r, f->u + r * width);
}

static void add_shares(void *user, size_t task, int worker) {
    const routing *x = user;
    capp_forward *f = x->f;
    const size_t width = f->weights->hparams.width, used = f->weights->hparams.experts_used,
                 n = x->layer->expert_down->n;
    (void)worker;
    for (size_t r = task * CHUNK; r < chunk_end(task, x->rows); r++) {
        float *u = f->u + r * width;
        memset(u, 0, n * sizeof *u);
        for (size_t i = 0; i < used; i++) {
            capp_choice c = f->choices[r * used + i];
            if (c.at == CAPP_NO_CHOICE) break;
            float *y = f->mixed + c.at * width;
            f->weights->kernels->scale(y, c.share, n);
            f->weights->kernels->add(u, y, n);
        }
    }
}

static void add_weighted(void *user, size_t task, int worker) {
    const routing *x = user;
    const size_t width = x->f->weights->hparams.width;
    (void)worker;
    for (size_t r = task * CHUNK; r < chunk_end(task, x->rows); r++) {
        float *y = x->f->mixed + r * width;
        x->f->weights->kernels->scale(y, capp_sigmoid(x->f->shares[r]), width);
        x->f->weights->kernels->add(x->f->u + r * width, y, width);
    }
}

/* The shared expert, which all rows use. Each row has a factor for it, or no row has. */
static void add_shared(routing *x) {
    capp_forward *f = x->f;
    const capp_layer *layer = x->layer;
    const size_t width = f->weights->hparams.width;
    bool weighted = layer->shared_router.parts;
    capp_product_activated(f, &layer->up, &layer->down, f->h, x->rows);
    capp_product(f, &layer->down, f->g, f->g_stride, weighted ? f->mixed : f->u, width, x->rows, !weighted);
    if (!weighted) return;
    capp_product(f, &layer->shared_router, f->routed, f->h_stride, f->shares, 1, x->rows, false);
    run_chunks(x, add_weighted, x->rows);
}

/* u = norm(u), the experts' output; the inputs of the part beside them go to f->h. */
static void begin_beside(void *user, size_t task, int worker) {
    const routing *x = user;
    capp_forward *f = x->f;
    const capp_layer *layer = x->layer;
    const size_t width = f->weights->hparams.width;
    float *normed = f->scratch + (size_t)worker * f->scratch_stride;
    for (size_t r = task * CHUNK; r < chunk_end(task, x->rows); r++) {
        capp_norm_row(f->weights, &layer->expert_post_norm, f->u + r * width, f->u + r * width, width);
        capp_norm_row(f->weights, &layer->feed_norm, normed, f->x + r * width, width);
        capp_narrow_row(f, &layer->up, f->h, r, normed);
    }
}

static void add_beside(void *user, size_t task, int worker) {
    const routing *x = user;
    capp_forward *f = x->f;
    const size_t width = f->weights->hparams.width;
    (void)worker;
    for (size_t r = task * CHUNK; r < chunk_end(task, x->rows); r++) {
        float *y = f->mixed + r * width;
        capp_norm_row(f->weights, &x->layer->shared_post_norm, y, y, width);
        f->weights->kernels->add(f->u + r * width, y, width);
    }
}

/* The feed-forward part beside the experts, which reads the stream through its own norm. */
static void run_beside(routing *x) {
    capp_forward *f = x->f;
    const capp_layer *layer = x->layer;
    run_chunks(x, begin_beside, x->rows);
    capp_product_activated(f, &layer->up, &layer->down, f->h, x->rows);
    capp_product(f, &layer->down, f->g, f->g_stride, f->mixed, f->weights->hparams.width, x->rows, false);
    run_chunks(x, add_beside, x->rows);
}

void capp_experts(capp_forward *f, const capp_layer *layer, size_t rows) {
    const capp_hparams *h = &f->weights->hparams;
    routing x = {.f = f, .layer = layer, .rows = rows};
    if (!f->weights->arch->early_router)
        capp_product(f, &layer->router, f->routed, f->h_stride, f->shares, h->experts, rows, false);
    run_chunks(&x, route_rows, rows);
    if (capp_pool_stopped(f->pool)) return; /* the shares are unchanged; the layer ends the wave */
    size_t n = sort_choices(&x);
    f->experts_run += n, f->expert_layers++;
    if (layer->expert_in.parts) capp_product(f, &layer->expert_in, f->h, f->h_stride, f->u, h->width, rows, false);
    if (f->weights->arch->scaled_inputs)
        run_chunks(&x, gather_scaled, rows);
    else if (are_ordered(&x))
        capp_pool_run(f->pool, gather_ordered, &x, n);
    else
        run_chunks(&x, layer->expert_in.parts ? gather_latent : gather_rows, x.n);
    capp_product_experts_activated(f, layer, n, x.n);
    capp_product_experts(f, layer, n, x.n);
    run_chunks(&x, add_shares, rows);
    if (layer->expert_out.parts) {
        run_chunks(&x, return_latent, rows);
        capp_product(f, &layer->expert_out, f->gathered, f->h_stride, f->u, h->width, rows, false);
    }
    if (layer->expert_norm.weight)
        run_beside(&x);
    else if (layer->up.parts)
        add_shared(&x);
}
