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
    capp_weights *exact;   /* float32 twin for decisions that are close, or NULL */
    int threads;
    uint64_t memory; /* bytes of a run, never 0 */
    uint32_t context;
    capp_precision precision;
    char *architecture, *name, *adapters;
    char *path; /* as it was opened */
    double load_seconds;
};

struct capp_prefix {
    capp_ids ids; /* of the whole path from BOS on */
};

/* A precision of a session: its weights, and what it has computed with them. */
typedef struct capp_lane {
    const capp_weights *w; /* borrowed from the model; NULL: there is no such lane */
    size_t base;           /* first slot of its part of the KV store */
    capp_tree tree;
    capp_slots slots;
    capp_plan plan;
} capp_lane;

struct capp_session {
    const capp_model *model;
    capp_pool *pool;
    capp_forward *forward; /* NULL before the first window */
    capp_lane fast, exact; /* the model's precision; float32, for decisions that are close */
    capp_stats stats;
    atomic_bool cancelled; /* stops the pool, too */
    bool nested;           /* a call of several parts is under way: they share its cancellation */
    size_t node_limit;     /* nodes that a window of several rows may touch */
    size_t pace;           /* nodes of the next window, where the caller says how long one takes; 0: not yet known */
    size_t window_nodes;   /* nodes of a window that the scratch leaves room for */
    size_t keep;           /* tokens that the caller asks about again: slots for them, where the budget allows */
    size_t kept;           /* keep, as the store was made */
};

/* The floating-point environment of a call: round to nearest, denormals kept, no traps; restored at its end. */
unsigned capp_enter_arithmetic(void);
void capp_leave_arithmetic(unsigned saved);

static inline bool capp_session_cancelled(const capp_session *session) {
    return atomic_load_explicit(&session->cancelled, memory_order_relaxed);
}

/* Whether a row with a path of `longest` tokens, in a window of `nodes` nodes, fits the memory budget: CAPP_EBUDGET
 * with what it needs. */
capp_status capp_session_check(const capp_session *session, size_t longest, size_t nodes, capp_error *err);

/* How far apart the two highest scores of a row must be for the fast lane to decide, by mean log-probability (see
 * capp_decide_margin); 0 where it always does. */
double capp_session_margin(const capp_session *session);

/* Called after each wave of a window; false ends the run with CAPP_ECANCELLED. */
typedef bool (*capp_wave_fn)(void *user, uint32_t wave);

/* Plans and runs the window that stands in the tree of lane, one of the session's. fn may be NULL; it may run the other
 * lane, with paths no longer than the longest of this window. */
capp_status capp_session_run(capp_session *session, capp_lane *lane, capp_wave_fn fn, void *user, capp_error *err);

double capp_seconds(void);

#endif
