/* The rows of a call that race, and what the call knows of them. Only the files of race/ include this header. */
#ifndef CAPP_RACE_ROW_H
#define CAPP_RACE_ROW_H

#include "prompt/prompt.h"
#include "race/bounds.h"
#include "race/race.h"

enum {
    CAPP_MOST_PLACES = 256,      /* beginnings that a row extends in a round */
    CAPP_MOST_ACTIVE_ROWS = 4096 /* rows between the first undecided one and the last begun */
};

/* Races of a row. Where the fast lane does not decide, those within its margin race again in the exact one; should that
 * put them all below others, everyone does. */
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

/* What the round finds out: the next log-probability of a runner. */
typedef struct capp_race_step {
    size_t runner;
    uint32_t node, place; /* that takes it; where the runner stands then */
} capp_race_step;

typedef struct capp_race_call {
    capp_session *session;
    capp_lane *lane;       /* of the round */
    size_t n_close;        /* rows that race again */
    uint64_t close_tokens; /* token rows of the exact lane */
    const capp_example *examples;
    size_t total, next; /* examples; those that were made rows */
    const capp_run_options *options;
    double margin;
    capp_race_fn fn;
    void *user;
    capp_race_row **rows; /* [n_rows] begun or decided, in order; those before `delivered` are gone */
    size_t n_rows, rows_capacity, delivered;
    capp_race_row **in_round; /* [n_in_round] rows that take part */
    size_t n_in_round, in_round_capacity;
    capp_completions *completions; /* of the last row */
    size_t bytes;                  /* that rows and their completions take */
    capp_race_step *steps;         /* [n_steps] of the round */
    size_t n_steps, steps_capacity;
    capp_place places[CAPP_MOST_PLACES];
    size_t n_places;     /* of the row that is being added to the round */
    size_t round_tokens; /* token rows of the round so far */
    uint64_t alone;      /* token rows of every completion with its prompt, one by one */
    capp_status row_status;
    capp_error row_error;
} capp_race_call;

/* The next example becomes the last row. One at fault ends the call after the rows before it: it is in row_status. */
capp_status capp_race_add_row(capp_race_call *call, capp_error *err);

/* Begins the row's next race, where the one that is over decides nothing. */
bool capp_race_row_again(capp_race_call *call, capp_race_row *row);

/* The row is decided by its race. */
void capp_race_row_decide(capp_race_call *call, capp_race_row *row);

/* row may be NULL. */
void capp_race_row_free(capp_race_call *call, capp_race_row *row);

/* Nodes of the tree whose memory would hold the bytes: one budget for both. */
size_t capp_race_nodes_of(size_t bytes);

#endif
