/* The structs of a model, a lane and a session. Only the files of engine/ (and tests) include this header. */
#ifndef CAPP_ENGINE_HANDLES_H
#define CAPP_ENGINE_HANDLES_H

#include <stdatomic.h>

#include "engine/engine.h"
#include "forward/forward.h"

struct capp_model {
    capp_source source;
    capp_vocab *vocab;
    capp_weights *weights; /* NULL if vocab_only */
    capp_weights *exact;   /* the same weights in the exact lane, for close decisions, or NULL */
    int threads;
    uint64_t memory; /* bytes of a run, never 0 */
    uint32_t context;
    capp_precision precision;
    char *architecture, *name, *adapters;
    char *path; /* as it was opened */
    double load_seconds;
};

struct capp_lane {
    const capp_weights *weights; /* borrowed from the model; NULL: the session does not have this lane */
    size_t first_state;          /* first slot of its recurrent states */
    capp_tree tree;
    capp_slots slots;
    capp_plan plan;
};

struct capp_session {
    const capp_model *model;
    capp_pool *pool;
    capp_forward *forward; /* NULL before the first window */
    capp_lane fast, exact; /* exact: for close decisions */
    capp_stats stats;
    atomic_bool cancelled; /* also stops the pool */
    unsigned calls;        /* calls in progress: a call that makes other calls shares its cancellation with them */
    double call_start;     /* start of the outermost call */
    capp_room fast_room;   /* of the fast lane */
    size_t node_limit;     /* maximum number of nodes of a window with several rows */
    size_t pace;           /* nodes of the next window, if the caller sets its time; 0: not known yet */
    size_t window_nodes;   /* maximum number of nodes of a window that fits the scratch memory */
    size_t keep;           /* tokens that the caller needs again: slots for them if the budget allows it */
    size_t keep_paths;     /* paths that go on in later windows: slots for their recurrent states, likewise */
    size_t expect;         /* tokens of the longest path that will come, if the caller knows it */
    size_t kept, kept_paths, expected; /* these at the time when the store was made */
};

#endif
