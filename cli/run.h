/* The loop that all commands on rows share: windows of rows in, one call of the library each, rows out. */
#ifndef CLI_RUN_H
#define CLI_RUN_H

#include "check.h"
#include "output.h"
#include "progress.h"
#include "rows.h"

typedef struct run {
    const options *options;
    row_rules rules;
    reader reader;
    check check;
    output output;
    capp_model *model;
    capp_chat *chat;       /* NULL: none was asked for */
    capp_session *session; /* NULL where the command needs none */
    progress progress;
    arena memory; /* of the window */
    row *rows;    /* [n_rows], the window */
    size_t n_rows, rows_capacity;
    size_t first;    /* index of rows[0] among all rows */
    size_t done;     /* rows written */
    double share[2]; /* of the input, before and behind the window; below 0 where unknown */
    double seconds;  /* spent in windows */
} run;

/* The chat that the options ask for, or NULL. */
bool chat_open(capp_chat **chat, const options *o, const capp_model *model, capp_error *err);

/* Works on rows[0 .. n) and writes them; err->row, where there is one, is an index of them. */
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

/* capp_progress_fn of a call on rows that begin at the window's; user: the run. False once a signal came. */
bool run_progress(void *user, size_t done, size_t total);

/* Scores rows [0 .. n) of the window with the library, each result to fn. */
typedef bool (*row_result_fn)(run *r, const row *of, const capp_result *result, void *user);
capp_status run_score(run *r, const row *rows, size_t n, row_result_fn fn, void *user, capp_error *err);

/* Decides rows [0 .. n) of the window without finishing what cannot win, each decision to fn. */
typedef bool (*row_decision_fn)(run *r, const row *of, const capp_decision *decision, void *user);
capp_status run_decide(run *r, const row *rows, size_t n, row_decision_fn fn, void *user, capp_error *err);

/* Writes the row of classify; correct: where the label is known. */
bool write_choice(run *r, const row *of, const capp_result *result, bool labelled);
bool write_decision(run *r, const row *of, const capp_decision *decision, bool labelled);

/* The beginning of a JSON row: {"id": ... */
void begin_row(buffer *b, const row *of);

#endif
