/* The inside of a queue. Only the files of queue/ include this header.
 *
 *   queue.c   a list of jobs; a step, from its beginning to the ends of jobs
 *   add.c     what jobs add to a step
 *   turn.c    which lane of the session a step runs
 *   seats.c   which jobs may run, so that what they have computed stays in the KV store
 *   share.c   how many token rows each of them may add to a step
 *   rate.c    how many token rows a step has room for
 *   rows.c    jobs that score examples
 *   text.c    jobs that score and continue a text
 *   draw.c    the most probable tokens of a distribution, and a token drawn from it
 *
 * A step is a window of the token tree of one lane. Each job adds a piece of its work to it: a part of a prompt, some
 * completions, one token to generate. What earlier steps computed is in the KV store: a job that has begun keeps a seat
 * there. If it is not there any more, steps compute it again, so a step always makes progress.
 *
 * Everything begins in the fast lane. Rows that it does not decide wait for a step of the exact lane. */
#ifndef CAPP_QUEUE_JOB_H
#define CAPP_QUEUE_JOB_H

#include "capp_queue.h"
#include "engine/engine.h"

/* Which lane a step runs. */
typedef enum capp_turn { CAPP_TURN_FAST, CAPP_TURN_EXACT, CAPP_TURNS } capp_turn;

/* What a job runs next: a path from the root of the token tree. */
typedef struct capp_path {
    const int32_t *ids; /* [n] */
    size_t n;
    size_t *known;   /* ids whose keys and values are in the KV store; capp_hold_path sets it */
    size_t most;     /* maximum of *known: what comes after must run again */
    uint32_t *nodes; /* [n] receives the nodes */
    size_t later;    /* tokens that the path is expected to grow by */
} capp_path;

/* A kind of job. */
typedef struct capp_job_kind {
    /* The path that the job runs next in the fast lane; no ids, if the job is about to end. Called in every step of the
     * fast lane for which the job wants something, before add. */
    capp_status (*path)(capp_job *job, capp_path *path, capp_error *err);
    /* The number of token rows that the job would like to add to the next step of a lane, at most `most`; all: to all
     * steps. */
    size_t (*wants)(const capp_job *job, capp_turn turn, size_t most, bool all);
    /* Adds a piece to the tree of the step: as many token rows as *room has, but at least one. Subtracts them. */
    capp_status (*add)(capp_job *job, size_t *room, capp_error *err);
    /* Copies what the step has computed from the tree. */
    capp_status (*read)(capp_job *job, capp_error *err);
    /* Passes results to the caller. Sets job->ended. */
    capp_status (*deliver)(capp_job *job, capp_error *err);
    void (*drop)(capp_job *job);
} capp_job_kind;

/* The beginning of every job. */
struct capp_job {
    const capp_job_kind *kind;
    capp_queue *queue;
    capp_done_fn done;
    void *user;
    const void *caller;
    size_t longest; /* tokens of the longest path that the job is known to need */
    bool cancelled, ended;
    bool seated;        /* its path has a seat in the KV store */
    bool in_step;       /* has added something to the current step */
    bool in_parts;      /* has added a part of a row to the exact lane: it goes on first, before its store is lost */
    bool starved;       /* the step has no memory for another distribution that it needs */
    capp_status status; /* of the job's part of the step */
    capp_error err;
};

/* Jobs of one caller that were added one after another. They share the waves as one job. */
typedef struct capp_group {
    size_t first, n; /* jobs */
    size_t seats;    /* jobs that have one */
    bool small;      /* needs no more than a part of one step, all in all */
    size_t wants;    /* of its seated jobs in this step */
    bool served;     /* nothing waits to be added to this step */
} capp_group;

/* What is known about the time of steps: weighted sums over recent ones, for a line of seconds over rows. */
typedef struct capp_rate {
    size_t steps;
    double w, x, y, xx, xy; /* of the weights, rows, seconds, squares of rows, and products */
} capp_rate;

/* What the steps of a lane have in common. */
typedef struct capp_line {
    capp_rate rate;
    size_t room; /* token rows of the next step */
    size_t next; /* index of the job that it begins with */
} capp_line;

struct capp_queue {
    capp_session *session;
    capp_queue_options options;
    capp_job **jobs; /* [n] oldest first */
    size_t n, capacity;
    capp_group *groups;
    size_t n_groups, groups_capacity;
    capp_turn turn; /* of the current or latest step */
    size_t waited;  /* steps since something has waited for the exact lane */
    capp_line lines[CAPP_TURNS];
    float *spreads; /* [most_spreads][outputs] distributions of the current step; NULL: never needed */
    size_t n_spreads, most_spreads;
    /* Memory for drawing, which jobs use one after another: [tokens of the vocabulary]; NULL: never needed. */
    double *weights;
    uint32_t *order;
    capp_queue_stats stats;
};

/* Takes ownership of a job, also on failure. */
capp_status capp_queue_take(capp_queue *queue, capp_job *job, capp_job **out, capp_error *err);

/* Whether a job can take part in a step. */
static inline bool capp_job_runs(const capp_job *job) {
    return !job->ended && !job->cancelled && job->status == CAPP_OK;
}

/* The tree of the current step. */
static inline capp_tree *capp_step_tree(const capp_queue *queue) {
    capp_session *session = queue->session;
    return capp_lane_tree(queue->turn == CAPP_TURN_EXACT ? capp_session_exact(session) : capp_session_fast(session));
}

/* ---- add.c ---- */

/* Adds the ids of the path that are resident to the step, so that they stay. Sets *path->known. */
capp_status capp_hold_path(capp_queue *queue, const capp_path *path, size_t resident, capp_error *err);

/* Adds what the path has beyond its known ids, as far as there is room, and one id more, because the last one does not
 * run unless something follows it. *added: its ids that are in the step. *last: the node of the last one. */
capp_status capp_add_path(capp_queue *queue, const capp_path *path, size_t *room, size_t *added, uint32_t *last,
                          capp_error *err);

/* Asks for the distribution after node. *full: there is no memory for it in this step. */
capp_status capp_add_spread(capp_queue *queue, uint32_t node, bool *full, capp_error *err);

/* ---- turn.c ---- */

/* Sets the lane of the next step. */
void capp_take_turn(capp_queue *queue);

/* ---- seats.c ---- */

/* Gives seats to jobs, and keeps what they have computed in the KV store. *room is reduced to the token rows for which
 * the store has room in this step. */
void capp_take_seats(capp_queue *queue, size_t *room);

/* ---- share.c ---- */

/* Divides the jobs into groups. */
capp_status capp_make_groups(capp_queue *queue, capp_error *err);

/* Lets seated jobs add up to `room` token rows to the step; or up to `trial`, unless small groups wait beside others.
 */
void capp_share_step(capp_queue *queue, size_t room, size_t trial);

/* ---- rate.c ---- */

void capp_rate_learn(capp_rate *rate, size_t rows, double seconds);

/* Rows of a step that takes about so many seconds, but at least `least` rows. least 0: as many as keep 85 % of the
 * throughput of large steps. 0: not known, because steps have had nearly the same size. */
size_t capp_rate_rows(const capp_rate *rate, double seconds, size_t least);

/* Rows of the first step. */
size_t capp_rate_first(size_t least);

/* Rows of the next step, which has room for `rows`: sometimes fewer, if steps have had nearly the same size. */
size_t capp_rate_trial(const capp_rate *rate, size_t rows);

/* ---- draw.c ---- */

/* Writes the k most probable of n tokens, in falling order; of equals, the lower id comes first. Returns their number.
 */
size_t capp_top_tokens(const float *logprobs, size_t n, size_t k, int32_t *ids, float *top);

/* Draws one of n tokens by the options of a continuation, as the token at `position` of its text. memory: [n] of each.
 */
int32_t capp_draw_token(const float *logprobs, size_t n, const capp_continuation *how, size_t position, double *weights,
                        uint32_t *order);

#endif
