/* The parts of layers that have a state from token to token: their sizes, from both kinds of file, and their tensors.
 */
#include <stdio.h>
#include <string.h>

#include "base/math.h"
#include "model/binder.h"
#include "model/fields.h"

/* ---- Sizes --------------------------------------------------------------------------------------------------------
 */

static bool attends(const capp_hparams *h, uint32_t layer) {
    return !(h->kinds[layer] & CAPP_SILENT);
}

static bool mixes(const capp_hparams *h, uint32_t layer) {
    return h->kinds[layer] & CAPP_MIXES;
}

size_t capp_count_stores(const capp_hparams *h) {
    size_t n = 0;
    for (uint32_t i = 0; i < h->layers; i++) n += attends(h, i);
    return n;
}

size_t capp_count_states(const capp_hparams *h) {
    size_t n = 0;
    for (uint32_t i = 0; i < h->layers; i++) n += mixes(h, i);
    return n;
}

bool capp_mixes_beside(const capp_hparams *h) {
    bool both = false;
    for (uint32_t i = 0; i < h->layers; i++) both |= mixes(h, i) && attends(h, i);
    return both;
}

size_t capp_attention_rows(const capp_hparams *h) {
    size_t q = (size_t)h->heads * h->head_dim;
    return (h->attention_gate ? 2 * q : q) + 2 * (size_t)h->kv_heads * h->head_dim;
}

size_t capp_mix_outputs(const capp_hparams *h) {
    const capp_mix *m = &h->mix;
    if (!m->kind) return 0;
    return m->kind == CAPP_MIX_SHORT ? h->width : (size_t)m->heads * m->values;
}

size_t capp_mix_channels(const capp_hparams *h) {
    const capp_mix *m = &h->mix;
    return capp_mix_outputs(h) + 2 * (size_t)m->groups * m->keys;
}

size_t capp_mix_inputs(const capp_hparams *h) {
    const capp_mix *m = &h->mix;
    if (!m->kind) return 0;
    if (m->kind == CAPP_MIX_SHORT) return 3 * (size_t)h->width;
    return capp_mix_channels(h) + capp_mix_outputs(h) + 2 * (size_t)m->heads;
}

/* Checks sizes that two formats read in their own ways. */
static capp_status check_sizes(const capp_hparams *h, const char *path, capp_error *err) {
    const capp_mix *m = &h->mix;
    if (m->taps < 1 || m->taps > 64)
        return capp_fail(err, CAPP_EUNSUPPORTED,
                         "%s: convolutions have %u inputs; capp supports 1 to 64; download or convert the model again",
                         path, m->taps);
    if (m->kind == CAPP_MIX_SHORT) return CAPP_OK;
    if (!m->keys || m->keys > CAPP_MOST_KEYS || !m->values || m->values > CAPP_MOST_KEYS)
        return capp_fail(err, CAPP_EUNSUPPORTED, "%s: recurrent states are %u x %u numbers; capp supports 1 to %d each",
                         path, m->keys, m->values, CAPP_MOST_KEYS);
    if (!m->groups || m->groups > m->heads || m->heads % m->groups || m->heads > CAPP_MOST_HEADS)
        return capp_fail(err, CAPP_EFORMAT,
                         "%s: the number of recurrent heads, %u, is not a multiple of the number of their groups, %u; "
                         "download or convert the model again",
                         path, m->heads, m->groups);
    return CAPP_OK;
}

/* ---- GGUF -----------------------------------------------------------------------------------------------------------
 */

static capp_status key_u32(const capp_source *s, const capp_arch *arch, const char *key, uint32_t *out,
                           capp_error *err) {
    char name[MOST_NAME];
    snprintf(name, sizeof name, "%s.%s", arch->gguf, key);
    if (capp_gguf_u32(s->gguf, name, out)) return CAPP_OK;
    return capp_fail(err, CAPP_EFORMAT, "%s: metadata key %s must be an integer; convert the model again",
                     capp_source_path(s), name);
}

capp_status capp_metadata_mix(capp_hparams *h, const capp_arch *arch, const capp_source *s, capp_error *err) {
    capp_mix *m = &h->mix;
    capp_status st;
    m->kind = arch->mixer;
    if (m->kind == CAPP_MIX_NONE) return CAPP_OK;
    if (m->kind == CAPP_MIX_SHORT) {
        if ((st = key_u32(s, arch, "shortconv.l_cache", &m->taps, err)) != CAPP_OK) return st;
        return check_sizes(h, capp_source_path(s), err);
    }
    return capp_fail(err, CAPP_EUNSUPPORTED, "%s", capp_source_path(s));
}

/* ---- Folders --------------------------------------------------------------------------------------------------------
 */

static capp_status read_types(const capp_fields *r, capp_hparams *h, const char *own) {
    for (uint32_t i = 0; i < h->layers; i++) {
        capp_str type = {"", 0};
        (void)capp_source_str_at(r->s, "layer_types", i, &type);
        if (capp_str_is(type, own))
            h->kinds[i] |= CAPP_MIXES | CAPP_SILENT;
        else if (!capp_str_is(type, "full_attention"))
            return capp_fail(r->err, CAPP_EUNSUPPORTED, "%s: config.json: layer %u has type \"%.*s\"",
                             capp_source_path(r->s), i, (int)(type.size < 40 ? type.size : 40), type.data);
    }
    return CAPP_OK;
}

/* LFM2: the older files list the layers that have attention. */
static capp_status read_attending(const capp_fields *r, capp_hparams *h) {
    for (uint32_t i = 0; i < h->layers; i++) h->kinds[i] |= CAPP_MIXES | CAPP_SILENT;
    for (size_t n = capp_source_count(r->s, "full_attn_idxs"); n--;) {
        double layer;
        if (capp_source_number_at(r->s, "full_attn_idxs", n, &layer) != CAPP_FOUND || layer < 0 || layer >= h->layers)
            return capp_field_fail(r, CAPP_EFORMAT, "full_attn_idxs", "must be a list of layers");
        h->kinds[(uint32_t)layer] &= (unsigned char)~(CAPP_MIXES | CAPP_SILENT);
    }
    return CAPP_OK;
}

/* LFM2 adjusts the width of the feed-forward part that config.json names, in several steps. The tensor shows it. */
static void read_feed_width(const capp_fields *r, capp_hparams *h) {
    char name[MOST_NAME];
    const capp_tensor *t = capp_place_find(r->s, r->arch, (place){CAPP_PART_UP, 0, 0}, ".weight", name);
    if (t && t->dims[1] && t->dims[1] <= CAPP_MOST_WIDTH) h->feed = (uint32_t)t->dims[1];
}

capp_status capp_config_mix(const capp_fields *r, capp_hparams *h) {
    capp_mix *m = &h->mix;
    capp_status st;
    m->kind = r->arch->mixer;
    if (m->kind == CAPP_MIX_NONE) return CAPP_OK;
    if (m->kind == CAPP_MIX_SHORT) {
        if ((st = capp_field_count(r, "conv_L_cache", 3, 64, &m->taps)) != CAPP_OK) return st;
        st = capp_source_count(r->s, "layer_types") ? read_types(r, h, "conv") : read_attending(r, h);
        if (st != CAPP_OK) return st;
        read_feed_width(r, h);
        return check_sizes(h, capp_source_path(r->s), r->err);
    }
    return CAPP_OK;
}

/* ---- Tensors --------------------------------------------------------------------------------------------------------
 */

/* Reads the taps, which files store by channel. */
static capp_status bind_taps(binder *b, uint32_t i, capp_layer *layer) {
    const capp_hparams *h = &b->w->hparams;
    size_t channels = capp_mix_channels(h), taps = h->mix.taps;
    float *stored = capp_bind_new_floats(b, channels * taps), *out = capp_bind_new_floats(b, channels * taps);
    if (!stored || !out) return capp_bind_memory(b);
    capp_status st = capp_bind_read(b, (place){CAPP_PART_MIX_TAPS, i, 0}, ".weight", channels * taps, stored);
    for (size_t c = 0; c < channels && st == CAPP_OK; c++)
        for (size_t j = 0; j < taps; j++) out[j * channels + c] = stored[c * taps + j];
    layer->mix_taps = out;
    return st;
}

capp_status capp_bind_mix(binder *b, uint32_t i, capp_layer *layer) {
    const capp_hparams *h = &b->w->hparams;
    const capp_piece in = {{CAPP_PART_MIX_IN, i, 0}, capp_mix_inputs(h)}, out = {{CAPP_PART_MIX_OUT, i, 0}, h->width};
    capp_status st;
    if ((st = capp_bind_matrix(b, &in, 1, 1, h->width, false, &layer->mix_in)) != CAPP_OK) return st;
    if ((st = capp_bind_matrix(b, &out, 1, 1, capp_mix_outputs(h), false, &layer->mix_out)) != CAPP_OK) return st;
    return bind_taps(b, i, layer);
}
