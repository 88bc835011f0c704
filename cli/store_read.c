#include "store_read.h"

#include "json_lists.h"
#include "store_parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct store_rows {
    store *store;
    const store_facts *facts;
    sqlite3_stmt *statement;
    size_t next;                     /* index of the next row */
    arena memory;                    /* of the row */
    arena lists;                     /* of the two lists below */
    stored_completions classes, own; /* the run's classes; the list of the last other row */
    arena own_memory;
};

/* The columns of the query, in their order. */
enum {
    ROW_INDEX,
    ROW_LINE,
    ROW_ID,
    ROW_ID_JSON,
    ROW_FIELDS,
    ROW_PROMPT,
    ROW_LIST,
    ROW_PRIOR,
    ROW_NORMALIZE,
    ROW_LOGPROBS,
    ROW_FIRST,
    ROW_RESCORED,
    ROW_ERROR,
    ROW_LABEL
};
static const char query[] = "SELECT row, line, id, id_json, fields, prompt, list, prior, normalize, logprobs,"
                            " first_logprobs, rescored, error, label FROM rows LEFT JOIN labels USING (row)"
                            " WHERE row >= ? ORDER BY row";

/* ---- Lists ----------------------------------------------------------------------------------------------------- */

static bool add_ids(stored_completions *c, capp_str text, size_t *capacity) {
    json_value array;
    if (!json_array_in(text, &array) || !array.size) return false;
    size_t at = c->offset[c->n];
    grow(&c->ids, capacity, at + json_size(array), sizeof *c->ids);
    for (json_walk w = json_begin(array); json_next(&w);) {
        double id = json_kind_of(w.item) == JSON_KIND_NUMBER ? json_double(w.item) : -1;
        if (!(id >= 0 && id <= INT32_MAX) || id != floor(id)) return false;
        c->ids[at++] = (int32_t)id;
    }
    c->offset[c->n + 1] = at;
    return at > c->offset[c->n];
}

static void free_list(stored_completions *c) {
    free(c->texts);
    free(c->offset);
    free(c->ids);
    *c = (stored_completions){.list = SIZE_MAX};
}

static bool read_list(store *s, size_t list, arena *a, stored_completions *c) {
    free_list(c);
    c->list = list;
    sqlite3_stmt *statement = store_query_of(s, QUERY_LIST);
    if (!statement) return false;
    sqlite3_bind_int64(statement, 1, (int64_t)list);
    if (sqlite3_step(statement) != SQLITE_ROW) return false;
    c->own = sqlite3_column_int(statement, 0) != 0;
    if (sqlite3_column_type(statement, 1) != SQLITE_NULL)
        c->end_of_prompt = arena_copy(a, store_column(statement, 1)).data;
    statement = store_query_of(s, QUERY_COMPLETIONS);
    if (!statement) return false;
    sqlite3_bind_int64(statement, 1, (int64_t)list);
    size_t texts = 0, offsets = 0, ids = 0;
    int code;
    grow(&c->offset, &offsets, 1, sizeof *c->offset);
    c->offset[0] = 0;
    while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
        grow(&c->texts, &texts, c->n + 1, sizeof *c->texts);
        grow(&c->offset, &offsets, c->n + 2, sizeof *c->offset);
        c->texts[c->n] = arena_copy(a, store_column(statement, 0));
        if (!add_ids(c, store_column(statement, 1), &ids)) return false;
        c->n++;
    }
    return code == SQLITE_DONE && c->n > 0;
}

static const stored_completions *list_of(store_rows *r, size_t list) {
    stored_completions *c = list ? &r->own : &r->classes;
    if (c->list == list) return c;
    if (list) arena_reset(&r->own_memory);
    if (read_list(r->store, list, list ? &r->own_memory : &r->lists, c)) return c;
    c->list = SIZE_MAX;
    return NULL;
}

bool store_tokens(store *s, size_t list, arena *a, stored_tokens *tokens, capp_error *err) {
    sqlite3_stmt *statement = store_query_of(s, QUERY_COUNT);
    if (!statement) return store_fail(s, err);
    sqlite3_bind_int64(statement, 1, (int64_t)list);
    size_t most = sqlite3_step(statement) == SQLITE_ROW ? (size_t)sqlite3_column_int64(statement, 0) : 0;
    sqlite3_reset(statement);
    *tokens = (stored_tokens){arena_allocate(a, most, sizeof(capp_str *)), arena_allocate(a, most, sizeof(size_t)), 0};
    statement = store_query_of(s, QUERY_TOKENS);
    if (!statement) return store_fail(s, err);
    sqlite3_bind_int64(statement, 1, (int64_t)list);
    for (; tokens->n < most && sqlite3_step(statement) == SQLITE_ROW; tokens->n++)
        if (!json_strings(store_column(statement, 0), a, &tokens->texts[tokens->n], &tokens->size[tokens->n]))
            return fail_at(err, 0, "%s: the tokens of list %zu are damaged; run capp classify again", s->path, list);
    return !s->error || store_fail(s, err);
}

/* ---- Rows ------------------------------------------------------------------------------------------------------ */

store_rows *store_rows_open(store *s, const store_facts *facts, capp_error *err) {
    return store_rows_at(s, facts, 0, err);
}

store_rows *store_rows_at(store *s, const store_facts *facts, size_t index, capp_error *err) {
    store_rows *r = allocate(1, sizeof *r);
    *r = (store_rows){.store = s, .facts = facts, .classes.list = SIZE_MAX, .own.list = SIZE_MAX};
    r->next = index;
    if (!sqlite3_prepare_v2(s->database, query, -1, &r->statement, NULL) &&
        !sqlite3_bind_int64(r->statement, 1, (int64_t)index))
        return r;
    store_fail(s, err);
    store_rows_close(r);
    return NULL;
}

void store_rows_close(store_rows *r) {
    if (!r) return;
    sqlite3_finalize(r->statement);
    free_list(&r->classes);
    free_list(&r->own);
    arena_free(&r->memory);
    arena_free(&r->lists);
    arena_free(&r->own_memory);
    free(r);
}

static capp_str text_of(store_rows *r, int column) {
    if (sqlite3_column_type(r->statement, column) == SQLITE_NULL) return (capp_str){NULL, 0};
    return arena_copy(&r->memory, store_column(r->statement, column));
}

/* The bytes of a column, if there are exactly n items; NULL otherwise. */
static const void *items_of(store_rows *r, int column, size_t n, size_t size) {
    const void *data = sqlite3_column_blob(r->statement, column);
    if (!data || (size_t)sqlite3_column_bytes(r->statement, column) != n * size) return NULL;
    void *copy = arena_allocate(&r->memory, n, size);
    memcpy(copy, data, n * size);
    return copy;
}

static bool read_fields(store_rows *r, row *of) {
    size_t at;
    const char *reason;
    json_value object;
    if (!json_check(text_of(r, ROW_FIELDS), &object, &at, &reason) || json_kind_of(object) != JSON_KIND_OBJECT)
        return false;
    field *fields = arena_allocate(&r->memory, json_size(object), sizeof *fields);
    for (json_walk w = json_begin(object); json_next(&w); of->n_fields++) {
        bool string = json_kind_of(w.item) == JSON_KIND_STRING;
        fields[of->n_fields] =
            (field){json_copy_string(&r->memory, w.name),
                    string ? json_copy_string(&r->memory, w.item) : arena_copy(&r->memory, w.item), !string};
    }
    of->fields = fields;
    return true;
}

static bool read_example(store_rows *r, stored_row *next) {
    capp_example *e = &next->row.example;
    const row_rules *rules = &r->facts->rules;
    double *prior = NULL;
    size_t n_prior;
    const stored_completions *c = list_of(r, (size_t)sqlite3_column_int64(r->statement, ROW_LIST));
    if (!c) return false;
    next->completions = c;
    *e = (capp_example){.prompt = text_of(r, ROW_PROMPT),
                        .completions = c->own ? c->texts : rules->classes,
                        .n_completions = c->own ? c->n : rules->n_classes,
                        .end_of_prompt = c->end_of_prompt,
                        .normalize = sqlite3_column_int(r->statement, ROW_NORMALIZE) != 0};
    if (!c->own && c->n != (rules->n_phrasings ? rules->n_phrasings : rules->n_classes)) return false;
    if (!json_doubles(text_of(r, ROW_PRIOR), &r->memory, &prior, &n_prior)) return false;
    next->own_prior = n_prior > 0;
    next->row.own_normalize = sqlite3_column_type(r->statement, ROW_NORMALIZE) != SQLITE_NULL;
    if (!next->row.own_normalize) e->normalize = rules->normalize;
    if (n_prior && n_prior != e->n_completions) return false;
    if (n_prior)
        e->prior = prior;
    else if (rules->n_prior == e->n_completions)
        e->prior = rules->prior;
    next->logprobs = items_of(r, ROW_LOGPROBS, c->offset[c->n], sizeof(float));
    next->first = items_of(r, ROW_FIRST, c->offset[c->n], sizeof(float));
    next->rescored = items_of(r, ROW_RESCORED, c->n, sizeof(bool));
    return next->logprobs && !next->first == !next->rescored;
}

read_status store_rows_next(store_rows *r, stored_row *next, capp_error *err) {
    arena_reset(&r->memory);
    int code = sqlite3_step(r->statement);
    if (code == SQLITE_DONE) return READ_END;
    if (code != SQLITE_ROW) {
        store_fail(r->store, err);
        return READ_FAILED;
    }
    *next = (stored_row){.index = (size_t)sqlite3_column_int64(r->statement, ROW_INDEX)};
    if (next->index != r->next++) {
        fail_at(err, 0, "%s: row %zu is missing; run capp classify again", r->store->path, r->next - 1);
        return READ_FAILED;
    }
    row *of = &next->row;
    of->line = (size_t)sqlite3_column_int64(r->statement, ROW_LINE);
    of->id = text_of(r, ROW_ID);
    of->id_string = !sqlite3_column_int(r->statement, ROW_ID_JSON);
    of->reason = text_of(r, ROW_ERROR);
    next->label = text_of(r, ROW_LABEL);
    bool good = read_fields(r, of) && (row_is_bad(of) || read_example(r, next));
    if (good) return READ_ROW;
    fail_at(err, 0, "%s: row %zu is damaged; run capp classify again", r->store->path, next->index);
    return READ_FAILED;
}

bool store_each(store *s, const store_facts *facts, store_row_fn fn, void *user, capp_error *err) {
    stored_row next;
    read_status status = READ_ROW;
    bool good = true;
    store_rows *rows = store_rows_open(s, facts, err);
    if (!rows) return false;
    while (good && !interrupted() && (status = store_rows_next(rows, &next, err)) == READ_ROW)
        good = fn(user, &next, err);
    store_rows_close(rows);
    return good && status != READ_FAILED;
}
