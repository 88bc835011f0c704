#include "position.h"

#include "capp_arrays.h"

#include "json_lists.h"
#include "store_parts.h"

#include <stdlib.h>
#include <string.h>

enum { SHARE = 20, FEWEST = 20 };

/* ---- The sample ------------------------------------------------------------------------------------------------ */

bool position_sampled(position_sample *sample, store *s, capp_error *err) {
    size_t all = (size_t)store_number(s, "SELECT count(*) FROM rows WHERE list = 0"), n = (all + SHARE - 1) / SHARE;
    if (n < FEWEST) n = FEWEST;
    *sample = (position_sample){.n = n < all ? n : all, .n_all = all};
    return !store_errno(s) || store_fail(s, err);
}

bool position_takes(position_sample *sample, const stored_row *stored) {
    if (stored->completions->list) return false;
    size_t i = sample->seen++;
    return (i + 1) * sample->n / sample->n_all > i * sample->n / sample->n_all;
}

/* ---- Prompts ---------------------------------------------------------------------------------------------------- */

/* The options must make the template that the run had. */
static bool check_template(const rotations *r, const decider *d, capp_error *err) {
    arena memory = {0};
    buffer text = {0};
    template_write(&r->rules.template, &text);
    bool same = str_equal(buffer_view(&text), store_get(d->store, "template", &memory));
    buffer_free(&text);
    arena_free(&memory);
    return same || fail_at(err, 0,
                           "%s: the options of the run make another template now: a file of its classes or its "
                           "examples has changed; restore it, or run capp classify again",
                           d->path);
}

bool rotations_open(rotations *r, const decider *d, const options *settings, capp_error *err) {
    options how = *settings;
    json_value array;
    r->path = d->path;
    r->n = d->facts->rules.n_classes;
    how.quiet = true;
    how.prior = NULL;
    how.orders = r->n;
    how.classes_are_json = how.classes && json_array_in(capp_str_of(how.classes), &array);
    return rules_open(&r->rules, &how, NEED_CHOICES, err) && check_template(r, d, err);
}

void rotations_close(rotations *r) {
    rules_close(&r->rules);
    buffer_free(&r->text);
}

/* Columns as template_render sees them: null is empty. */
static void list_columns(const row *from, template_value *values) {
    for (size_t i = 0; i < from->n_fields; i++) {
        const field *f = &from->fields[i];
        bool null = f->json && str_is(f->text, "null");
        values[i] = (template_value){f->name.data, null ? (capp_str){"", 0} : f->text};
    }
}

static bool expand(rotations *r, const template *pattern, const stored_row *stored, arena *a, capp_error *err) {
    size_t n = stored->row.n_fields;
    template_value *values = arena_allocate(a, n, sizeof *values);
    list_columns(&stored->row, values);
    r->text.size = 0;
    return template_expand(pattern, values, n, "the template", &r->text, err);
}

bool rotations_prompt(rotations *r, const stored_row *stored, size_t i, arena *a, capp_str *prompt, capp_error *err) {
    if (i == 1 && (!expand(r, &r->rules.template, stored, a, err) ||
                   !str_equal(buffer_view(&r->text), stored->row.example.prompt)))
        return fail_at(err, 0, "%s: row %zu: its columns do not make its prompt; run capp classify again", r->path,
                       stored->index);
    if (!expand(r, &r->rules.more[i - 1], stored, a, err)) return false;
    *prompt = arena_copy(a, buffer_view(&r->text));
    return true;
}

/* ---- Scores ------------------------------------------------------------------------------------------------------ */

bool position_table(store *s, capp_error *err) {
    return (store_begin(s) &&
            store_execute(s, "CREATE TABLE IF NOT EXISTS rotations(row INTEGER NOT NULL, rotation INTEGER NOT NULL,"
                             " logprobs BLOB NOT NULL, PRIMARY KEY(row, rotation)) WITHOUT ROWID")) ||
           store_fail(s, err);
}

/* A pass over the rotations. */
typedef struct turning {
    decider *decider;
    position_fn fn;
    void *user;
    const stored_completions *list;
    float *logprobs; /* [n][tokens] of a row */
    double *scores;  /* [n][n] */
    double *shift;   /* [n] by place; then by class of the decider */
    size_t n, tokens, rows;
} turning;

static bool take_row(turning *t, size_t index, capp_error *err) {
    const row_rules *all = &t->decider->facts->rules;
    const capp_logprobs given = {.n = t->n, .offset = t->list->offset, .logprobs = t->logprobs};
    const capp_example example = {.completions = t->list->texts, .n_completions = t->list->n, .normalize = true};
    const capp_decided results = {.score = t->scores};
    capp_run_options how = t->decider->how;
    capp_scoring scoring;
    capp_scoring_init(&scoring);
    scoring.class_of = all->class_of;
    scoring.n_phrasings = all->n_phrasings;
    scoring.n_classes = t->n;
    how.scoring = all->n_phrasings > t->n ? &scoring : NULL;
    capp_error cause;
    if (capp_decide(&given, &example, &how, &results, &cause) ||
        capp_calibrate_position(t->scores, 1, t->n, t->shift, &cause))
        return fail_at(err, 0, "%s: row %zu: --calibrate position: %s", t->decider->path, index, cause.message);
    size_t width = t->decider->rules.n_classes;
    double *chosen = t->shift + t->n;
    for (size_t i = 0; i < width; i++) {
        size_t of = decider_run_class(t->decider, i);
        if (of == SIZE_MAX)
            return fail_at(err, 0,
                           "class '%.*s' joins classes of the run, which stand at several places of the list; choose "
                           "classes of the run for --calibrate position",
                           (int)t->decider->rules.classes[i].size, t->decider->rules.classes[i].data);
        chosen[i] = t->shift[of];
    }
    t->rows++;
    t->fn(t->user, index, chosen, width);
    return true;
}

/* Rotation 0 is in the row itself. */
static bool take_rotation(turning *t, sqlite3_stmt *statement, capp_error *err) {
    enum { ROW, ROTATION, TURNED, OWN };
    size_t index = (size_t)sqlite3_column_int64(statement, ROW), i = (size_t)sqlite3_column_int64(statement, ROTATION);
    size_t bytes = t->tokens * sizeof *t->logprobs;
    for (size_t at = i > 1 ? i : 0; at <= i; at++) {
        int column = at ? TURNED : OWN;
        const void *data = sqlite3_column_blob(statement, column);
        if (i >= t->n || !data || (size_t)sqlite3_column_bytes(statement, column) != bytes)
            return fail_at(err, 0, "%s: the rotations of row %zu are damaged; run capp classify again",
                           t->decider->path, index);
        memcpy(t->logprobs + at * t->tokens, data, bytes);
    }
    return i + 1 < t->n || take_row(t, index, err);
}

static bool read_rotations(turning *t, capp_error *err) {
    static const char query[] = "SELECT row, rotation, rotations.logprobs, coalesce(first_logprobs, rows.logprobs)"
                                " FROM rotations JOIN rows USING (row) ORDER BY row, rotation";
    sqlite3_stmt *statement = NULL;
    store *s = t->decider->store;
    bool good = !sqlite3_prepare_v2(s->database, query, -1, &statement, NULL) || store_fail(s, err);
    int code = SQLITE_DONE;
    while (good && (code = sqlite3_step(statement)) == SQLITE_ROW) good = take_rotation(t, statement, err);
    good = good && (code == SQLITE_DONE || store_fail(s, err));
    sqlite3_finalize(statement);
    return good;
}

static bool fail_missing(const decider *d, capp_error *err) {
    return fail_at(err, 0,
                   "%s: the store has no scores with the list of classes in other orders; to add them, use capp decide "
                   "with the same options and --rescore -m MODEL",
                   d->path);
}

/* The rows of the run's classes, of which one is read for its list. */
static bool read_all(turning *t, capp_error *err) {
    decider *d = t->decider;
    stored_row first = {0};
    size_t index = (size_t)store_number(d->store, "SELECT min(row) FROM rows WHERE list = 0");
    store_rows *rows = store_rows_at(d->store, d->facts, index, err);
    if (!rows) return false;
    bool good = store_rows_next(rows, &first, err) == READ_ROW;
    if (good) {
        t->list = first.completions;
        t->n = d->facts->rules.n_classes;
        t->tokens = t->list->offset[t->list->n];
        t->logprobs = allocate(t->n * t->tokens, sizeof *t->logprobs);
        t->scores = allocate(t->n * t->n, sizeof *t->scores);
        t->shift = allocate(t->n + d->rules.n_classes, sizeof *t->shift);
        good = read_rotations(t, err);
    }
    free(t->logprobs);
    free(t->scores);
    free(t->shift);
    store_rows_close(rows);
    return good;
}

bool position_read(decider *d, position_fn fn, void *user, capp_error *err) {
    turning t = {.decider = d, .fn = fn, .user = user};
    position_sample sample;
    if (!position_sampled(&sample, d->store, err)) return false;
    bool has = store_number(d->store, "SELECT count(*) FROM sqlite_schema WHERE name = 'rotations'") > 0;
    if (!has || !sample.n) return fail_missing(d, err);
    return read_all(&t, err) && (t.rows >= sample.n || fail_missing(d, err));
}
