/* The loop that all commands with rows share: it reads windows of rows, makes one call of the library for each, and
 * writes rows. */
#ifndef CLI_RUN_H
#define CLI_RUN_H

#include "check.h"
#include "errors.h"
#include "kept.h"
#include "output_file.h"
#include "output_rows.h"
#include "progress.h"
#include "rows.h"
#include "stream.h"

typedef struct run run;

/* written: this_row as an earlier run wrote it to the output. Returns false and a message if it is not a row of this
 * form. */
typedef bool (*kept_row_fn)(run *this_run, const row *this_row, const record *written, void *user, capp_error *err);

struct run {
    const options *options;
    row_rules rules;
    reader reader;
    check check;
    output output;
    error_list errors; /* next to a file of rows, if bad rows do not end the run */
    table table;       /* classify, evaluate */
    bool tabular;      /* rows are written in the columns of table */
    capp_model *model;
    capp_chat *chat;       /* NULL: none was asked for */
    capp_session *session; /* NULL if the command needs none */
    progress progress;
    stream stream;
    capp_scoring scoring; /* of the last call, if there is a discount */
    arena memory;         /* of the window */
    row *rows;            /* [n_rows] the window, including bad rows */
    double *share;        /* [n_rows] share of the work that is done with each row; below 0 if unknown */
    size_t n_rows, rows_capacity, share_capacity;
    row *good;     /* [n_good] rows that can be scored */
    size_t *place; /* [n_good] their indices in rows */
    size_t n_good, good_capacity, place_capacity;
    size_t calling;    /* index in good of the first row of the call that runs */
    size_t passed;     /* rows of the window that are written or left out */
    size_t first;      /* index of rows[0] among all rows */
    size_t kept;       /* rows of an earlier run in the output that were skipped */
    size_t done;       /* rows scored */
    size_t n_bad;      /* rows that could not be scored */
    size_t n_long;     /* of these, rows that were too long for the context */
    double share_read; /* share of the work up to the end of the window */
    bool begun;        /* the output is this run's */
    double seconds;    /* seconds spent in windows */
    kept_rows kept_rows;
    kept_row_fn on_kept; /* NULL: kept rows are skipped without reading them */
    void *kept_user;
};

/* Computes and writes rows[0 .. n), which are all good. err->row, if set, is an index of them. */
typedef capp_status (*window_fn)(run *this_run, const row *rows, size_t n, void *user, capp_error *err);

/* Opens everything that the options name. False: a message was printed, and the exit status is EXIT_FAILED; call
 * run_close anyway. writes: rows go to the output (for evaluate: only with -o). */
bool run_open(run *this_run, const options *settings, row_need need, bool session);

/* Passes the rows of an earlier run that the output contains to fn, one by one, while they are skipped. */
bool run_read_kept(run *this_run, kept_row_fn fn, void *user, capp_error *err);

/* Reads, computes and writes all rows. Returns the exit status. */
int run_windows(run *this_run, window_fn fn, void *user);

/* Closes everything. Returns code, or EXIT_FAILED if the output failed. */
int run_close(run *this_run, int code);

/* All three, for a command that needs nothing else. */
int run_rows(const options *settings, row_need need, bool session, window_fn fn);

/* The capp_progress_fn of a call with rows of the window; user is the run. Returns false after a signal. */
bool run_progress(void *user, size_t done, size_t total);

/* Sets the options of a call with rows of the window. Before a call without these options, run_call tells run_progress
 * which rows the call has. */
void run_options_of(run *this_run, const row *rows, capp_run_options *how);
void run_call(run *this_run, const row *rows);

/* Scores rows [0 .. n) of the window and passes each result to fn. */
typedef bool (*row_result_fn)(run *this_run, const row *this_row, const capp_result *result, void *user);
capp_status run_score(run *this_run, const row *rows, size_t n, row_result_fn fn, void *user, capp_error *err);

/* Decides rows [0 .. n) of the window without finishing classes that cannot win, and passes each decision to fn. */
typedef bool (*row_decision_fn)(run *this_run, const row *this_row, const capp_decision *decision, void *user);
capp_status run_decide(run *this_run, const row *rows, size_t n, row_decision_fn fn, void *user, capp_error *err);

/* Call this before a row is written or counted: handles the bad rows before it. False after an error of the output. */
bool run_reach(run *this_run, const row *this_row);

/* Ends the row in run->output.row. False after an error or a signal. */
bool run_end_row(run *this_run);

/* Writes a row of classify or evaluate. */
bool write_choice(run *this_run, const row *this_row, const capp_result *result);
bool write_decision(run *this_run, const row *this_row, const capp_decision *decision);

/* Begins a JSON row in run->output.row: {"id": ... */
bool begin_row(run *this_run, const row *this_row);

#endif
