/* Prefixes: what the prompts of a call begin with, as tokens. Their keys and values are the session's affair, which
 * keeps what is hot with or without a handle. */
#include "prompt/prompt.h"

/* Ids of parent, then of text. */
static capp_status fill(capp_prefix *prefix, const capp_model *model, const capp_prefix *parent, capp_str text,
                        unsigned flags, capp_error *err) {
    bool space;
    capp_status st;
    if (!parent) return capp_encode_text(model, text, false, flags | CAPP_TOKENIZE_BOS, "prefix", &prefix->ids, err);
    if ((st = capp_encode_rule(model, NULL, &space, err)) != CAPP_OK) return st;
    if ((st = capp_encode_prefix(parent, &prefix->ids, err)) != CAPP_OK) return st;
    if (text.size && text.data[0] == ' ') space = false;
    return capp_encode_text(model, text, space, flags, "prefix", &prefix->ids, err);
}

capp_status capp_prefix_open(capp_prefix **out, const capp_model *model, const capp_prefix *parent, capp_str text,
                             unsigned flags, capp_error *err) {
    *out = NULL;
    capp_prefix *prefix = capp_new0(1, sizeof *prefix);
    if (!prefix) return capp_fail_memory(err, "the prefix");
    capp_status st = fill(prefix, model, parent, text, flags & CAPP_TOKENIZE_SPECIAL, err);
    if (st == CAPP_OK && prefix->ids.n >= model->context && model->context)
        st = capp_fail(err, CAPP_ETOOLONG, "%zu tokens of prefix, but the context is %u; shorten it", prefix->ids.n,
                       model->context);
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

const capp_prefix *capp_row_prefix(const capp_run_options *options, size_t row) {
    return options->n_prefixes ? options->prefixes[row % options->n_prefixes] : NULL;
}
