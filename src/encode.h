/* From the texts of an example to ids: what capp_score and capp_decide share. */
#ifndef CAPP_ENCODE_H
#define CAPP_ENCODE_H

#include "session.h"

/* Appends the ids of the example's prompt, BOS first where the tokenizer adds one. flags: CAPP_TOKENIZE_SPECIAL. */
capp_status capp_encode_prompt(const capp_session *session, const capp_example *e, unsigned flags, capp_ids *out,
                               capp_error *err);

/* Whether the example's completions get a space before them, where the tokenizer does not put one there by itself
 * (CAPPr's rule). */
capp_status capp_encode_rule(const capp_session *session, const capp_example *e, bool *space, capp_error *err);

/* Appends the ids of one completion. */
capp_status capp_encode_completion(const capp_session *session, capp_str completion, bool space, unsigned flags,
                                   capp_ids *out, capp_error *err);

/* Whether a path of n tokens fits the context. */
capp_status capp_encode_check(const capp_session *session, size_t n, capp_error *err);

#endif
