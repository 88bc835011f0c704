/* The tokens of one text, and whether it needs a space before it. */
#include <string.h>

#include "base/mem.h"
#include "prompt/prompt.h"

static capp_status encode(const capp_model *model, capp_str text, unsigned flags, const char *what, capp_ids *out,
                          capp_error *err) {
    size_t before = out->n;
    capp_status st = capp_vocab_encode(capp_model_vocab(model), text, flags, out, err);
    if (st != CAPP_OK)
        capp_error_prefix(err, what);
    else if (out->n == before)
        st = capp_fail(err, CAPP_EINVAL, "the %s has no tokens", what);
    return st;
}

capp_status capp_encode_text(const capp_model *model, capp_str text, bool space, unsigned flags, const char *what,
                             capp_ids *out, capp_error *err) {
    if (!text.size) return capp_fail(err, CAPP_EINVAL, "the %s is empty", what);
    if (!space) return encode(model, text, flags, what, out, err);
    char *joined = capp_new(text.size + 1, 1);
    if (!joined) return capp_fail_memory(err, "the window");
    joined[0] = ' ';
    memcpy(joined + 1, text.data, text.size);
    capp_status st = encode(model, (capp_str){joined, text.size + 1}, flags, what, out, err);
    capp_free(joined);
    return st;
}

capp_status capp_needs_space(const capp_model *model, const char *end_of_prompt, bool *space, capp_error *err) {
    capp_vocab_info info;
    capp_vocab_get_info(capp_model_vocab(model), &info);
    *space = info.completion_needs_space && !(end_of_prompt && !*end_of_prompt);
    if (info.completion_rule_known) return CAPP_OK;
    return capp_fail(
        err, CAPP_EUNSUPPORTED,
        "%s: capp does not support this tokenizer: it divides \"a b\" neither into \"a\" and \"b\" nor into "
        "\"a\" and \" b\", so it is unknown whether a completion begins with a space",
        capp_source_path(capp_model_source(model)));
}
