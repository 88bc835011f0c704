#include "store.h"

#include "store_parts.h"

#include "names.h"
#include "values.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { APPLICATION = 0x63617070, FORMAT = 2 }; /* "capp" */

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
    "CREATE VIEW decisions AS SELECT rows.row, rows.id,"
    " CASE WHEN lists.own = 0 AND EXISTS(SELECT 1 FROM settings WHERE name = 'class_of')"
    " THEN json_extract((SELECT value FROM settings WHERE name = 'classes'), '$[' || rows.prediction || ']')"
    " ELSE completions.text END AS prediction, rows.probability, rows.margin,"
    " labels.label, rows.prompt, rows.fields FROM rows LEFT JOIN lists ON lists.list = rows.list"
    " LEFT JOIN completions ON completions.list = rows.list AND completions.place = rows.prediction"
    " LEFT JOIN labels ON labels.row = rows.row;";

/* ---- Transactions ---------------------------------------------------------------------------------------------- */

bool store_commit(store *s) {
    if (!s->changing || s->error) return !s->error;
    s->changing = false;
    return store_execute(s, "COMMIT");
}

bool store_prepare(store *s, bool fsync) {
    return store_execute(s, "PRAGMA journal_mode = WAL") &&
           store_execute(s, fsync ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL");
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
    static const struct {
        int code;
        const char *cure;
    } cures[] = {
        {SQLITE_NOTADB, "it is not a store of capp; capp classify -o NAME.db makes one"},
        {SQLITE_CORRUPT, "the store is damaged; restore a copy of it, or run capp classify again"},
        {SQLITE_CANTOPEN, "allow reading the file and its folder"},
        {SQLITE_PERM, "allow reading the file and its folder"},
        {SQLITE_READONLY, "allow writing to the file and its folder"},
        {SQLITE_BUSY, "another program writes to it; wait until it ends"},
        {SQLITE_FULL, "free some space"},
        {SQLITE_IOERR, "repair the disk, or copy the file to another one"},
    };
    int code = s->database ? sqlite3_errcode(s->database) & 0xFF : SQLITE_CANTOPEN;
    const char *cure = "run capp classify again";
    for (size_t i = 0; i < sizeof cures / sizeof *cures; i++)
        if (code == cures[i].code) cure = cures[i].cure;
    return fail_at(err, 0, "%s: %s; %s", s->path,
                   s->database ? sqlite3_errmsg(s->database) : "cannot open the database", cure);
}

/* ---- Opening --------------------------------------------------------------------------------------------------- */

static store *new_store(const char *path, int flags) {
    store *s = allocate(1, sizeof *s);
    *s = (store){.path = path};
    char *name = text_of("%s%s", strncmp(path, "file:", 5) ? "" : "./", path); /* SQLite may take "file:" for a URI */
    if (sqlite3_open_v2(name, &s->database, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL)) store_failed(s);
    free(name);
    if (s->database) sqlite3_busy_timeout(s->database, 2000);
    if (s->database) sqlite3_db_config(s->database, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    return s;
}

/* A temporary table hides the one of the store. */
bool store_borrow_labels(store *s, const char *path, capp_error *err) {
    sqlite3_stmt *attach = NULL;
    char *name = text_of("%s%s", strncmp(path, "file:", 5) ? "" : "./", path);
    bool good = !sqlite3_prepare_v2(s->database, "ATTACH ? AS other", -1, &attach, NULL) &&
                !sqlite3_bind_text(attach, 1, name, -1, SQLITE_STATIC) && sqlite3_step(attach) == SQLITE_DONE;
    sqlite3_finalize(attach);
    free(name);
    good = good && store_execute(s, "CREATE TEMP TABLE labels(row INTEGER PRIMARY KEY, label TEXT);"
                                    "INSERT INTO temp.labels SELECT row, label FROM other.labels; DETACH other");
    return good || store_fail(s, err);
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

static bool fail_missing(const char *path, capp_error *err) {
    return fail_at(err, 0, "%s: there is no such file; capp classify -o %s makes a store", path, path);
}

store *store_open(const char *path, bool write, capp_error *err) {
    struct stat status;
    if (stat(path, &status)) {
        if (errno == ENOENT)
            fail_missing(path, err);
        else
            fail_at(err, 0, "%s: cannot open the file: %s; check its folder", path, strerror(errno));
        return NULL;
    }
    if (!S_ISREG(status.st_mode)) {
        fail_at(err, 0, "%s is not a regular file; capp classify -o NAME.db makes a store", path);
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
                "%s is a store of format %lld, and this version of capp reads format %d; use the version that made it, "
                "or run capp classify again",
                path, (long long)format, FORMAT);
    else
        return s;
    return refuse(s);
}

bool store_is_unused(const char *path) {
    store *s = new_store(path, SQLITE_OPEN_READWRITE);
    bool unused = !s->error && !store_number(s, "SELECT count(*) FROM sqlite_schema") && !s->error;
    store_close(s);
    return unused;
}

int store_lock(const char *path, capp_error *err) {
    int file = open(path, O_RDWR | O_CLOEXEC);
    if (file < 0 && errno == ENOENT) {
        fail_missing(path, err);
    } else if (file < 0) {
        fail_at(err, 0, "%s: cannot write the file: %s", path, strerror(errno));
    } else if (flock(file, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK) {
        fail_at(err, 0, "%s: another process is writing to this store; wait until it ends", path);
        close(file);
        file = -1;
    }
    return file;
}

store *store_make(const char *path, int file, bool fsync, capp_error *err) {
    static const char *const beside[] = {"-wal", "-shm", "-journal"};
    if (ftruncate(file, 0)) {
        fail_at(err, 0, "%s: cannot write the file: %s", path, strerror(errno));
        return NULL;
    }
    for (size_t i = 0; i < sizeof beside / sizeof *beside; i++) {
        char *name = text_of("%s%s", path, beside[i]);
        unlink(name);
        free(name);
    }
    store *s = new_store(path, SQLITE_OPEN_READWRITE);
    char marks[96];
    snprintf(marks, sizeof marks, "PRAGMA application_id = %d; PRAGMA user_version = %d", APPLICATION, FORMAT);
    bool made =
        !s->error && store_prepare(s, fsync) && store_begin(s) && store_execute(s, marks) && store_execute(s, schema);
    if (made) return s; /* the first rows are committed with the tables */
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
