/* The scratch memory of a session: one list of buffers gives both its size and its allocation. */
#include "forward/forward.h"

#include <string.h>

#include "base/mem.h"
#include "forward/wave.h"

/* A tile of attention. In bfloat16 each tile makes panels of the values that it reads, so twice the queries halve that
 * work. */
enum { TILE_QUERIES = 48, NARROW_TILE_QUERIES = 96 };

static size_t round_up(size_t n, size_t multiple) {
    return (n + multiple - 1) / multiple * multiple;
}

/* The stride of rows in elements. It is a multiple of whole vectors and of whole steps of products, but not of a page:
 * otherwise all rows would use one set of the first-level cache. */
static size_t stride_of(size_t n) {
    enum { PAGE = 1024 };
    n = round_up(n, CAPP_MAX_STEP);
    return n % PAGE ? n : n + CAPP_MAX_STEP;
}

static size_t larger(size_t a, size_t b) {
    return a > b ? a : b;
}

/* Adds what the lane of w needs for changes. */
static void set_changes(capp_forward *f, const capp_weights *w) {
    for (const capp_delta_product *c = w->changes; c; c = c->owned)
        f->low_stride = larger(f->low_stride, round_up(c->rank, CAPP_LANES));
    for (size_t i = 0; i < w->hparams.layers; i++)
        f->fed_change = f->fed_change || capp_is_changed(w, &w->layers[i].down);
}

/* Computes the sizes that depend on the model and on the room. */
static void set_sizes(capp_forward *f, const capp_weights *w, const capp_weights *exact, const capp_room *room) {
    const capp_hparams *h = &w->hparams;
    size_t group = 1, q = 0, qkv = 0, feed = h->shared_feed, wide = 0;
    for (uint32_t i = 0; i < h->layers; i++) {
        const capp_shape *shape = &h->shapes[i];
        feed = larger(feed, shape->feed);
        if (shape->sparse) wide = larger(wide, 2 * (size_t)shape->feed);
        if (!capp_has_attention(h, i)) continue;
        group = larger(group, shape->heads / shape->kv_heads);
        q = larger(q, (size_t)shape->heads * shape->key);
        qkv = larger(qkv, capp_attention_rows(h, i));
    }
    f->weights = w;
    f->stores[0] = (capp_store){.weights = w, .slots = round_up(room->slots, CAPP_LANES)};
    f->stores[1] = (capp_store){.weights = exact, .slots = round_up(room->exact_slots, CAPP_LANES)};
    f->store = f->stores;
    f->n_states = room->states;
    f->state_floats = capp_mix_floats(h);
    f->rows = room->rows;
    f->longest = room->longest;
    size_t mixed = larger(capp_mix_outputs(h), h->mix.rank);
    f->h_stride = stride_of(
        larger(larger(larger(h->width, larger(h->side, h->laurel)), larger(q, capp_latent_elements(h))), mixed));
    f->g_stride = stride_of(feed);
    f->inner_stride = stride_of(h->feed);
    f->wide_stride = wide ? stride_of(wide) : 0;
    size_t mix = capp_mix_inputs(h), taken = larger(larger(2 * (size_t)h->side, h->laurel), capp_latent_floats(h));
    f->t_stride = stride_of(larger(larger(qkv, mix), taken));
    f->tile_rows = larger(4, (w->products->put_rows ? NARROW_TILE_QUERIES : TILE_QUERIES) / group);
    f->scratch_stride = larger(larger(1, h->streams) * h->width, h->side);
    for (size_t i = 0; i < 2; i++) {
        const capp_weights *of = i ? exact : w;
        if (!of) continue;
        const capp_products *products = capp_products_of(of, &of->head);
        size_t tiles = capp_strip_of(products) * CAPP_HEAD_TILE +
                       capp_matrix_scratch(of, &of->head, CAPP_HEAD_TILE / products->nr);
        f->scratch_stride = larger(f->scratch_stride, larger(tiles, capp_product_scratch(of, f->rows)));
        f->scratch_stride = larger(f->scratch_stride, capp_attention_floats(f, of));
        f->element = larger(f->element, of->products->element);
        if (of->integers) f->element = larger(f->element, of->integers->element);
        set_changes(f, of);
    }
    f->scratch_stride = round_up(f->scratch_stride, CAPP_LANES);
}

/* Calls fn for every buffer of f, with the address of its pointer, its number of elements and the bytes of one element.
 * Stops if fn returns false. */
typedef bool (*buffer_fn)(void *user, void *place, size_t n, size_t size);

static bool each_tiles(capp_tiles *t, size_t rows, buffer_fn fn, void *user) {
    return fn(user, &t->tile, rows, sizeof *t->tile) && fn(user, &t->tail, rows, sizeof *t->tail) &&
           fn(user, &t->tail_end, rows, sizeof *t->tail_end) && fn(user, &t->row, rows, sizeof *t->row) &&
           fn(user, &t->common, rows, sizeof *t->common);
}

static bool each_store(capp_store *store, buffer_fn fn, void *user) {
    const capp_weights *w = store->weights;
    if (!w) return true;
    /* A product reads the whole panel that holds the last key. */
    const size_t slots = store->slots + (w->products->put_column ? w->products->nr : 0);
    return fn(user, &store->keys, w->key_elements * slots, w->products->element) &&
           fn(user, &store->values, w->value_elements * store->slots, w->products->element);
}

static bool each_buffer(capp_forward *f, int threads, buffer_fn fn, void *user) {
    const capp_hparams *h = &f->weights->hparams;
    size_t rows = f->rows;
    size_t tiles = (f->weights->head.n + CAPP_HEAD_TILE - 1) / CAPP_HEAD_TILE * rows;
    size_t chosen = h->experts ? rows : 0, choices = chosen * h->experts_used;
    const size_t changed = f->low_stride ? rows : 0;
    size_t routed = h->experts || h->mix.kind ? rows : 0, first = h->mix.kind == CAPP_MIX_WKV ? rows : 0;
    size_t rotations = (size_t)h->n_ropes * f->longest * (h->rope_dims / 2);
    return each_store(f->stores, fn, user) && each_store(f->stores + 1, fn, user) &&
           fn(user, &f->states, capp_count_states(h) * f->n_states * f->state_floats, sizeof *f->states) &&
           fn(user, &f->first, first * h->width, sizeof *f->first) && fn(user, &f->depth, rows, sizeof *f->depth) &&
           fn(user, &f->slot, rows, sizeof *f->slot) && fn(user, &f->token, rows, sizeof *f->token) &&
           fn(user, &f->path, f->longest, sizeof *f->path) &&
           fn(user, &f->path_node, f->longest, sizeof *f->path_node) && each_tiles(&f->all, rows, fn, user) &&
           each_tiles(&f->heads, rows, fn, user) && fn(user, &f->x, rows * h->width, sizeof *f->x) &&
           fn(user, &f->h, rows * f->h_stride, f->element) && fn(user, &f->g, rows * f->g_stride, f->element) &&
           fn(user, &f->t, rows * f->t_stride, sizeof *f->t) && fn(user, &f->u, rows * h->width, sizeof *f->u) &&
           fn(user, &f->h_floats, changed * f->h_stride, sizeof *f->h_floats) &&
           fn(user, &f->g_floats, f->fed_change ? changed * f->g_stride : 0, sizeof *f->g_floats) &&
           fn(user, &f->low, changed * f->low_stride, sizeof *f->low) &&
           fn(user, &f->cosines, rotations, sizeof *f->cosines) && fn(user, &f->sines, rotations, sizeof *f->sines) &&
           fn(user, &f->routed, routed * f->h_stride, f->element) &&
           fn(user, &f->shares, chosen * h->experts, sizeof *f->shares) &&
           fn(user, &f->picks, h->experts, sizeof *f->picks) && fn(user, &f->choices, choices, sizeof *f->choices) &&
           fn(user, &f->chosen, choices, sizeof *f->chosen) &&
           fn(user, &f->gathered, choices * f->h_stride, f->element) &&
           fn(user, &f->inner, choices * f->inner_stride, f->element) &&
           fn(user, &f->mixed, larger(choices, h->streams ? rows : 0) * h->width, sizeof *f->mixed) &&
           fn(user, &f->streams, rows * h->streams * h->width, sizeof *f->streams) &&
           fn(user, &f->wide, rows * f->wide_stride, sizeof *f->wide) &&
           fn(user, &f->scratch, (size_t)threads * f->scratch_stride, sizeof *f->scratch) &&
           fn(user, &f->head_row, rows, sizeof *f->head_row) && fn(user, &f->head_node, rows, sizeof *f->head_node) &&
           fn(user, &f->head_spread, rows, sizeof *f->head_spread) &&
           fn(user, &f->normalizer, rows, sizeof *f->normalizer) &&
           fn(user, &f->tile_max, tiles, sizeof *f->tile_max) && fn(user, &f->tile_sum, tiles, sizeof *f->tile_sum) &&
           fn(user, &f->tile_best, tiles, sizeof *f->tile_best) &&
           fn(user, &f->tile_best_token, tiles, sizeof *f->tile_best_token);
}

static bool count_buffer(void *user, void *place, size_t n, size_t size) {
    size_t *total = user, bytes;
    (void)place;
    return capp_mul(n, size, &bytes) && !__builtin_add_overflow(*total, bytes + 128, total);
}

static bool new_buffer(void *user, void *place, size_t n, size_t size) {
    (void)user;
    void *p = capp_aligned_new(n, size);
    if (!p) return false;
    memcpy(place, &p, sizeof p);
    return true;
}

static bool delete_buffer(void *user, void *place, size_t n, size_t size) {
    (void)user, (void)n, (void)size;
    void *p;
    memcpy(&p, place, sizeof p);
    capp_aligned_delete(p);
    return true;
}

size_t capp_forward_bytes(const capp_weights *w, const capp_weights *exact, int threads, const capp_room *room) {
    capp_forward f = {0};
    size_t total = sizeof f;
    set_sizes(&f, w, exact, room);
    return each_buffer(&f, threads, count_buffer, &total) ? total : SIZE_MAX;
}

capp_status capp_forward_open(capp_forward **out, const capp_weights *w, const capp_weights *exact, capp_pool *pool,
                              const capp_room *room, capp_error *err) {
    *out = NULL;
    capp_forward *f = capp_new0(1, sizeof *f);
    if (!f) return capp_fail_memory(err, "the run");
    f->pool = pool;
    set_sizes(f, w, exact, room);
    if (!each_buffer(f, capp_pool_threads(pool), new_buffer, NULL)) {
        capp_forward_free(f);
        return capp_fail_memory(err, "the KV store and the buffers of the run");
    }
    *out = f;
    return CAPP_OK;
}

void capp_forward_free(capp_forward *f) {
    if (!f) return;
    each_buffer(f, 1, delete_buffer, NULL);
    capp_free(f->all.runs);
    capp_free(f->heads.runs);
    capp_free(f->targets);
    capp_free(f);
}

capp_room capp_forward_room(const capp_forward *f) {
    return (capp_room){.slots = f->stores[0].slots,
                       .exact_slots = f->stores[1].slots,
                       .states = f->n_states,
                       .rows = f->rows,
                       .longest = f->longest};
}

size_t capp_forward_state_bytes(const capp_weights *w) {
    return capp_count_states(&w->hparams) * capp_mix_floats(&w->hparams) * sizeof(float);
}

size_t capp_forward_head_rows(const capp_forward *f) {
    return f->n_heads;
}

size_t capp_forward_experts(const capp_forward *f, size_t *layers) {
    *layers = f->expert_layers;
    return f->experts_run;
}
