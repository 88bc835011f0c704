/* Hyperparameters: reads them from a file and checks them, so that later code can rely on them. */
#include <math.h>
#include <string.h>

#include "kernel/plain.h"
#include "model/arch.h"

static const capp_arch *const archs[] = {
#define X(name) &capp_arch_##name,
    CAPP_ARCH_MAP(X)
#undef X
};
enum { N_ARCHS = sizeof archs / sizeof *archs };

static const char *name_in(const capp_arch *arch, bool gguf) {
    return gguf ? arch->gguf : arch->hf;
}

const capp_arch *capp_arch_find(capp_str name, bool gguf) {
    for (size_t i = 0; i < N_ARCHS; i++) {
        const char *own = name_in(archs[i], gguf);
        if (own && name.size == strlen(own) && !memcmp(name.data, own, name.size)) return archs[i];
    }
    return NULL;
}

const capp_arch *capp_arch_at(size_t i) {
    return i < N_ARCHS ? archs[i] : NULL;
}

const capp_arch *capp_arch_nearest(capp_str name, bool gguf) {
    const capp_arch *nearest = NULL;
    size_t least = SIZE_MAX;
    for (size_t i = 0; i < N_ARCHS; i++) {
        const char *own = name_in(archs[i], gguf);
        size_t d = own ? capp_name_distance(name, own) : SIZE_MAX;
        if (d < least) {
            least = d;
            nearest = archs[i];
        }
    }
    return nearest;
}

/* Sets what the reader of the file left 0, because it is the same in all layers. */
static void fill_shape(capp_hparams *h, uint32_t i) {
    capp_shape *shape = &h->shapes[i];
    if (!shape->heads) shape->heads = (uint16_t)h->heads;
    if (!shape->kv_heads) shape->kv_heads = (uint16_t)h->kv_heads;
    if (!shape->key) shape->key = (uint16_t)h->head_dim;
    if (!shape->value) shape->value = shape->key;
    if (!shape->feed) shape->feed = h->experts ? h->dense_feed : h->feed;
}

static capp_status check_shape(const capp_hparams *h, uint32_t i, const char *path, capp_error *err) {
    const capp_shape *shape = &h->shapes[i], *from = &h->shapes[i - shape->back];
    const capp_rope *rope = &h->ropes[h->n_ropes == 2 && h->kinds[i] & CAPP_LOCAL];
    if (shape->key > 4096 || shape->value > shape->key)
        return capp_fail(err, CAPP_EUNSUPPORTED,
                         "%s: heads have %u dimensions and their values %u; capp supports at most 4096, and at most as "
                         "many for values; use another model",
                         path, shape->key, shape->value);
    if (shape->heads % shape->kv_heads)
        return capp_fail(err, CAPP_EFORMAT,
                         "%s: the number of heads, %u, is not a multiple of the number of key-value heads, %u; "
                         "download or convert the model again",
                         path, shape->heads, shape->kv_heads);
    if (rope->dims % 2 || rope->dims > shape->key)
        return capp_fail(err, CAPP_EFORMAT,
                         "%s: rope over %u of %u dimensions; expected an even number of dimensions; download or "
                         "convert the model again",
                         path, rope->dims, shape->key);
    if (from->kv_heads != shape->kv_heads || from->key != shape->key || from->value != shape->value)
        return capp_fail(err, CAPP_EFORMAT,
                         "%s: layer %u reads the keys and values of layer %u, whose heads have other sizes; download "
                         "or convert the model again",
                         path, i, i - shape->back);
    return CAPP_OK;
}

/* Checks the conditions that the numbers must meet together, in any kind of file. */
static capp_status check(capp_hparams *h, const char *path, capp_error *err) {
    capp_status st;
    if (!h->kv_heads) h->kv_heads = h->heads;
    if (!h->head_dim) h->head_dim = h->width / h->heads;
    if (!h->embedded) h->embedded = h->width;
    if (!h->head_dim || h->head_dim > 4096)
        return capp_fail(err, CAPP_EUNSUPPORTED, "%s: heads have %u dimensions; capp supports 1 to 4096", path,
                         h->head_dim);
    for (uint32_t kind = 0; kind < h->n_ropes; kind++) {
        if (!h->ropes[kind].dims) h->ropes[kind].dims = h->rope_dims;
        if (h->ropes[kind].dims > h->rope_dims) h->rope_dims = h->ropes[kind].dims;
    }
    for (uint32_t i = 0; i < h->layers; i++) {
        fill_shape(h, i);
        if ((st = check_shape(h, i, path, err)) != CAPP_OK) return st;
    }
    if (h->experts && h->near > 0 && (h->experts < 2 || h->experts_used != 2))
        return capp_fail(err, CAPP_EUNSUPPORTED,
                         "%s: each token uses %u of %u experts; capp supports 2 for this router", path, h->experts_used,
                         h->experts);
    if (h->experts && (!h->experts_used || h->experts_used > h->experts))
        return capp_fail(err, CAPP_EFORMAT,
                         "%s: each token uses %u of %u experts; expected at least 1 and at most all; download or "
                         "convert the model again",
                         path, h->experts_used, h->experts);
    if (h->expert_groups == 1) h->expert_groups_used = 1; /* Nemotron-H's files do not say it */
    if (h->expert_groups > CAPP_MOST_GROUPS ||
        (h->expert_groups &&
         (h->experts % h->expert_groups || !h->expert_groups_used || h->expert_groups_used > h->expert_groups ||
          h->experts / h->expert_groups * h->expert_groups_used < h->experts_used)))
        return capp_fail(err, CAPP_EFORMAT,
                         "%s: each token chooses %u of %u groups of experts, which does not fit %u experts, of which "
                         "each token uses %u; download or convert the model again",
                         path, h->expert_groups_used, h->expert_groups, h->experts, h->experts_used);
    if (h->expert_groups == h->expert_groups_used) h->expert_groups = 0; /* all groups are used */
    for (uint32_t kind = 0; kind < h->n_ropes; kind++) {
        const capp_rope *r = &h->ropes[kind];
        if (r->scaling == CAPP_SCALING_LLAMA3 && !(r->high > r->low))
            return capp_fail(
                err, CAPP_EFORMAT,
                "%s: high_freq_factor %g must be greater than low_freq_factor %g; download or convert the model again",
                path, r->high, r->low);
        if (r->scaling == CAPP_SCALING_YARN && r->base <= 1)
            return capp_fail(
                err, CAPP_EFORMAT,
                "%s: the rope base is %g; YaRN needs a base greater than 1; download or convert the model again", path,
                r->base);
    }
    return CAPP_OK;
}

/* What GGUF files contain that are not models as capp runs them, although people try. */
static const struct {
    const char *name, *what;
} others[] = {
    {"clip",
     "the image or sound part of a multimodal model, without the model; open the other GGUF file, whose name has no "
     "\"mmproj\""},
};

capp_status capp_hparams_read(capp_hparams *h, const capp_arch **arch, const capp_source *s, capp_error *err) {
    const char *path = capp_source_path(s);
    capp_str name;
    capp_status st;
    memset(h, 0, sizeof *h);
    if ((st = capp_multimodal_check(s, err)) != CAPP_OK) return st;
    if (capp_model_type(s, &name) != CAPP_FOUND)
        return capp_fail(err, CAPP_EFORMAT, "%s: %s is missing", path,
                         s->gguf ? "metadata key general.architecture" : "config.json: model_type");
    *arch = capp_arch_find(name, s->gguf);
    for (size_t i = 0; s->gguf && i < sizeof others / sizeof *others; i++)
        if (capp_str_is(name, others[i].name))
            return capp_fail(err, CAPP_EUNSUPPORTED, "%s: architecture \"%s\" is %s", path, others[i].name,
                             others[i].what);
    const capp_arch *other = *arch ? NULL : capp_arch_find(name, !s->gguf);
    if (other)
        return capp_fail(err, CAPP_EUNSUPPORTED, "%s: capp runs the architecture \"%.*s\" (%s) only from %s", path,
                         (int)name.size, name.data, other->models,
                         s->gguf ? "folders" : "GGUF files; convert the model");
    if (!*arch) {
        const capp_arch *nearest = capp_arch_nearest(name, s->gguf);
        return capp_fail(err, CAPP_EUNSUPPORTED,
                         "%s: unknown architecture \"%.*s\"; the nearest name that capp knows is \"%s\" (%s)", path,
                         (int)(name.size < 60 ? name.size : 60), name.data, name_in(nearest, s->gguf), nearest->models);
    }
    h->activation = (*arch)->activation;
    h->rope = s->gguf ? (*arch)->rope : (*arch)->hf_rope;
    h->qk_norm = (*arch)->qk_norm;
    h->qk_norm_rotated = (*arch)->qk_norm_rotated;
    h->parallel = (*arch)->parallel;
    h->attention_gate = (*arch)->attention_gate;
    h->router_norm = (*arch)->router_norm;
    h->router_sigmoid = (*arch)->router_sigmoid;
    h->router_scale = 1;
    h->groups_by_best = (*arch)->groups_by_best;
    h->bare_norms = (*arch)->bare_norms;
    h->embedding_scale = h->residual_scale = h->logit_scale = h->query_norm = 1;
    h->head_bias = (*arch)->head_bias;
    h->post_eps = (float)(*arch)->post_eps;
    h->near = (*arch)->near_best ? 0.01F : 0;
    for (size_t kind = 0; kind < 2; kind++) h->ropes[kind] = (capp_rope){.base = 10000, .factor = 1, .magnitude = 1};
    st = s->gguf ? capp_metadata_read(h, *arch, s, err) : capp_config_read(h, *arch, s, err);
    if (h->router_sigmoid) h->groups_by_best = false;
    if (st == CAPP_OK) st = check(h, path, err);
    if (st != CAPP_OK) return st;
    if ((*arch)->scaled_embedding) h->embedding_scale = sqrtf((float)h->width);
    if (h->score_scale == 0) h->score_scale = (*arch)->unit_scores ? 1 : (float)(1 / sqrt(h->head_dim));
    return CAPP_OK;
}
