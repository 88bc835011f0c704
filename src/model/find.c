/* Tensors by what they are for: the names that either format has for them. */
#include <stdio.h>
#include <string.h>

#include "model/binder.h"

/* Template, up to its end or '|', with the layer and the index for its first and second "%u", then suffix. */
static void expand(const char *template, const place *p, const char *suffix, char *out) {
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

const char *capp_template(const binder *b, capp_part part, char *buffer) {
    static const char *const names[CAPP_PARTS] = {
#define X(part, name) [CAPP_PART_##part] = name,
        CAPP_MODEL_PART_MAP(X) CAPP_LAYER_PART_MAP(X)
#undef X
    };
    const capp_arch *arch = b->w->arch;
    if (!b->s->gguf) return arch->names[part];
    if (arch->gguf_names[part]) return arch->gguf_names[part];
    snprintf(buffer, MOST_NAME, "%s%s", part < CAPP_FIRST_LAYER_PART ? "" : "blk.%u.", names[part]);
    return buffer;
}

static const capp_tensor *find_alternative(const binder *b, const char *template, const place *p, const char *suffix,
                                           char *name) {
    const char *prefix = b->w->arch->prefix;
    expand(template, p, suffix, name);
    const capp_tensor *t = capp_source_find_tensor(b->s, name);
    if (!t && !b->s->gguf && prefix && !strncmp(name, prefix, strlen(prefix)))
        t = capp_source_find_tensor(b->s, name + strlen(prefix));
    return t;
}

const capp_tensor *capp_find(binder *b, place p, const char *suffix, char *name) {
    char buffer[MOST_NAME];
    const char *template = capp_template(b, p.part, buffer);
    const capp_tensor *t = NULL;
    snprintf(name, MOST_NAME, "(none)");
    if (!template) return NULL;
    for (const char *at = template; at && !t; at = strchr(at, '|') ? strchr(at, '|') + 1 : NULL)
        t = find_alternative(b, at, &p, suffix, name);
    if (!t) {
        expand(template, &p, suffix, name);
        return NULL;
    }
    bool *bound = &b->bound[t - capp_source_tensor_at(b->s, 0)];
    if (!*bound) b->w->parameters += t->elements;
    *bound = true;
    return t;
}
