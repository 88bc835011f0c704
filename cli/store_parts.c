#include "store_parts.h"

#include <errno.h>

static const char *const texts[QUERIES] = {
    [QUERY_ADD_ROW] = "INSERT INTO rows VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
    [QUERY_ADD_LIST] = "INSERT OR REPLACE INTO lists VALUES(?,?,?)",
    [QUERY_ADD_COMPLETION] = "INSERT OR REPLACE INTO completions VALUES(?,?,?,?,?)",
    [QUERY_ADD_MARGINALS] = "INSERT OR REPLACE INTO marginals VALUES(?,?,?)",
    [QUERY_SET] = "INSERT OR REPLACE INTO settings VALUES(?,?)",
    [QUERY_GET] = "SELECT value FROM settings WHERE name = ?",
    [QUERY_COMPLETIONS] = "SELECT text, ids FROM completions WHERE list = ? ORDER BY place",
    [QUERY_COUNT] = "SELECT count(*) FROM completions WHERE list = ?",
    [QUERY_TOKENS] = "SELECT tokens FROM completions WHERE list = ? ORDER BY place",
    [QUERY_LIST] = "SELECT own, end_of_prompt FROM lists WHERE list = ?",
    [QUERY_MARGINALS] = "SELECT logprobs FROM marginals WHERE list = ? AND domain = ?",
    [QUERY_RESCORE] = "UPDATE rows SET logprobs = ?2, first_logprobs = ?3, rescored = ?4 WHERE row = ?1",
    [QUERY_ADD_ROTATION] = "INSERT OR REPLACE INTO rotations VALUES(?,?,?)",
    [QUERY_HAS_ROTATIONS] = "SELECT 1 FROM rotations WHERE row = ? LIMIT 1",
    [QUERY_ADD_LABEL] = "INSERT OR REPLACE INTO labels VALUES(?, ?, strftime('%Y-%m-%dT%H:%M:%SZ', 'now'))",
    [QUERY_REMOVE_LABEL] = "DELETE FROM labels WHERE row = ?",
};

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

bool store_execute(store *s, const char *text) {
    return !sqlite3_exec(s->database, text, NULL, NULL, NULL) || store_failed(s);
}

bool store_begin(store *s) {
    if (s->changing || s->error) return !s->error;
    s->changing = store_execute(s, "BEGIN IMMEDIATE");
    return s->changing;
}
