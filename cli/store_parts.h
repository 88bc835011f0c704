/* What the files of the store share: prepared statements. */
#ifndef CLI_STORE_PARTS_H
#define CLI_STORE_PARTS_H

#include "util.h"

#include <sqlite3.h>

typedef struct store store;

enum { STORE_LISTS = 1024 };

typedef enum store_query {
    QUERY_ADD_ROW,
    QUERY_ADD_LIST,
    QUERY_ADD_COMPLETION,
    QUERY_ADD_MARGINALS,
    QUERY_SET,
    QUERY_GET,
    QUERY_COMPLETIONS,
    QUERY_LIST,
    QUERY_COUNT,
    QUERY_TOKENS,
    QUERY_MARGINALS,
    QUERY_RESCORE,
    QUERY_ADD_ROTATION,
    QUERY_HAS_ROTATIONS,
    QUERY_ADD_LABEL,
    QUERY_REMOVE_LABEL,
    QUERIES
} store_query;

/* A list of completions that was written: which rows have it. */
typedef struct stored_list {
    uint64_t hash[2];
    size_t list, n_tokens;
    bool known;
} stored_list;

struct store {
    sqlite3 *database;
    const char *path;
    char *log, *shared; /* the paths of the two files beside it */
    sqlite3_stmt *queries[QUERIES];
    bool changing;                  /* a transaction is open */
    int error;                      /* errno of the first failure, or 0 */
    buffer text;                    /* of one value */
    stored_list lists[STORE_LISTS]; /* of rows with their own completions, by hash */
    stored_list classes;            /* of the run's classes */
};

/* The statement, reset. NULL after a failure. */
sqlite3_stmt *store_query_of(store *s, store_query query);

/* Runs a statement that returns nothing. */
bool store_step(store *s, sqlite3_stmt *statement);

/* Runs statements without parameters. */
bool store_execute(store *s, const char *text);

/* Begins a transaction, if none is open. */
bool store_begin(store *s);

bool store_failed(store *s); /* notes the failure; returns false */

void store_bind_text(sqlite3_stmt *statement, int place, capp_str text);
void store_bind_blob(sqlite3_stmt *statement, int place, const void *data, size_t size);

/* The text of a column; valid until the statement goes on. */
capp_str store_column(sqlite3_stmt *statement, int column);

#endif
