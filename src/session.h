/* What capp.c, session.c and generate.c share: the bodies of the public handles. */
#ifndef CAPP_SESSION_H
#define CAPP_SESSION_H

#include <stdatomic.h>

#include "base/mem.h"
#include "forward/forward.h"
#include "token/vocab.h"

struct capp_model {
    capp_source source;
    capp_vocab *vocab;
    capp_weights *weights; /* NULL for vocab_only */
    int threads;
    uint64_t memory; /* bytes of a run, never 0 */
    uint32_t context;
    capp_precision precision;
    char *architecture, *name;
    double load_seconds;
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

double capp_seconds(void);

#endif
