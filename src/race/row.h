/* The rows of a call that race, and the state of the call. Only the files of race/ include this header. */
#ifndef CAPP_RACE_ROW_H
#define CAPP_RACE_ROW_H

#include "prompt/prompt.h"
#include "race/bounds.h"
#include "race/race.h"

enum {
    CAPP_MOST_PLACES = 256,      /* beginnings that a row extends in a round */
    CAPP_MOST_ACTIVE_ROWS = 4096 /* maximum number of rows from the first undecided one to the last one that began */
};

/* The races of a row. If the fast lane does not decide it, the completions within its margin race again in the exact
 * lane. If all of these fall below others there, all completions race in the exact lane. */
typedef enum capp_race_stage { CAPP_RACE_FAST, CAPP_RACE_SOME_EXACT, CAPP_RACE_ALL_EXACT } capp_race_stage;

typedef struct capp_race_row {
    const capp_example *example;
    capp_aggregate aggregate;
    capp_ids prompt;
    capp_completions *completions;
    capp_runner *runners; /* [completions->n]; NULL once decided */
    capp_race race;
    bool begun;
    capp_race_stage stage;
    size_t first_step, n_steps; /* of the round */
    capp_decision decision;
    double second, margin;
    double fast_best; /* the highest score of the first race */
} capp_race_row;

/* What a round computes: the next log-probability of a runner. */
typedef struct capp_race_step {
    size_t runner;
    uint32_t node, place; /* the runner that takes it; its place after that */
} capp_race_step;

typedef struct capp_race_call {
    capp_session *session;
    capp_lane *lane;       /* of the round */
    size_t n_close;        /* rows that race again */
    uint64_t close_tokens; /* token rows of the exact lane */
    const capp_example *examples;
    size_t total, next; /* number of examples; number of those that have become rows */
    const capp_run_options *options;
    double margin;
    capp_race_fn fn;
    void *user;
    capp_race_row *
        *rows; /* [n_rows] rows that have begun or are decided, in order; those before `delivered` are freed */
    size_t n_rows, rows_capacity, delivered;
    capp_race_row **in_round; /* [n_in_round] rows that take part */
    size_t n_in_round, in_round_capacity;
    capp_completions *completions; /* of the last row */
    size_t bytes;                  /* bytes that rows and their completions use */
    capp_race_step *steps;         /* [n_steps] of the round */
    size_t n_steps, steps_capacity;
    capp_place places[CAPP_MOST_PLACES];
    size_t n_places;     /* of the row that is added to the round */
    size_t round_tokens; /* token rows of the round so far */
    uint64_t alone;      /* token rows if each completion ran alone with its prompt */
    capp_status row_status;
    capp_error row_error;
} capp_race_call;

/* Makes the next example the last row. An invalid one ends the call after the rows before it; row_status has its
 * status. */
capp_status capp_race_add_row(capp_race_call *call, capp_error *err);

/* Begins the row's next race, if the previous one decided nothing. */
bool capp_race_row_restart(capp_race_call *call, capp_race_row *row);

/* Ends the row with the decision of its race. */
void capp_race_row_decide(capp_race_call *call, capp_race_row *row);

/* row may be NULL. */
void capp_race_row_free(capp_race_call *call, capp_race_row *row);

/* Number of tree nodes that use as much memory as these bytes: one budget covers both. */
size_t capp_race_nodes_of(size_t bytes);

#endif
