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

static const capp_tensor *find_alternative(const capp_source *s, const capp_arch *arch, const char *template,
                                           const place *p, const char *suffix, char *name) {
    char own[MOST_NAME];
    const capp_tensor *t = NULL;
    capp_place_expand(template, p, suffix, s->gguf ? name : own);
    if (s->gguf) return capp_source_find_tensor(s, name);
    unsigned where = capp_is_multimodal(s) ? CAPP_INSIDE : CAPP_ALONE;
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

uint64_t capp_grouped_row(const void *user, uint64_t i) {
    const capp_hparams *h = user;
    uint64_t d = h->head_dim, group = h->heads / h->kv_heads, head = i / d, at = i % d;
    if (head < h->heads) return (head / group * (group + 2) + head % group) * d + at;
    head -= h->heads;
    uint64_t which = head / h->kv_heads;
    return (head % h->kv_heads * (group + 2) + group + which) * d + at;
}

uint64_t capp_row_in_turn(const void *user, uint64_t i) {
    uint64_t feed = *(const uint32_t *)user;
    return i < feed ? 2 * i : 2 * (i - feed) + 1;
}
