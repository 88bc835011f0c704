/* From texts to ids: what prefixes, capp_score, capp_decide and capp_generate share. */
#ifndef CAPP_PROMPT_PROMPT_H
#define CAPP_PROMPT_PROMPT_H

#include "engine/engine.h"

/* Appends the ids of text, a space before it where `space`; at least one. flags: CAPP_TOKENIZE_*. what names the text
 * in errors. On failure *out is as it was. */
capp_status capp_encode_text(const capp_model *model, capp_str text, bool space, unsigned flags, const char *what,
                             capp_ids *out, capp_error *err);

/* Whether a text behind end_of_prompt (of a capp_example) gets a space before it: where the tokenizer does not put one
 * there by itself (CAPPr's rule). CAPP_EUNSUPPORTED where the tokenizer does not say. */
capp_status capp_encode_rule(const capp_model *model, const char *end_of_prompt, bool *space, capp_error *err);

/* The prefix of a row, or NULL. */
const capp_prefix *capp_row_prefix(const capp_run_options *options, size_t row);

/* What stands between the prompt and the completions of an example. */
const char *capp_end_of_prompt(const capp_example *example, const capp_run_options *options);

/* Appends the ids of a prefix; none where it is NULL. */
capp_status capp_encode_prefix(const capp_prefix *prefix, capp_ids *out, capp_error *err);

/* Appends the ids of the prompt of a row: as a turn of the options' chat; else BOS first where the tokenizer adds one,
 * or the row's prefix. */
capp_status capp_encode_prompt(const capp_model *model, capp_str prompt, const capp_run_options *options, size_t row,
                               capp_ids *out, capp_error *err);

/* Appends the ids of a text that is scored by itself: as a turn of the options' chat; else behind the row's prefix, or
 * by flags, CAPP_TOKENIZE_*. */
capp_status capp_encode_row_text(const capp_model *model, capp_str text, const capp_run_options *options, size_t row,
                                 unsigned flags, capp_ids *out, capp_error *err);

/* Whether a path of n tokens fits the context. */
capp_status capp_encode_check(const capp_session *session, size_t n, capp_error *err);

#endif
