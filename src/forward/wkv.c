/* RWKV-7 (Peng et al., arXiv 2503.14456). With x the normed input of a row and x' that of the token before (0 for the
 * first token), each of r, w, k, v, a and g reads its own mixture x + (x' - x) shift. w, a, g and a second product of
 * the value are of low rank; those of w and g have an activation between their matrices. Then, by channel:
 *   w = exp(-0.606531 sigmoid(w + bias)), a = sigmoid(a + bias), v += (first layer's v - v) sigmoid(second + bias)
 *   z = the head of k * removal, as a unit vector; k *= 1 + (a - 1) renewal
 * and the state S of a head, [keys][values], becomes
 *   S = S * w - (z * a) (z' S) + k v'
 * where w and z belong to keys. The output of a head is norm(r' S) + (sum of r k bonus) v, times g. The feed-forward
 * part mixes its input with that of the token before, too.
 *
 * A row of f->t has, in sections of `width` floats: r, w, k, v, a, g, x and x' - x, then a latent vector. The sections
 * of x and x' - x take z and -(z * a) when all products have read them, that of a takes the output. */
#include <math.h>

#include "base/math.h"
#include "forward/mixing.h"
#include "kernel/plain.h"

enum { CHANNELS = 64 };
enum { R, W, K, V, A, G, X, D, LATENT };

/* The order of the mixtures in capp_wkv's shift is that of the first six sections. */
static const size_t place_of[CAPP_WKV_LOW_RANKS] = {W, A, X, G}, mixture_of[CAPP_WKV_LOW_RANKS] = {W, A, V, G};

typedef struct taking {
    const mixing *m;
    const capp_norm *norm;   /* of x */
    size_t shift;            /* where the state has x' */
    const float *mixture;    /* [width] */
    const capp_matrix *next; /* that reads the mixture, or the latent vector */
    size_t which;            /* whose latent vector: a capp_low_rank */
    const uint32_t *row;     /* [rows] the row of the wave; NULL: the same row */
    size_t rows;
} taking;

static size_t width_of(const mixing *m) {
    return m->f->weights->hparams.width;
}

static void run_rows(const taking *t, capp_task_fn fn) {
    capp_pool_run(t->m->f->pool, fn, (void *)(uintptr_t)t, (t->rows + MIX_ROWS - 1) / MIX_ROWS);
}

static size_t end_of(const taking *t, size_t task) {
    return (task + 1) * MIX_ROWS < t->rows ? (task + 1) * MIX_ROWS : t->rows;
}

/* ---- Mixtures -------------------------------------------------------------------------------------------------------
 */

static void normed_task(void *user, size_t task, int worker) {
    const taking *t = user;
    const capp_forward *f = t->m->f;
    size_t n = width_of(t->m);
    (void)worker;
    for (size_t r = task * MIX_ROWS; r < end_of(t, task); r++)
        capp_norm_row(f->weights, t->norm, row_of(t->m, r) + X * n, f->x + r * n, n);
}

/* Leaves x for the token after the row. */
static void shifted_task(void *user, size_t task, int worker) {
    const taking *t = user;
    size_t width = width_of(t->m), first = task * CHANNELS, n = width - first < CHANNELS ? width - first : CHANNELS;
    (void)worker;
    for (size_t r = 0; r < t->rows; r++) {
        float *before = enter(t->m, r, t->shift + first, n), *x = row_of(t->m, r) + X * width + first;
        float *difference = x + width;
        for (size_t i = 0; i < n; i++) difference[i] = before[i] - x[i];
        memcpy(before, x, n * sizeof *x);
    }
}

static void shift(const taking *t) {
    run_rows(t, normed_task);
    capp_pool_run(t->m->f->pool, shifted_task, (void *)(uintptr_t)t, (width_of(t->m) + CHANNELS - 1) / CHANNELS);
}

/* Writes the inputs of t->next to rows of f->h. */
static void mixture_task(void *user, size_t task, int worker) {
    const taking *t = user;
    const capp_forward *f = t->m->f;
    size_t n = width_of(t->m);
    float *mixed = f->scratch + (size_t)worker * f->scratch_stride;
    for (size_t r = task * MIX_ROWS; r < end_of(t, task); r++) {
        const float *x = row_of(t->m, t->row ? t->row[r] : r) + X * n, *difference = x + n;
        for (size_t i = 0; i < n; i++) mixed[i] = x[i] + difference[i] * t->mixture[i];
        capp_narrow_row(f, t->next, f->h, r, mixed);
    }
}

static void latent_task(void *user, size_t task, int worker) {
    const taking *t = user;
    size_t n = t->next->k;
    (void)worker;
    for (size_t r = task * MIX_ROWS; r < end_of(t, task); r++) {
        float *latent = row_of(t->m, r) + LATENT * width_of(t->m);
        if (t->which == CAPP_WKV_DECAY) capp_soft_cap(latent, 1, n); /* tanh */
        for (size_t i = 0; t->which == CAPP_WKV_GATE && i < n; i++) latent[i] = capp_sigmoid(latent[i]);
        capp_narrow_row(t->m->f, t->next, t->m->f->h, r, latent);
    }
}

static void multiply(capp_forward *f, taking *t, const capp_matrix *by, capp_task_fn inputs, size_t section) {
    t->next = by;
    run_rows(t, inputs);
    capp_product(f, by, f->h, f->h_stride, f->t + section * width_of(t->m), f->t_stride, t->rows, false);
}

void capp_wkv_inputs(capp_forward *f, const mixing *m) {
    const capp_matrix *inner = m->layer->mix_inner;
    const float *mixtures = m->layer->wkv.shift;
    size_t n = width_of(m);
    taking t = {.m = m, .norm = &m->layer->attention_norm, .rows = f->n};
    const struct {
        const capp_matrix *by;
        size_t section;
    } wide[] = {{&m->layer->mix_in, R}, {&inner[CAPP_WKV_K], K}, {&inner[CAPP_WKV_V], V}};
    /* That of the value is the last one: it replaces x. */
    static const capp_low_rank order[] = {CAPP_WKV_DECAY, CAPP_WKV_RATE, CAPP_WKV_GATE, CAPP_WKV_VALUE};
    shift(&t);
    for (size_t i = 0; i < 3; i++) {
        t.mixture = mixtures + wide[i].section * n;
        multiply(f, &t, wide[i].by, mixture_task, wide[i].section);
    }
    for (size_t i = 0; i < CAPP_WKV_LOW_RANKS; i++) {
        const capp_matrix *pair = &inner[capp_wkv_pair(order[i])];
        t.which = order[i];
        if (!pair[0].parts) continue;
        t.mixture = mixtures + mixture_of[t.which] * n;
        multiply(f, &t, &pair[0], mixture_task, LATENT);
        multiply(f, &t, &pair[1], latent_task, place_of[t.which]);
    }
}

void capp_wkv_shift_feed(capp_forward *f, const capp_layer *layer) {
    const mixing m = mixing_of(f, layer);
    const taking t = {.m = &m, .norm = &layer->feed_norm, .shift = width_of(&m), .rows = f->n};
    shift(&t);
}

void capp_wkv_feed(capp_forward *f, const capp_layer *layer, size_t rows, const uint32_t *row) {
    const mixing m = mixing_of(f, layer);
    const taking t = {.m = &m, .mixture = layer->wkv.feed_shift, .next = &layer->up, .row = row, .rows = rows};
    run_rows(&t, mixture_task);
}

/* ---- The state ------------------------------------------------------------------------------------------------------
 */

/* z and -(z * a). */
static void find_removal(const mixing *m, float *row) {
    size_t width = width_of(m), n = m->mix->keys;
    float *z = row + X * width, *removed = row + D * width, weights[MOST_KEYS];
    const float *k = row + K * width, *a = row + A * width;
    for (size_t i = 0; i < n; i++) weights[i] = 1 / sqrtf((float)n);
    for (size_t i = 0; i < width; i++) z[i] = k[i] * m->layer->wkv.removal[i];
    for (size_t at = 0; at < width; at += n)
        m->f->weights->kernels->rms_norm(z + at, z + at, weights, n, 1e-24F / (float)n);
    for (size_t i = 0; i < width; i++) removed[i] = -(z[i] * a[i]);
}

void capp_wkv_prepare(const mixing *m, size_t r) {
    const capp_wkv *wkv = &m->layer->wkv;
    size_t n = width_of(m);
    float *row = row_of(m, r), *w = row + W * n, *k = row + K * n, *v = row + V * n, *a = row + A * n;
    float *first = m->f->first + r * n;
    for (size_t i = 0; i < n; i++) {
        float decay = capp_sigmoid(w[i] + wkv->bias[CAPP_WKV_DECAY][i]);
        w[i] = (float)capp_exp(-0.606531 * (double)decay);
        a[i] = capp_sigmoid(a[i] + wkv->bias[CAPP_WKV_RATE][i]);
    }
    const float *bias = wkv->bias[CAPP_WKV_VALUE], *second = row + X * n;
    if (!m->layer->state) memcpy(first, v, n * sizeof *v);
    for (size_t i = 0; bias && i < n; i++) v[i] += (first[i] - v[i]) * capp_sigmoid(second[i] + bias[i]);
    find_removal(m, row);
    for (size_t i = 0; i < n; i++) k[i] *= 1 + (a[i] - 1) * wkv->renewal[i];
}

void capp_wkv_row(const mixing *m, float *row, size_t head, size_t group, float *s, size_t column, size_t n) {
    static const float ONE = 1;
    const capp_kernels *kernels = m->f->weights->kernels;
    size_t width = width_of(m), keys = m->mix->keys;
    const float *at = row + head * keys, *v = at + V * width + column;
    const float *r = at + R * width;
    float *out = row + A * width + head * keys + column, read[COLUMNS];
    (void)group;
    read_state(m, read, s, at + X * width, n);
    kernels->renew(out, r, s, n, at + W * width, 1, at + K * width, v, keys, n);
    kernels->renew(out, r, s, n, &ONE, 0, at + D * width, read, keys, n);
}

const float *capp_wkv_finish(const mixing *m, float *row) {
    static const float EPS = 64e-5F; /* whatever the file says, as in llama.cpp */
    const capp_wkv *wkv = &m->layer->wkv;
    size_t width = width_of(m), n = m->mix->keys;
    float *out = row + A * width;
    const float *g = row + G * width;
    for (size_t at = 0; at < width; at += n) {
        const float *r = row + at, *k = r + K * width, *v = r + V * width, *bonus = wkv->bonus + at;
        float sum = 0, *head = out + at;
        for (size_t i = 0; i < n; i++) sum += k[i] * r[i] * bonus[i];
        if (wkv->norm.weight)
            m->f->weights->kernels->layer_norm(head, head, wkv->norm.weight + at, wkv->norm.bias + at, n, EPS);
        for (size_t i = 0; i < n; i++) head[i] += v[i] * sum;
    }
    if (m->layer->mix_inner[capp_wkv_pair(CAPP_WKV_GATE)].parts) capp_mul_by(out, g, width);
    return out;
}
