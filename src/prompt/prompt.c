#include "prompt/prompt.h"

#include <string.h>

#include "chat/chat.h"

static capp_status encode(const capp_model *model, capp_str text, unsigned flags, const char *what, capp_ids *out,
                          capp_error *err) {
    size_t before = out->n;
    capp_status st = capp_vocab_encode(model->vocab, text, flags, out, err);
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

capp_status capp_encode_rule(const capp_model *model, const char *end_of_prompt, bool *space, capp_error *err) {
    capp_vocab_info info;
    capp_vocab_get_info(model->vocab, &info);
    *space = info.completion_needs_space && !(end_of_prompt && !*end_of_prompt);
    if (info.completion_rule_known) return CAPP_OK;
    return capp_fail(err, CAPP_EUNSUPPORTED,
                     "%s: its tokenizer does not say whether a completion begins with a space: \"a b\" is neither "
                     "\"a\", \"b\" nor \"a\", \" b\"",
                     capp_source_path(&model->source));
}

capp_status capp_encode_prefix(const capp_prefix *prefix, capp_ids *out, capp_error *err) {
    for (size_t i = 0; prefix && i < prefix->ids.n; i++)
        if (!capp_ids_push(out, prefix->ids.data[i])) return capp_fail_memory(err, "the prefix");
    return CAPP_OK;
}

const char *capp_end_of_prompt(const capp_example *example, const capp_run_options *options) {
    return example->end_of_prompt ? example->end_of_prompt : options->chat ? "" : " ";
}

static capp_status encode_turn(const capp_model *model, capp_str text, const capp_run_options *options,
                               const capp_prefix *prefix, unsigned flags, capp_ids *out, capp_error *err) {
    if (prefix)
        return capp_fail(err, CAPP_EINVAL, "a prefix cannot stand before a chat; give it the messages to begin with");
    return capp_chat_encode(options->chat, model, text, flags, out, err);
}

capp_status capp_encode_prompt(const capp_model *model, capp_str prompt, const capp_run_options *options, size_t row,
                               capp_ids *out, capp_error *err) {
    const capp_prefix *prefix = capp_row_prefix(options, row);
    unsigned flags = options->parse_special ? CAPP_TOKENIZE_SPECIAL : 0;
    bool space;
    capp_status st;
    if (options->chat) return encode_turn(model, prompt, options, prefix, flags, out, err);
    if (!prefix) return capp_encode_text(model, prompt, false, flags | CAPP_TOKENIZE_BOS, "prompt", out, err);
    if ((st = capp_encode_rule(model, NULL, &space, err)) != CAPP_OK) return st;
    if ((st = capp_encode_prefix(prefix, out, err)) != CAPP_OK) return st;
    return capp_encode_text(model, prompt, space, flags, "prompt", out, err);
}

capp_status capp_encode_row_text(const capp_model *model, capp_str text, const capp_run_options *options, size_t row,
                                 unsigned flags, capp_ids *out, capp_error *err) {
    const capp_prefix *prefix = capp_row_prefix(options, row);
    if (options->chat) return encode_turn(model, text, options, prefix, flags, out, err);
    if (prefix) flags &= ~(unsigned)CAPP_TOKENIZE_BOS;
    capp_status st = capp_encode_prefix(prefix, out, err);
    return st == CAPP_OK ? capp_encode_text(model, text, false, flags, "text", out, err) : st;
}

capp_status capp_encode_check(const capp_session *s, size_t n, capp_error *err) {
    if (n <= s->model->context) return CAPP_OK;
    return capp_fail(err, CAPP_ETOOLONG, "%zu tokens of prompt and completion, but the context is %u; shorten the text",
                     n, s->model->context);
}
