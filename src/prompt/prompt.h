/* Texts to tokens: prompts behind BOS, a prefix or a chat's turns; completions one by one or as lists that rows share.
 * The rooms that score, race and generate take the tokens of their rows from here. */
#ifndef CAPP_PROMPT_PROMPT_H
#define CAPP_PROMPT_PROMPT_H

#include "engine/engine.h"

/* ---- A text ---- */

/* Appends the ids of text, a space before it where `space`; at least one. flags: CAPP_TOKENIZE_*. what names the text
 * in errors. On failure *out is as it was. */
capp_status capp_encode_text(const capp_model *model, capp_str text, bool space, unsigned flags, const char *what,
                             capp_ids *out, capp_error *err);

/* Whether a text behind end_of_prompt (of a capp_example) gets a space before it: where the tokenizer does not put one
 * there by itself (CAPPr's rule). CAPP_EUNSUPPORTED where the tokenizer does not say. */
capp_status capp_needs_space(const capp_model *model, const char *end_of_prompt, bool *space, capp_error *err);

/* ---- The prompt of a row ---- */

/* Appends the ids of a prefix; none where it is NULL. */
capp_status capp_encode_prefix(const capp_prefix *prefix, capp_ids *out, capp_error *err);

/* Tokens of the row's prefix, 0 without one. */
size_t capp_row_prefix_tokens(const capp_run_options *options, size_t row);

/* What stands between the prompt and the completions of an example. */
const char *capp_end_of_prompt(const capp_example *example, const capp_run_options *options);

/* Appends the ids of the prompt of a row: as a turn of the options' chat; else BOS first where the tokenizer adds one,
 * or the row's prefix. */
capp_status capp_encode_prompt(const capp_model *model, capp_str prompt, const capp_run_options *options, size_t row,
                               capp_ids *out, capp_error *err);

/* Appends the ids of a text that is scored by itself: as a turn of the options' chat; else behind the row's prefix, or
 * by flags, CAPP_TOKENIZE_*. */
capp_status capp_encode_row_text(const capp_model *model, capp_str text, const capp_run_options *options, size_t row,
                                 unsigned flags, capp_ids *out, capp_error *err);

/* Whether a path of n tokens fits the context. */
capp_status capp_check_context(const capp_model *model, size_t n, capp_error *err);

/* ---- A list of completions ---- */

/* A place is a distinct beginning of completions, the empty one 0. Completions that have a place in common lie side by
 * side in `order`. Shared by rows whose completions are the same array. */
typedef struct capp_completions {
    const capp_str *texts; /* of the caller, borrowed for the call */
    size_t n;
    bool space;      /* as capp_needs_space says */
    size_t users;    /* rows that hold it, and who keeps it for the next row */
    capp_ids ids;    /* of completion after completion */
    size_t *offset;  /* [n + 1]: ids of completion i are offset[i] .. offset[i + 1] - 1 */
    uint32_t *order; /* [n] */
    uint32_t *place; /* [ids.n] where the completion stands after this id */
    uint32_t *depth; /* [n_places] ids of the beginning */
    size_t n_places; /* the empty one included */
    size_t n_inner;  /* places that others lie behind, the empty one not included */
    size_t longest;  /* ids of the longest completion */
    size_t bytes;
} capp_completions;

/* Tokenises the completions of example. The caller holds *list and ends it by capp_completions_release. */
capp_status capp_completions_encode(capp_completions **list, const capp_model *model, const capp_example *example,
                                    bool space, unsigned flags, capp_error *err);

/* One user fewer; the last one frees it. list may be NULL. */
void capp_completions_release(capp_completions *list);

#endif
