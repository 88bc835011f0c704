/* Names of tensors by their purpose, and the orders in which files store their rows. */
#include <stdio.h>
#include <string.h>

#include "model/binder.h"

void capp_place_expand(const char *template, const place *p, const char *suffix, char *out) {
    size_t n = 0;
    const uint32_t numbers[] = {p->layer, p->index};
    for (size_t used = 0; *template && *template != '|' && n < MOST_NAME - 16; template ++) {
        if (template[0] != '%') {
            out[n++] = *template;
            continue;
        }
        n += (size_t)snprintf(out + n, 12, "%u", numbers[used ? 1 : 0]);
        used++;
        template ++;
    }
    snprintf(out + n, MOST_NAME - n, "%s", suffix);
}

const char *capp_place_template(const capp_arch *arch, bool gguf, capp_part part, char *buffer) {
    static const char *const names[CAPP_PARTS] = {
#define X(part, name) [CAPP_PART_##part] = name,
        CAPP_MODEL_PART_MAP(X) CAPP_LAYER_PART_MAP(X)
#undef X
    };
    if (!gguf) return arch->names[part];
    if (arch->gguf_names[part]) return arch->gguf_names[part];
    snprintf(buffer, MOST_NAME, "%s%s", part < CAPP_FIRST_LAYER_PART ? "" : "blk.%u.", names[part]);
    return buffer;
}

const char *capp_place_next(const char *template) {
    const char *bar = strchr(template, '|');
    return bar ? bar + 1 : NULL;
}

/* The first number in a name counts as the layer, the second one as the index. */
static place numbers_in(capp_str name) {
    uint32_t numbers[2] = {0};
    size_t n = 0;
    for (size_t i = 0; i < name.size && n < 2; i++) {
        bool is_digit = name.data[i] >= '0' && name.data[i] <= '9';
        if (is_digit && numbers[n] < UINT32_MAX / 16) numbers[n] = 10 * numbers[n] + (uint32_t)(name.data[i] - '0');
        if (is_digit && (i + 1 == name.size || name.data[i + 1] < '0' || name.data[i + 1] > '9')) n++;
    }
    return (place){.layer = numbers[0], .index = numbers[1]};
}

/* Takes a known name if it is nearer than the one before. */
static bool take_nearer(capp_str name, const char *known, size_t *least, char *nearest) {
    size_t distance = capp_name_distance(name, known);
    if (distance >= *least) return false;
    *least = distance;
    snprintf(nearest, MOST_NAME, "%s", known);
    return true;
}

place capp_place_nearest(const capp_source *s, const capp_arch *arch, capp_str name, char *nearest) {
    static const char *const ends[] = {".weight", ".bias", ""};
    place p = numbers_in(name);
    const unsigned where = capp_spellings(s);
    size_t least = SIZE_MAX;
    *nearest = 0;
    for (size_t i = 0; i < (size_t)CAPP_PARTS * 3; i++) {
        char buffer[MOST_NAME], own[MOST_NAME], known[MOST_NAME];
        const capp_part part = (capp_part)(i / 3);
        const char *template = capp_place_template(arch, s->gguf, part, buffer);
        for (; template; template = capp_place_next(template)) {
            capp_place_expand(template, &p, ends[i % 3], own);
            if (s->gguf && take_nearer(name, own, &least, nearest)) p.part = part;
            for (size_t at = 0; !s->gguf && capp_next_spelling(arch, own, where, &at, known);)
                if (take_nearer(name, known, &least, nearest)) p.part = part;
        }
    }
    return p;
}

static const capp_tensor *find_alternative(const capp_source *s, const capp_arch *arch, const char *template,
                                           const place *p, const char *suffix, char *name) {
    char own[MOST_NAME];
    const capp_tensor *t = NULL;
    capp_place_expand(template, p, suffix, s->gguf ? name : own);
    if (s->gguf) return capp_source_find_tensor(s, name);
    unsigned where = capp_spellings(s);
    for (size_t at = 0; !t && capp_next_spelling(arch, own, where, &at, name);) t = capp_source_find_tensor(s, name);
    return t;
}

const capp_tensor *capp_place_find(const capp_source *s, const capp_arch *arch, place p, const char *suffix,
                                   char *name) {
    char buffer[MOST_NAME];
    const char *template = capp_place_template(arch, s->gguf, p.part, buffer);
    const capp_tensor *t = NULL;
    snprintf(name, MOST_NAME, "(none)");
    if (!template) return NULL;
    for (const char *at = template; at && !t; at = capp_place_next(at))
        t = find_alternative(s, arch, at, &p, suffix, name);
    if (!t) capp_place_expand(template, &p, suffix, name);
    return t;
}

const capp_tensor *capp_find(binder *b, place p, const char *suffix, char *name) {
    const capp_tensor *t = capp_place_find(b->s, b->w->arch, p, suffix, name);
    if (!t) return NULL;
    bool *bound = &b->bound[t - capp_source_tensor_at(b->s, 0)];
    if (!*bound) b->w->parameters += t->elements;
    *bound = true;
    return t;
}

/* q, k, v by key-value head: its q heads, its k, its v. */
static uint64_t grouped_row(const void *user, uint64_t i) {
    const capp_hparams *h = user;
    uint64_t d = h->head_dim, group = h->heads / h->kv_heads, head = i / d, at = i % d;
    if (head < h->heads) return (head / group * (group + 2) + head % group) * d + at;
    head -= h->heads;
    uint64_t which = head / h->kv_heads;
    return (head % h->kv_heads * (group + 2) + group + which) * d + at;
}

/* q and the gate of attention's output, by head. */
static uint64_t gated_row(const void *user, uint64_t i) {
    const capp_hparams *h = user;
    uint64_t d = h->head_dim, q = h->heads * d, gate = i >= q;
    i -= gate * q;
    return (i / d * 2 + gate) * d + i % d;
}

/* q, k, v and gate of DeltaNet, by head of q: its q, its k, its v heads, their gates. */
static uint64_t delta_row(const void *user, uint64_t i) {
    const capp_mix *m = &((const capp_hparams *)user)->mix;
    uint64_t keys = m->keys, all = keys * m->groups, values = (uint64_t)m->heads / m->groups * m->values;
    uint64_t span = 2 * (keys + values), which = i / all;
    if (which < 2) return i % all / keys * span + which * keys + i % keys;
    i -= 2 * all;
    which = i / (values * m->groups);
    return i / values % m->groups * span + 2 * keys + which * values + i % values;
}

/* beta and alpha of DeltaNet, by head of q. */
static uint64_t rates_row(const void *user, uint64_t i) {
    const capp_mix *m = &((const capp_hparams *)user)->mix;
    uint64_t n = m->heads / m->groups, head = i % m->heads;
    return (head / n * 2 + i / m->heads) * n + head % n;
}

/* x and gate of PLaMo 2, by head: its gate, its x. */
static uint64_t plamo_row(const void *user, uint64_t i) {
    const capp_mix *m = &((const capp_hparams *)user)->mix;
    uint64_t values = m->values, outputs = values * m->heads, gate = i >= outputs;
    i -= gate * outputs;
    return (i / values * 2 + !gate) * values + i % values;
}

/* The latent step, b and c of PLaMo 2: b, c, the latent step. */
static uint64_t plamo_select_row(const void *user, uint64_t i) {
    const capp_mix *m = &((const capp_hparams *)user)->mix;
    return i < m->rank ? i + 2 * (uint64_t)m->keys : i - m->rank;
}

capp_order_fn capp_order_of(const capp_arch *arch, const capp_hparams *h, bool gguf, capp_part part) {
    if (part == CAPP_PART_QKV && !gguf && arch->grouped_qkv) return grouped_row;
    if (part == CAPP_PART_Q && h->attention_gate && !capp_gate_apart(arch)) return gated_row;
    if (part == CAPP_PART_MIX_IN && h->mix.kind == CAPP_MIX_DELTA) return delta_row;
    if (part == CAPP_PART_MIX_IN && h->mix.kind == CAPP_MIX_PLAMO) return plamo_row;
    if (part == CAPP_PART_MIX_SELECT && h->mix.kind == CAPP_MIX_PLAMO) return plamo_select_row;
    return part == CAPP_PART_MIX_RATES ? rates_row : NULL;
}

uint64_t capp_row_in_turn(const void *user, uint64_t i) {
    uint64_t feed = *(const uint32_t *)user;
    return i < feed ? 2 * i : 2 * (i - feed) + 1;
}
