#include "encode.h"

#include <string.h>

capp_status capp_encode_prompt(const capp_session *s, const capp_example *e, unsigned flags, capp_ids *out,
                               capp_error *err) {
    return capp_session_encode(s, e->prompt, flags | CAPP_TOKENIZE_BOS, "prompt", out, err);
}

capp_status capp_encode_rule(const capp_session *s, const capp_example *e, bool *space, capp_error *err) {
    capp_vocab_info info;
    capp_vocab_get_info(s->model->vocab, &info);
    *space = info.completion_needs_space && !(e->end_of_prompt && !*e->end_of_prompt);
    if (info.completion_rule_known) return CAPP_OK;
    return capp_fail(err, CAPP_EUNSUPPORTED,
                     "%s: its tokenizer does not say whether a completion begins with a space: \"a b\" is neither "
                     "\"a\", \"b\" nor \"a\", \" b\"",
                     capp_source_path(&s->model->source));
}

capp_status capp_encode_completion(const capp_session *s, capp_str completion, bool space, unsigned flags,
                                   capp_ids *out, capp_error *err) {
    if (!space) return capp_session_encode(s, completion, flags, "completion", out, err);
    char *joined = capp_new(completion.size + 1, 1);
    if (!joined) return capp_fail_memory(err, "the window");
    joined[0] = ' ';
    memcpy(joined + 1, completion.data, completion.size);
    capp_status st = capp_session_encode(s, (capp_str){joined, completion.size + 1}, flags, "completion", out, err);
    capp_free(joined);
    return st;
}

capp_status capp_encode_check(const capp_session *s, size_t n, capp_error *err) {
    if (n <= s->model->context) return CAPP_OK;
    return capp_fail(err, CAPP_ETOOLONG, "%zu tokens of prompt and completion, but the context is %u; shorten the text",
                     n, s->model->context);
}
