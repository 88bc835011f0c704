/* From texts to tokens: prompts after BOS, a prefix or the messages of a chat; completions one by one, or as lists that
 * rows share. score/, race/ and generate/ get the tokens of their rows here. */
#ifndef CAPP_PROMPT_PROMPT_H
#define CAPP_PROMPT_PROMPT_H

#include "engine/engine.h"

/* ---- A text ---- */

/* Appends the ids of text, with a space before it if `space`; at least one id. flags: CAPP_TOKENIZE_*. what: the name
 * of the text in errors. On failure *out is unchanged. */
capp_status capp_encode_text(const capp_model *model, capp_str text, bool space, unsigned flags, const char *what,
                             capp_ids *out, capp_error *err);

/* Whether a text after end_of_prompt (of a capp_example) gets a space before it: unless the tokenizer adds one itself
 * (CAPPr's rule). CAPP_EUNSUPPORTED if this is not known for the tokenizer. */
capp_status capp_needs_space(const capp_model *model, const char *end_of_prompt, bool *space, capp_error *err);

/* ---- The prompt of a row ---- */

/* Appends the ids of a prefix; nothing if it is NULL. */
capp_status capp_encode_prefix(const capp_prefix *prefix, capp_ids *out, capp_error *err);

/* Number of tokens of the row's prefix, 0 without one. */
size_t capp_row_prefix_tokens(const capp_run_options *options, size_t row);

/* The text between the prompt and the completions of an example. */
const char *capp_end_of_prompt(const capp_example *example, const capp_run_options *options);

/* Appends the ids of the prompt of a row: as a user message of the options' chat; otherwise after BOS, if the tokenizer
 * adds one, or after the row's prefix. */
capp_status capp_encode_prompt(const capp_model *model, capp_str prompt, const capp_run_options *options, size_t row,
                               capp_ids *out, capp_error *err);

/* Appends the ids of a text that is scored without completions: as a user message of the options' chat; otherwise after
 * the row's prefix; otherwise by flags, CAPP_TOKENIZE_*. */
capp_status capp_encode_row_text(const capp_model *model, capp_str text, const capp_run_options *options, size_t row,
                                 unsigned flags, capp_ids *out, capp_error *err);

/* Checks whether a path of n tokens fits the context. */
capp_status capp_check_context(const capp_model *model, size_t n, capp_error *err);

/* ---- A list of completions ---- */

/* A place is a distinct beginning of completions; the empty one is place 0. Completions that share a place lie side by
 * side in `order`. Rows whose completions are the same array share the list. */
typedef struct capp_completions {
    const capp_str *texts; /* the caller's, borrowed for the call */
    size_t n;
    bool space;      /* as capp_needs_space says */
    size_t users;    /* number of users: rows that hold it, and the call, which keeps it for the next row */
    capp_ids ids;    /* the ids of one completion after another */
    size_t *offset;  /* [n + 1]: ids of completion i are offset[i] .. offset[i + 1] - 1 */
    uint32_t *order; /* [n] */
    uint32_t *place; /* [ids.n] place of the completion after this id */
    uint32_t *depth; /* [n_places] number of ids of the beginning */
    size_t n_places; /* the empty one included */
    size_t n_inner;  /* number of places that others continue, without the empty one */
    size_t longest;  /* number of ids of the longest completion */
    size_t bytes;
} capp_completions;

/* Makes *list the completions of example. If it is not NULL and is theirs already, it stays; rows mostly share one
 * list. Otherwise they are tokenized and the former list is released. The caller holds *list and ends this with
 * capp_completions_release. */
capp_status capp_completions_take(capp_completions **list, const capp_model *model, const capp_example *example,
                                  const capp_run_options *options, capp_error *err);

/* Removes one user; the last one frees the list. list may be NULL. */
void capp_completions_release(capp_completions *list);

#endif
