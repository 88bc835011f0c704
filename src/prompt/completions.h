/* The completions of examples, tokenised and put in order: what deciding without finishing walks along. */
#ifndef CAPP_PROMPT_COMPLETIONS_H
#define CAPP_PROMPT_COMPLETIONS_H

#include "prompt/prompt.h"

/* A place is a distinct beginning of completions, the empty one 0. Completions that have a place in common lie side by
 * side in `order`. Shared by rows whose completions are the same array. */
typedef struct capp_choices {
    const capp_str *completions; /* of the caller, borrowed for the call */
    size_t n;
    bool space;      /* as capp_encode_rule says */
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
} capp_choices;

/* Tokenises the completions of e. The caller holds *choices and ends it by capp_choices_release. */
capp_status capp_choices_make(capp_choices **choices, const capp_session *session, const capp_example *e, bool space,
                              unsigned flags, capp_error *err);

/* One user fewer; the last one frees it. choices may be NULL. */
void capp_choices_release(capp_choices *choices);

#endif
