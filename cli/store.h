/* A score store: an SQLite database with the settings, prompts, completions, token log-probabilities and decisions of a
 * run of classify. docs/store.md describes its tables. */
#ifndef CLI_STORE_H
#define CLI_STORE_H

#include "rows.h"

typedef struct store store;

/* ---- store.c: the database ---- */

/* Opens the store in an existing file. Returns NULL and a message if the file is not a store. write: rows can be
 * changed; the caller has locked the file. */
store *store_open(const char *path, bool write, capp_error *err);

/* Whether the file is a database without tables: a run was stopped before its first rows were written. */
bool store_is_unused(const char *path);

/* Locks the file against other writers. Returns a descriptor, to be closed after the store; -1 and a message if another
 * process has the lock. */
int store_lock(const char *path, capp_error *err);

/* Makes a store in the locked file, whose contents are removed. */
store *store_make(const char *path, int file, bool fsync, capp_error *err);

/* Rolls back what was not committed. s may be NULL. */
void store_close(store *s);

/* For a run, before its first transaction: others can read the store while it is written. fsync: each transaction waits
 * for the disk. */
bool store_prepare(store *s, bool fsync);

/* Ends a transaction. Every change begins one, if none is open. */
bool store_commit(store *s);

/* Writes what is still in the log into the file, so that it is one file. */
void store_settle(store *s);

/* The errno that describes the last failure best. */
int store_errno(const store *s);
bool store_fail(const store *s, capp_error *err); /* its message; returns false */

/* A setting; size 0 if there is none. In memory of a. */
capp_str store_get(store *s, const char *name, arena *a);
bool store_set(store *s, const char *name, capp_str value);

/* Reads the labels of another store instead of those of this one. */
bool store_borrow_labels(store *s, const char *path, capp_error *err);

/* A number that a query without parameters returns; 0 if there is none. */
int64_t store_number(store *s, const char *query);

/* ---- store_write.c: the rows of a run ---- */

/* Marginals of a list of completions; domain: "" without one. */
bool store_add_marginals(store *s, const char *domain, size_t list, const double *marginals, size_t n);

/* model: for the texts of tokens. index: the row's index in the input. */
bool store_add(store *s, const options *settings, const row_rules *rules, const capp_model *model, size_t index,
               const row *this_row, const capp_result *result);
bool store_add_bad(store *s, size_t index, const row *this_row);

/* A label that a person gave; size 0 removes it. Ends the transaction. */
bool store_label(store *s, size_t index, capp_str label);

#endif
