/* The token tree: every path of tokens that a window of rows asks about. A common beginning is stored once. Node 0 is
 * the root, the empty path. A node is a token after the path of its parent; its position is its depth - 1.
 *
 * The tree outlives a window. If the keys and values of a node are still in the KV store (the node is "resident"), the
 * next window finds the node again and does not compute it.
 *
 * Invariants: the parent of a resident node is resident (or the root); a node whose recurrent state is kept is
 * resident; the lists of children are those of the current window. */
#ifndef CAPP_PLAN_TREE_H
#define CAPP_PLAN_TREE_H

#include "plan/states.h"

enum { CAPP_ROOT = 0 };

typedef struct capp_node {
    int32_t token;
    uint32_t parent;
    uint32_t depth; /* tokens of the path, this one included */
    uint32_t slot;  /* of the KV store; CAPP_NO_SLOT: not resident */
    uint32_t state; /* slot of the recurrent state after this token; CAPP_NO_SLOT: not kept */
    /* Of the current window: */
    uint32_t window;                           /* the window that last touched this node */
    uint32_t first_child, last_child, sibling; /* children touched in this window, in order of insertion */
    uint32_t wave;                             /* set by the plan: where its row runs */
    uint32_t pending;                          /* children that must run and whose planning is not complete */
    uint32_t waiting;                          /* children that must run and that the plan has not reached */
    uint32_t older, newer;                     /* neighbors in the list of idle residents, or CAPP_NO_NODE */
    float logprob;                             /* log-probability of the token after its parent's path, if scored */
    float best_logprob;                        /* log-probability of `best` */
    int32_t best;                              /* most probable next token, if asked; if equal, the lowest id */
    bool scored;                               /* logprob is wanted */
    bool asked;                                /* best is wanted */
    bool planned;                              /* the plan has visited the node: slot is fixed for this window */
    bool idle;      /* resident, and the window does not need it: in the list of idle residents */
    bool continued; /* has had a child, in this window or an earlier one */
    bool forks;     /* has had two: other paths probably continue here, too */
} capp_node;

/* A node whose whole distribution is wanted. */
typedef struct capp_spread {
    uint32_t node;
    float *logprobs; /* [vocabulary] receives the log-probability of each next token; the caller's */
} capp_spread;

typedef struct capp_tree {
    capp_node *nodes;
    size_t n, capacity;
    uint32_t *table;   /* [table_size] node of a (parent, token), by open addressing; CAPP_NO_NODE: free */
    size_t table_size; /* a power of two, at least twice n */
    uint32_t window;
    size_t touched;          /* nodes touched in this window, without the root */
    size_t missing;          /* those of them that were not resident */
    size_t longest;          /* depth of the deepest of them */
    uint32_t oldest, newest; /* the ends of the list of idle residents */
    size_t residents;
    capp_spread *spreads; /* [n_spreads] of the current window */
    size_t n_spreads, spreads_capacity;
    capp_states states; /* of models with recurrent layers; otherwise empty */
} capp_tree;

/* Makes {0} a tree with only the root. */
capp_status capp_tree_init(capp_tree *tree, capp_error *err);
void capp_tree_free(capp_tree *tree);

/* Begins the next window: nothing is touched, scored or asked. Residents stay. If most nodes are not resident, those
 * nodes are dropped and all node numbers change. So a tree never holds more than 4/3 of (the nodes touched in a window
 * plus twice the residents). */
capp_status capp_tree_next_window(capp_tree *tree, capp_error *err);

/* Makes every node non-resident, because the KV store has lost its contents. */
void capp_tree_forget(capp_tree *tree);

/* Walks n tokens from node `from`. Adds missing nodes and touches all. *last is the last node (from, if n is 0).
 * scored: marks all of them as scored. nodes, if not NULL, receives the n nodes. */
capp_status capp_tree_insert(capp_tree *tree, uint32_t from, const int32_t *ids, size_t n, bool scored, uint32_t *nodes,
                             uint32_t *last, capp_error *err);

/* Walks n tokens from the root as far as there are nodes. *touched: how many of them the window has touched already.
 * *resident: how many are resident. */
void capp_tree_look(const capp_tree *tree, const int32_t *ids, size_t n, size_t *touched, size_t *resident);

/* Asks for the log-probabilities of all tokens that may follow node. The wave of the node writes them to logprobs. */
capp_status capp_tree_spread(capp_tree *tree, uint32_t node, float *logprobs, capp_error *err);

/* Where the log-probabilities of all tokens after node go in this window, or NULL if nobody asked for them. */
float *capp_tree_spread_of(const capp_tree *tree, uint32_t node);

/* Whether the node's row must run: it has a child in this window, or is asked for its best token. A token after which
 * nothing is needed never runs. The root never runs. */
bool capp_node_runs(const capp_tree *tree, uint32_t node);

/* The list of idle residents, oldest first. A resident leaves it when the window needs it, and returns to the young end
 * when the window has finished with it. Children go before their parents. */
void capp_tree_make_idle(capp_tree *tree, uint32_t node);
void capp_tree_make_busy(capp_tree *tree, uint32_t node);

/* Moves the idle residents among the n nodes of a path, first node first, to the young end. */
void capp_tree_refresh(capp_tree *tree, const uint32_t *nodes, size_t n);

#endif
