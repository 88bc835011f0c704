/* The loop that all commands on rows share: windows of rows in, one call of the library each, rows out. */
#ifndef CLI_RUN_H
#define CLI_RUN_H

#include "check.h"
#include "errors.h"
#include "output.h"
#include "progress.h"
#include "rows.h"
#include "table.h"

typedef struct run {
    const options *options;
    row_rules rules;
    reader reader;
    check check;
    output output;
    error_list errors; /* beside a file of rows, where bad rows do not end the run */
    table table;       /* classify, evaluate */
    bool tabular;      /* rows are written in the columns of table */
    capp_model *model;
    capp_chat *chat;       /* NULL: none was asked for */
    capp_session *session; /* NULL where the command needs none */
    progress progress;
    arena memory;  /* of the window */
    row *rows;     /* [n_rows], the window, bad rows among them */
    double *share; /* [n_rows] of the work that is done with each row; below 0 where unknown */
    size_t n_rows, rows_capacity, share_capacity;
    row *good;     /* [n_good] those that can be scored */
    size_t *place; /* [n_good] of them in rows */
    size_t n_good, good_capacity, place_capacity;
    size_t calling;    /* index in good of the first row of the call that runs */
    size_t passed;     /* rows of the window that are written, or left out */
    size_t first;      /* index of rows[0] among all rows */
    size_t kept;       /* rows that the output holds of an earlier run and that have been passed over */
    size_t done;       /* rows scored */
    size_t n_bad;      /* rows that could not be scored */
    double share_read; /* of the work, up to the window's end */
    bool begun;        /* the output is this run's */
    double seconds;    /* spent in windows */
} run;

/* The chat that the options ask for, or NULL. */
bool chat_open(capp_chat **chat, const options *o, const capp_model *model, capp_error *err);

/* Works on rows[0 .. n), all good, and writes them; err->row, where there is one, is an index of them. */
typedef capp_status (*window_fn)(run *r, const row *rows, size_t n, void *user, capp_error *err);

/* Opens all that the options name. False: a message was printed, the exit status is EXIT_FAILED; close all the same.
 * writes: rows go to the output (evaluate: only where asked). */
bool run_open(run *r, const options *o, row_need need, bool session);

/* Reads and works on all rows; the exit status. */
int run_windows(run *r, window_fn fn, void *user);

/* code, or a failure of the output. */
int run_close(run *r, int code);

/* All three: for a command that has nothing else to do. */
int run_rows(const options *o, row_need need, bool session, window_fn fn);

/* capp_progress_fn of a call on rows of the window; user: the run. False once a signal came. */
bool run_progress(void *user, size_t done, size_t total);

/* Options of a call on rows of the window. A call without them is told of by run_call, for run_progress. */
void run_options_of(run *r, const row *rows, capp_run_options *how);
void run_call(run *r, const row *rows);

/* Scores rows [0 .. n) of the window with the library, each result to fn. */
typedef bool (*row_result_fn)(run *r, const row *of, const capp_result *result, void *user);
capp_status run_score(run *r, const row *rows, size_t n, row_result_fn fn, void *user, capp_error *err);

/* Decides rows [0 .. n) of the window without finishing what cannot win, each decision to fn. */
typedef bool (*row_decision_fn)(run *r, const row *of, const capp_decision *decision, void *user);
capp_status run_decide(run *r, const row *rows, size_t n, row_decision_fn fn, void *user, capp_error *err);

/* A row is about to be written, or counted: bad rows before it are dealt with. False after an error of the output. */
bool run_reach(run *r, const row *of);

/* The row, which run->output.row holds, is complete. False after an error or a signal. */
bool run_end_row(run *r);

/* Writes a row of classify or evaluate. */
bool write_choice(run *r, const row *of, const capp_result *result);
bool write_decision(run *r, const row *of, const capp_decision *decision);

/* The beginning of a JSON row in run->output.row: {"id": ... */
bool begin_row(run *r, const row *of);

#endif
