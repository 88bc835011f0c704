/* Several streams (capp_altup), and layers whose gates are sparse. */
#include <math.h>
#include <string.h>

#include "forward/wave.h"
#include "kernel/plain.h"

enum { CHUNK = 8 };

typedef struct streams {
    capp_forward *f;
    const capp_layer *layer;
    const capp_matrix *m; /* the matrix that the rows are multiplied by next */
    size_t rows, stream;
} streams;

static size_t chunk_end(const streams *s, size_t task) {
    return (task + 1) * CHUNK < s->rows ? (task + 1) * CHUNK : s->rows;
}

static void run(const streams *s, capp_task_fn fn) {
    capp_pool_run(s->f->pool, fn, (void *)(uintptr_t)s, (s->rows + CHUNK - 1) / CHUNK);
}

static float *stream_of(const capp_forward *f, size_t r, size_t i) {
    const capp_hparams *h = &f->weights->hparams;
    return f->streams + (r * h->streams + i) * h->width;
}

static float *scratch_of(const capp_forward *f, int worker) {
    return f->scratch + (size_t)worker * f->scratch_stride;
}

/* ---- Ends ----------------------------------------------------------------------------------------------------------
 */

/* Scales y to the root mean square of x. */
static void match(const capp_weights *w, float *y, const float *x) {
    const size_t n = w->hparams.width;
    const float least = 1e-5F, square = capp_dot(y, y, n) / (float)n, wanted = capp_dot(x, x, n) / (float)n;
    w->kernels->scale(y, sqrtf(wanted) / sqrtf(square > least ? square : least), n);
}

static void take_stream(void *user, size_t task, int worker) {
    const streams *s = user;
    (void)worker;
    for (size_t r = task * CHUNK; r < chunk_end(s, task); r++)
        capp_narrow_row(s->f, s->m, s->f->h, r, stream_of(s->f, r, s->stream));
}

static void begin_rows(void *user, size_t task, int worker) {
    const streams *s = user;
    const size_t width = s->f->weights->hparams.width;
    (void)worker;
    for (size_t r = task * CHUNK; r < chunk_end(s, task); r++)
        memcpy(stream_of(s->f, r, 0), s->f->x + r * width, width * sizeof(float));
}

static void spread_rows(void *user, size_t task, int worker) {
    const streams *s = user;
    const size_t width = s->f->weights->hparams.width;
    (void)worker;
    for (size_t r = task * CHUNK; r < chunk_end(s, task); r++) {
        float *y = stream_of(s->f, r, s->stream);
        memcpy(y, s->f->u + r * width, width * sizeof *y);
        match(s->f->weights, y, stream_of(s->f, r, 0));
    }
}

void capp_streams_begin(capp_forward *f, size_t rows) {
    const capp_weights *w = f->weights;
    streams s = {.f = f, .rows = rows};
    run(&s, begin_rows);
    for (size_t i = 1; i < w->hparams.streams; i++) {
        s.m = &w->spread[i - 1], s.stream = 0;
        run(&s, take_stream);
        capp_product(f, s.m, f->h, f->h_stride, f->u, w->hparams.width, rows, false);
        s.stream = i;
        run(&s, spread_rows);
    }
}

static void merge_rows(void *user, size_t task, int worker) {
    const streams *s = user;
    const capp_weights *w = s->f->weights;
    const size_t width = w->hparams.width;
    (void)worker;
    for (size_t r = task * CHUNK; r < chunk_end(s, task); r++) {
        float *u = s->f->u + r * width, *x = s->f->x + r * width;
        match(w, u, stream_of(s->f, r, 0));
        if (s->stream == 1) memcpy(x, stream_of(s->f, r, 0), width * sizeof *x);
        w->kernels->add(x, u, width);
        if (s->stream + 1 == w->hparams.streams) w->kernels->scale(x, 1 / (float)w->hparams.streams, width);
    }
}

void capp_streams_end(capp_forward *f, size_t rows) {
    const capp_weights *w = f->weights;
    streams s = {.f = f, .rows = rows};
    for (s.stream = 1; s.stream < w->hparams.streams; s.stream++) {
        s.m = &w->merge[s.stream - 1];
        run(&s, take_stream);
        capp_product(f, s.m, f->h, f->h_stride, f->u, w->hparams.width, rows, false);
        run(&s, merge_rows);
    }
}

/* ---- Layers --------------------------------------------------------------------------------------------------------
 */

/* m = tanh(router(norm(x) / width)); normed [width] is used. */
static void route(const capp_weights *w, const capp_altup *altup, const float *x, float *normed, float *m) {
    const size_t n = w->hparams.streams, width = w->hparams.width;
    capp_norm_row(w, &altup->norm, normed, x, width);
    for (size_t i = 0; i < n; i++) m[i] = capp_dot(altup->router + i * width, normed, width);
    capp_soft_cap(m, 1, n);
}

static void predict_rows(void *user, size_t task, int worker) {
    const streams *s = user;
    const capp_weights *w = s->f->weights;
    const capp_altup *altup = &s->layer->altup;
    const size_t n = w->hparams.streams, width = w->hparams.width;
    float *old = scratch_of(s->f, worker), m[CAPP_MOST_STREAMS], factors[CAPP_MOST_STREAMS * CAPP_MOST_STREAMS];
    for (size_t r = task * CHUNK; r < chunk_end(s, task); r++) {
        float *all = stream_of(s->f, r, 0);
        route(w, altup, all, old, m);
        for (size_t i = 0; i < n * n; i++) factors[i] = capp_dot(altup->predict + i * n, m, n);
        memcpy(old, all, n * width * sizeof *old);
        w->kernels->values(all, width, factors, n, n, old, width, width, n);
        memcpy(s->f->x + r * width, all, width * sizeof *all);
    }
}

void capp_streams_predict(capp_forward *f, size_t index, size_t rows) {
    streams s = {.f = f, .layer = &f->weights->layers[index], .rows = rows};
    run(&s, predict_rows);
}

static void laurel_left_rows(void *user, size_t task, int worker) {
    const streams *s = user;
    const capp_weights *w = s->f->weights;
    const size_t width = w->hparams.width;
    float *normed = scratch_of(s->f, worker);
    for (size_t r = task * CHUNK; r < chunk_end(s, task); r++) {
        capp_norm_row(w, &s->layer->attention_norm, normed, s->f->x + r * width, width);
        capp_narrow_row(s->f, &s->layer->altup.left, s->f->h, r, normed);
    }
}

static void laurel_right_rows(void *user, size_t task, int worker) {
    const streams *s = user;
    (void)worker;
    for (size_t r = task * CHUNK; r < chunk_end(s, task); r++)
        capp_narrow_row(s->f, &s->layer->altup.right, s->f->h, r, s->f->t + r * s->f->t_stride);
}

static void join_rows(void *user, size_t task, int worker) {
    const streams *s = user;
    const capp_weights *w = s->f->weights;
    const size_t width = w->hparams.width;
    float *normed = scratch_of(s->f, worker);
    for (size_t r = task * CHUNK; r < chunk_end(s, task); r++) {
        float *x = s->f->x + r * width, *u = s->f->u + r * width, *laurel = s->f->mixed + r * width;
        capp_norm_row(w, &s->layer->attention_norm, normed, x, width);
        capp_norm_row(w, &s->layer->altup.laurel_norm, laurel, laurel, width);
        capp_norm_row(w, &s->layer->attention_post_norm, u, u, width);
        w->kernels->add(laurel, normed, width);
        w->kernels->add(x, u, width);
        w->kernels->add(x, laurel, width);
        w->kernels->scale(x, sqrtf(0.5F), width);
    }
}

void capp_streams_join(capp_forward *f, size_t index, size_t rows) {
    const capp_layer *layer = &f->weights->layers[index];
    streams s = {.f = f, .layer = layer, .rows = rows};
    run(&s, laurel_left_rows);
    capp_product(f, &layer->altup.left, f->h, f->h_stride, f->t, f->t_stride, rows, false);
    run(&s, laurel_right_rows);
    capp_product(f, &layer->altup.right, f->h, f->h_stride, f->mixed, f->weights->hparams.width, rows, false);
    run(&s, join_rows);
}

static void correct_rows(void *user, size_t task, int worker) {
    const streams *s = user;
    const capp_weights *w = s->f->weights;
    const capp_altup *altup = &s->layer->altup;
    const size_t n = w->hparams.streams, width = w->hparams.width;
    float *normed = scratch_of(s->f, worker), m[CAPP_MOST_STREAMS], factors[CAPP_MOST_STREAMS];
    for (size_t r = task * CHUNK; r < chunk_end(s, task); r++) {
        float *x = s->f->x + r * width, *u = s->f->u + r * width, *first = stream_of(s->f, r, 0);
        capp_norm_row(w, &s->layer->feed_post_norm, u, u, width);
        w->kernels->add(x, u, width);
        route(w, altup, x, normed, m);
        for (size_t i = 0; i < n; i++) factors[i] = 1 + capp_dot(altup->correct + i * n, m, n);
        for (size_t i = 0; i < width; i++) x[i] -= first[i];
        w->kernels->values(first, width, factors, 1, n, x, width, width, 1);
        memcpy(normed, first, width * sizeof *normed);
        if (altup->scale) capp_mul_by(normed, altup->scale, width);
        capp_narrow_row(s->f, &s->layer->side.gate, s->f->h, r, normed);
    }
}

void capp_streams_correct(capp_forward *f, size_t index, size_t rows) {
    streams s = {.f = f, .layer = &f->weights->layers[index], .rows = rows};
    run(&s, correct_rows);
}

static void add_rows(void *user, size_t task, int worker) {
    const streams *s = user;
    const capp_weights *w = s->f->weights;
    const size_t width = w->hparams.width;
    (void)worker;
    for (size_t r = task * CHUNK; r < chunk_end(s, task); r++) {
        float *u = s->f->u + r * width;
        capp_norm_row(w, &s->layer->side.norm, u, u, width);
        for (size_t i = 1; i < w->hparams.streams; i++) w->kernels->add(stream_of(s->f, r, i), u, width);
    }
}

void capp_streams_add(capp_forward *f, size_t index, size_t rows) {
    streams s = {.f = f, .layer = &f->weights->layers[index], .rows = rows};
    run(&s, add_rows);
}

/* ---- Sparse gates --------------------------------------------------------------------------------------------------
 */

static void activate_rows(void *user, size_t task, int worker) {
    const streams *s = user;
    const capp_forward *f = s->f;
    const capp_matrix *down = &s->layer->down;
    const capp_products *products = capp_products_of(f->weights, down);
    const size_t n = down->k, padded = (n + products->step - 1) / products->step * products->step;
    (void)worker;
    for (size_t r = task * CHUNK; r < chunk_end(s, task); r++) {
        float *gate = f->wide + r * f->wide_stride;
        capp_cut_below(gate, n, s->layer->shape.cutoff);
        f->weights->kernels->gelu_mul(gate, gate, gate + n, n);
        capp_change_keep(f, f->g, r, 0, gate, n);
        products->narrow(f->g + r * f->g_stride * products->element, gate, n, padded);
    }
}

void capp_product_sparse(capp_forward *f, size_t index, size_t rows) {
    const capp_layer *layer = &f->weights->layers[index];
    streams s = {.f = f, .layer = layer, .rows = rows};
    capp_product(f, &layer->up, f->h, f->h_stride, f->wide, f->wide_stride, rows, false);
    run(&s, activate_rows);
}
