/* Prefixes: text before the prompts of a call, as tokens. A session keeps the keys and values of a beginning that is
 * used often, with or without a handle. */
#include "base/mem.h"
#include "prompt/prompt.h"

struct capp_prefix {
    capp_ids ids; /* of the whole path from BOS on */
};

/* Ids of parent, then of text. */
static capp_status encode_prefix(capp_prefix *prefix, const capp_model *model, const capp_prefix *parent, capp_str text,
                                 unsigned flags, capp_error *err) {
    bool space;
    capp_status st;
    if (!parent) return capp_encode_text(model, text, false, flags | CAPP_TOKENIZE_BOS, "prefix", &prefix->ids, err);
    if ((st = capp_needs_space(model, NULL, &space, err)) != CAPP_OK) return st;
    if ((st = capp_encode_prefix(parent, &prefix->ids, err)) != CAPP_OK) return st;
    if (text.size && text.data[0] == ' ') space = false;
    return capp_encode_text(model, text, space, flags, "prefix", &prefix->ids, err);
}

capp_status capp_prefix_open(capp_prefix **out, const capp_model *model, const capp_prefix *parent, capp_str text,
                             unsigned flags, capp_error *err) {
    uint32_t context = capp_model_context(model);
    *out = NULL;
    capp_prefix *prefix = capp_new0(1, sizeof *prefix);
    if (!prefix) return capp_fail_memory(err, "the prefix");
    capp_status st = encode_prefix(prefix, model, parent, text, flags & CAPP_TOKENIZE_SPECIAL, err);
    if (st == CAPP_OK && context && prefix->ids.n >= context)
        st = capp_fail(err, CAPP_ETOOLONG, "the prefix has %zu tokens, but the context is %u; shorten it",
                       prefix->ids.n, context);
    if (st != CAPP_OK) {
        capp_prefix_free(prefix);
        return st;
    }
    *out = prefix;
    return CAPP_OK;
}

void capp_prefix_free(capp_prefix *prefix) {
    if (!prefix) return;
    capp_ids_free(&prefix->ids);
    capp_free(prefix);
}

const int32_t *capp_prefix_ids(const capp_prefix *prefix, size_t *n) {
    *n = prefix->ids.n;
    return prefix->ids.data;
}

capp_status capp_encode_prefix(const capp_prefix *prefix, capp_ids *out, capp_error *err) {
    for (size_t i = 0; prefix && i < prefix->ids.n; i++)
        if (!capp_ids_push(out, prefix->ids.data[i])) return capp_fail_memory(err, "the prefix");
    return CAPP_OK;
}
