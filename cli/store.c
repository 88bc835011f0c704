#define _GNU_SOURCE
#include "store_parts.h"

#include "values.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

enum { APPLICATION = 0x63617070, FORMAT = 1 }; /* "capp" */

/* docs/store.md describes each table and column. */
static const char schema[] =
    "CREATE TABLE settings(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE lists(list INTEGER PRIMARY KEY, own INTEGER NOT NULL, end_of_prompt TEXT);"
    "CREATE TABLE completions(list INTEGER NOT NULL, place INTEGER NOT NULL, text TEXT NOT NULL, ids TEXT NOT NULL,"
    " tokens TEXT NOT NULL, PRIMARY KEY(list, place)) WITHOUT ROWID;"
    "CREATE TABLE marginals(list INTEGER NOT NULL, domain TEXT NOT NULL, logprobs BLOB NOT NULL,"
    " PRIMARY KEY(list, domain)) WITHOUT ROWID;"
    "CREATE TABLE rows(row INTEGER PRIMARY KEY, line INTEGER NOT NULL, id TEXT NOT NULL, id_json INTEGER NOT NULL,"
    " fields TEXT, prompt TEXT, list INTEGER, prior TEXT, normalize INTEGER, prediction INTEGER, probability REAL,"
    " margin REAL, logprobs BLOB, first_logprobs BLOB, rescored BLOB, error TEXT);"
    "CREATE TABLE labels(row INTEGER PRIMARY KEY, label TEXT NOT NULL, time TEXT NOT NULL);"
    "CREATE VIEW decisions AS SELECT rows.row, rows.id, completions.text AS prediction, rows.probability, rows.margin,"
    " labels.label, rows.prompt, rows.fields FROM rows"
    " LEFT JOIN completions ON completions.list = rows.list AND completions.place = rows.prediction"
    " LEFT JOIN labels ON labels.row = rows.row;";

static const char *const texts[QUERIES] = {
    [QUERY_ADD_ROW] = "INSERT INTO rows VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
    [QUERY_ADD_LIST] = "INSERT OR REPLACE INTO lists VALUES(?,?,?)",
    [QUERY_ADD_COMPLETION] = "INSERT OR REPLACE INTO completions VALUES(?,?,?,?,?)",
    [QUERY_ADD_MARGINALS] = "INSERT OR REPLACE INTO marginals VALUES(?,?,?)",
    [QUERY_SET] = "INSERT OR REPLACE INTO settings VALUES(?,?)",
    [QUERY_GET] = "SELECT value FROM settings WHERE name = ?",
    [QUERY_COMPLETIONS] = "SELECT text, ids FROM completions WHERE list = ? ORDER BY place",
    [QUERY_LIST] = "SELECT own, end_of_prompt FROM lists WHERE list = ?",
    [QUERY_MARGINALS] = "SELECT logprobs FROM marginals WHERE list = ? AND domain = ?",
    [QUERY_RESCORE] = "UPDATE rows SET logprobs = ?2, first_logprobs = ?3, rescored = ?4 WHERE row = ?1",
};

bool store_is_name(const char *path) {
    return path && (ends_with(path, ".db") || ends_with(path, ".sqlite") || ends_with(path, ".sqlite3"));
}

/* ---- Statements ------------------------------------------------------------------------------------------------ */

bool store_failed(store *s) {
    int code = sqlite3_extended_errcode(s->database) & 0xFF, system = sqlite3_system_errno(s->database);
    if (code == SQLITE_NOMEM) out_of_memory();
    if (s->error) return false;
    s->error = code == SQLITE_FULL       ? ENOSPC
               : code == SQLITE_READONLY ? EACCES
               : code == SQLITE_BUSY     ? EBUSY
               : system                  ? system
                                         : EIO;
    return false;
}

sqlite3_stmt *store_query_of(store *s, store_query query) {
    sqlite3_stmt **statement = &s->queries[query];
    if (*statement)
        sqlite3_reset(*statement);
    else if (sqlite3_prepare_v3(s->database, texts[query], -1, SQLITE_PREPARE_PERSISTENT, statement, NULL))
        store_failed(s);
    return *statement;
}

bool store_step(store *s, sqlite3_stmt *statement) {
    int code = statement ? sqlite3_step(statement) : SQLITE_ERROR;
    if (code != SQLITE_DONE) store_failed(s);
    if (statement) sqlite3_reset(statement);
    return code == SQLITE_DONE;
}

void store_bind_text(sqlite3_stmt *statement, int place, capp_str text) {
    if (statement)
        sqlite3_bind_text64(statement, place, text.size ? text.data : "", text.size, SQLITE_STATIC, SQLITE_UTF8);
}

void store_bind_blob(sqlite3_stmt *statement, int place, const void *data, size_t size) {
    if (statement && data) sqlite3_bind_blob64(statement, place, data, size, SQLITE_STATIC);
}

capp_str store_column(sqlite3_stmt *statement, int column) {
    const char *text = (const char *)sqlite3_column_text(statement, column);
    return (capp_str){text, (size_t)sqlite3_column_bytes(statement, column)};
}

static bool execute(store *s, const char *text) {
    return !sqlite3_exec(s->database, text, NULL, NULL, NULL) || store_failed(s);
}

/* ---- Transactions ---------------------------------------------------------------------------------------------- */

bool store_begin(store *s) {
    if (s->changing || s->error) return !s->error;
    s->changing = execute(s, "BEGIN IMMEDIATE");
    return s->changing;
}

bool store_commit(store *s) {
    if (!s->changing || s->error) return !s->error;
    s->changing = false;
    return execute(s, "COMMIT");
}

void store_fsync(store *s, bool fsync) {
    execute(s, fsync ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL");
}

void store_settle(store *s) {
    for (size_t i = 0; i < QUERIES; i++) {
        sqlite3_finalize(s->queries[i]);
        s->queries[i] = NULL;
    }
    sqlite3_exec(s->database, "PRAGMA journal_mode = DELETE", NULL, NULL, NULL); /* not while somebody reads: later */
}

int store_errno(const store *s) {
    return s->error;
}

bool store_fail(const store *s, capp_error *err) {
    return fail_at(err, 0, "%s: %s", s->path, s->database ? sqlite3_errmsg(s->database) : "cannot open the database");
}

/* ---- Opening --------------------------------------------------------------------------------------------------- */

static char *joined(const char *path, const char *ending) {
    size_t n = strlen(path), more = strlen(ending) + 1;
    char *text = allocate(n + more, 1);
    memcpy(text, path, n);
    memcpy(text + n, ending, more);
    return text;
}

static store *new_store(const char *path, int flags) {
    store *s = allocate(1, sizeof *s);
    *s = (store){.path = path};
    if (sqlite3_open_v2(path, &s->database, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL)) store_failed(s);
    if (s->database) sqlite3_busy_timeout(s->database, 2000);
    if (s->database) sqlite3_db_config(s->database, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    return s;
}

int64_t store_number(store *s, const char *query) {
    sqlite3_stmt *statement = NULL;
    int64_t number = 0;
    if (sqlite3_prepare_v2(s->database, query, -1, &statement, NULL)) {
        store_failed(s);
    } else {
        int code = sqlite3_step(statement);
        if (code == SQLITE_ROW)
            number = sqlite3_column_int64(statement, 0);
        else if (code != SQLITE_DONE)
            store_failed(s);
    }
    sqlite3_finalize(statement);
    return number;
}

static store *refuse(store *s) {
    store_close(s);
    return NULL;
}

store *store_open(const char *path, bool write, capp_error *err) {
    if (access(path, F_OK)) {
        fail_at(err, 0, "%s: there is no such file; capp classify -o %s makes a store", path, path);
        return NULL;
    }
    store *s = new_store(path, write ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY);
    int64_t application = s->error ? 0 : store_number(s, "PRAGMA application_id");
    int64_t format = s->error ? 0 : store_number(s, "PRAGMA user_version");
    if (s->error)
        store_fail(s, err);
    else if (application != APPLICATION)
        fail_at(err, 0, "%s is not a store of capp; capp classify -o NAME.db makes one", path);
    else if (format != FORMAT)
        fail_at(err, 0,
                "%s is a store of format %lld, and this version of capp reads format %d; use the version that made it",
                path, (long long)format, FORMAT);
    else
        return s;
    return refuse(s);
}

int store_lock(const char *path, capp_error *err) {
    int file = open(path, O_RDWR | O_CLOEXEC);
    if (file < 0) {
        fail_at(err, 0, "%s: cannot write the file: %s", path, strerror(errno));
    } else if (flock(file, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK) {
        fail_at(err, 0, "%s: another process is writing to this store; wait until it ends", path);
        close(file);
        file = -1;
    }
    return file;
}

store *store_make(const char *path, int file, capp_error *err) {
    static const char *const beside[] = {"-wal", "-shm", "-journal"};
    if (ftruncate(file, 0)) {
        fail_at(err, 0, "%s: cannot write the file: %s", path, strerror(errno));
        return NULL;
    }
    for (size_t i = 0; i < sizeof beside / sizeof *beside; i++) {
        char *name = joined(path, beside[i]);
        unlink(name);
        free(name);
    }
    store *s = new_store(path, SQLITE_OPEN_READWRITE);
    char marks[96];
    snprintf(marks, sizeof marks, "PRAGMA application_id = %d; PRAGMA user_version = %d", APPLICATION, FORMAT);
    /* With a log, others can read the store while a run writes to it. */
    bool made = !s->error && execute(s, "PRAGMA journal_mode = WAL") && store_begin(s) && execute(s, marks) &&
                execute(s, schema) && store_commit(s);
    if (made) return s;
    store_fail(s, err);
    errno = s->error;
    return refuse(s);
}

void store_close(store *s) {
    if (!s) return;
    for (size_t i = 0; i < QUERIES; i++) sqlite3_finalize(s->queries[i]);
    if (s->changing) sqlite3_exec(s->database, "ROLLBACK", NULL, NULL, NULL);
    sqlite3_close(s->database);
    buffer_free(&s->text);
    free(s);
}

/* ---- Settings -------------------------------------------------------------------------------------------------- */

capp_str store_get(store *s, const char *name, arena *a) {
    sqlite3_stmt *statement = store_query_of(s, QUERY_GET);
    capp_str value = {NULL, 0};
    store_bind_text(statement, 1, capp_str_of(name));
    int code = statement ? sqlite3_step(statement) : SQLITE_ERROR;
    if (code == SQLITE_ROW)
        value = arena_copy(a, store_column(statement, 0));
    else if (code != SQLITE_DONE)
        store_failed(s);
    if (statement) sqlite3_reset(statement);
    return value;
}

bool store_set(store *s, const char *name, capp_str value) {
    if (!store_begin(s)) return false;
    sqlite3_stmt *statement = store_query_of(s, QUERY_SET);
    store_bind_text(statement, 1, capp_str_of(name));
    store_bind_text(statement, 2, value);
    return store_step(s, statement);
}
