/* A table of deliberate errors. Each must move some log-probability of a tiny model by far more than any tolerance of
 * the tests. An error that has no effect here would escape the tests too. */
#include <unistd.h>

#include "engine/handles.h"
#include "model/arch.h"
#include "scoring.h"
#include "test.h"
#include "tiny.h"

enum { ROWS = 12 };
static const double LEAST = 5e-3; /* five times the golden tolerance */

static const capp_kernels *honest;

static void zero_matmul(float *c, size_t ldc, const void *a, size_t lda, const void *panel, size_t m, size_t n,
                        size_t k, bool add) {
    (void)a, (void)lda, (void)panel, (void)k, (void)add;
    for (size_t i = 0; i < m; i++) memset(c + i * ldc, 0, n * sizeof *c);
}

static void short_matmul(float *c, size_t ldc, const void *a, size_t lda, const void *panel, size_t m, size_t n,
                         size_t k, bool add) {
    honest->f32->matmul(c, ldc, a, lda, panel, m, n, k - 1, add);
}

/* Omits the addition to the residual. */
static void forgetful_matmul(float *c, size_t ldc, const void *a, size_t lda, const void *panel, size_t m, size_t n,
                             size_t k, bool add) {
    (void)add;
    honest->f32->matmul(c, ldc, a, lda, panel, m, n, k, false);
}

static void bare_rms_norm(float *y, const float *x, const float *w, size_t n, float eps) {
    float ones[512];
    for (size_t i = 0; i < n; i++) ones[i] = 1;
    (void)w;
    honest->rms_norm(y, x, ones, n, eps);
}

static void bare_layer_norm(float *y, const float *x, const float *w, const float *b, size_t n, float eps) {
    (void)b;
    honest->layer_norm(y, x, w, NULL, n, eps);
}

static void blind_exps(float *s, size_t lo, size_t hi, float top, float *lanes) { /* a row does not see itself */
    honest->exps(s, lo, hi > lo + 1 ? hi - 1 : hi, top, lanes);
}

static void late_values(float *out, size_t ldo, const float *p, size_t ldp, size_t rows, const float *v, size_t ldv,
                        size_t d, size_t n) {
    if (n > 1) honest->values(out, ldo, p, ldp, rows, v + ldv, ldv, d, n - 1);
}

static void short_scores(float *s, size_t lds, const float *q, size_t ldq, size_t rows, const float *kt, size_t d,
                         size_t skip, size_t n) {
    honest->scores(s, lds, q, ldq, rows, kt, d - 1, skip, n);
}

static void short_logsumexp(float *max, float *sum, const float *x, size_t n) {
    honest->logsumexp(max, sum, x, n - n / 4);
}

static void plain_mul(float *y, const float *gate, const float *up, size_t n) {
    for (size_t i = 0; i < n; i++) y[i] = gate[i] * up[i];
}

static void relu(float *x, size_t n) {
    for (size_t i = 0; i < n; i++) x[i] = x[i] > 0 ? x[i] : 0;
}

static void no_rope(float *x, size_t ldx, size_t heads, const float *c, const float *s, size_t half) {
    (void)x, (void)ldx, (void)heads, (void)c, (void)s, (void)half;
}

/* Changes the kernels (a copy) or the weights of an open model. */
typedef void (*sabotage_fn)(capp_kernels *k, capp_weights *w);

#define KERNEL(name, op, with)                                                                                         \
    static void name(capp_kernels *k, capp_weights *w) {                                                               \
        (void)w;                                                                                                       \
        k->op = with;                                                                                                  \
    }
#define PRODUCTS(name, with)                                                                                           \
    static void name(capp_kernels *k, capp_weights *w) {                                                               \
        (void)k;                                                                                                       \
        static capp_products products;                                                                                 \
        products = *w->products;                                                                                       \
        products.matmul = with;                                                                                        \
        w->products = &products;                                                                                       \
    }
#define WEIGHTS(name, statement)                                                                                       \
    static void name(capp_kernels *k, capp_weights *w) {                                                               \
        (void)k;                                                                                                       \
        statement;                                                                                                     \
    }
#define LAYERS(name, statement)                                                                                        \
    static void name(capp_kernels *k, capp_weights *w) {                                                               \
        (void)k;                                                                                                       \
        for (size_t i = 0; i < w->hparams.layers; i++) {                                                               \
            capp_layer *layer = &w->layers[i];                                                                         \
            statement;                                                                                                 \
        }                                                                                                              \
    }

static void double_base(capp_weights *w, size_t kind) {
    capp_rope rope = w->hparams.ropes[kind];
    rope.base *= 2;
    capp_rope_frequencies(w->frequencies + kind * (w->hparams.rope_dims / 2), &rope, w->hparams.rope_dims, NULL);
}

PRODUCTS(zero_products, zero_matmul)
PRODUCTS(short_products, short_matmul)
PRODUCTS(no_residual, forgetful_matmul)
KERNEL(no_norm_weights, rms_norm, bare_rms_norm)
KERNEL(no_norm_biases, layer_norm, bare_layer_norm)
KERNEL(shifted_mask, exps, blind_exps)
KERNEL(shifted_values, values, late_values)
KERNEL(short_scores_chain, scores, short_scores)
KERNEL(short_normalizer, logsumexp, short_logsumexp)
KERNEL(no_silu, silu_mul, plain_mul)
KERNEL(no_gelu_gate, gelu_mul, plain_mul)
KERNEL(relu_for_gelu, gelu, relu)
KERNEL(no_rope_pairs, rope_pairs, no_rope)
KERNEL(no_rope_halves, rope_halves, no_rope)
WEIGHTS(wrong_rope_base, double_base(w, 0))
WEIGHTS(wrong_local_rope_base, double_base(w, 1))
WEIGHTS(no_embedding_scale, w->hparams.embedding_scale = 1)
WEIGHTS(no_score_scale, for (size_t i = 0; i < w->hparams.layers; i++) w->layers[i].score_scale = 1)
WEIGHTS(no_positions, w->positions = NULL)
LAYERS(window_off_by_one, layer->window += layer->window ? 1 : 0)
LAYERS(no_window, layer->window = 0)
LAYERS(no_query_norm, layer->q_norm.weight = NULL)
LAYERS(no_key_norm, layer->k_norm.weight = NULL)
LAYERS(no_attention_post_norm, layer->attention_post_norm.weight = NULL)
LAYERS(no_feed_post_norm, layer->feed_post_norm.weight = NULL)
LAYERS(no_qkv_bias, layer->qkv.bias = NULL)
LAYERS(no_out_bias, layer->out.bias = NULL)
LAYERS(no_up_bias, layer->up.bias = NULL)
LAYERS(no_down_bias, layer->down.bias = NULL)

static const capp_model_options f32 = {.precision = CAPP_PRECISION_F32};

static double difference_after(const char *arch, sabotage_fn sabotage) {
    char path[64];
    capp_model *model;
    capp_session *session;
    capp_error err;
    row *rows = make_rows(17, ROWS);
    capp_example examples[ROWS];
    scores *s = calloc(ROWS, sizeof *s);
    CHECK(s);
    tiny_model_file(arch, 4, path);
    CHECK_OK(capp_model_open(&model, path, &f32, &err), err);
    honest = model->weights->kernels;
    capp_kernels kernels = *honest;
    if (sabotage) sabotage(&kernels, model->weights);
    model->weights->kernels = &kernels;
    for (size_t i = 0; i < ROWS; i++) examples[i] = rows[i].example;
    CHECK_OK(capp_session_open(&session, model, &err), err);
    CHECK_OK(capp_score(session, examples, ROWS, NULL, keep, s, &err), err);
    double worst = worst_difference(model->source.gguf, s, ROWS);
    free_scores(s, ROWS);
    capp_session_free(session);
    capp_model_free(model);
    free(rows);
    unlink(path);
    return worst;
}

static const struct {
    const char *arch, *name;
    sabotage_fn fn;
} table[] = {
#define ROW(arch, fn)                                                                                                  \
    { arch, #fn, fn }
    ROW("llama", zero_products),
    ROW("llama", short_products),
    ROW("llama", no_norm_weights),
    ROW("llama", shifted_mask),
    ROW("llama", shifted_values),
    ROW("llama", short_scores_chain),
    ROW("llama", short_normalizer),
    ROW("llama", no_silu),
    ROW("llama", no_rope_pairs),
    ROW("llama", no_residual),
    ROW("llama", wrong_rope_base),
    ROW("llama", no_score_scale),
    ROW("gemma3", zero_products),
    ROW("gemma3", no_norm_weights),
    ROW("gemma3", shifted_mask),
    ROW("gemma3", no_gelu_gate),
    ROW("gemma3", no_rope_halves),
    ROW("gemma3", wrong_rope_base),
    ROW("gemma3", wrong_local_rope_base),
    ROW("gemma3", no_embedding_scale),
    ROW("gemma3", window_off_by_one),
    ROW("gemma3", no_window),
    ROW("gemma3", no_query_norm),
    ROW("gemma3", no_key_norm),
    ROW("gemma3", no_attention_post_norm),
    ROW("gemma3", no_feed_post_norm),
    ROW("gpt2", zero_products),
    ROW("gpt2", no_norm_biases),
    ROW("gpt2", relu_for_gelu),
    ROW("gpt2", no_positions),
    ROW("gpt2", no_qkv_bias),
    ROW("gpt2", no_out_bias),
    ROW("gpt2", no_up_bias),
    ROW("gpt2", no_down_bias),
#undef ROW
};

TEST(untouched_models_agree_with_the_oracle) {
    CHECK(difference_after("llama", NULL) <= 1e-4);
    CHECK(difference_after("gemma3", NULL) <= 1e-4);
    CHECK(difference_after("gpt2", NULL) <= 1e-4);
}

TEST(every_sabotage_shows) {
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        double moved = difference_after(table[i].arch, table[i].fn);
        if (moved < LEAST) FAIL("%s with %s moves log-probabilities by %g only", table[i].arch, table[i].name, moved);
    }
}
