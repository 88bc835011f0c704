/* model_tool MODEL UNIT [ADAPTER WEIGHT]... < ids > log-probabilities: runs a model (a GGUF file or a folder) on token
 * ids, without a tokenizer, with LoRA adapters. It reads lines of ids. For each it prints a line with the
 * log-probability of each token except the first, given the tokens before it. It exits with 2 and a message where the
 * model cannot be opened. CAPP_SABOTAGE names a way to break the model on purpose. CAPP_UNSCORED is the number of
 * tokens at the beginning of each line that it does not score (1 if not set).
 *
 * UNIT is one of: an instruction set, in float32; the same and ":i16", ":mixed", ":i8" or ":bf16", with products of
 * integers or of bfloat16; "vdpbf16ps", "tiles" or "bfmmla", with products of bfloat16 computed as those (emulated)
 * units do; "close", the float32 lane of precision auto over "vdpbf16ps", which computes the close rows. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "decide/decide.h"
#include "emulated.h"
#include "engine/handles.h"
#include "engine/precision.h"
#include "model/arch.h"
#include "test.h"

enum { MOST_IDS = 1024, MEMORY = 256 << 20 };

/* Replaces the function of the test harness. The emulated units call it for a use that the machine would refuse. */
void test_fail(const char *file, int line, const char *format, ...) {
    fprintf(stderr, "%s:%d: %s\n", file, line, format);
    exit(1);
}

/* ---- Sabotage ------------------------------------------------------------------------------------------------------
 */

typedef void (*sabotage_fn)(capp_weights *w);

#define WEIGHTS(name, statement)                                                                                       \
    static void name(capp_weights *w) {                                                                                \
        statement;                                                                                                     \
    }
#define LAYERS(name, statement)                                                                                        \
    static void name(capp_weights *w) {                                                                                \
        for (size_t i = 0; i < w->hparams.layers; i++) {                                                               \
            capp_layer *layer = &w->layers[i];                                                                         \
            statement;                                                                                                 \
        }                                                                                                              \
    }

static void plain_frequencies(capp_weights *w) {
    const capp_hparams *h = &w->hparams;
    for (size_t kind = 0; kind < h->n_ropes; kind++) {
        capp_rope rope = {.base = h->ropes[kind].base};
        capp_rope_frequencies(w->frequencies + kind * (h->rope_dims / 2), &rope, h->ropes[kind].dims, NULL);
    }
}

static void clear(float *numbers, size_t n) {
    if (numbers) memset(numbers, 0, n * sizeof *numbers);
}

static void forget_factors(capp_matrix *m) {
    m->factors = NULL;
}

/* Makes what adapters add to products of integers larger. */
static void scale_changes(const capp_weights *w, float factor) {
    for (const capp_delta_product *c = w->changes; c; c = c->owned)
        for (float *x = c->a; x < c->b; x++) *x *= factor;
}

/* Leaves out the last column of the first delta's b. */
static void cut_change(capp_matrix *m) {
    const capp_delta *d = m->deltas;
    if (m->change) clear(m->change->b + (d->rank - 1) * d->n, d->n);
}

/* Each input of a change takes the place of the one before it. */
static void move_changes(const capp_weights *w) {
    for (const capp_delta_product *c = w->changes; c; c = c->owned)
        memmove(c->a, c->a + c->rank, (size_t)(c->b - c->a - (ptrdiff_t)c->rank) * sizeof *c->a);
}

/* Convolutions that see only the token's own inputs. */
static void forget_tail(const capp_weights *w, const capp_layer *layer) {
    clear((float *)(uintptr_t)layer->mix_taps, (w->hparams.mix.taps - 1) * capp_mix_channels(&w->hparams));
}

/* Sigmoids of WKV become 0 or 1. */
static void set_wkv_bias(const capp_weights *w, const capp_layer *layer, capp_low_rank of, float bias) {
    float *numbers = (float *)(uintptr_t)layer->wkv.bias[of];
    for (size_t i = 0; i < w->hparams.width; i++) numbers[i] = bias;
}

/* The router reads what the experts read. */
static void use_late_router(capp_weights *w) {
    static capp_arch late;
    late = *w->arch;
    late.early_router = false;
    w->arch = &late;
}

WEIGHTS(change_scale, scale_changes(w, 1.1F))
WEIGHTS(change_inputs, move_changes(w))
LAYERS(change_part, cut_change(&layer->down))
WEIGHTS(rope, w->hparams.rope = CAPP_ROPE_NONE)
WEIGHTS(rope_kind, w->hparams.rope = w->hparams.rope == CAPP_ROPE_PAIRS ? CAPP_ROPE_HALVES : CAPP_ROPE_PAIRS)
WEIGHTS(scaling, plain_frequencies(w))
WEIGHTS(magnitude, w->hparams.ropes[0].magnitude = 1)
WEIGHTS(growth, w->hparams.growth = 0)
WEIGHTS(growth_still, w->hparams.growth_still = false)
WEIGHTS(chunks, w->hparams.chunks = false)
LAYERS(local_rope, layer->rope = 0)
LAYERS(still, layer->still = false)
WEIGHTS(positions, w->positions = NULL)
WEIGHTS(position_offset, w->position_offset = 0)
WEIGHTS(alibi, w->alibi = NULL)
LAYERS(window, layer->window = 0)
LAYERS(window_by_one, layer->window += layer->window > 0)
WEIGHTS(tokens_norm, w->tokens_norm.weight = NULL)
LAYERS(attention_norm, layer->attention_norm.weight = NULL)
LAYERS(feed_norm, layer->feed_norm.weight = NULL)
LAYERS(norm_bias, layer->attention_norm.bias = layer->feed_norm.bias = NULL)
WEIGHTS(output_norm, w->output_norm.weight = NULL)
LAYERS(q_norm, layer->q_norm.weight = NULL)
LAYERS(k_norm, layer->k_norm.weight = NULL)
LAYERS(qk_norm_bias, layer->q_norm.bias = layer->k_norm.bias = NULL)
WEIGHTS(qk_norm_rotated, w->hparams.qk_norm_rotated = !w->hparams.qk_norm_rotated)
WEIGHTS(norm_after, w->hparams.norm_after = false)
LAYERS(attention_post_norm, layer->attention_post_norm.weight = NULL)
LAYERS(feed_post_norm, layer->feed_post_norm.weight = NULL)
LAYERS(qkv_bias, layer->qkv.bias = NULL)
LAYERS(out_bias, layer->out.bias = NULL)
LAYERS(up_bias, layer->up.bias = NULL)
LAYERS(curve, layer->up.curve.negative = layer->up.curve.positive)
LAYERS(down_bias, layer->down.bias = NULL)
WEIGHTS(head_bias, w->head.bias = NULL)
LAYERS(q_latent_norm, layer->latent.q_norm.weight = NULL)
LAYERS(kv_latent_norm, layer->latent.kv_norm.weight = NULL)
WEIGHTS(groups_by_best, w->hparams.groups_by_best = !w->hparams.groups_by_best)
LAYERS(v_norm, layer->v_norm.weight = NULL)
LAYERS(keys_as_values, layer->shape.keys_as_values = false)
LAYERS(back, layer->keys = layer->shape.back ? 0 : layer->keys)
LAYERS(layer_scale, layer->scale = 1)
LAYERS(side_gate, layer->side.out.parts = 0)
WEIGHTS(side_norm, w->side_norm.weight = NULL)
LAYERS(side_post_norm, layer->side.norm.weight = NULL)
WEIGHTS(side_tokens, w->side_tokens = w->tokens)
LAYERS(altup_predict, clear((float *)(uintptr_t)layer->altup.predict, w->hparams.streams * w->hparams.streams))
LAYERS(altup_correct, clear((float *)(uintptr_t)layer->altup.correct, w->hparams.streams))
LAYERS(altup_norm, layer->altup.norm.weight = NULL)
LAYERS(altup_scale, layer->altup.scale = NULL)
LAYERS(laurel_norm, layer->altup.laurel_norm.weight = NULL)
LAYERS(cutoff, layer->shape.cutoff = 0)
WEIGHTS(spread, w->spread[0] = w->spread[1])
WEIGHTS(merge, w->merge[0] = w->merge[1])
LAYERS(expert_norm, layer->expert_norm.weight = layer->expert_norm.weight ? layer->feed_norm.weight : NULL)
LAYERS(expert_post_norm, layer->expert_post_norm.weight = NULL)
LAYERS(shared_post_norm, layer->shared_post_norm.weight = NULL)
LAYERS(router_scales, layer->router_norm.weight = NULL)
LAYERS(expert_scale, layer->expert_scale = NULL)
LAYERS(router_bias, layer->router.bias = NULL)
LAYERS(expert_biases,
       for (size_t e = 0; e < w->hparams.experts; e++) layer->expert_up[e].bias = layer->expert_down[e].bias = NULL)
LAYERS(expert_order, for (size_t e = 1; layer->expert_up && e < w->hparams.experts; e++) layer->expert_up[e].gather =
                         layer->expert_up->gather)
WEIGHTS(experts_used, w->hparams.experts_used--)
WEIGHTS(router_sigmoid, w->hparams.router_sigmoid = false)
WEIGHTS(router_scale, w->hparams.router_scale = 1)
WEIGHTS(expert_groups, w->hparams.expert_groups = 0)
LAYERS(choice_bias, layer->choice_bias = NULL)
LAYERS(shared, layer->up.parts = layer->expert_up ? 0 : layer->up.parts)
LAYERS(latent_experts, layer->expert_out.parts = 0)
LAYERS(shared_router, layer->shared_router.parts = 0)
WEIGHTS(near, w->hparams.near = 0)
LAYERS(straight,
       layer->attention_norm.weight = w->hparams.kinds[i] & CAPP_STRAIGHT ? NULL : layer->attention_norm.weight)
WEIGHTS(early_router, use_late_router(w))
WEIGHTS(router_norm, w->hparams.router_norm = !w->hparams.router_norm)
LAYERS(sinks, layer->sinks = NULL)
WEIGHTS(score_cap, w->hparams.score_cap = 0)
WEIGHTS(logit_cap, w->hparams.logit_cap = 0)
WEIGHTS(clamp, w->hparams.clamp = 0)
WEIGHTS(embedding_scale, w->hparams.embedding_scale = 1)
WEIGHTS(residual_scale, w->hparams.residual_scale = 1)
LAYERS(score_scale, layer->score_scale = 1)
WEIGHTS(parallel, w->hparams.parallel = w->hparams.parallel ? CAPP_SEQUENTIAL : CAPP_PARALLEL_OWN)
LAYERS(tail, forget_tail(w, layer))
LAYERS(decay, clear((float *)(uintptr_t)layer->mix_decay, w->hparams.mix.heads))
LAYERS(step_bias, clear((float *)(uintptr_t)layer->mix_step, w->hparams.mix.heads); layer->mix_inner[1].bias = NULL)
LAYERS(skip, clear((float *)(uintptr_t)layer->mix_skip, w->hparams.mix.heads))
LAYERS(taps_bias, layer->mix_taps_bias = NULL)
LAYERS(mix_norm, layer->mix_norm = layer->wkv.norm.weight = NULL)
LAYERS(wkv_shift, clear((float *)(uintptr_t)layer->wkv.shift, 5 * w->hparams.width))
LAYERS(wkv_feed_shift, clear((float *)(uintptr_t)layer->wkv.feed_shift, w->hparams.width))
LAYERS(wkv_decay, set_wkv_bias(w, layer, CAPP_WKV_DECAY, -100))
LAYERS(wkv_rate, set_wkv_bias(w, layer, CAPP_WKV_RATE, 100))
LAYERS(wkv_first_value, layer->wkv.bias[CAPP_WKV_VALUE] = NULL)
LAYERS(wkv_removal, clear((float *)(uintptr_t)layer->wkv.removal, w->hparams.width))
LAYERS(wkv_renewal, clear((float *)(uintptr_t)layer->wkv.renewal, w->hparams.width))
LAYERS(wkv_bonus, clear((float *)(uintptr_t)layer->wkv.bonus, w->hparams.width))
LAYERS(wkv_gate, layer->mix_inner[capp_wkv_pair(CAPP_WKV_GATE)].parts = 0)
LAYERS(fade_rates, clear((float *)(uintptr_t)layer->mix_decay, w->hparams.mix.values))
LAYERS(selected_skip, clear((float *)(uintptr_t)layer->mix_skip, w->hparams.mix.values))
LAYERS(step_norm, layer->mix_norms[0].weight = NULL)
LAYERS(b_norm, layer->mix_norms[1].weight = NULL)
LAYERS(c_norm, layer->mix_norms[2].weight = NULL)
WEIGHTS(norm_first, w->hparams.mix.norm_first = !w->hparams.mix.norm_first)
LAYERS(qkv_factors, forget_factors(&layer->qkv))
LAYERS(out_factors, forget_factors(&layer->out))
LAYERS(mix_in_factors, forget_factors(&layer->mix_in))
LAYERS(mix_out_factors, forget_factors(&layer->mix_out))
LAYERS(up_factors, forget_factors(&layer->up))
LAYERS(down_factors, forget_factors(&layer->down))
WEIGHTS(in_turn, w->hparams.mix.in_turn = !w->hparams.mix.in_turn)
WEIGHTS(attention_gate, w->hparams.attention_gate = false)
WEIGHTS(activation,
        w->hparams.activation = w->hparams.activation == CAPP_RELU ? CAPP_GELU
                                : capp_is_gated(w->hparams.activation)
                                    ? w->hparams.activation == CAPP_SILU_GATED ? CAPP_GELU_GATED : CAPP_SILU_GATED
                                    : CAPP_RELU)

/* Products of bfloat16 that leave out the last input, or the last column of a panel. */
static const capp_products *honest;

static void short_narrow(void *y, const float *x, size_t n, size_t padded) {
    honest->narrow(y, x, n - 1, padded);
}

static void short_matmul(float *c, size_t ldc, const void *a, size_t lda, const void *panel, size_t m, size_t n,
                         size_t k, bool add) {
    honest->matmul(c, ldc, a, lda, panel, m, n, k, add);
    for (size_t i = 0; i < m && !add; i++) c[i * ldc + n - 1] = 0;
}

#define PRODUCTS(name, kernel, with)                                                                                   \
    static void name(capp_weights *w) {                                                                                \
        static capp_products products;                                                                                 \
        honest = w->products;                                                                                          \
        products = *honest;                                                                                            \
        products.kernel = with;                                                                                        \
        w->products = &products;                                                                                       \
    }

PRODUCTS(last_input, narrow, short_narrow)
PRODUCTS(last_column, matmul, short_matmul)

static const struct {
    const char *name;
    sabotage_fn fn;
} ways[] = {
#define WAY(name)                                                                                                      \
    { #name, name }
    WAY(rope),
    WAY(rope_kind),
    WAY(scaling),
    WAY(magnitude),
    WAY(still),
    WAY(positions),
    WAY(position_offset),
    WAY(alibi),
    WAY(window),
    WAY(window_by_one),
    WAY(tokens_norm),
    WAY(attention_norm),
    WAY(feed_norm),
    WAY(norm_bias),
    WAY(output_norm),
    WAY(q_norm),
    WAY(k_norm),
    WAY(qkv_bias),
    WAY(out_bias),
    WAY(attention_post_norm),
    WAY(feed_post_norm),
    WAY(up_bias),
    WAY(down_bias),
    WAY(head_bias),
    WAY(router_bias),
    WAY(expert_biases),
    WAY(expert_order),
    WAY(experts_used),
    WAY(router_norm),
    WAY(near),
    WAY(straight),
    WAY(early_router),
    WAY(sinks),
    WAY(score_cap),
    WAY(logit_cap),
    WAY(clamp),
    WAY(score_scale),
    WAY(parallel),
    WAY(embedding_scale),
    WAY(residual_scale),
    WAY(activation),
    WAY(qk_norm_bias),
    WAY(norm_after),
    WAY(last_input),
    WAY(last_column),
    WAY(growth),
    WAY(growth_still),
    WAY(chunks),
    WAY(local_rope),
    WAY(qk_norm_rotated),
    WAY(curve),
    WAY(router_sigmoid),
    WAY(router_scale),
    WAY(expert_groups),
    WAY(choice_bias),
    WAY(shared),
    WAY(shared_router),
    WAY(latent_experts),
    WAY(q_latent_norm),
    WAY(kv_latent_norm),
    WAY(groups_by_best),
    WAY(v_norm),
    WAY(keys_as_values),
    WAY(back),
    WAY(layer_scale),
    WAY(side_gate),
    WAY(side_norm),
    WAY(side_post_norm),
    WAY(side_tokens),
    WAY(altup_predict),
    WAY(altup_correct),
    WAY(altup_norm),
    WAY(altup_scale),
    WAY(laurel_norm),
    WAY(cutoff),
    WAY(spread),
    WAY(merge),
    WAY(expert_norm),
    WAY(expert_post_norm),
    WAY(shared_post_norm),
    WAY(router_scales),
    WAY(expert_scale),
    WAY(tail),
    WAY(decay),
    WAY(step_bias),
    WAY(skip),
    WAY(taps_bias),
    WAY(mix_norm),
    WAY(wkv_shift),
    WAY(wkv_feed_shift),
    WAY(wkv_decay),
    WAY(wkv_rate),
    WAY(wkv_first_value),
    WAY(wkv_removal),
    WAY(wkv_renewal),
    WAY(wkv_bonus),
    WAY(wkv_gate),
    WAY(fade_rates),
    WAY(selected_skip),
    WAY(step_norm),
    WAY(b_norm),
    WAY(c_norm),
    WAY(norm_first),
    WAY(qkv_factors),
    WAY(out_factors),
    WAY(mix_in_factors),
    WAY(mix_out_factors),
    WAY(up_factors),
    WAY(down_factors),
    WAY(in_turn),
    WAY(attention_gate),
    WAY(change_scale),
    WAY(change_inputs),
    WAY(change_part),
#undef WAY
};

static int sabotage(capp_weights *w) {
    const char *name = getenv("CAPP_SABOTAGE");
    if (!name) return 0;
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
        if (!strcmp(name, ways[i].name)) {
            ways[i].fn(w);
            return 0;
        }
    fprintf(stderr, "model_tool: no sabotage is called %s\n", name);
    return 2;
}

/* ---- Scoring -------------------------------------------------------------------------------------------------------
 */

enum { MOST_LINES = 64 };

/* Scores each line as a completion: the mean of its log-probabilities. */
static double means[MOST_LINES];
static size_t n_means;

static capp_status score(capp_session *s, capp_lane *lane, const int32_t *ids, size_t n, capp_error *err) {
    uint32_t nodes[MOST_IDS], first, last;
    const char *unscored = getenv("CAPP_UNSCORED");
    size_t before = unscored ? (size_t)strtoul(unscored, NULL, 10) : 1;
    capp_status st;
    if (before < 1 || before >= n) return capp_fail(err, CAPP_EINVAL, "CAPP_UNSCORED must be less than %zu", n);
    if ((st = capp_tree_next_window(&lane->tree, err)) != CAPP_OK) return st;
    if ((st = capp_tree_insert(&lane->tree, CAPP_ROOT, ids, before, false, NULL, &first, err)) != CAPP_OK) return st;
    n -= before;
    if ((st = capp_tree_insert(&lane->tree, first, ids + before, n, true, nodes, &last, err)) != CAPP_OK) return st;
    if ((st = capp_session_run(s, lane, NULL, NULL, err)) != CAPP_OK) return st;
    for (size_t i = 0; i < n; i++) printf("%s%.9g", i ? " " : "", (double)lane->tree.nodes[nodes[i]].logprob);
    printf("\n");
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (double)lane->tree.nodes[nodes[i]].logprob;
    if (n_means < MOST_LINES) means[n_means++] = capp_decide_aggregate(CAPP_AGGREGATE_MEAN, sum, n, 0);
    return CAPP_OK;
}

/* The posterior probabilities of the lines, with all their bits, under a prior that rises from line to line. */
static void print_posterior(void) {
    double prior[MOST_LINES], posterior[MOST_LINES];
    for (size_t i = 0; i < n_means; i++) prior[i] = (double)(2 * (i + 1)) / (double)(n_means * (n_means + 1));
    capp_decide_posterior(means, prior, n_means, true, posterior);
    for (size_t i = 0; i < n_means; i++) printf("%s%a", i ? " " : "", posterior[i]);
    printf("\n");
}

static capp_status score_lines(capp_session *s, capp_lane *lane, capp_error *err) {
    char line[16 * MOST_IDS];
    int32_t ids[MOST_IDS];
    while (fgets(line, sizeof line, stdin)) {
        size_t n = 0;
        char *end;
        for (char *at = line; n < MOST_IDS; at = end) {
            long id = strtol(at, &end, 10);
            if (end == at) break;
            ids[n++] = (int32_t)id;
        }
        capp_status st = n > 1 ? score(s, lane, ids, n, err) : CAPP_OK;
        if (st != CAPP_OK) return st;
    }
    return CAPP_OK;
}

enum { MOST_ADAPTERS = 8 };

/* The kernels and products with that name; kernels is NULL where there are none. */
typedef struct unit {
    const capp_kernels *kernels;
    const capp_products *products, *integers;
    float share; /* capp_arithmetic */
    bool close;
} unit;

static unit unit_of(const char *name) {
    static const struct {
        const char *name;
        capp_precision precision;
    } names[] = {{"bf16", CAPP_PRECISION_BF16},
                 {"i16", CAPP_PRECISION_I16},
                 {"i8", CAPP_PRECISION_I8},
                 {"mixed", CAPP_PRECISION_MIXED}};
    char isa[32] = "";
    snprintf(isa, sizeof isa, "%.*s", (int)strcspn(name, ":"), name);
    const capp_kernels *ref = capp_kernels_named("ref"), *kernels = capp_kernels_named(isa);
    bool close = !strcmp(name, "close");
    if (!strcmp(name, "portable")) return (unit){&capp_kernels_ref, capp_kernels_ref.f32, NULL, 0, false};
    if (close || !strcmp(name, "vdpbf16ps")) return (unit){ref, &emulated_dpbf16, NULL, 0, close};
    if (!strcmp(name, "tiles")) return (unit){ref, &emulated_tiles, NULL, 0, false};
    if (!strcmp(name, "bfmmla")) return (unit){ref, &emulated_bfmmla, NULL, 0, false};
    if (!kernels) return (unit){NULL, NULL, NULL, 0, false};
    const char *of = strchr(name, ':') ? strchr(name, ':') + 1 : "f32";
    capp_precision precision = CAPP_PRECISION_F32;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(of, names[i].name)) precision = names[i].precision;
    if (precision == CAPP_PRECISION_BF16 && !kernels->bf16) precision = CAPP_PRECISION_F32;
    const capp_arithmetic fast = capp_lanes_choose(precision, kernels, 0, true).fast;
    return (unit){kernels, fast.floats, fast.integers, fast.share, false};
}

static capp_status open_weights(capp_model *model, unit u, char **adapters, size_t n, capp_error *err) {
    capp_adapter *opened[MOST_ADAPTERS] = {NULL};
    capp_status st = CAPP_OK;
    const capp_arithmetic products = {.floats = u.products, .integers = u.integers, .share = u.share};
    for (size_t i = 0; i < n && st == CAPP_OK; i++)
        st = capp_adapter_open(&opened[i], adapters[2 * i], strtod(adapters[2 * i + 1], NULL), err);
    if (st == CAPP_OK)
        st = capp_weights_bind(&model->weights, &model->source, u.kernels, &products, &products, opened, n,
                               (capp_cache){SIZE_MAX, false}, err);
    for (size_t i = 0; i < n; i++) capp_adapter_free(opened[i]);
    return st;
}

static capp_status open_model(capp_model *model, const char *path, unit u, char **adapters, size_t n, capp_error *err) {
    capp_status st;
    if ((st = capp_source_open(&model->source, path, err)) != CAPP_OK) return st;
    if ((st = open_weights(model, u, adapters, n, err)) != CAPP_OK) return st;
    const capp_hparams *h = &model->weights->hparams;
    const char *context = getenv("CAPP_CONTEXT");
    model->context = context ? (uint32_t)atoi(context) : h->short_context ? h->short_context : h->context;
    capp_weights_set_context(model->weights, model->context);
    model->precision = u.close ? CAPP_PRECISION_AUTO : CAPP_PRECISION_F32;
    return u.close ? capp_weights_twin(&model->exact, model->weights, &(capp_arithmetic){.floats = u.kernels->f32}, err)
                   : CAPP_OK;
}

int main(int argc, char **argv) {
    capp_model model = {.threads = 1, .memory = MEMORY};
    capp_session *session = NULL;
    capp_error err;
    bool well = argc >= 3 && argc % 2 && argc <= 3 + 2 * MOST_ADAPTERS;
    unit u = well ? unit_of(argv[2]) : (unit){NULL, NULL, NULL, 0, false};
    if (!u.kernels) {
        fprintf(stderr, "usage: model_tool MODEL UNIT [ADAPTER WEIGHT]... < ids > log-probabilities\n");
        return 2;
    }
    if (!capp_cpu_request(u.kernels->needs)) {
        fprintf(stderr, "this machine lacks %s\n", argv[2]);
        return 77;
    }
    capp_status st = open_model(&model, argv[1], u, argv + 3, ((size_t)argc - 3) / 2, &err);
    if (st == CAPP_OK && sabotage(model.exact ? model.exact : model.weights)) return 2;
    if (st == CAPP_OK) st = capp_session_open(&session, &model, &err);
    if (st == CAPP_OK) st = score_lines(session, u.close ? &session->exact : &session->fast, &err);
    if (st == CAPP_OK && getenv("CAPP_POSTERIOR")) print_posterior();
    if (st != CAPP_OK) fprintf(stderr, "%s\n", err.message);
    capp_session_free(session);
    capp_weights_free(model.exact);
    capp_weights_free(model.weights);
    if (model.source.gguf || model.source.folder) capp_source_close(&model.source);
    return st == CAPP_OK ? 0 : 2;
}
