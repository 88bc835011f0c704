/* The layers of a wave, phase by phase; each phase is one parallel run. In row phases each task has CHUNK rows. */
#include <string.h>

#include "forward/forward.h"
#include "forward/wave.h"
#include "kernel/plain.h"

enum { CHUNK = 8 };

typedef struct phase {
    capp_forward *f;
    size_t layer, rows;
    const capp_norm *post, *norm; /* for the norm phase; post: norm of u before u is added to x */
    const capp_matrix *next;      /* the matrix that the rows are multiplied by next */
    const capp_matrix *router;    /* another matrix that the rows are multiplied by, such as the router; or NULL */
    const capp_tiles *tiles;      /* for attention */
    const capp_norm *router_norm; /* the norm of the router's inputs; NULL or without a weight: norm */
    bool router_bare;             /* they are not normed */
    bool add;                     /* u is to be added to x */
    float scale;                  /* then x is multiplied by it */
    bool beside;                  /* the norm takes x without u */
} phase;

static void run_rows(const phase *p, capp_task_fn fn) {
    capp_pool_run(p->f->pool, fn, (void *)(uintptr_t)p, (p->rows + CHUNK - 1) / CHUNK);
}

static size_t chunk_end(const phase *p, size_t task) {
    return (task + 1) * CHUNK < p->rows ? (task + 1) * CHUNK : p->rows;
}

/* Writes the embeddings to f->x, or to f->h if a projection follows. */
static void embed_rows(void *user, size_t task, int worker) {
    const phase *p = user;
    capp_forward *f = p->f;
    const capp_weights *w = f->weights;
    (void)worker;
    for (size_t r = task * CHUNK; r < chunk_end(p, task); r++) {
        float *x = f->x + r * w->hparams.width;
        capp_embed_row(w, f->token[r], x);
        if (w->project_in.parts) capp_narrow_row(f, &w->project_in, f->h, r, x);
    }
}

static void place_rows(void *user, size_t task, int worker) {
    const phase *p = user;
    capp_forward *f = p->f;
    const capp_weights *w = f->weights;
    size_t width = w->hparams.width;
    (void)worker;
    for (size_t r = task * CHUNK; r < chunk_end(p, task); r++) {
        float *x = f->x + r * width;
        if (w->positions) {
            float *position = f->u + r * width;
            size_t bytes = (size_t)(w->positions->bytes / w->positions->dims[1]);
            size_t row = f->depth[r] - 1 + w->position_offset;
            w->positions_dequant(position, (const char *)w->positions->data + row * bytes, width);
            capp_delta_add(w, w->positions_delta, row, 1, position, width);
            w->kernels->add(x, position, width);
        }
        if (w->tokens_norm.weight) capp_norm_row(w, &w->tokens_norm, x, x, width);
    }
}

static void embed(phase *p) {
    capp_forward *f = p->f;
    const capp_weights *w = f->weights;
    run_rows(p, embed_rows);
    if (w->project_in.parts) capp_product(f, &w->project_in, f->h, f->h_stride, f->x, w->hparams.width, p->rows, false);
    if (w->positions || w->tokens_norm.weight) run_rows(p, place_rows);
    if (w->hparams.streams) capp_streams_begin(f, p->rows);
}

/* Writes rows of f->u to f->h. */
static void projected_rows(void *user, size_t task, int worker) {
    const phase *p = user;
    capp_forward *f = p->f;
    const capp_matrix *head = &f->weights->head;
    (void)worker;
    for (size_t r = task * CHUNK; r < chunk_end(p, task); r++) capp_narrow_row(f, head, f->h, r, f->u + r * head->k);
}

/* x += [post](u), if there is a u to add; h = norm(x). If the two parts of the layer are computed from the same input,
 * the norm takes the old x. */
static void norm_rows(void *user, size_t task, int worker) {
    const phase *p = user;
    capp_forward *f = p->f;
    const capp_weights *w = f->weights;
    size_t width = w->hparams.width;
    float *normed = f->scratch + (size_t)worker * f->scratch_stride;
    for (size_t r = task * CHUNK; r < chunk_end(p, task); r++) {
        float *x = f->x + r * width, *u = f->u + r * width;
        if (p->beside) capp_norm_row(w, p->norm, normed, x, width);
        if (p->add) {
            if (p->post->weight) capp_norm_row(w, p->post, u, u, width);
            if (w->hparams.residual_scale != 1) w->kernels->scale(u, w->hparams.residual_scale, width);
            w->kernels->add(x, u, width);
            if (p->scale != 1) w->kernels->scale(x, p->scale, width);
        }
        if (!p->beside) capp_norm_row(w, p->norm, normed, x, width);
        if (w->hparams.norm_after) memcpy(x, normed, width * sizeof *x);
        capp_narrow_row(f, p->next, f->h, r, normed);
        if (p->router && p->router_norm->weight) capp_norm_row(w, p->router_norm, normed, x, width);
        if (p->router && p->router_bare) memcpy(normed, x, width * sizeof *normed);
        if (p->router) capp_narrow_row(f, p->router, f->routed, r, normed);
    }
}

/* Writes the output of the layer's capp_mix to f->h: row i is the tiles' row i. */
static void mixed_rows(void *user, size_t task, int worker) {
    const phase *p = user;
    capp_forward *f = p->f;
    (void)worker;
    for (size_t r = task * CHUNK; r < chunk_end(p, task); r++)
        capp_narrow_row(f, p->next, f->h, r, capp_mix_finish(f, &f->weights->layers[p->layer], p->tiles->row[r]));
}

/* Writes attention's output, which is in the place of q, to f->h: row i is the tiles' row i. */
static void attended_rows(void *user, size_t task, int worker) {
    const phase *p = user;
    capp_forward *f = p->f;
    const capp_shape *shape = &f->weights->layers[p->layer].shape;
    (void)worker;
    for (size_t r = task * CHUNK; r < chunk_end(p, task); r++) {
        float *out = f->t + p->tiles->row[r] * f->t_stride;
        const float *gate = out + p->next->k;
        for (size_t i = 0; f->weights->hparams.attention_gate && i < p->next->k; i++) out[i] *= capp_sigmoid(gate[i]);
        for (size_t i = 1; i < shape->heads && shape->value != shape->key; i++)
            memmove(out + i * shape->value, out + i * shape->key, shape->value * sizeof *out);
        capp_narrow_row(f, p->next, f->h, r, out);
    }
}

/* Norms the heads of q or k: each head separately, or the whole row. */
static void norm_heads(const capp_weights *w, const capp_norm *norm, float *x, size_t heads, size_t d) {
    if (!norm->weight) return;
    if (w->hparams.qk_norm == CAPP_QK_ROW) {
        capp_norm_row(w, norm, x, x, heads * d);
        return;
    }
    for (size_t i = 0; i < heads; i++) {
        capp_norm own = {norm->weight + (w->hparams.qk_norm == CAPP_QK_OWN ? i * d : 0), norm->bias, norm->eps};
        capp_norm_row(w, &own, x + i * d, x + i * d, d);
    }
}

static void norm_q_and_k(const capp_weights *w, const capp_layer *layer, float *q, float *k) {
    norm_heads(w, &layer->q_norm, q, layer->shape.heads, layer->shape.key);
    norm_heads(w, &layer->k_norm, k, layer->shape.kv_heads, layer->shape.key);
}

static void norm_values(const capp_weights *w, const capp_layer *layer, float *v) {
    size_t d = layer->shape.value;
    for (size_t i = 0; layer->v_norm.weight && i < layer->shape.kv_heads; i++)
        capp_norm_row(w, &layer->v_norm, v + i * d, v + i * d, d);
}

/* Norms and rotates q and k of f->t, and stores k and v in the row's slot. A layer that reads the keys and values of
 * another one has only q. */
static void position_rows(void *user, size_t task, int worker) {
    const phase *p = user;
    capp_forward *f = p->f;
    const capp_weights *w = f->weights;
    const capp_hparams *h = &w->hparams;
    const capp_layer *layer = &w->layers[p->layer];
    const capp_shape *shape = &layer->shape;
    size_t d = shape->key, heads = shape->heads, kv_heads = shape->back ? 0 : shape->kv_heads;
    (void)worker;
    for (size_t r = task * CHUNK; r < chunk_end(p, task); r++) {
        float *q = f->t + r * f->t_stride, *k = q + (h->attention_gate ? 2 : 1) * heads * d, *v = k + kv_heads * d;
        size_t position = f->depth[r] - 1;
        if (shape->keys_as_values && kv_heads) memcpy(v, k, kv_heads * d * sizeof *v);
        if (!h->qk_norm_rotated) norm_q_and_k(w, layer, q, k);
        if (h->clamp > 0) capp_clamp(q, h->clamp, (heads + kv_heads) * d + kv_heads * shape->value);
        capp_rotate_heads(f, layer, q, d, heads, position);
        capp_rotate_heads(f, layer, k, d, kv_heads, position);
        if (h->qk_norm_rotated) norm_q_and_k(w, layer, q, k);
        if (h->growth > 0) w->kernels->scale(q, capp_growth(h, layer, position), heads * d);
        if (!kv_heads) continue;
        norm_values(w, layer, v);
        capp_store_row(f, layer, f->slot[r], k, v);
    }
}

/* After the last layer has stored what later tokens need, only the head's rows continue: x is packed to these rows, and
 * u if it is to be added. q and the like stay in their places; the tiles know where. */
static void keep_head_rows(phase *p) {
    capp_forward *f = p->f;
    size_t width = f->weights->hparams.width, all = f->weights->hparams.streams * width;
    size_t experts = f->weights->arch->early_router ? f->weights->hparams.experts : 0;
    for (size_t i = 0; i < f->n_heads; i++) {
        size_t from = f->head_row[i];
        if (from != i && experts)
            memcpy(f->shares + i * experts, f->shares + from * experts, experts * sizeof *f->shares);
        if (from != i && all) memcpy(f->streams + i * all, f->streams + from * all, all * sizeof *f->streams);
        if (from != i) memcpy(f->x + i * width, f->x + from * width, width * sizeof *f->x);
        if (from != i && p->add) memcpy(f->u + i * width, f->u + from * width, width * sizeof *f->u);
    }
    p->rows = f->n_heads;
}

/* x += [post](y times m). This is done at once, or through u in the next norm phase if there is a post norm, a scale,
 * or a norm that needs the old x. */
static void add_product(phase *p, const capp_matrix *m, char *y, size_t ldy, const capp_norm *post, bool beside) {
    capp_forward *f = p->f;
    size_t width = f->weights->hparams.width;
    p->add = post->weight || beside || f->weights->hparams.residual_scale != 1;
    p->post = post;
    capp_product(f, m, y, ldy, p->add ? f->u : f->x, width, p->rows, !p->add);
}

/* Computes what a layer takes from each row: q, k and v, or the inputs of its capp_mix. Stores what later rows need. */
static void take_in(phase *p, const capp_layer *layer, bool mixes) {
    static const capp_norm none = {NULL, NULL, 0};
    capp_forward *f = p->f;
    const capp_matrix *in = mixes ? &layer->mix_in : &layer->qkv;
    if (mixes && f->weights->hparams.mix.kind == CAPP_MIX_WKV) { /* it mixes what it takes */
        capp_mix_rows(f, layer);
        return;
    }
    p->norm = &layer->attention_norm, p->next = in;
    p->router = mixes && layer->mix_rates.parts ? &layer->mix_rates : NULL, p->router_norm = &none;
    if (f->weights->arch->early_router && layer->expert_up) p->router = &layer->router, p->router_bare = true;
    run_rows(p, norm_rows);
    capp_product(f, in, f->h, f->h_stride, mixes ? f->t : f->t + capp_latent_place(layer, &f->weights->hparams),
                 f->t_stride, p->rows, false);
    if (p->router_bare)
        capp_product(f, p->router, f->routed, f->h_stride, f->shares, p->router->n, p->rows, false);
    else if (p->router)
        capp_product(f, p->router, f->routed, f->h_stride, f->t + in->n, f->t_stride, p->rows, false);
    p->router_bare = false;
    if (mixes)
        capp_mix_rows(f, layer);
    else if (layer->latent.k_b)
        capp_latent_queries(f, layer, p->rows);
    else
        run_rows(p, position_rows);
}

/* Adds the output of attention or of the layer's capp_mix to the stream. */
static void bring_out(phase *p, const capp_layer *layer, bool mixes, bool beside) {
    capp_forward *f = p->f;
    if (f->weights->hparams.kinds[p->layer] & CAPP_STRAIGHT) {
        p->norm = &layer->attention_norm, p->next = &layer->out, p->router = NULL;
        run_rows(p, norm_rows);
        add_product(p, p->next, f->h, f->h_stride, &layer->attention_post_norm, false);
        return;
    }
    if (!mixes) capp_attention(f, p->layer, p->tiles);
    p->next = mixes ? &layer->mix_out : &layer->out;
    if (layer->latent.k_b)
        capp_latent_outputs(f, layer, p->rows, p->tiles->row);
    else
        run_rows(p, mixes ? mixed_rows : attended_rows);
    add_product(p, p->next, f->h, f->h_stride, &layer->attention_post_norm, beside);
}

/* Computes the layer's capp_mix for all rows. Its output is added when attention's norm has taken the old stream. */
static void mix_beside(phase *p, const capp_layer *layer) {
    take_in(p, layer, true);
    p->tiles = &p->f->all, p->scale = 1;
    bring_out(p, layer, true, true);
    p->beside = true;
}

/* Adds what the layer makes of its side embedding to the stream, or corrects several streams and adds it to them. */
static void add_side(phase *p, const capp_layer *layer, bool last) {
    static const capp_norm none = {NULL, NULL, 0};
    capp_forward *f = p->f;
    const bool several = f->weights->hparams.streams;
    p->norm = &none, p->next = &layer->side.gate, p->router = NULL;
    if (several)
        capp_streams_correct(f, p->layer, p->rows);
    else
        run_rows(p, norm_rows);
    capp_side_rows(f, p->layer, p->rows, last ? f->head_row : NULL);
    add_product(p, &layer->side.out, f->h, f->h_stride, &layer->side.norm, several);
    if (!several) return;
    capp_streams_add(f, p->layer, p->rows);
    p->add = false;
}

/* As the norm phase, for a feed-forward part that reads the token before, too: all rows store what later rows need. */
static void shift_feed(phase *p, const capp_layer *layer, bool last) {
    capp_forward *f = p->f;
    capp_wkv_shift_feed(f, layer);
    if (last) keep_head_rows(p);
    capp_wkv_feed(f, layer, p->rows, last ? f->head_row : NULL);
}

static void feed(phase *p, const capp_layer *layer, bool last) {
    capp_forward *f = p->f;
    p->norm = layer->expert_norm.weight ? &layer->expert_norm : &layer->feed_norm;
    p->next = layer->expert_up && !layer->up.parts ? layer->expert_up : &layer->up;
    if (layer->expert_in.parts) p->next = &layer->expert_in;
    p->router = layer->expert_up && !f->weights->arch->early_router ? &layer->router : NULL;
    p->router_norm = &layer->router_norm;
    p->scale = 1;
    p->beside = f->weights->hparams.parallel != CAPP_SEQUENTIAL;
    if (layer->wkv.feed_shift)
        shift_feed(p, layer, last);
    else
        run_rows(p, norm_rows);
    p->beside = false;
    if (!p->rows) return;
    if (layer->expert_up) {
        capp_experts(f, layer, p->rows);
        p->add = true;
        p->post = &layer->feed_post_norm;
    } else {
        if (layer->shape.sparse)
            capp_product_sparse(f, p->layer, p->rows);
        else
            capp_product_activated(f, &layer->up, &layer->down, f->h, p->rows);
        add_product(p, &layer->down, f->g, f->g_stride, &layer->feed_post_norm, false);
    }
    if (layer->side.out.parts) add_side(p, layer, last);
    p->scale = layer->scale;
}

static void run_layer(phase *p) {
    capp_forward *f = p->f;
    const capp_hparams *h = &f->weights->hparams;
    const capp_layer *layer = &f->weights->layers[p->layer];
    bool last = p->layer + 1 == h->layers, feeds = h->kinds[p->layer] & CAPP_FEEDS;
    bool both = h->kinds[p->layer] & CAPP_BESIDE, mixes = layer->mix_in.parts && !both;
    bool only_heads =
        last && !layer->wkv.feed_shift; /* from attention's output on; else from the feed-forward part on */
    if (h->streams) capp_streams_predict(p->f, p->layer, p->rows);
    if (both) mix_beside(p, layer);
    if (!feeds && !(h->kinds[p->layer] & CAPP_STRAIGHT)) take_in(p, layer, mixes);
    p->beside = false;
    if (only_heads) {
        keep_head_rows(p);
        if (!p->rows) return;
    }
    p->tiles = only_heads ? &f->heads : &f->all;
    if (!feeds) bring_out(p, layer, mixes, h->parallel != CAPP_SEQUENTIAL);
    if (h->streams) {
        capp_streams_join(p->f, p->layer, p->rows);
        p->add = false;
    }
    if (!(h->kinds[p->layer] & CAPP_BARE)) feed(p, layer, last);
}

capp_status capp_forward_wave(capp_forward *f, const capp_weights *w, size_t first_state, capp_tree *tree,
                              const capp_plan *plan, const capp_wave *wave, capp_error *err) {
    const uint32_t *nodes = plan->order + wave->first;
    f->weights = w;
    f->store = &f->stores[w == f->stores[1].weights];
    f->first_state = first_state;
    f->experts_run = f->expert_layers = 0;
    const capp_step *steps = tree->states.n ? plan->steps + wave->first : NULL;
    capp_status st = capp_wave_prepare(f, tree, nodes, steps, wave->rows, err);
    if (st != CAPP_OK) return st;
    phase p = {.f = f, .rows = wave->rows, .scale = 1};
    capp_weights_ahead(w, 0, p.rows);
    embed(&p);
    for (p.layer = 0; p.layer < f->weights->hparams.layers; p.layer++) {
        capp_weights_ahead(w, p.layer + 1, f->n_heads || p.layer + 1 < w->hparams.layers ? p.rows : 0);
        run_layer(&p);
        capp_weights_behind(w, p.layer);
        if (capp_pool_stopped(f->pool)) return capp_fail(err, CAPP_ECANCELLED, "cancelled");
        if (capp_source_failed(w->source)) return capp_source_check(w->source, err);
    }
    if (!p.rows) return CAPP_OK;
    if (w->hparams.streams) capp_streams_end(f, p.rows);
    p.norm = &w->output_norm, p.next = w->project_out.parts ? &w->project_out : &w->head, p.router = NULL;
    run_rows(&p, norm_rows);
    if (w->project_out.parts) {
        capp_product(f, &w->project_out, f->h, f->h_stride, f->u, w->hparams.embedded, p.rows, false);
        run_rows(&p, projected_rows);
    }
    st = capp_head_logprobs(f, tree, err);
    capp_weights_behind(w, w->hparams.layers);
    return st;
}

static double operations_of(const capp_matrix *m) {
    return 2.0 * (double)m->n * (double)m->k;
}

double capp_forward_flops(const capp_weights *w, size_t rows, size_t n_heads) {
    double total = (operations_of(&w->head) + operations_of(&w->project_out)) * (double)n_heads;
    total += operations_of(&w->project_in) * (double)rows;
    for (size_t i = 0; i + 1 < w->hparams.streams; i++)
        total += operations_of(&w->spread[i]) * (double)rows + operations_of(&w->merge[i]) * (double)n_heads;
    for (size_t i = 0; i < w->hparams.layers; i++) {
        const capp_layer *l = &w->layers[i];
        double fed = operations_of(&l->up) + operations_of(&l->down) + operations_of(&l->router) +
                     operations_of(&l->shared_router) + operations_of(&l->side.gate) + operations_of(&l->side.context) +
                     operations_of(&l->side.out) + operations_of(&l->altup.left) + operations_of(&l->altup.right) +
                     operations_of(&l->expert_in) + operations_of(&l->expert_out);
        if (l->expert_up)
            fed += w->hparams.experts_used * (operations_of(l->expert_up) + operations_of(l->expert_down));
        size_t going_on = i + 1 == w->hparams.layers ? n_heads : rows; /* after the last layer's keys and values */
        double first = operations_of(&l->qkv) + operations_of(&l->latent.q_b) + operations_of(&l->mix_in) +
                       operations_of(&l->mix_rates);
        for (size_t e = 0; e < CAPP_MOST_INNER; e++) first += operations_of(&l->mix_inner[e]);
        for (size_t e = 0; l->latent.k_b && e < 2 * (size_t)w->hparams.heads; e++)
            fed += operations_of(&l->latent.k_b[e]);
        if (l->qkv.parts || l->wkv.feed_shift)
            first += operations_of(&l->mix_out);
        else
            fed += operations_of(&l->mix_out);
        total += first * (double)rows + (operations_of(&l->out) + fed) * (double)going_on;
    }
    return total;
}
