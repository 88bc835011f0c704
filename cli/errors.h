/* OUT.errors.jsonl: the rows of the input that could not be scored, with their reasons, beside the output. */
#ifndef CLI_ERRORS_H
#define CLI_ERRORS_H

#include "output.h"
#include "rows.h"

typedef struct error_list {
    output file;   /* .file below 0: there is none */
    char *path;    /* owned */
    size_t *rows;  /* [n_kept] indices among the input's rows that an earlier run has written, rising */
    uint64_t *end; /* [n_kept] of their lines in the file */
    size_t n_kept, rows_capacity, end_capacity;
    size_t next; /* the first of them at or behind the index that errors_has was asked for last */
} error_list;

/* Beside out. resume: what an earlier run has written is read, else it goes when the first row is written. */
bool errors_open(error_list *e, const output *out, bool resume, capp_error *err);

/* Whether an earlier run could not score this row; indices rise from call to call. */
bool errors_has(error_list *e, size_t index);

/* What is said of rows from index on goes: the run goes on there. */
void errors_cut(error_list *e, size_t index);

/* False after an error of the system. */
bool errors_add(error_list *e, const row *of, size_t index);

/* False after any error. */
bool errors_close(error_list *e);

#endif
