/* Hyperparameters: metadata to numbers that later code need not doubt. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model/arch.h"

static const capp_arch *const archs[] = {&capp_arch_gemma3, &capp_arch_gpt2, &capp_arch_llama};
enum { N_ARCHS = sizeof archs / sizeof *archs };

/* Limits that no model comes near, so that products of two sizes fit 64 bits with room. */
enum { MOST_WIDTH = 1 << 20, MOST_LAYERS = 4096, MOST_HEADS = 1 << 14, MOST_CONTEXT = 1 << 28 };

const capp_arch *capp_arch_find(capp_str name) {
    for (size_t i = 0; i < N_ARCHS; i++)
        if (name.size == strlen(archs[i]->name) && !memcmp(name.data, archs[i]->name, name.size)) return archs[i];
    return NULL;
}

const char *capp_arch_names(void) {
    return "gemma3, gpt2, llama";
}

typedef struct reader {
    const capp_gguf *g;
    const capp_arch *arch;
    capp_error *err;
} reader;

/* The file's "ARCH.key"; 0 with CAPP_OK where it is missing and not required. */
static capp_status read_u32(const reader *r, const char *key, bool required, uint32_t most, uint32_t *out) {
    char full[128];
    snprintf(full, sizeof full, "%s.%s", r->arch->name, key);
    *out = 0;
    if (!capp_gguf_find(r->g, full)) {
        if (!required) return CAPP_OK;
        return capp_fail(r->err, CAPP_EFORMAT, "%s: metadata key %s is missing; convert the model again",
                         capp_gguf_path(r->g), full);
    }
    if (!capp_gguf_u32(r->g, full, out))
        return capp_fail(r->err, CAPP_EFORMAT, "%s: metadata key %s is not a number from 0 to 4294967295",
                         capp_gguf_path(r->g), full);
    if (*out > most || (required && !*out))
        return capp_fail(r->err, CAPP_EFORMAT, "%s: metadata key %s is %u; expected 1 to %u", capp_gguf_path(r->g),
                         full, *out, most);
    return CAPP_OK;
}

static capp_status read_f64(const reader *r, const char *key, double missing, double *out) {
    char full[128];
    snprintf(full, sizeof full, "%s.%s", r->arch->name, key);
    *out = missing;
    if (!capp_gguf_find(r->g, full)) return CAPP_OK;
    if (!capp_gguf_f64(r->g, full, out) || !isfinite(*out) || *out <= 0)
        return capp_fail(r->err, CAPP_EFORMAT, "%s: metadata key %s is not a positive number", capp_gguf_path(r->g),
                         full);
    return CAPP_OK;
}

static capp_status read_sizes(const reader *r, capp_hparams *h) {
    uint32_t value_length;
    capp_status st;
    if ((st = read_u32(r, "context_length", true, MOST_CONTEXT, &h->context)) != CAPP_OK) return st;
    if ((st = read_u32(r, "embedding_length", true, MOST_WIDTH, &h->width)) != CAPP_OK) return st;
    if ((st = read_u32(r, "block_count", true, MOST_LAYERS, &h->layers)) != CAPP_OK) return st;
    if ((st = read_u32(r, "feed_forward_length", true, MOST_WIDTH, &h->feed)) != CAPP_OK) return st;
    if ((st = read_u32(r, "attention.head_count", true, MOST_HEADS, &h->heads)) != CAPP_OK) return st;
    if ((st = read_u32(r, "attention.head_count_kv", false, MOST_HEADS, &h->kv_heads)) != CAPP_OK) return st;
    if ((st = read_u32(r, "attention.key_length", false, MOST_WIDTH, &h->head_dim)) != CAPP_OK) return st;
    if ((st = read_u32(r, "attention.value_length", false, MOST_WIDTH, &value_length)) != CAPP_OK) return st;
    if (!h->kv_heads) h->kv_heads = h->heads;
    if (!h->head_dim && h->heads) h->head_dim = h->width / h->heads;
    const char *path = capp_gguf_path(r->g);
    if (!h->head_dim || h->head_dim > 4096)
        return capp_fail(r->err, CAPP_EUNSUPPORTED, "%s: heads of %u dimensions; capp runs 1 to 4096", path,
                         h->head_dim);
    if (!h->kv_heads || h->heads % h->kv_heads)
        return capp_fail(r->err, CAPP_EFORMAT, "%s: %u heads cannot share %u key-value heads evenly", path, h->heads,
                         h->kv_heads);
    if (value_length && value_length != h->head_dim)
        return capp_fail(r->err, CAPP_EUNSUPPORTED,
                         "%s: values of %u dimensions beside keys of %u; capp needs equal ones", path, value_length,
                         h->head_dim);
    return CAPP_OK;
}

static capp_status read_rope(const reader *r, capp_hparams *h) {
    capp_status st;
    if (r->arch->rope == CAPP_ROPE_NONE) return CAPP_OK;
    const char *path = capp_gguf_path(r->g);
    if ((st = read_u32(r, "rope.dimension_count", false, h->head_dim, &h->rope_dims)) != CAPP_OK) return st;
    if (!h->rope_dims) h->rope_dims = h->head_dim;
    if (h->rope_dims % 2)
        return capp_fail(r->err, CAPP_EFORMAT, "%s: rope over %u dimensions, an odd number", path, h->rope_dims);
    if ((st = read_f64(r, "rope.freq_base", 10000, &h->rope_base[0])) != CAPP_OK) return st;
    h->n_ropes = 1;
    if (r->arch->window_period) {
        if ((st = read_f64(r, "rope.freq_base_swa", r->arch->local_rope_base, &h->rope_base[1])) != CAPP_OK) return st;
        h->n_ropes = 2;
    }
    char full[128];
    capp_str scaling;
    snprintf(full, sizeof full, "%s.rope.scaling.type", r->arch->name);
    if (capp_gguf_str(r->g, full, &scaling) && !(scaling.size == 4 && !memcmp(scaling.data, "none", 4)))
        return capp_fail(r->err, CAPP_EUNSUPPORTED, "%s: rope scaling \"%.*s\" is not supported yet", path,
                         (int)(scaling.size < 40 ? scaling.size : 40), scaling.data);
    return CAPP_OK;
}

/* Metadata that changes the arithmetic in ways that the architectures here do not have, with the value that changes
 * nothing (0 never does). */
static const struct {
    const char *key;
    double neutral;
} foreign_keys[] = {
    {"rope.scaling.factor", 1},
    {"rope.scale_linear", 1},
    {"expert_count", 0},
    {"attention.scale", 0},
    {"logit_scale", 1},
    {"residual_scale", 1},
    {"embedding_scale", 1},
    {"attn_logit_softcapping", 0},
    {"final_logit_softcapping", 0},
    {"attention.clamp_kqv", 0},
    {"attention.max_alibi_bias", 0},
    {"attention.sliding_window", 0},
    {"attention.temperature_scale", 0},
};

static capp_status refuse_foreign_keys(const reader *r) {
    for (size_t i = 0; i < sizeof foreign_keys / sizeof *foreign_keys; i++) {
        char full[128];
        double value;
        if (r->arch->window_period && !strcmp(foreign_keys[i].key, "attention.sliding_window")) continue;
        snprintf(full, sizeof full, "%s.%s", r->arch->name, foreign_keys[i].key);
        if (!capp_gguf_f64(r->g, full, &value) || value == 0 || value == foreign_keys[i].neutral) continue;
        return capp_fail(r->err, CAPP_EUNSUPPORTED, "%s: %s is %g, which capp does not support yet",
                         capp_gguf_path(r->g), full, value);
    }
    return CAPP_OK;
}

capp_status capp_hparams_read(capp_hparams *h, const capp_arch **arch, const capp_gguf *g, capp_error *err) {
    const char *path = capp_gguf_path(g);
    capp_str name;
    capp_status st;
    memset(h, 0, sizeof *h);
    if (!capp_gguf_str(g, "general.architecture", &name))
        return capp_fail(err, CAPP_EFORMAT, "%s: metadata key general.architecture is missing", path);
    *arch = capp_arch_find(name);
    if (!*arch)
        return capp_fail(err, CAPP_EUNSUPPORTED, "%s: unknown architecture \"%.*s\"; capp runs %s", path,
                         (int)(name.size < 60 ? name.size : 60), name.data, capp_arch_names());
    reader r = {g, *arch, err};
    if ((st = refuse_foreign_keys(&r)) != CAPP_OK) return st;
    if ((st = read_sizes(&r, h)) != CAPP_OK) return st;
    if ((st = read_rope(&r, h)) != CAPP_OK) return st;
    double eps;
    const char *key =
        (*arch)->norm == CAPP_NORM_RMS ? "attention.layer_norm_rms_epsilon" : "attention.layer_norm_epsilon";
    if ((st = read_f64(&r, key, 1e-5, &eps)) != CAPP_OK) return st;
    h->norm_eps = (float)eps;
    h->embedding_scale = (*arch)->scaled_embedding ? (float)sqrt(h->width) : 1;
    h->score_scale = (float)(1 / sqrt(h->head_dim));
    return CAPP_OK;
}
