/* The parts of layers that have a state from token to token: their sizes, from both kinds of file. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model/binder.h"
#include "model/fields.h"

/* ---- Sizes --------------------------------------------------------------------------------------------------------
 */

static bool mixes(const capp_hparams *h, uint32_t layer) {
    return h->kinds[layer] & CAPP_MIXES;
}

void capp_mix_only(capp_hparams *h, bool bare) {
    h->heads = h->kv_heads = h->head_dim = 1;
    for (uint32_t i = 0; i < h->layers; i++) h->kinds[i] |= CAPP_MIXES | (bare ? CAPP_BARE : 0);
}

/* Every layer has a capp_mix and attention. */
static void mix_beside(capp_hparams *h) {
    for (uint32_t i = 0; i < h->layers; i++) h->kinds[i] |= CAPP_MIXES | CAPP_BESIDE;
}

size_t capp_count_states(const capp_hparams *h) {
    size_t n = 0;
    for (uint32_t i = 0; i < h->layers; i++) n += mixes(h, i);
    return n;
}

size_t capp_attention_rows(const capp_hparams *h, uint32_t layer) {
    const capp_shape *shape = &h->shapes[layer];
    size_t q = (size_t)shape->heads * shape->key, kv = (size_t)shape->kv_heads * (shape->key + shape->value);
    return (h->attention_gate ? 2 * q : q) + kv;
}

size_t capp_mix_outputs(const capp_hparams *h) {
    const capp_mix *m = &h->mix;
    if (!m->kind) return 0;
    return m->kind == CAPP_MIX_SHORT ? h->width : (size_t)m->heads * m->values;
}

size_t capp_mix_channels(const capp_hparams *h) {
    const capp_mix *m = &h->mix;
    if (m->kind == CAPP_MIX_WKV) return (m->feed_shift ? 2 : 1) * (size_t)h->width;
    return capp_mix_outputs(h) + (capp_mix_selects(m) ? 0 : 2 * (size_t)m->groups * m->keys);
}

size_t capp_mix_floats(const capp_hparams *h) {
    const capp_mix *m = &h->mix;
    return m->kind ? (m->taps - 1) * capp_mix_channels(h) + (size_t)m->heads * m->keys * m->values : 0;
}

size_t capp_mix_inputs(const capp_hparams *h) {
    const capp_mix *m = &h->mix;
    if (!m->kind) return 0;
    if (m->kind == CAPP_MIX_SHORT) return 3 * (size_t)h->width;
    if (capp_mix_selects(m)) {
        size_t steps = m->kind == CAPP_MIX_PLAMO ? 2 * (size_t)m->heads : m->values;
        return capp_mix_rows_in(h) + m->rank + 2 * (size_t)m->keys + steps;
    }
    if (m->kind == CAPP_MIX_KIMI) return capp_mix_rows_in(h) + 2 * capp_mix_outputs(h);
    if (m->kind == CAPP_MIX_WKV) return 8 * capp_mix_outputs(h) + m->rank;
    return capp_mix_channels(h) + capp_mix_outputs(h) + 2 * (size_t)m->heads;
}

size_t capp_mix_rows_in(const capp_hparams *h) {
    const capp_mix *m = &h->mix;
    if (capp_mix_selects(m)) return 2 * capp_mix_outputs(h);
    if (m->kind == CAPP_MIX_WKV) return capp_mix_outputs(h);
    if (m->kind == CAPP_MIX_KIMI) return capp_mix_channels(h) + 2 * (size_t)m->values + m->heads;
    return capp_mix_inputs(h) - (m->kind == CAPP_MIX_SCAN ? m->heads : 0); /* the decays follow the steps */
}

/* Checks sizes that two formats read in their own ways. */
static capp_status check_sizes(const capp_hparams *h, const char *path, capp_error *err) {
    const capp_mix *m = &h->mix;
    if (m->taps < 1 || m->taps > 64)
        return capp_fail(err, CAPP_EUNSUPPORTED,
                         "%s: convolutions have %u inputs; capp supports 1 to 64; download or convert the model again",
                         path, m->taps);
    if (m->kind == CAPP_MIX_SHORT) return CAPP_OK;
    uint32_t most = m->kind == CAPP_MIX_SELECT ? CAPP_MOST_WIDTH : CAPP_MOST_KEYS;
    if (!m->keys || m->keys > CAPP_MOST_KEYS || !m->values || m->values > most)
        return capp_fail(err, CAPP_EUNSUPPORTED,
                         "%s: recurrent states are %u x %u numbers; capp supports 1 to %d keys and 1 to %u values",
                         path, m->keys, m->values, CAPP_MOST_KEYS, most);
    if ((uint64_t)m->heads * m->values > CAPP_MOST_WIDTH || (uint64_t)m->groups * m->keys > CAPP_MOST_WIDTH)
        return capp_fail(err, CAPP_EUNSUPPORTED, "%s: a token has %llu recurrent values; capp supports at most %d",
                         path, (unsigned long long)m->heads * m->values, CAPP_MOST_WIDTH);
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

/* Finds the layers without attention: a list names them, or all are except every n-th. */
static capp_status key_layers(const capp_source *s, const capp_arch *arch, capp_hparams *h, capp_error *err) {
    char name[MOST_NAME];
    uint32_t interval = 4;
    snprintf(name, sizeof name, "%s.full_attention_interval", arch->gguf);
    if (capp_gguf_find(s->gguf, name) && (!capp_gguf_u32(s->gguf, name, &interval) || !interval))
        return capp_fail(err, CAPP_EFORMAT, "%s: metadata key %s must be a positive integer; convert the model again",
                         capp_source_path(s), name);
    snprintf(name, sizeof name, "%s.attention.recurrent_layers", arch->gguf);
    const capp_gguf_value *list = capp_gguf_find(s->gguf, name);
    if (list && (list->kind != CAPP_GGUF_ARRAY || list->element != CAPP_GGUF_BOOL || list->count < h->layers))
        return capp_fail(err, CAPP_EFORMAT,
                         "%s: metadata key %s must be a list of %u booleans; convert the model again",
                         capp_source_path(s), name, h->layers);
    for (uint32_t i = 0; i < h->layers; i++)
        if (list ? ((const unsigned char *)list->bytes)[i] != 0 : (i + 1) % interval != 0) h->kinds[i] |= CAPP_MIXES;
    return CAPP_OK;
}

/* Files of Granite say in a key for the scaling of rotations whether there are any. */
static void key_positions(const capp_source *s, const capp_arch *arch, capp_hparams *h) {
    char name[MOST_NAME];
    bool rotates = true;
    snprintf(name, sizeof name, "%s.rope.scaling.finetuned", arch->gguf);
    (void)capp_source_bool(s, name, &rotates);
    if (!rotates) h->rope = CAPP_ROPE_NONE;
}

/* Mamba-1. In Jamba, some layers have experts: those with a router. */
static capp_status metadata_select(capp_hparams *h, const capp_arch *arch, const capp_source *s, uint32_t inner,
                                   capp_error *err) {
    capp_mix *m = &h->mix;
    char name[MOST_NAME];
    capp_status st = key_u32(s, arch, "ssm.time_step_rank", &m->rank, err);
    if (st != CAPP_OK) return st;
    m->values = inner;
    m->heads = m->groups = 1;
    snprintf(name, sizeof name, "%s.ssm.dt_b_c_rms", arch->gguf);
    (void)capp_source_bool(s, name, &m->bare_norms);
    for (uint32_t i = 0; i < h->layers && arch->experts; i++) {
        snprintf(name, sizeof name, "blk.%u.ffn_gate_inp.weight", i);
        if (!capp_source_find_tensor(s, name)) h->kinds[i] |= CAPP_DENSE;
    }
    return check_sizes(h, capp_source_path(s), err);
}

/* Sets what WKV's sizes follow from. */
static capp_status metadata_wkv(capp_hparams *h, const capp_arch *arch, const capp_source *s, capp_error *err) {
    static const char *const keys[CAPP_WKV_LOW_RANKS] = {"attention.decay_lora_rank", "attention.iclr_lora_rank",
                                                         "attention.value_residual_mix_lora_rank",
                                                         "attention.gate_lora_rank"};
    capp_mix *m = &h->mix;
    char name[MOST_NAME];
    uint32_t shifts = arch->feed_shift ? 2 : 1;
    capp_status st = key_u32(s, arch, "wkv.head_size", &m->keys, err);
    if (st != CAPP_OK) return st;
    for (size_t i = 0; i < CAPP_WKV_LOW_RANKS; i++) {
        snprintf(name, sizeof name, "%s.%s", arch->gguf, keys[i]);
        bool none = i == CAPP_WKV_GATE && !capp_gguf_find(s->gguf, name);
        if (!none && (st = key_u32(s, arch, keys[i], &m->ranks[i], err)) != CAPP_OK) return st;
        if (m->ranks[i] > CAPP_MOST_WIDTH || (!m->ranks[i] && i != CAPP_WKV_GATE))
            return capp_fail(err, CAPP_EFORMAT, "%s: metadata key %s is %u; expected 1 to %d", capp_source_path(s),
                             name, m->ranks[i], CAPP_MOST_WIDTH);
        if (m->ranks[i] > m->rank) m->rank = m->ranks[i];
    }
    snprintf(name, sizeof name, "%s.token_shift_count", arch->gguf);
    if (capp_gguf_u32(s->gguf, name, &shifts) && shifts != (arch->feed_shift ? 2 : 1))
        return capp_fail(err, CAPP_EUNSUPPORTED, "%s: metadata key %s is %u, which capp does not support",
                         capp_source_path(s), name, shifts);
    if (!m->keys || h->width % m->keys)
        return capp_fail(err, CAPP_EFORMAT,
                         "%s: the width, %u, is not a multiple of the size of recurrent heads, %u; convert the model "
                         "again",
                         capp_source_path(s), h->width, m->keys);
    m->values = m->keys;
    m->heads = m->groups = h->width / m->keys;
    m->taps = 2;
    m->feed_shift = arch->feed_shift;
    return check_sizes(h, capp_source_path(s), err);
}

/* PLaMo 2: files say that there are 0 groups. They do not have the length of the latent step. */
static capp_status metadata_plamo(capp_hparams *h, const capp_source *s, capp_error *err) {
    capp_mix *m = &h->mix;
    if (m->groups > 1)
        return capp_fail(err, CAPP_EUNSUPPORTED, "%s: Mamba has %u groups of heads; capp supports 1 in PLaMo 2",
                         capp_source_path(s), m->groups);
    m->groups = 1;
    m->rank = h->width / 16 > 64 ? h->width / 16 : 64;
    return check_sizes(h, capp_source_path(s), err);
}

capp_status capp_metadata_mix(capp_hparams *h, const capp_arch *arch, const capp_source *s, capp_error *err) {
    capp_mix *m = &h->mix;
    capp_status st;
    uint32_t inner;
    m->kind = arch->mixer;
    if (m->kind == CAPP_MIX_NONE) return CAPP_OK;
    if (m->kind == CAPP_MIX_SHORT) {
        if ((st = key_u32(s, arch, "shortconv.l_cache", &m->taps, err)) != CAPP_OK) return st;
        return check_sizes(h, capp_source_path(s), err);
    }
    if (m->kind == CAPP_MIX_WKV) return metadata_wkv(h, arch, s, err);
    if ((st = key_u32(s, arch, "ssm.conv_kernel", &m->taps, err)) != CAPP_OK) return st;
    if (m->kind == CAPP_MIX_KIMI) {
        if ((st = key_u32(s, arch, "kda.head_dim", &m->keys, err)) != CAPP_OK) return st;
        m->values = m->keys;
        m->heads = m->groups = h->heads;
        return check_sizes(h, capp_source_path(s), err);
    }
    if ((st = key_u32(s, arch, "ssm.state_size", &m->keys, err)) != CAPP_OK) return st;
    if ((st = key_u32(s, arch, "ssm.inner_size", &inner, err)) != CAPP_OK) return st;
    if (m->kind == CAPP_MIX_SELECT) return metadata_select(h, arch, s, inner, err);
    if ((st = key_u32(s, arch, "ssm.group_count", &m->groups, err)) != CAPP_OK) return st;
    if ((st = key_u32(s, arch, "ssm.time_step_rank", &m->heads, err)) != CAPP_OK) return st;
    m->values = m->heads && inner % m->heads == 0 ? inner / m->heads : 0;
    if (m->kind == CAPP_MIX_PLAMO) return metadata_plamo(h, s, err);
    m->in_turn = arch->mixer_in_turn;
    if (m->kind == CAPP_MIX_DELTA && (st = key_layers(s, arch, h, err)) != CAPP_OK) return st;
    if (arch->mixes_beside)
        mix_beside(h);
    else if (m->kind == CAPP_MIX_SCAN)
        key_positions(s, arch, h);
    return check_sizes(h, capp_source_path(s), err);
}

/* ---- Folders --------------------------------------------------------------------------------------------------------
 */

/* own, older: what layers with a capp_mix are called. */
static capp_status read_types(const capp_fields *r, capp_hparams *h, const char *own, const char *older) {
    const char *key = capp_source_count(r->s, "layer_types") ? "layer_types" : "layers_block_type";
    for (uint32_t i = 0; i < h->layers; i++) {
        capp_str type = {"", 0};
        (void)capp_source_str_at(r->s, key, i, &type);
        if (capp_str_is(type, own) || capp_str_is(type, older))
            h->kinds[i] |= CAPP_MIXES;
        else if (!capp_str_is(type, "full_attention") && !capp_str_is(type, "attention"))
            return capp_fail(r->err, CAPP_EUNSUPPORTED, "%s: config.json: layer %u has type \"%.*s\"",
                             capp_source_path(r->s), i, (int)(type.size < 40 ? type.size : 40), type.data);
    }
    return CAPP_OK;
}

/* LFM2: the older files list the layers that have attention. */
static capp_status read_attending(const capp_fields *r, capp_hparams *h) {
    for (uint32_t i = 0; i < h->layers; i++) h->kinds[i] |= CAPP_MIXES;
    for (size_t n = capp_source_count(r->s, "full_attn_idxs"); n--;) {
        double layer;
        if (capp_source_number_at(r->s, "full_attn_idxs", n, &layer) != CAPP_FOUND || layer < 0 || layer >= h->layers)
            return capp_field_fail(r, CAPP_EFORMAT, "full_attn_idxs", "must be a list of layers");
        h->kinds[(uint32_t)layer] &= (unsigned char)~CAPP_MIXES;
    }
    return CAPP_OK;
}

/* LFM2 adjusts the width of the feed-forward part that config.json names, in several steps. The tensor shows it. */
static void read_feed_width(const capp_fields *r, capp_hparams *h) {
    char name[MOST_NAME];
    const capp_tensor *t = capp_place_find(r->s, r->arch, (place){CAPP_PART_UP, 0, 0}, ".weight", name);
    if (h->experts) return;
    if (t && t->dims[1] && t->dims[1] <= CAPP_MOST_WIDTH) h->feed = (uint32_t)t->dims[1];
}

static capp_status read_delta(const capp_fields *r, capp_hparams *h) {
    capp_mix *m = &h->mix;
    uint32_t interval;
    capp_status st;
    if ((st = capp_field_count(r, "linear_conv_kernel_dim", 4, 64, &m->taps)) != CAPP_OK) return st;
    if ((st = capp_field_count(r, "linear_key_head_dim", 128, CAPP_MOST_KEYS, &m->keys)) != CAPP_OK) return st;
    if ((st = capp_field_count(r, "linear_value_head_dim", 128, CAPP_MOST_KEYS, &m->values)) != CAPP_OK) return st;
    if ((st = capp_field_count(r, "linear_num_key_heads", 16, CAPP_MOST_HEADS, &m->groups)) != CAPP_OK) return st;
    if ((st = capp_field_count(r, "linear_num_value_heads", 32, CAPP_MOST_HEADS, &m->heads)) != CAPP_OK) return st;
    if (capp_source_count(r->s, "layer_types")) return read_types(r, h, "linear_attention", "linear_attention");
    if ((st = capp_field_count(r, "full_attention_interval", 4, CAPP_MOST_LAYERS, &interval)) != CAPP_OK) return st;
    for (uint32_t i = 0; i < h->layers; i++)
        if ((i + 1) % interval) h->kinds[i] |= CAPP_MIXES;
    return CAPP_OK;
}

/* The step of Mamba-2 must have no limits. */
static capp_status check_limits(const capp_fields *r) {
    double low = 0, high = INFINITY;
    (void)capp_source_number_at(r->s, "time_step_limit", 0, &low);
    (void)capp_source_number_at(r->s, "time_step_limit", 1, &high);
    if (low <= 0 && high > 1e30) return CAPP_OK;
    return capp_field_fail(r, CAPP_EUNSUPPORTED, "time_step_limit", "has limits, which capp does not support");
}

bool capp_mix_has_experts(const capp_fields *r) {
    capp_str word = {"", 0};
    size_t n = capp_source_count(r->s, "layers_block_type");
    for (size_t i = 0; i < n; i++)
        if (capp_source_str_at(r->s, "layers_block_type", i, &word) == CAPP_FOUND && capp_str_is(word, "moe"))
            return true;
    if (n || capp_source_str(r->s, "hybrid_override_pattern", &word) != CAPP_FOUND) return false;
    return word.size && memchr(word.data, 'E', word.size);
}

/* Experts may read and write latent vectors, which are shorter than the stream. */
static capp_status read_expert_latent(const capp_fields *r, capp_hparams *h) {
    double size;
    if (!h->experts || capp_source_number(r->s, "moe_latent_size", &size) != CAPP_FOUND) return CAPP_OK;
    return capp_field_count(r, "moe_latent_size", 0, h->width, &h->expert_latent);
}

/* Nemotron-H: each layer has one part, which a word of a list or, in older files, a letter of a text names. */
static capp_status read_parts(const capp_fields *r, capp_hparams *h) {
    static const struct {
        char letter;
        const char *word, *older;
        unsigned char kinds;
    } parts[] = {{'M', "linear_attention", "mamba", CAPP_MIXES | CAPP_BARE | CAPP_DENSE},
                 {'*', "full_attention", "attention", CAPP_BARE | CAPP_DENSE},
                 {'-', "mlp", "mlp", CAPP_FEEDS | CAPP_DENSE},
                 {'E', "moe", "moe", CAPP_FEEDS}};
    enum { N = sizeof parts / sizeof *parts };
    capp_str pattern = {"", 0}, word;
    bool listed = capp_source_count(r->s, "layers_block_type") > 0;
    (void)capp_source_str(r->s, "hybrid_override_pattern", &pattern);
    for (uint32_t i = 0; i < h->layers; i++) {
        size_t part = 0;
        word = (capp_str){i < pattern.size ? pattern.data + i : "", i < pattern.size};
        if (listed && capp_source_str_at(r->s, "layers_block_type", i, &word) != CAPP_FOUND) word.size = 0;
        while (part < N && !(listed ? capp_str_is(word, parts[part].word) || capp_str_is(word, parts[part].older)
                                    : word.size && *word.data == parts[part].letter))
            part++;
        if (part == N)
            return capp_fail(r->err, CAPP_EUNSUPPORTED, "%s: config.json: layer %u has type \"%.*s\"",
                             capp_source_path(r->s), i, (int)(word.size < 40 ? word.size : 40), word.data);
        h->kinds[i] |= parts[part].kinds;
    }
    return CAPP_OK;
}

/* The factors of Falcon-H1. */
static capp_status read_multipliers(const capp_fields *r, capp_hparams *h) {
    static const struct {
        const char *key;
        size_t i;
        capp_part part;
    } parts[] = {{"attention_in_multiplier", 0, CAPP_PART_Q},
                 {"attention_out_multiplier", 0, CAPP_PART_OUT},
                 {"mlp_multipliers", 0, CAPP_PART_GATE},
                 {"mlp_multipliers", 1, CAPP_PART_DOWN},
                 {"ssm_out_multiplier", 0, CAPP_PART_MIX_OUT},
                 {"ssm_in_multiplier", 0, CAPP_PART_MIX_IN},
                 {"key_multiplier", 0, CAPP_PART_K}};
    float *f = h->factors;
    double number;
    capp_status st;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        f[parts[i].part] = 1;
        if (capp_source_count(r->s, parts[i].key)) {
            if (capp_source_number_at(r->s, parts[i].key, parts[i].i, &number) != CAPP_FOUND)
                return capp_field_fail(r, CAPP_EFORMAT, parts[i].key, "must be a list of two numbers");
            f[parts[i].part] = (float)number;
        } else if ((st = capp_field_single(r, parts[i].key, 1, &f[parts[i].part])) != CAPP_OK)
            return st;
    }
    f[CAPP_PART_V] = f[CAPP_PART_Q];
    f[CAPP_PART_K] *= f[CAPP_PART_Q];
    for (size_t i = 0; i < 5; i++) {
        number = 1;
        if (capp_source_count(r->s, "ssm_multipliers") &&
            capp_source_number_at(r->s, "ssm_multipliers", i, &number) != CAPP_FOUND)
            return capp_field_fail(r, CAPP_EFORMAT, "ssm_multipliers", "must be a list of five numbers");
        h->mix_factors[i] = (float)number * f[CAPP_PART_MIX_IN];
    }
    if ((st = capp_field_single(r, "embedding_multiplier", 1, &h->embedding_scale)) != CAPP_OK) return st;
    return capp_field_single(r, "lm_head_multiplier", 1, &h->logit_scale);
}

/* Falcon-H1: the size of the inner vector and whether it is normalized; every layer has attention, too. */
static capp_status read_beside(const capp_fields *r, capp_hparams *h, uint32_t inner) {
    bool normalized, first;
    capp_status st;
    if ((st = capp_field_count(r, "mamba_d_ssm", inner, CAPP_MOST_WIDTH, &inner)) != CAPP_OK) return st;
    if ((st = capp_field_truth(r, "mamba_rms_norm", false, &normalized)) != CAPP_OK) return st;
    if ((st = capp_field_truth(r, "mamba_norm_before_gate", true, &first)) != CAPP_OK) return st;
    h->mix.values = inner % h->mix.heads ? 0 : inner / h->mix.heads;
    h->mix.norm_first = normalized && first;
    mix_beside(h);
    return read_multipliers(r, h);
}

static capp_status read_scan(const capp_fields *r, capp_hparams *h) {
    capp_mix *m = &h->mix;
    capp_str positions = {"", 0};
    uint32_t expand;
    capp_status st;
    if ((st = capp_field_count(r, "mamba_d_conv|conv_kernel", 4, 64, &m->taps)) != CAPP_OK) return st;
    if ((st = capp_field_count(r, "mamba_d_state|ssm_state_size|state_size", 256, CAPP_MOST_KEYS, &m->keys)) != CAPP_OK)
        return st;
    if ((st = capp_field_count(r, "mamba_n_groups|n_groups", 1, CAPP_MOST_HEADS, &m->groups)) != CAPP_OK) return st;
    if ((st = capp_field_count(r, "mamba_n_heads|mamba_num_heads|num_heads", 128, CAPP_MOST_HEADS, &m->heads)))
        return st;
    if ((st = check_limits(r)) != CAPP_OK) return st;
    if (r->arch->part_alone) {
        const char *names = r->arch->mixes_only ? "head_dim" : "mamba_head_dim";
        if ((st = capp_field_count(r, names, 64, CAPP_MOST_KEYS, &m->values)) != CAPP_OK) return st;
        if (r->arch->mixes_only) return CAPP_OK;
        return (st = read_expert_latent(r, h)) == CAPP_OK ? read_parts(r, h) : st;
    }
    if ((st = capp_field_count(r, "mamba_expand", 2, 1024, &expand)) != CAPP_OK) return st;
    uint64_t inner = (uint64_t)expand * h->width;
    if (r->arch->mixes_beside) return read_beside(r, h, inner < CAPP_MOST_WIDTH ? (uint32_t)inner : CAPP_MOST_WIDTH);
    m->values = inner % m->heads ? 0 : (uint32_t)(inner / m->heads);
    (void)capp_source_str(r->s, "position_embedding_type", &positions);
    if (!capp_str_is(positions, "rope")) h->rope = CAPP_ROPE_NONE;
    if (!h->experts && (st = capp_field_count(r, "shared_intermediate_size", 0, CAPP_MOST_WIDTH, &h->feed)) != CAPP_OK)
        return st;
    return read_types(r, h, "linear_attention", "mamba");
}

/* Jamba: every so many layers one has attention, and one has experts. */
static capp_status read_periods(const capp_fields *r, capp_hparams *h) {
    static const char *const keys[] = {"attn_layer_period", "attn_layer_offset", "expert_layer_period",
                                       "expert_layer_offset"};
    uint32_t numbers[4];
    for (size_t i = 0; i < 4; i++) {
        double value;
        bool found;
        capp_status st = capp_field_number(r, keys[i], &value, &found);
        if (st != CAPP_OK) return st;
        if (!found || value != floor(value) || value < (i % 2 ? 0 : 1) || value >= CAPP_MOST_LAYERS)
            return capp_field_fail(r, CAPP_EFORMAT, keys[i], "must be a number of layers");
        numbers[i] = (uint32_t)value;
    }
    for (uint32_t i = 0; i < h->layers; i++) {
        if (i % numbers[0] != numbers[1]) h->kinds[i] |= CAPP_MIXES;
        if (i % numbers[2] != numbers[3] || h->experts == 1) h->kinds[i] |= CAPP_DENSE;
    }
    h->dense_feed = h->feed;
    return CAPP_OK;
}

static capp_status read_select(const capp_fields *r, capp_hparams *h) {
    capp_mix *m = &h->mix;
    static const char ranks[] = "mamba_dt_rank|time_step_rank";
    capp_str automatic = {"", 0};
    uint32_t expand;
    capp_status st;
    m->bare_norms = !strcmp(r->arch->name, "falcon_mamba");
    if (m->bare_norms && (st = capp_field_single(r, "mixer_rms_eps", 1e-6, &m->eps)) != CAPP_OK) return st;
    if ((st = capp_field_count(r, "mamba_d_conv|conv_kernel", 4, 64, &m->taps)) != CAPP_OK) return st;
    if ((st = capp_field_count(r, "mamba_d_state|state_size", 16, CAPP_MOST_KEYS, &m->keys)) != CAPP_OK) return st;
    if ((st = capp_field_count(r, "mamba_expand|expand", 2, 64, &expand)) != CAPP_OK) return st;
    (void)capp_source_str(r->s, r->arch->mixes_only ? "time_step_rank" : "mamba_dt_rank", &automatic);
    m->rank = (h->width + 15) / 16;
    if (!capp_str_is(automatic, "auto") && (st = capp_field_count(r, ranks, m->rank, CAPP_MOST_WIDTH, &m->rank)))
        return st;
    m->heads = m->groups = 1;
    m->values = expand * h->width;
    return r->arch->mixes_only ? CAPP_OK : read_periods(r, h);
}

/* Kimi Linear: older files list the layers that have attention, from 1 on, beside the sizes. */
static capp_status read_kimi(const capp_fields *r, capp_hparams *h) {
    static const char attending[] = "linear_attn_config.full_attn_layers";
    capp_mix *m = &h->mix;
    capp_status st;
    if ((st = capp_field_count(r, "linear_attn_config.short_conv_kernel_size|linear_conv_kernel_dim", 4, 64, &m->taps)))
        return st;
    if ((st = capp_field_count(r, "linear_attn_config.head_dim|linear_head_dim", 128, CAPP_MOST_KEYS, &m->keys)))
        return st;
    if ((st = capp_field_count(r, "linear_attn_config.num_heads|linear_num_heads", 32, CAPP_MOST_HEADS, &m->heads)))
        return st;
    m->values = m->keys, m->groups = m->heads;
    if (capp_source_count(r->s, "layer_types")) return read_types(r, h, "linear_attention", "linear_attention");
    for (uint32_t i = 0; i < h->layers; i++)
        if (!i || i % 4 || capp_source_count(r->s, attending)) h->kinds[i] |= CAPP_MIXES;
    for (size_t n = capp_source_count(r->s, attending); n--;) {
        double layer;
        if (capp_source_number_at(r->s, attending, n, &layer) != CAPP_FOUND || layer < 1 || layer > h->layers)
            return capp_field_fail(r, CAPP_EFORMAT, attending, "must be a list of layers");
        h->kinds[(uint32_t)layer - 1] &= (unsigned char)~CAPP_MIXES;
    }
    return CAPP_OK;
}

static capp_status read_short(const capp_fields *r, capp_hparams *h) {
    capp_status st = capp_field_count(r, "conv_L_cache", 3, 64, &h->mix.taps);
    if (st != CAPP_OK) return st;
    read_feed_width(r, h);
    return capp_source_count(r->s, "layer_types") ? read_types(r, h, "conv", "conv") : read_attending(r, h);
}

capp_status capp_config_mix(const capp_fields *r, capp_hparams *h) {
    capp_status st;
    h->mix.kind = r->arch->mixer;
    if (h->mix.kind == CAPP_MIX_NONE) return CAPP_OK;
    switch (h->mix.kind) {
    case CAPP_MIX_SHORT: st = read_short(r, h); break;
    case CAPP_MIX_DELTA: st = read_delta(r, h); break;
    case CAPP_MIX_SELECT: st = read_select(r, h); break;
    case CAPP_MIX_KIMI: st = read_kimi(r, h); break;
    default: st = read_scan(r, h); break;
    }
    return st == CAPP_OK ? check_sizes(h, capp_source_path(r->s), r->err) : st;
}
