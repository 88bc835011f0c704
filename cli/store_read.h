/* Reads the rows of a store. */
#ifndef CLI_STORE_READ_H
#define CLI_STORE_READ_H

#include "store_settings.h"

/* A list of completions. */
typedef struct stored_completions {
    size_t list;
    bool own; /* the rows' own, not the run's classes */
    const char *end_of_prompt;
    capp_str *texts; /* [n] */
    size_t n;
    size_t *offset; /* [n + 1] */
    int32_t *ids;   /* [offset[n]] */
} stored_completions;

/* A row. Valid until the next one. */
typedef struct stored_row {
    size_t index;
    row row; /* without label; bad: only line, id, fields and reason */
    const stored_completions *completions;
    const float *logprobs, *first; /* [offset[n]]; first: NULL if no completion was rescored */
    const bool *rescored;          /* [n], or NULL */
    bool own_prior;                /* the row's own, not the run's */
    capp_str label;                /* that capp label gave; size 0: none */
} stored_row;

/* The texts of the tokens of a list's completions. */
typedef struct stored_tokens {
    capp_str **texts; /* [n][size] */
    size_t *size;     /* [n] */
    size_t n;
} stored_tokens;

/* In memory of a. */
bool store_tokens(store *s, size_t list, arena *a, stored_tokens *tokens, capp_error *err);

typedef struct store_rows store_rows;

/* All rows in order. facts must stay valid. */
store_rows *store_rows_open(store *s, const store_facts *facts, capp_error *err);

/* The rows from this index on. */
store_rows *store_rows_at(store *s, const store_facts *facts, size_t index, capp_error *err);

/* READ_END after the last row. READ_FAILED: err has the reason. */
read_status store_rows_next(store_rows *rows, stored_row *next, capp_error *err);

void store_rows_close(store_rows *rows);

/* Calls fn for each row in order until it fails or a signal stops the command, which is no failure here. */
typedef bool (*store_row_fn)(void *user, const stored_row *stored, capp_error *err);
bool store_each(store *s, const store_facts *facts, store_row_fn fn, void *user, capp_error *err);

#endif
