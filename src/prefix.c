/* Prefixes: what the prompts of a call begin with, as tokens. Their keys and values are the session's affair, which
 * keeps what is hot with or without a handle. */
#include <string.h>

#include "session.h"

capp_status capp_needs_space(const capp_model *model, bool *needs, capp_error *err) {
    capp_vocab_info info;
    capp_vocab_get_info(model->vocab, &info);
    *needs = info.completion_needs_space;
    if (info.completion_rule_known) return CAPP_OK;
    return capp_fail(err, CAPP_EUNSUPPORTED,
                     "%s: its tokenizer does not say whether a completion begins with a space: \"a b\" is neither "
                     "\"a\", \"b\" nor \"a\", \" b\"",
                     capp_gguf_path(model->file));
}

capp_status capp_encode_joined(const capp_model *model, capp_str text, bool space, unsigned flags, const char *what,
                               capp_ids *out, capp_error *err) {
    if (!text.size) return capp_fail(err, CAPP_EINVAL, "the %s is empty", what);
    char *joined = NULL;
    size_t before = out->n;
    if (space) {
        joined = capp_new(text.size + 1, 1);
        if (!joined) return capp_fail_memory(err, "the window");
        joined[0] = ' ';
        memcpy(joined + 1, text.data, text.size);
        text = (capp_str){joined, text.size + 1};
    }
    capp_status st = capp_vocab_encode(model->vocab, text, flags, out, err);
    capp_free(joined);
    if (st != CAPP_OK)
        capp_error_prefix(err, what);
    else if (out->n == before)
        st = capp_fail(err, CAPP_EINVAL, "the %s has no tokens", what);
    return st;
}

/* Ids of parent, then of text. */
static capp_status fill(capp_prefix *prefix, const capp_model *model, const capp_prefix *parent, capp_str text,
                        unsigned flags, capp_error *err) {
    bool space = false;
    capp_status st;
    if (!parent) return capp_encode_joined(model, text, false, flags | CAPP_TOKENIZE_BOS, "prefix", &prefix->ids, err);
    if ((st = capp_needs_space(model, &space, err)) != CAPP_OK) return st;
    for (size_t i = 0; i < parent->ids.n; i++)
        if (!capp_ids_push(&prefix->ids, parent->ids.data[i])) return capp_fail_memory(err, "the prefix");
    if (text.size && text.data[0] == ' ') space = false;
    return capp_encode_joined(model, text, space, flags, "prefix", &prefix->ids, err);
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
