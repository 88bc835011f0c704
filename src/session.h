/* What capp.c, session.c and generate.c share: the bodies of the public handles. */
#ifndef CAPP_SESSION_H
#define CAPP_SESSION_H

#include <stdatomic.h>

#include "base/mem.h"
#include "forward/forward.h"
#include "token/vocab.h"

struct capp_model {
    capp_gguf *file;
    capp_vocab *vocab;
    capp_weights *weights; /* NULL for vocab_only */
    int threads;
    uint64_t memory; /* bytes of a run, never 0 */
    uint32_t context;
    capp_precision precision;
    char *architecture, *name;
    double load_seconds;
};

struct capp_prefix {
    capp_ids ids; /* of the whole path from BOS on */
};

struct capp_session {
    const capp_model *model;
    capp_pool *pool;
    capp_forward *forward; /* NULL before the first window */
    capp_tree tree;
    capp_slots slots;
    capp_plan plan;
    capp_stats stats;
    atomic_bool cancelled;
    bool nested;         /* a call of several parts is under way: they share its cancellation */
    size_t node_limit;   /* nodes that a window of several rows may touch */
    size_t window_nodes; /* nodes of a window that the scratch leaves room for */
};

/* The floating-point environment of a call: round to nearest, denormals kept, no traps; restored at its end. */
unsigned capp_enter_arithmetic(void);
void capp_leave_arithmetic(unsigned saved);

/* Whether a row with a path of `longest` tokens, in a window of `nodes` nodes, fits the memory budget: CAPP_EBUDGET
 * with what it needs. */
capp_status capp_session_check(const capp_session *session, size_t longest, size_t nodes, capp_error *err);

/* Called after each wave of a window; false ends the run with CAPP_ECANCELLED. */
typedef bool (*capp_wave_fn)(void *user, uint32_t wave);

/* Plans and runs the window that stands in session->tree. fn may be NULL. */
capp_status capp_session_run(capp_session *session, capp_wave_fn fn, void *user, capp_error *err);

/* Ids of a prompt that has at least one. On failure *out is as it was. */
capp_status capp_session_encode(const capp_session *session, capp_str text, unsigned flags, const char *what,
                                capp_ids *out, capp_error *err);

/* Appends the ids of text, after a space where the tokenizer does not put one there by itself and space is true. No
 * BOS. On failure *out is as it was. */
capp_status capp_encode_joined(const capp_model *model, capp_str text, bool space, unsigned flags, const char *what,
                               capp_ids *out, capp_error *err);

/* Whether a completion is tokenised with a space before it: CAPPr's rule. CAPP_EUNSUPPORTED where the tokenizer does
 * not say. */
capp_status capp_needs_space(const capp_model *model, bool *needs, capp_error *err);

/* The prefix of a row, or NULL. */
const capp_prefix *capp_row_prefix(const capp_run_options *options, size_t row);

/* capp_score with options->scoring, which is not NULL. */
capp_status capp_score_as(capp_session *session, const capp_example *examples, size_t n,
                          const capp_run_options *options, capp_result_fn fn, void *user, capp_error *err);

double capp_seconds(void);

#endif
