/* Hyperparameters from config.json, under the names that transformers' configurations have for them. Where a family's
 * file says nothing, what transformers takes for it counts. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/math.h"
#include "model/binder.h"

enum { MOST_WIDTH = 1 << 20, MOST_HEADS = 1 << 14, MOST_CONTEXT = 1 << 28, MOST_EXPERTS = 1 << 12, KEY = 128 };

typedef struct reader {
    const capp_source *s;
    const capp_arch *arch;
    capp_error *err;
} reader;

static capp_status fail_field(const reader *r, capp_status st, const char *key, const char *what) {
    return capp_fail(r->err, st, "%s: config.json: \"%s\" %s", capp_source_path(r->s), key, what);
}

/* ---- Fields by a list of names, "hidden_size|n_embd": the first that is there -------------------------------------
 */

static bool next_name(const char **names, char *out) {
    size_t n = strcspn(*names, "|");
    if (!n || n >= KEY) return false;
    memcpy(out, *names, n);
    out[n] = 0;
    *names += n + ((*names)[n] == '|');
    return true;
}

static const capp_default *default_of(const reader *r, const char *key) {
    const capp_default *d = r->arch->defaults;
    while (d && d->key && strcmp(d->key, key)) d++;
    return d && d->key ? d : NULL;
}

/* CAPP_OK and *found false where there is none. A field that says null has no default. */
static capp_status number(const reader *r, const char *names, double *out, bool *found) {
    capp_json config = capp_folder_config(r->s->folder);
    char key[KEY];
    const char *again = names;
    bool there = false;
    for (*found = false; next_name(&names, key);) {
        capp_found what = capp_source_number(r->s, key, out);
        if (what == CAPP_MISFIT || (what == CAPP_FOUND && !isfinite(*out)))
            return fail_field(r, CAPP_EFORMAT, key, "is not a number");
        if ((*found = what == CAPP_FOUND)) return CAPP_OK;
        there |= capp_json_get(config, key) != NULL;
    }
    while (!there && !*found && next_name(&again, key)) {
        const capp_default *missing = default_of(r, key);
        if ((*found = missing != NULL)) *out = missing->value;
    }
    return CAPP_OK;
}

/* missing 0: required. */
static capp_status count(const reader *r, const char *names, uint32_t missing, uint32_t most, uint32_t *out) {
    double value;
    bool found;
    char key[KEY];
    const char *first = names;
    capp_status st = number(r, names, &value, &found);
    if (st != CAPP_OK) return st;
    next_name(&first, key);
    *out = missing;
    if (!found) return missing ? CAPP_OK : fail_field(r, CAPP_EFORMAT, key, "is missing");
    if (value < 1 || value > most || value != floor(value))
        return capp_fail(r->err, CAPP_EFORMAT, "%s: config.json: \"%s\" is %g; expected 1 to %u",
                         capp_source_path(r->s), names, value, most);
    *out = (uint32_t)value;
    return CAPP_OK;
}

static capp_status positive(const reader *r, const char *names, double missing, double *out) {
    bool found;
    capp_status st = number(r, names, out, &found);
    if (st != CAPP_OK) return st;
    if (!found) *out = missing;
    return *out > 0 || (!found && missing == 0) ? CAPP_OK
                                                : fail_field(r, CAPP_EFORMAT, names, "must be greater than 0");
}

static capp_status single(const reader *r, const char *names, double missing, float *out) {
    double value;
    capp_status st = positive(r, names, missing, &value);
    *out = (float)value;
    return st;
}

/* null is Python's None, which is false. */
static capp_status truth(const reader *r, const char *key, bool missing, bool *out) {
    *out = missing;
    if (!key) return CAPP_OK;
    if (capp_json_kind_of(capp_json_get(capp_folder_config(r->s->folder), key)) == CAPP_JSON_NULL) *out = false;
    if (capp_source_bool(r->s, key, out) == CAPP_MISFIT)
        return fail_field(r, CAPP_EFORMAT, key, "must be true or false");
    return CAPP_OK;
}

/* ---- Sizes --------------------------------------------------------------------------------------------------------
 */

static capp_status read_kv_heads(const reader *r, capp_hparams *h) {
    bool newer, shared;
    capp_status st;
    if (strcmp(r->arch->name, "falcon")) return count(r, "num_key_value_heads", h->heads, MOST_HEADS, &h->kv_heads);
    if ((st = truth(r, "new_decoder_architecture", false, &newer)) != CAPP_OK) return st;
    if ((st = truth(r, "multi_query", true, &shared)) != CAPP_OK) return st;
    h->kv_heads = shared ? 1 : h->heads;
    return newer ? count(r, "num_kv_heads|n_head_kv", h->heads, MOST_HEADS, &h->kv_heads) : CAPP_OK;
}

static capp_status read_feed(const reader *r, capp_hparams *h) {
    capp_status st;
    if (r->arch->experts) {
        double experts;
        bool found;
        if ((st = number(r, "num_local_experts|num_experts", &experts, &found)) != CAPP_OK) return st;
        if (found) {
            if ((st = count(r, "num_local_experts|num_experts", 0, MOST_EXPERTS, &h->experts)) != CAPP_OK) return st;
            if ((st = count(r, "num_experts_per_tok|experts_per_token", 0, MOST_EXPERTS, &h->experts_used)) != CAPP_OK)
                return st;
            if ((st = truth(r, "norm_topk_prob", strncmp(r->arch->hf, "qwen", 4) && h->router_norm, &h->router_norm)) !=
                CAPP_OK)
                return st;
        }
        if ((st = number(r, "moe_intermediate_size", &experts, &found)) != CAPP_OK) return st;
        if (found) {
            if ((st = count(r, "moe_intermediate_size", 0, MOST_WIDTH, &h->feed)) != CAPP_OK) return st;
            return count(r, "intermediate_size", h->feed, MOST_WIDTH, &h->dense_feed);
        }
    }
    bool four = r->arch->norm == CAPP_NORM_LAYER && !capp_is_gated(r->arch->activation);
    return count(r, "intermediate_size|n_inner|ffn_dim|ffn_hidden_size", four ? 4 * h->width : 0, MOST_WIDTH, &h->feed);
}

static capp_status read_sizes(const reader *r, capp_hparams *h) {
    capp_status st;
    bool learned = r->arch->learned_positions;
    if ((st = count(r, "max_position_embeddings|n_positions|max_seq_len|seq_length", learned ? 0 : 2048, MOST_CONTEXT,
                    &h->context)) != CAPP_OK)
        return st;
    if ((st = count(r, "hidden_size|n_embd|d_model|n_embed", 0, MOST_WIDTH, &h->width)) != CAPP_OK) return st;
    if ((st = count(r, "num_hidden_layers|n_layer|n_layers", 0, CAPP_MOST_LAYERS, &h->layers)) != CAPP_OK) return st;
    if ((st = count(r, "num_attention_heads|n_head|n_heads", 0, MOST_HEADS, &h->heads)) != CAPP_OK) return st;
    if ((st = read_kv_heads(r, h)) != CAPP_OK) return st;
    if (!h->heads || h->width < h->heads)
        return fail_field(r, CAPP_EFORMAT, "hidden_size", "must not be less than the number of heads");
    if ((st = count(r, "head_dim", h->width / h->heads, MOST_WIDTH, &h->head_dim)) != CAPP_OK) return st;
    if ((st = count(r, "word_embed_proj_dim", h->width, MOST_WIDTH, &h->embedded)) != CAPP_OK) return st;
    if (h->embedded > h->width)
        return fail_field(r, CAPP_EUNSUPPORTED, "word_embed_proj_dim",
                          "is greater than hidden_size, which capp does not support");
    return read_feed(r, h);
}

/* The row's activation, or the one that is named in its place. */
static capp_status read_activation(const reader *r, capp_hparams *h) {
    static const struct {
        const char *name;
        capp_activation gated, plain;
    } activations[] = {
        {"silu", CAPP_SILU_GATED, CAPP_SILU},
        {"swish", CAPP_SILU_GATED, CAPP_SILU},
        {"gelu_new", CAPP_GELU_GATED, CAPP_GELU},
        {"gelu_pytorch_tanh", CAPP_GELU_GATED, CAPP_GELU},
        {"gelu_fast", CAPP_GELU_GATED, CAPP_GELU},
        {"gelu", CAPP_GELU_ERF_GATED, CAPP_GELU_ERF},
        {"gelu_python", CAPP_GELU_ERF_GATED, CAPP_GELU_ERF},
        {"quick_gelu", CAPP_QUICK_GELU_GATED, CAPP_QUICK_GELU},
        {"relu", CAPP_RELU_GATED, CAPP_RELU},
        {"relu2", CAPP_RELU2_GATED, CAPP_RELU2},
    };
    static const char *const keys[] = {"hidden_act", "hidden_activation", "activation_function", "activation"};
    capp_str name;
    bool newer = !strcmp(r->arch->name, "gemma2") || !strcmp(r->arch->name, "gemma3");
    size_t k = newer ? 1 : 0;
    /* Gemma 2 and 3 name it in hidden_activation, whatever hidden_act says beside it; of Gemma 1's two hidden_act
     * counts. */
    while (k < 4 && capp_source_str(r->s, keys[k], &name) != CAPP_FOUND) k++;
    if (k == 4 || h->activation == CAPP_CLAMPED_GATED) return CAPP_OK;
    bool gated = capp_is_gated(h->activation);
    for (size_t i = 0; i < sizeof activations / sizeof *activations; i++) {
        if (!capp_str_is(name, activations[i].name)) continue;
        h->activation = gated ? activations[i].gated : activations[i].plain;
        return CAPP_OK;
    }
    return capp_fail(r->err, CAPP_EUNSUPPORTED, "%s: config.json: \"%s\" is \"%.*s\", which capp does not support",
                     capp_source_path(r->s), keys[k], (int)(name.size < 40 ? name.size : 40), name.data);
}

/* ---- Rotations ----------------------------------------------------------------------------------------------------
 */

/* Fields of rope_scaling, whichever of the places of its kind of layer has them. */
static const char *const places[2][3] = {
    {"rope_scaling", "rope_parameters.full_attention", "rope_parameters"},
    {"rope_parameters.sliding_attention", NULL, NULL},
};

/* The object with the fields of that kind of layer, and its path; NULL where there is none. */
static capp_json rope_object(const reader *r, size_t kind, const char **path) {
    for (size_t i = 0; i < 3 && places[kind][i]; i++) {
        capp_json o = capp_config_at(capp_folder_config(r->s->folder), *path = places[kind][i]);
        if (o) return o;
    }
    return NULL;
}

static capp_status check_rope_fields(const reader *r, capp_json object, const char *path) {
    static const char known[] = " rope_type type factor low_freq_factor high_freq_factor "
                                "original_max_position_embeddings beta_fast beta_slow attention_factor "
                                "mscale mscale_all_dim truncate short_factor long_factor rope_theta "
                                "partial_rotary_factor finetuned full_attention sliding_attention ";
    static const char grown[] = " llama_4_scaling_beta max_position_embeddings ";
    if (capp_json_kind_of(object) != CAPP_JSON_OBJECT) return fail_field(r, CAPP_EFORMAT, path, "is not an object");
    for (capp_json_walk w = capp_json_begin(object); capp_json_next(&w);) {
        char key[KEY] = "";
        bool escapes;
        capp_str raw = capp_json_raw(w.name, &escapes);
        memcpy(key, raw.data, raw.size < KEY ? raw.size : KEY - 1);
        if (r->arch->query_growth && capp_is_listed(grown, key)) continue;
        if (capp_json_kind_of(w.value) != CAPP_JSON_NULL && !capp_is_listed(known, key))
            return capp_fail(r->err, CAPP_EUNSUPPORTED, "%s: config.json: unknown field \"%s.%.60s\"",
                             capp_source_path(r->s), path, key);
    }
    return CAPP_OK;
}

static double mscale_of(double factor, double mscale) {
    return factor <= 1 ? 1 : 0.1 * mscale * capp_log(factor) + 1;
}

/* PATH.FIELD */
static capp_status rope_number(const reader *r, const char *path, const char *field, double missing, double *out) {
    char key[KEY];
    snprintf(key, sizeof key, "%s.%s", path, field);
    return positive(r, key, missing, out);
}

static capp_status read_yarn(const reader *r, const char *path, capp_rope *rope) {
    double mscale = 0, all = 0, attention;
    char key[KEY];
    bool found, truncate = !r->arch->rope_untruncated;
    capp_status st;
    if ((st = rope_number(r, path, "beta_fast", 32, &rope->high)) != CAPP_OK) return st;
    if ((st = rope_number(r, path, "beta_slow", 1, &rope->low)) != CAPP_OK) return st;
    snprintf(key, sizeof key, "%s.mscale", path); /* 0: as if there were none */
    if ((st = number(r, key, &mscale, &found)) != CAPP_OK) return st;
    snprintf(key, sizeof key, "%s.mscale_all_dim", path);
    if ((st = number(r, key, &all, &found)) != CAPP_OK) return st;
    snprintf(key, sizeof key, "%s.truncate", path);
    if ((st = truth(r, key, true, &truncate)) != CAPP_OK) return st;
    double usual = mscale != 0 && all != 0 ? mscale_of(rope->factor, mscale) / mscale_of(rope->factor, all)
                                           : mscale_of(rope->factor, 1);
    if ((st = rope_number(r, path, "attention_factor", usual, &attention)) != CAPP_OK) return st;
    rope->scaling = CAPP_SCALING_YARN;
    rope->untruncated = !truncate;
    rope->magnitude = attention;
    return CAPP_OK;
}

/* The factors themselves are read where the weights are bound. */
static capp_status read_longrope(const reader *r, const char *path, capp_hparams *h, capp_rope *rope) {
    double attention;
    bool found;
    capp_status st;
    if ((st = number(r, "original_max_position_embeddings", &rope->original, &found)) != CAPP_OK) return st;
    if (found && rope->original >= 1)
        rope->factor = h->context / rope->original;
    else if ((st = rope_number(r, path, "original_max_position_embeddings", h->context, &rope->original)) != CAPP_OK)
        return st;
    double usual = rope->factor <= 1 ? 1 : sqrt(1 + capp_log(rope->factor) / capp_log(rope->original));
    if ((st = rope_number(r, path, "attention_factor", usual, &attention)) != CAPP_OK) return st;
    rope->scaling = CAPP_SCALING_FACTORS;
    rope->magnitude = attention;
    h->short_context = rope->original < h->context ? (uint32_t)rope->original : h->context;
    return CAPP_OK;
}

/* Positions are counted in the context that the model was first trained with. */
static capp_status read_growth(const reader *r, const char *path, capp_hparams *h) {
    char key[KEY];
    double growth;
    bool found;
    snprintf(key, sizeof key, "%s.llama_4_scaling_beta", path);
    capp_status st = number(r, key, &growth, &found);
    if (st != CAPP_OK) return st;
    if (!found) return fail_field(r, CAPP_EFORMAT, key, "is missing");
    if (growth < 0) return fail_field(r, CAPP_EFORMAT, key, "must not be negative");
    h->growth = (float)growth;
    return rope_number(r, path, "original_max_position_embeddings", h->context, &h->ropes[0].original);
}

static bool has_any(capp_json object, const char *const *keys) {
    while (*keys && !capp_config_at(object, *keys)) keys++;
    return *keys;
}

/* What a kind of scaling cannot do without, and no kind at all may have: transformers fails without it, too. */
static capp_status check_complete(const reader *r, capp_json object, const char *path, capp_json type) {
    static const char *const scaling[] = {
        "factor",    "low_freq_factor",  "high_freq_factor", "short_factor",   "long_factor", "beta_fast",
        "beta_slow", "attention_factor", "mscale",           "mscale_all_dim", NULL};
    static const char *const llama3[] = {"factor", "low_freq_factor", "high_freq_factor",
                                         "original_max_position_embeddings", NULL};
    bool is_llama3 = type && capp_json_is(type, "llama3");
    if (!type && has_any(object, scaling))
        return fail_field(r, CAPP_EFORMAT, path, "has scaling factors, but no rope_type; add it");
    if (!is_llama3 && !(type && (capp_json_is(type, "linear") || capp_json_is(type, "yarn")))) return CAPP_OK;
    for (size_t i = 0; i < (is_llama3 ? 4 : 1); i++)
        if (!capp_config_at(object, llama3[i]))
            return capp_fail(r->err, CAPP_EFORMAT, "%s: config.json: \"%s.%s\" is missing", capp_source_path(r->s),
                             path, llama3[i]);
    return CAPP_OK;
}

static capp_status read_scaling(const reader *r, size_t kind, capp_hparams *h) {
    capp_rope *rope = &h->ropes[kind];
    const char *path;
    capp_json object = rope_object(r, kind, &path);
    capp_status st;
    if (!object && r->arch->rope_untruncated && !capp_json_get(capp_folder_config(r->s->folder), "rope_scaling"))
        return fail_field(r, CAPP_EFORMAT, "rope_scaling", "is missing"); /* the class has one of its own */
    if (!object && r->arch->query_growth) return fail_field(r, CAPP_EFORMAT, "rope_parameters", "is missing");
    if (!object) return CAPP_OK;
    if ((st = check_rope_fields(r, object, path)) != CAPP_OK) return st;
    if (r->arch->query_growth && (st = read_growth(r, path, h)) != CAPP_OK) return st;
    capp_json type = capp_config_at(object, "rope_type");
    if (!type) type = capp_config_at(object, "type");
    if ((st = check_complete(r, object, path, type)) != CAPP_OK) return st;
    /* "dynamic" changes nothing within the context that the file names, and capp goes no further. */
    if (!type || capp_json_is(type, "default") || capp_json_is(type, "dynamic")) return CAPP_OK;
    if ((st = rope_number(r, path, "factor", 1, &rope->factor)) != CAPP_OK) return st;
    if ((st = rope_number(r, path, "original_max_position_embeddings", h->context, &rope->original)) != CAPP_OK)
        return st;
    if (capp_json_is(type, "linear")) {
        rope->scaling = CAPP_SCALING_LINEAR;
        return CAPP_OK;
    }
    if (capp_json_is(type, "llama3")) {
        rope->scaling = CAPP_SCALING_LLAMA3;
        if ((st = rope_number(r, path, "low_freq_factor", 1, &rope->low)) != CAPP_OK) return st;
        return rope_number(r, path, "high_freq_factor", 4, &rope->high);
    }
    if (capp_json_is(type, "yarn")) return read_yarn(r, path, rope);
    if (capp_json_is(type, "longrope") || capp_json_is(type, "su")) return read_longrope(r, path, h, rope);
    bool escapes;
    capp_str name = capp_json_raw(type, &escapes);
    return capp_fail(r->err, CAPP_EUNSUPPORTED, "%s: rope scaling \"%.*s\" is not supported", capp_source_path(r->s),
                     (int)(name.size < 40 ? name.size : 40), name.data ? name.data : "");
}

/* The oldest Falcons: linear biases in place of rotations. */
static capp_status read_falcon_alibi(const reader *r, capp_hparams *h) {
    capp_status st;
    if (strcmp(r->arch->name, "falcon")) return CAPP_OK;
    if ((st = truth(r, "alibi", false, &h->alibi_rounded)) != CAPP_OK || !h->alibi_rounded) return st;
    h->rope = CAPP_ROPE_NONE;
    h->alibi = 8;
    return CAPP_OK;
}

static capp_status read_rope(const reader *r, capp_hparams *h) {
    const capp_arch *arch = r->arch;
    double share, dims;
    bool found;
    capp_status st;
    if ((st = read_falcon_alibi(r, h)) != CAPP_OK || h->rope == CAPP_ROPE_NONE) return st;
    if ((st = positive(
             r, "rope_theta|rotary_emb_base|rope_parameters.rope_theta|rope_parameters.full_attention.rope_theta",
             arch->theta > 0 ? arch->theta : 10000, &h->ropes[0].base)) != CAPP_OK)
        return st;
    if ((st = positive(r, "partial_rotary_factor|rotary_pct|rope_parameters.partial_rotary_factor",
                       arch->rotary > 0 ? arch->rotary : 1, &share)) != CAPP_OK)
        return st;
    if ((st = number(r, "rotary_dim", &dims, &found)) != CAPP_OK) return st;
    if (!found) dims = floor(h->head_dim * share);
    if (dims < 2 || dims > h->head_dim)
        return capp_fail(r->err, CAPP_EFORMAT,
                         "%s: config.json: rope over %g of %u dimensions is not possible; download the model again",
                         capp_source_path(r->s), dims, h->head_dim);
    h->rope_dims = (uint32_t)dims;
    h->n_ropes = 1;
    if ((st = read_scaling(r, 0, h)) != CAPP_OK) return st;
    if (arch->local_rope_base <= 0) return CAPP_OK;
    h->n_ropes = 2;
    if ((st = positive(r, "rope_local_base_freq|rope_parameters.sliding_attention.rope_theta", arch->local_rope_base,
                       &h->ropes[1].base)) != CAPP_OK)
        return st;
    return read_scaling(r, 1, h);
}

/* ---- Kinds of layers ----------------------------------------------------------------------------------------------
 */

static capp_status read_layer_types(const reader *r, capp_hparams *h) {
    for (uint32_t i = 0; i < h->layers; i++) {
        capp_str type = {"", 0};
        (void)capp_source_str_at(r->s, "layer_types", i, &type);
        if (capp_str_is(type, "sliding_attention"))
            h->kinds[i] |= CAPP_LOCAL;
        else if (!capp_str_is(type, "full_attention"))
            return capp_fail(r->err, CAPP_EUNSUPPORTED, "%s: config.json: layer %u has type \"%.*s\"",
                             capp_source_path(r->s), i, (int)(type.size < 40 ? type.size : 40), type.data);
    }
    return CAPP_OK;
}

/* Qwen: the layers from max_window_layers on. */
static capp_status read_first_local(const reader *r, uint32_t *first) {
    double value;
    bool found;
    capp_status st = number(r, "max_window_layers", &value, &found);
    if (st != CAPP_OK || !found) return st;
    if (value < 0 || value != floor(value))
        return fail_field(r, CAPP_EFORMAT, "max_window_layers", "must be a number of layers");
    *first = value < CAPP_MOST_LAYERS ? (uint32_t)value : CAPP_MOST_LAYERS;
    return CAPP_OK;
}

static capp_status read_windows(const reader *r, capp_hparams *h) {
    bool use;
    uint32_t period, first = 0;
    capp_status st;
    double value;
    bool qwen = !strncmp(r->arch->hf, "qwen", 4), found;
    if ((st = truth(r, "use_sliding_window", !qwen && !r->arch->nope_period, &use)) != CAPP_OK) return st;
    if ((st = number(r, "sliding_window", &value, &found)) != CAPP_OK) return st;
    if (!use || !found || !r->arch->window_period) return CAPP_OK;
    if ((st = count(r, "sliding_window", 0, MOST_CONTEXT, &h->window)) != CAPP_OK) return st;
    if (capp_source_count(r->s, "layer_types")) return read_layer_types(r, h);
    if ((st = count(r, "sliding_window_pattern|_sliding_window_pattern",
                    r->arch->window_period ? r->arch->window_period : CAPP_ALL_LOCAL, CAPP_ALL_LOCAL, &period)) !=
        CAPP_OK)
        return st;
    if (default_of(r, "max_window_layers") && (st = read_first_local(r, &first)) != CAPP_OK) return st;
    for (uint32_t i = first; i < h->layers; i++)
        if ((i + 1) % period) h->kinds[i] |= CAPP_LOCAL;
    return CAPP_OK;
}

/* Layers without experts: those that are named, and all but every step-th. */
static capp_status read_dense(const reader *r, capp_hparams *h) {
    uint32_t step;
    capp_status st = count(r, "decoder_sparse_step", 1, UINT32_MAX, &step);
    if (st != CAPP_OK) return st;
    for (uint32_t i = 0; i < h->layers; i++)
        if ((i + 1) % step) h->kinds[i] |= CAPP_DENSE;
    for (size_t n = capp_source_count(r->s, "mlp_only_layers"); n--;) {
        double layer;
        if (capp_source_number_at(r->s, "mlp_only_layers", n, &layer) != CAPP_FOUND)
            return fail_field(r, CAPP_EFORMAT, "mlp_only_layers", "must be a list of layers");
        if (layer >= 0 && layer < h->layers) h->kinds[(uint32_t)layer] |= CAPP_DENSE;
    }
    return CAPP_OK;
}

static capp_status read_kinds(const reader *r, capp_hparams *h) {
    uint32_t period;
    capp_status st;
    if ((st = read_windows(r, h)) != CAPP_OK) return st;
    if (h->dense_feed && (st = read_dense(r, h)) != CAPP_OK) return st;
    if (r->arch->nope_global)
        for (uint32_t i = 0; i < h->layers; i++)
            if (!(h->kinds[i] & CAPP_LOCAL)) h->kinds[i] |= CAPP_STILL;
    if (!r->arch->nope_period) return CAPP_OK;
    if ((st = count(r, "no_rope_layer_interval", r->arch->nope_period, CAPP_MOST_LAYERS, &period)) != CAPP_OK)
        return st;
    size_t n = capp_source_count(r->s, "no_rope_layers");
    for (uint32_t i = 0; i < h->layers; i++) {
        double rotates = (i + 1) % period;
        if (n && capp_source_number_at(r->s, "no_rope_layers", i, &rotates) != CAPP_FOUND)
            return fail_field(r, CAPP_EFORMAT, "no_rope_layers", "must have one number for each layer");
        if (rotates == 0) h->kinds[i] |= CAPP_STILL;
    }
    return CAPP_OK;
}

/* ---- Other numbers ------------------------------------------------------------------------------------------------
 */

static capp_status read_gpt2_scales(const reader *r, capp_hparams *h) {
    bool scaled;
    capp_status st;
    if (strcmp(r->arch->name, "gpt2")) return CAPP_OK;
    if ((st = truth(r, "scale_attn_weights", true, &scaled)) != CAPP_OK) return st;
    if (!scaled) h->score_scale = 1;
    return truth(r, "scale_attn_by_inverse_layer_idx", false, &h->scale_by_layer);
}

static capp_status read_scales(const reader *r, capp_hparams *h) {
    const capp_arch *arch = r->arch;
    capp_status st;
    double scalar;
    if ((st = positive(r, "query_pre_attn_scalar", 0, &scalar)) != CAPP_OK) return st;
    if (scalar > 0) h->score_scale = (float)(1 / sqrt(scalar));
    if (arch->scales) {
        float logits;
        if ((st = single(r, "attention_multiplier", 1, &h->score_scale)) != CAPP_OK) return st;
        if ((st = single(r, "embedding_multiplier", 1, &h->embedding_scale)) != CAPP_OK) return st;
        if ((st = single(r, "residual_multiplier", 1, &h->residual_scale)) != CAPP_OK) return st;
        if ((st = single(r, "logits_scaling", 1, &logits)) != CAPP_OK) return st;
        h->logit_scale = 1 / logits;
    }
    if (arch->logit_scale && (st = single(r, "logit_scale", 0.0625, &h->logit_scale)) != CAPP_OK) return st;
    if ((st = single(r, "attn_logit_softcapping", 0, &h->score_cap)) != CAPP_OK) return st;
    if ((st = single(r, "final_logit_softcapping", 0, &h->logit_cap)) != CAPP_OK) return st;
    if (arch->clamps && (st = single(r, "clip_qkv|attn_config.clip_qkv", 0, &h->clamp)) != CAPP_OK) return st;
    if ((st = read_gpt2_scales(r, h)) != CAPP_OK) return st;
    if (!arch->alibi) return CAPP_OK;
    if ((st = single(r, "attn_config.softmax_scale", h->score_scale, &h->score_scale)) != CAPP_OK) return st;
    return single(r, "attn_config.alibi_bias_max", 8, &h->alibi);
}

static capp_status read_opt_norms(const reader *r, capp_hparams *h) {
    bool before, affine;
    capp_status st;
    if (strcmp(r->arch->name, "opt")) return CAPP_OK;
    if ((st = truth(r, "do_layer_norm_before", true, &before)) != CAPP_OK) return st;
    if ((st = truth(r, "layer_norm_elementwise_affine", true, &affine)) != CAPP_OK) return st;
    if ((st = truth(r, "_remove_final_layer_norm", false, &h->no_output_norm)) != CAPP_OK) return st;
    h->norm_after = !before;
    h->bare_norms = !affine;
    h->no_output_norm |= !before;
    return CAPP_OK;
}

static capp_status read_parallel(const reader *r, capp_hparams *h) {
    bool newer, parallel;
    uint32_t norms;
    capp_status st;
    if (!strcmp(r->arch->name, "falcon")) {
        if ((st = truth(r, "new_decoder_architecture", false, &newer)) != CAPP_OK) return st;
        if ((st = truth(r, "parallel_attn", true, &parallel)) != CAPP_OK) return st;
        if ((st = count(r, "num_ln_in_parallel_attn", newer ? 2 : 1, 2, &norms)) != CAPP_OK) return st;
        h->parallel = newer && norms == 2 ? CAPP_PARALLEL_OWN : parallel ? CAPP_PARALLEL_SHARED : CAPP_SEQUENTIAL;
        return CAPP_OK;
    }
    if ((st = truth(r, "use_parallel_residual", h->parallel != CAPP_SEQUENTIAL, &parallel)) != CAPP_OK) return st;
    if (r->arch->maybe_parallel && parallel) h->parallel = CAPP_PARALLEL_SHARED;
    if (!parallel) h->parallel = CAPP_SEQUENTIAL;
    return CAPP_OK;
}

/* Of a multimodal model transformers 4 asks text_config, 5 what is around it, where true is the default, and uses a
 * head that is there all the same. */
static capp_status read_tied(const reader *r, capp_hparams *h) {
    static const char key[] = "tie_word_embeddings", *const suffixes[] = {".weight", ".qweight"};
    char name[MOST_NAME];
    bool whole = true;
    capp_status st = truth(r, key, r->arch->tied, &h->tied);
    if (st != CAPP_OK || !capp_is_multimodal(r->s)) return st;
    capp_json around = capp_config_at(capp_folder_around(r->s->folder), key);
    if (around && !capp_json_bool(around, &whole)) return fail_field(r, CAPP_EFORMAT, key, "must be true or false");
    h->tied |= whole;
    for (size_t i = 0; i < 2; i++)
        if (capp_place_find(r->s, r->arch, (place){CAPP_PART_HEAD, 0, 0}, suffixes[i], name)) h->tied = false;
    return CAPP_OK;
}

static capp_status read_flags(const reader *r, capp_hparams *h) {
    const capp_arch *a = r->arch;
    bool norm;
    capp_status st;
    if ((st = read_tied(r, h)) != CAPP_OK) return st;
    if ((st = truth(r, a->qkv_bias.key, a->qkv_bias.by_default, &h->qkv_bias)) != CAPP_OK) return st;
    if ((st = truth(r, a->out_bias.key, a->out_bias.by_default, &h->out_bias)) != CAPP_OK) return st;
    if ((st = truth(r, a->feed_bias.key, a->feed_bias.by_default, &h->feed_bias)) != CAPP_OK) return st;
    if ((st = truth(r, a->qk_norm_key, !a->qk_norm_key, &norm)) != CAPP_OK) return st;
    if (!norm) h->qk_norm = CAPP_QK_NONE;
    if ((st = read_opt_norms(r, h)) != CAPP_OK) return st;
    return read_parallel(r, h);
}

capp_status capp_config_read(capp_hparams *h, const capp_arch *arch, const capp_source *s, capp_error *err) {
    reader r = {s, arch, err};
    capp_status st;
    if ((st = capp_config_check(arch, s, err)) != CAPP_OK) return st;
    if ((st = capp_quant_read(h, arch, s, err)) != CAPP_OK) return st;
    if ((st = read_sizes(&r, h)) != CAPP_OK) return st;
    if ((st = read_activation(&r, h)) != CAPP_OK) return st;
    if ((st = read_rope(&r, h)) != CAPP_OK) return st;
    if ((st = read_kinds(&r, h)) != CAPP_OK) return st;
    if ((st = read_scales(&r, h)) != CAPP_OK) return st;
    if ((st = read_flags(&r, h)) != CAPP_OK) return st;
    return single(&r, "rms_norm_eps|layer_norm_eps|layer_norm_epsilon|norm_epsilon", arch->eps, &h->norm_eps);
}
