/* Reads rotations from config.json: their bases, and how they are stretched for long contexts. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/math.h"
#include "model/fields.h"

/* The places that may have the fields of rope_scaling, for each kind of layer. */
static const char *const places[2][3] = {
    {"rope_scaling", "rope_parameters.full_attention", "rope_parameters"},
    {"rope_parameters.sliding_attention", NULL, NULL},
};

/* The object with the fields for this kind of layer, and its path; NULL if there is none. */
static capp_json rope_object(const capp_fields *r, size_t kind, const char **path) {
    for (size_t i = 0; i < 3 && places[kind][i]; i++) {
        capp_json o = capp_config_at(capp_folder_config(r->s->folder), *path = places[kind][i]);
        if (o) return o;
    }
    return NULL;
}

static capp_status check_rope_fields(const capp_fields *r, capp_json object, const char *path) {
    static const char known[] = " rope_type type factor low_freq_factor high_freq_factor "
                                "original_max_position_embeddings beta_fast beta_slow attention_factor "
                                "mscale mscale_all_dim truncate short_factor long_factor rope_theta "
                                "partial_rotary_factor finetuned full_attention sliding_attention ";
    static const char grown[] = " llama_4_scaling_beta max_position_embeddings ", alpha[] = " alpha ";
    static const char mscales[] = " long_mscale short_mscale ";
    static const char axes[] = " mrope_section mrope_interleaved ";
    if (capp_json_kind_of(object) != CAPP_JSON_OBJECT)
        return capp_field_fail(r, CAPP_EFORMAT, path, "is not an object");
    for (capp_json_walk w = capp_json_begin(object); capp_json_next(&w);) {
        char key[CAPP_MOST_KEY] = "";
        bool escapes;
        capp_str raw = capp_json_raw(w.name, &escapes);
        memcpy(key, raw.data, raw.size < CAPP_MOST_KEY ? raw.size : CAPP_MOST_KEY - 1);
        if (r->arch->query_growth && capp_is_listed(grown, key)) continue;
        if (r->arch->rope_mscales && capp_is_listed(mscales, key)) continue;
        if (r->arch->rope_alpha && capp_is_listed(alpha, key)) continue;
        if (r->arch->rope_axes && capp_is_listed(axes, key)) continue;
        if (capp_json_kind_of(w.value) != CAPP_JSON_NULL && !capp_is_listed(known, key))
            return capp_fail(r->err, CAPP_EUNSUPPORTED, "%s: config.json: unknown field \"%s.%.60s\"",
                             capp_source_path(r->s), path, key);
    }
    return CAPP_OK;
}

static double mscale_of(double factor, double mscale) {
    return factor <= 1 ? 1 : 0.1 * mscale * capp_log(factor) + 1;
}

/* Reads the number PATH.FIELD. */
static capp_status rope_number(const capp_fields *r, const char *path, const char *field, double missing, double *out) {
    char key[CAPP_MOST_KEY];
    snprintf(key, sizeof key, "%s.%s", path, field);
    return capp_field_positive(r, key, missing, out);
}

static capp_status read_yarn(const capp_fields *r, const char *path, capp_rope *rope) {
    double mscale = 0, all = 0, attention;
    char key[CAPP_MOST_KEY];
    bool found, truncate = !r->arch->rope_untruncated;
    capp_status st;
    if ((st = rope_number(r, path, "beta_fast", 32, &rope->high)) != CAPP_OK) return st;
    if ((st = rope_number(r, path, "beta_slow", 1, &rope->low)) != CAPP_OK) return st;
    snprintf(key, sizeof key, "%s.mscale", path); /* 0 counts as missing */
    if ((st = capp_field_number(r, key, &mscale, &found)) != CAPP_OK) return st;
    snprintf(key, sizeof key, "%s.mscale_all_dim", path);
    if ((st = capp_field_number(r, key, &all, &found)) != CAPP_OK) return st;
    snprintf(key, sizeof key, "%s.truncate", path);
    if ((st = capp_field_truth(r, key, true, &truncate)) != CAPP_OK) return st;
    double usual = mscale != 0 && all != 0 ? mscale_of(rope->factor, mscale) / mscale_of(rope->factor, all)
                                           : mscale_of(rope->factor, 1);
    if ((st = rope_number(r, path, "attention_factor", usual, &attention)) != CAPP_OK) return st;
    rope->scaling = CAPP_SCALING_YARN;
    rope->untruncated = !truncate;
    rope->magnitude = attention;
    return CAPP_OK;
}

/* The factors themselves are read later, when the weights are bound. */
static capp_status read_longrope(const capp_fields *r, const char *path, capp_hparams *h, capp_rope *rope) {
    double attention;
    bool found;
    capp_status st;
    if ((st = capp_field_number(r, "original_max_position_embeddings", &rope->original, &found)) != CAPP_OK) return st;
    if ((!found || rope->original < 1) &&
        (st = rope_number(r, path, "original_max_position_embeddings", h->context, &rope->original)) != CAPP_OK)
        return st;
    if (!found && (st = rope_number(r, path, "factor", h->context / rope->original, &rope->factor)) != CAPP_OK)
        return st;
    if (found) rope->factor = h->context / rope->original;
    double usual = rope->factor <= 1 ? 1 : sqrt(1 + capp_log(rope->factor) / capp_log(rope->original));
    if ((st = rope_number(r, path, "attention_factor", usual, &attention)) != CAPP_OK) return st;
    rope->scaling = CAPP_SCALING_FACTORS;
    rope->magnitude = attention;
    if (r->arch->rope_mscales) {
        double longer;
        if ((st = rope_number(r, path, "short_mscale", usual, &rope->magnitude)) != CAPP_OK) return st;
        if ((st = rope_number(r, path, "long_mscale", rope->magnitude, &longer)) != CAPP_OK) return st;
        if (longer != rope->magnitude)
            return capp_field_fail(r, CAPP_EUNSUPPORTED, path, "has two numbers mscale; capp supports one");
    }
    h->short_context = rope->original < h->context ? (uint32_t)rope->original : h->context;
    return CAPP_OK;
}

/* Hunyuan: a fixed alpha changes the base. */
static capp_status read_alpha(const capp_fields *r, const char *path, capp_json type, const capp_hparams *h,
                              capp_rope *rope) {
    double alpha, dims = h->head_dim;
    if (!r->arch->rope_alpha || !capp_json_is(type, "dynamic")) return CAPP_OK;
    capp_status st = rope_number(r, path, "alpha", 1, &alpha);
    if (st == CAPP_OK && dims > 2) rope->base *= capp_pow(alpha, dims / (dims - 2));
    return st;
}

/* Reads growth and its unit of positions: the length of the context that the model was first trained with. */
static capp_status read_growth(const capp_fields *r, const char *path, capp_hparams *h) {
    char key[CAPP_MOST_KEY];
    double growth;
    bool found;
    snprintf(key, sizeof key, "%s.llama_4_scaling_beta", path);
    capp_status st = capp_field_number(r, key, &growth, &found);
    if (st != CAPP_OK) return st;
    if (!found) return capp_field_fail(r, CAPP_EFORMAT, key, "is missing");
    if (growth < 0) return capp_field_fail(r, CAPP_EFORMAT, key, "must not be negative");
    h->growth = (float)growth;
    st = rope_number(r, path, "original_max_position_embeddings", h->context, &h->ropes[0].original);
    h->growth_span = h->ropes[0].original;
    return st;
}

static bool has_any(capp_json object, const char *const *keys) {
    while (*keys && !capp_config_at(object, *keys)) keys++;
    return *keys;
}

/* Checks that the fields are there that a kind of scaling needs, and that there are no fields of scaling without a
 * kind. transformers fails in these cases, too. */
static capp_status check_complete(const capp_fields *r, capp_json object, const char *path, capp_json type) {
    static const char *const scaling[] = {
        "factor",    "low_freq_factor",  "high_freq_factor", "short_factor",   "long_factor", "beta_fast",
        "beta_slow", "attention_factor", "mscale",           "mscale_all_dim", NULL};
    static const char *const llama3[] = {"factor", "low_freq_factor", "high_freq_factor",
                                         "original_max_position_embeddings", NULL};
    bool is_llama3 = type && capp_json_is(type, "llama3");
    if (!type && has_any(object, scaling))
        return capp_field_fail(r, CAPP_EFORMAT, path, "has scaling factors, but no rope_type; add it");
    if (!is_llama3 && !(type && (capp_json_is(type, "linear") || capp_json_is(type, "yarn")))) return CAPP_OK;
    for (size_t i = 0; i < (is_llama3 ? 4 : 1); i++)
        if (!capp_config_at(object, llama3[i]))
            return capp_fail(r->err, CAPP_EFORMAT, "%s: config.json: \"%s.%s\" is missing", capp_source_path(r->s),
                             path, llama3[i]);
    return CAPP_OK;
}

static capp_status read_scaling(const capp_fields *r, size_t kind, capp_hparams *h) {
    capp_rope *rope = &h->ropes[kind];
    const char *path;
    capp_json object = rope_object(r, kind, &path);
    capp_status st;
    if (!object && r->arch->rope_untruncated && !capp_json_get(capp_folder_config(r->s->folder), "rope_scaling"))
        return capp_field_fail(r, CAPP_EFORMAT, "rope_scaling", "is missing"); /* the class has its own default */
    if (!object && r->arch->rope_required) return capp_field_fail(r, CAPP_EFORMAT, "rope_parameters", "is missing");
    if (!object) return CAPP_OK;
    if ((st = check_rope_fields(r, object, path)) != CAPP_OK) return st;
    if (r->arch->query_growth && (st = read_growth(r, path, h)) != CAPP_OK) return st;
    capp_json type = capp_config_at(object, "rope_type");
    if (!type) type = capp_config_at(object, "type");
    if ((st = check_complete(r, object, path, type)) != CAPP_OK) return st;
    if (type && (st = read_alpha(r, path, type, h, rope)) != CAPP_OK) return st;
    /* "dynamic" changes nothing up to the context that the file names, and capp does not use longer ones. */
    if (!type || capp_json_is(type, "default") || capp_json_is(type, "dynamic")) return CAPP_OK;
    if (r->arch->rope_axes && capp_json_is(type, "mrope")) return CAPP_OK;
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
    if (capp_json_is(type, "proportional") && r->arch->local_heads) {
        rope->scaling = CAPP_SCALING_PROPORTIONAL;
        return rope_number(r, path, "partial_rotary_factor", 1, &rope->share);
    }
    if (capp_json_is(type, "longrope") || capp_json_is(type, "su")) return read_longrope(r, path, h, rope);
    bool escapes;
    capp_str name = capp_json_raw(type, &escapes);
    return capp_fail(r->err, CAPP_EUNSUPPORTED, "%s: rope scaling \"%.*s\" is not supported", capp_source_path(r->s),
                     (int)(name.size < 40 ? name.size : 40), name.data ? name.data : "");
}

/* The oldest Falcons have linear biases instead of rotations. */
static capp_status read_falcon_alibi(const capp_fields *r, capp_hparams *h) {
    capp_status st;
    if (strcmp(r->arch->name, "falcon")) return CAPP_OK;
    if ((st = capp_field_truth(r, "alibi", false, &h->alibi_rounded)) != CAPP_OK || !h->alibi_rounded) return st;
    h->rope = CAPP_ROPE_NONE;
    h->alibi = 8;
    return CAPP_OK;
}

capp_status capp_config_rope(const capp_fields *r, capp_hparams *h) {
    const capp_arch *arch = r->arch;
    double share, dims;
    bool found;
    capp_status st;
    if ((st = read_falcon_alibi(r, h)) != CAPP_OK || h->rope == CAPP_ROPE_NONE) return st;
    if ((st = capp_field_positive(
             r,
             "rope_theta|rotary_emb_base|rope_parameters.rope_theta|rope_parameters.full_attention.rope_theta|"
             "attn_config.rope_theta",
             arch->theta > 0 ? arch->theta : 10000, &h->ropes[0].base)) != CAPP_OK)
        return st;
    if ((st = capp_field_positive(r, "partial_rotary_factor|rotary_pct|rope_parameters.partial_rotary_factor",
                                  arch->rotary > 0 ? arch->rotary : 1, &share)) != CAPP_OK)
        return st;
    if ((st = capp_field_number(r, "rotary_dim", &dims, &found)) != CAPP_OK) return st;
    if (!found) dims = floor(h->head_dim * share);
    if (dims < 2 || dims > h->head_dim)
        return capp_fail(r->err, CAPP_EFORMAT,
                         "%s: config.json: rope over %g of %u dimensions is not possible; download the model again",
                         capp_source_path(r->s), dims, h->head_dim);
    h->rope_dims = (uint32_t)dims;
    h->n_ropes = 1;
    if ((st = read_scaling(r, 0, h)) != CAPP_OK) return st;
    double local = arch->local_rope_unscaled ? h->ropes[0].base : arch->local_rope_base;
    if ((st = capp_field_number(r, "sliding_window", &share, &found)) != CAPP_OK) return st;
    if (local <= 0 || (arch->local_rope_unscaled && !found)) return CAPP_OK;
    h->n_ropes = 2;
    if ((st = capp_field_positive(r, "rope_local_base_freq|rope_parameters.sliding_attention.rope_theta", local,
                                  &h->ropes[1].base)) != CAPP_OK)
        return st;
    return read_scaling(r, 1, h);
}
