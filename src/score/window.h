/* A window of rows on their way from texts to results. Only the files of score/ include this header. They are the steps
 * of that way, and each row passes them in this order:
 *
 *   fill.c     the row's text becomes tokens; the tokens become paths of the lane's token tree
 *   (engine)   the paths run through the model, wave after wave
 *   read.c     the row gets its log-probabilities from the tree
 *   rescore.c  if its scores are too close for the fast lane, the exact lane computes the possible winners again
 *   deliver.c  the row's result goes to the caller, in the order of the rows
 *
 * row.c judges and delivers a single row. score.c leads all rows of a call through these steps, window after window. */
#ifndef CAPP_SCORE_WINDOW_H
#define CAPP_SCORE_WINDOW_H

#include "engine/engine.h"
#include "score/row.h"

/* How far a row has come. Only close rows go beyond the first value. */
typedef enum capp_row_stage {
    CAPP_ROW_FAST,     /* scored by the fast lane */
    CAPP_ROW_WAITING,  /* in the tree of the exact lane, which has not run yet */
    CAPP_ROW_RESCORED, /* the exact lane has run */
    CAPP_ROW_SETTLED   /* and its scores have been checked */
} capp_row_stage;

/* The ids of its prompt are ids[first_id] and the n_prompt - 1 ids after it. The n_scored scored tokens follow. */
typedef struct capp_window_row {
    size_t row; /* of the call */
    size_t first_id, n_prompt, n_scored;
    size_t first_offset; /* index of its n_completions + 1 offsets, which count from the end of the prompt */
    uint32_t last_wave;  /* the wave after which all of its log-probabilities are known */
    capp_row_stage stage;
    bool whole; /* all of its completions are scored again */
    double top; /* the highest score of the fast lane, if the row is close */
} capp_window_row;

typedef struct capp_window {
    capp_session *session;
    capp_lane *lane;              /* the lane of the rows; close rows go to the exact lane */
    const capp_example *examples; /* [total], or NULL: */
    const capp_str *texts;        /* [total], with flags, CAPP_TOKENIZE_* */
    unsigned flags;
    size_t total; /* rows of the call */
    const capp_run_options *options;
    capp_result_fn fn;
    capp_text_result_fn text_fn;
    void *user;
    capp_work *work;       /* of a call that only plans; otherwise NULL */
    capp_window_row *rows; /* [n_rows] */
    size_t n_rows, rows_capacity;
    size_t first_nodes; /* nodes of the first row */
    size_t computed;    /* rows whose waves have run, in any order */
    size_t judged,
        delivered;         /* rows whose waves have run and that were checked for closeness; rows that were delivered */
    size_t n_close;        /* rows that wait for the exact lane */
    uint64_t close_tokens; /* token rows of the exact lane */
    double margin;         /* of the session, if its exact lane may score rows again; otherwise 0 */
    capp_ids ids;          /* of all rows */
    uint32_t *nodes;       /* [ids.n] node of each scored id */
    size_t nodes_capacity;
    float *exact; /* [ids.n] log-probabilities of completions that were scored again */
    size_t exact_capacity;
    float *first; /* [ids.n] log-probabilities of the fast lane, of rows in which completions were scored again */
    size_t first_capacity;
    size_t *offsets;
    bool *again; /* [n_offsets] at the offset of a completion: whether the exact lane scores it again */
    size_t n_offsets, offsets_capacity, again_capacity;
    float *logprobs; /* of one row */
    size_t logprobs_capacity;
    capp_judge judge;
    struct capp_completions *list; /* of the latest row, or NULL: rows mostly share one */
} capp_window;

/* ---- window.c: functions that the steps share ---- */

void capp_window_free(capp_window *window);

/* Empties the window for the next rows; its memory is kept. */
void capp_window_clear(capp_window *window);

/* Completions of the row; a text counts as one. */
size_t capp_window_completions(const capp_window *window, const capp_window_row *row);

/* Tokens of the longest completion of the row, an example. */
size_t capp_window_longest(const capp_window *window, const capp_window_row *row);

/* Puts the prompt and the completions of a row into a tree (all of them, or those to be scored again) and keeps their
 * nodes. */
capp_status capp_window_insert(capp_window *window, const capp_window_row *row, capp_tree *tree, bool all,
                               capp_error *err);

/* ---- pace.c ---- */

/* Nodes behind the first row. */
size_t capp_window_nodes(const capp_window *window);

/* Whether the caller's window_seconds leave room for another row. */
bool capp_window_has_time(const capp_window *window);

/* Records how many seconds the window took, and how many nodes it had after its first row. */
void capp_window_learn_pace(capp_window *window, size_t nodes, double seconds);

/* ---- The stations ---- */

/* Takes rows of the call from *next on and advances *next: as many as the window has room for, at least one. On failure
 * the rows before *next are in the window, and err names row *next. CAPP_EBUDGET may be caused by the rows before it.
 * After CAPP_ENOMEM the tree may hold a part of a row. */
capp_status capp_window_fill(capp_window *window, size_t *next, capp_error *err);

/* Copies the row's log-probabilities to window->logprobs, which has room for one more. */
capp_status capp_window_read(capp_window *window, const capp_window_row *row, capp_error *err);

/* A row of examples that was read. */
capp_scored capp_window_scored(const capp_window *window, const capp_window_row *row);

/* Returns whether the fast lane decides the row. If not, puts the leader and all completions within the margin into the
 * tree of the exact lane. */
capp_status capp_window_judge(capp_window *window, capp_window_row *row, capp_error *err);

/* Runs the exact lane until no row waits for it. */
capp_status capp_window_rescore(capp_window *window, capp_error *err);

/* Delivers the rows that were checked, up to the first row that waits for the exact lane. */
capp_status capp_window_deliver(capp_window *window, capp_error *err);

#endif
