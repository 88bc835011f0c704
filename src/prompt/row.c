/* The prompt of a row: after BOS, after its prefix, or as a user message of a chat. */
#include "prompt/prompt.h"

#include "chat/chat.h"

/* The prefix of a row, or NULL. */
static const capp_prefix *row_prefix(const capp_run_options *options, size_t row) {
    return options->n_prefixes ? options->prefixes[row % options->n_prefixes] : NULL;
}

size_t capp_row_prefix_tokens(const capp_run_options *options, size_t row) {
    const capp_prefix *prefix = row_prefix(options, row);
    size_t n = 0;
    if (prefix) (void)capp_prefix_ids(prefix, &n);
    return n;
}

const char *capp_end_of_prompt(const capp_example *example, const capp_run_options *options) {
    return example->end_of_prompt ? example->end_of_prompt : options->chat ? "" : " ";
}

static capp_status encode_turn(const capp_model *model, capp_str text, const capp_run_options *options,
                               const capp_prefix *prefix, unsigned flags, capp_ids *out, capp_error *err) {
    if (prefix) return capp_fail(err, CAPP_EINVAL, "a chat cannot have a prefix; use its messages instead");
    return capp_chat_encode(options->chat, model, text, flags, out, err);
}

capp_status capp_encode_prompt(const capp_model *model, capp_str prompt, const capp_run_options *options, size_t row,
                               capp_ids *out, capp_error *err) {
    const capp_prefix *prefix = row_prefix(options, row);
    unsigned flags = options->parse_special ? CAPP_TOKENIZE_SPECIAL : 0;
    bool space;
    capp_status st;
    if (options->chat) return encode_turn(model, prompt, options, prefix, flags, out, err);
    if (!prefix) return capp_encode_text(model, prompt, false, flags | CAPP_TOKENIZE_BOS, "prompt", out, err);
    if ((st = capp_needs_space(model, NULL, &space, err)) != CAPP_OK) return st;
    if ((st = capp_encode_prefix(prefix, out, err)) != CAPP_OK) return st;
    return capp_encode_text(model, prompt, space, flags, "prompt", out, err);
}

capp_status capp_encode_row_text(const capp_model *model, capp_str text, const capp_run_options *options, size_t row,
                                 unsigned flags, capp_ids *out, capp_error *err) {
    const capp_prefix *prefix = row_prefix(options, row);
    if (options->chat) return encode_turn(model, text, options, prefix, flags, out, err);
    if (prefix) flags &= ~(unsigned)CAPP_TOKENIZE_BOS;
    capp_status st = capp_encode_prefix(prefix, out, err);
    return st == CAPP_OK ? capp_encode_text(model, text, false, flags, "text", out, err) : st;
}

capp_status capp_check_context(const capp_model *model, size_t n, capp_error *err) {
    if (n <= capp_model_context(model)) return CAPP_OK;
    return capp_fail(err, CAPP_ETOOLONG,
                     "prompt and completion have %zu tokens, but the context is %u; shorten the text", n,
                     capp_model_context(model));
}
