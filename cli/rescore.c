#include "rescore.h"

#include "chat.h"
#include "json_lists.h"
#include "manifest.h"
#include "position.h"
#include "store_parts.h"

#include <stdlib.h>
#include <string.h>

enum { BATCH_ROWS = 512, BATCH_BYTES = 16 << 20 };

/* A row that runs through the model again. Everything is in the arena of the batch. */
typedef struct again {
    size_t index, list, n_tokens; /* n_tokens: of all completions */
    size_t rotation;              /* of the list in the prompt */
    capp_example example;         /* with the chosen completions */
    const size_t *chosen;         /* [example.n_completions], or NULL */
    const size_t *offset;         /* of all completions */
    float *first, *exact;         /* [n_tokens] */
    bool *rescored;               /* [n] of all completions */
    size_t n;
} again;

/* What a pass over the store adds. */
typedef enum pass_kind { PASS_EXACT, PASS_MARGINALS, PASS_ROTATIONS } pass_kind;

typedef struct rescorer {
    store *store;
    decider *decider;
    options settings; /* those of the run, and those of the command */
    capp_model *model;
    capp_chat *chat;
    capp_session *session;
    again *rows; /* [n_rows] the batch */
    size_t n_rows, rows_capacity;
    arena memory;
    pass_kind kind;   /* of this pass; marginals: one row for each list */
    capp_str domain;  /* of the marginals */
    size_t last;      /* marginals: the list of the row before */
    rotations turned; /* the prompts with the list of classes in each rotation */
    position_sample sample;
    size_t n_rescored; /* rows of this pass that ran again */
} rescorer;

/* ---- The model -------------------------------------------------------------------------------------------------- */

/* Options of the run that say how texts become tokens and which model runs. */
static bool shapes_scores(const char *name) {
    static const char *const names[] = {"chat", "system",    "chat-template", "chat-variables", "parse-special",
                                        "lora", "precision", "isa",           "context"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(name, names[i])) return true;
    return false;
}

/* Options of the run that say what its prompts are: they make the list of classes in other orders. */
static bool shapes_prompts(const char *name) {
    static const char *const names[] = {
        "template",    "classes",        "instruction",        "list",         "list-separator", "examples", "label",
        "label-index", "examples-label", "examples-separator", "end-of-prompt"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(name, names[i])) return true;
    return false;
}

/* Options that say nothing about the scores, or that classify does not have. */
static bool of_decide(const char *name) {
    static const char *const names[] = {"rescore",   "out",     "overwrite", "discount",    "domain",
                                        "calibrate", "sets",    "label",     "label-index", "project",
                                        "without",   "classes", "prior",     "on-error"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(name, names[i])) return true;
    return false;
}

static void add_argument(arena *a, char ***list, size_t *n, size_t *capacity, const char *name, const char *argument) {
    buffer text = {0};
    buffer_printf(&text, "--%s", name);
    if (argument) buffer_printf(&text, "=%s", argument);
    grow(list, capacity, *n + 1, sizeof **list);
    (*list)[(*n)++] = (char *)(uintptr_t)arena_copy(a, buffer_view(&text)).data;
    buffer_free(&text);
}

/* The options of the run, then those of the command line, as if both were given to classify. */
static bool merge_options(rescorer *r, const options *settings, capp_error *err) {
    arena *a = &r->decider->memory;
    json_value array;
    char **list = NULL;
    size_t n = 0, capacity = 0;
    if (!json_array_in(r->decider->facts->arguments, &array))
        return fail_at(err, 0, "the settings of the store are damaged");
    grow(&list, &capacity, 1, sizeof *list);
    list[n++] = (char *)(uintptr_t) "classify";
    for (json_walk w = json_begin(array); json_next(&w);) {
        json_walk pair = json_begin(w.item);
        json_next(&pair);
        const char *name = json_copy_string(a, pair.item).data, *argument = NULL;
        json_next(&pair);
        if (json_kind_of(pair.item) == JSON_KIND_STRING) argument = json_copy_string(a, pair.item).data;
        bool prompts = r->kind == PASS_ROTATIONS && shapes_prompts(name);
        if (prompts || (shapes_scores(name) && !options_given(settings, name)))
            add_argument(a, &list, &n, &capacity, name, argument);
    }
    for (size_t i = 0; i < settings->n_given; i++) {
        const given_option *given = &settings->given[i];
        if (!of_decide(given->name)) add_argument(a, &list, &n, &capacity, given->name, given->argument);
    }
    bool good = options_parse(&r->settings, "classify", COMMAND_CLASSIFY, (int)n, list, err);
    r->settings.model = settings->model;
    free(list);
    return good;
}

/* A run in one precision, such as a mean over orders, gets the same precision again. */
static void keep_precision(rescorer *r) {
    capp_str name = store_get(r->store, "precision", &r->decider->memory);
    if (r->decider->facts->margin > 0 || options_given(&r->settings, "precision")) return;
    for (size_t i = 0; i < PRECISIONS; i++)
        if (str_is(name, precision_names[i])) r->settings.model_options.precision = (capp_precision)i;
}

static bool open_model(rescorer *r, const options *settings, capp_error *err) {
    buffer now = {0};
    if (!merge_options(r, settings, err)) return false;
    keep_precision(r);
    if (capp_model_open(&r->model, r->settings.model, &r->settings.model_options, err)) return false;
    bool good = manifest_make(&now, &r->settings, r->model, err) &&
                manifest_same_scores(r->decider->facts->manifest, r->decider->path, buffer_view(&now), err);
    buffer_free(&now);
    if (!good || !chat_open(&r->chat, &r->settings, r->decider->facts->rules.turns, r->decider->facts->rules.n_turns,
                            r->model, err))
        return false;
    if (capp_session_open(&r->session, r->model, err)) return false;
    interrupt_session(r->session);
    return true;
}

static void close_model(rescorer *r) {
    interrupt_session(NULL);
    capp_session_free(r->session);
    capp_chat_free(r->chat);
    capp_model_free(r->model);
    options_free(&r->settings);
    rotations_close(&r->turned);
    free(r->rows);
    arena_free(&r->memory);
}

/* ---- A batch of rows -------------------------------------------------------------------------------------------- */

static void *keep(rescorer *r, const void *data, size_t n, size_t size) {
    void *copy = arena_allocate(&r->memory, n, size);
    memcpy(copy, data, n * size);
    return copy;
}

static again *add_row(rescorer *r, const stored_row *stored, const capp_example *example, const size_t *chosen) {
    const stored_completions *c = stored->completions;
    grow(&r->rows, &r->rows_capacity, r->n_rows + 1, sizeof *r->rows);
    again *a = &r->rows[r->n_rows++];
    size_t tokens = c->offset[c->n];
    *a = (again){.index = stored->index, .list = c->list, .n_tokens = tokens, .n = c->n, .chosen = chosen};
    a->example = *example;
    a->example.prompt = arena_copy(&r->memory, example->prompt);
    a->example.end_of_prompt = c->end_of_prompt && !*c->end_of_prompt ? "" : c->end_of_prompt ? " " : NULL;
    a->example.n_completions = chosen ? r->decider->n_chosen : c->n;
    capp_str *texts = arena_allocate(&r->memory, a->example.n_completions, sizeof *texts);
    for (size_t i = 0; i < a->example.n_completions; i++)
        texts[i] = arena_copy(&r->memory, c->texts[chosen ? chosen[i] : i]);
    a->example.completions = texts;
    if (r->kind != PASS_EXACT) a->example.prior = NULL; /* it has one number for each class; only texts matter */
    if (a->example.prior) a->example.prior = keep(r, example->prior, example->n_completions, sizeof *example->prior);
    a->offset = keep(r, c->offset, c->n + 1, sizeof *c->offset);
    a->first = keep(r, stored->first ? stored->first : stored->logprobs, tokens, sizeof *a->first);
    a->exact = keep(r, stored->logprobs, tokens, sizeof *a->exact);
    a->rescored = arena_allocate(&r->memory, c->n, sizeof *a->rescored);
    for (size_t i = 0; i < c->n; i++) a->rescored[i] = stored->rescored && stored->rescored[i];
    return a;
}

/* Adds the exact scores of a result to those of the row. */
static bool write_exact(rescorer *r, again *a, const capp_result *result) {
    if (!result->rescored) return true;
    for (size_t i = 0; i < result->n_completions; i++) {
        size_t to = a->chosen ? a->chosen[i] : i, from = result->offset[i], n = result->offset[i + 1] - from;
        if (!result->rescored[i] || n != a->offset[to + 1] - a->offset[to]) continue;
        a->rescored[to] = true;
        memcpy(a->exact + a->offset[to], result->logprobs + from, n * sizeof *a->exact);
    }
    if (!store_begin(r->store)) return false;
    sqlite3_stmt *statement = store_query_of(r->store, QUERY_RESCORE);
    if (!statement) return false;
    sqlite3_bind_int64(statement, 1, (int64_t)a->index);
    store_bind_blob(statement, 2, a->exact, a->n_tokens * sizeof *a->exact);
    store_bind_blob(statement, 3, a->first, a->n_tokens * sizeof *a->first);
    store_bind_blob(statement, 4, a->rescored, a->n * sizeof *a->rescored);
    return store_step(r->store, statement);
}

/* The scores of one precision, so that rotations differ by nothing else. */
static bool write_rotation(rescorer *r, const again *a, const capp_result *result) {
    if (!store_begin(r->store)) return false;
    sqlite3_stmt *statement = store_query_of(r->store, QUERY_ADD_ROTATION);
    if (!statement) return false;
    const float *logprobs = result->first_logprobs ? result->first_logprobs : result->logprobs;
    sqlite3_bind_int64(statement, 1, (int64_t)a->index);
    sqlite3_bind_int64(statement, 2, (int64_t)a->rotation);
    store_bind_blob(statement, 3, logprobs, a->n_tokens * sizeof *logprobs);
    return store_step(r->store, statement);
}

static bool on_result(void *user, const capp_result *result) {
    rescorer *r = user;
    again *a = &r->rows[result->row];
    if (interrupted()) return false;
    if (r->kind == PASS_EXACT) return write_exact(r, a, result);
    if (r->kind == PASS_ROTATIONS) return write_rotation(r, a, result);
    return store_add_marginals(r->store, r->domain.size ? r->domain.data : "", a->list, result->marginals,
                               result->offset[result->n_completions]);
}

static bool run_batch(rescorer *r, capp_error *err) {
    if (!r->n_rows) return true;
    capp_example *examples = arena_allocate(&r->memory, r->n_rows, sizeof *examples);
    for (size_t i = 0; i < r->n_rows; i++) examples[i] = r->rows[i].example;
    capp_run_options how;
    capp_scoring scoring;
    capp_run_options_init(&how);
    capp_scoring_init(&scoring);
    how.parse_special = r->settings.parse_special;
    how.aggregate = r->decider->how.aggregate;
    how.chat = r->chat;
    bool exact = r->kind == PASS_EXACT;
    scoring.discount = exact ? r->decider->scoring.discount : r->kind == PASS_MARGINALS ? -1 : 0;
    scoring.domain = exact ? r->decider->domain : r->domain;
    if (exact) {
        scoring.class_of = r->decider->scoring.class_of;
        scoring.n_phrasings = r->decider->scoring.n_phrasings;
        scoring.n_classes = r->decider->scoring.n_classes;
    }
    if (scoring.discount != 0 || scoring.class_of) how.scoring = &scoring;
    capp_error cause;
    capp_status status = capp_score(r->session, examples, r->n_rows, &how, on_result, r, &cause);
    r->n_rows = 0;
    arena_reset(&r->memory);
    if (store_errno(r->store)) return store_fail(r->store, err);
    if (status) return fail_at(err, 0, "%s", interrupted() ? "stopped by a signal" : cause.message);
    return store_commit(r->store) || store_fail(r->store, err);
}

/* ---- Passes over the store --------------------------------------------------------------------------------------- */

static bool has_marginals(rescorer *r, size_t list) {
    sqlite3_stmt *statement = store_query_of(r->store, QUERY_MARGINALS);
    if (!statement) return false;
    sqlite3_bind_int64(statement, 1, (int64_t)list);
    store_bind_text(statement, 2, r->domain);
    bool found = sqlite3_step(statement) == SQLITE_ROW;
    sqlite3_reset(statement);
    return found;
}

static bool has_rotations(rescorer *r, size_t index) {
    sqlite3_stmt *statement = store_query_of(r->store, QUERY_HAS_ROTATIONS);
    if (!statement) return false;
    sqlite3_bind_int64(statement, 1, (int64_t)index);
    bool found = sqlite3_step(statement) == SQLITE_ROW;
    sqlite3_reset(statement);
    return found;
}

/* Takes a row of the sample into the batch with all other rotations of the list. */
static bool visit_sampled(rescorer *r, const stored_row *stored, capp_error *err) {
    if (!position_takes(&r->sample, stored) || has_rotations(r, stored->index)) return true;
    capp_example example = stored->row.example;
    for (size_t i = 1; i < r->turned.n; i++) {
        if (!rotations_prompt(&r->turned, stored, i, &r->memory, &example.prompt, err)) return false;
        add_row(r, stored, &example, NULL)->rotation = i;
    }
    return true;
}

/* Takes the row into the batch if it needs the model. */
static bool choose(rescorer *r, const stored_row *stored, capp_error *err) {
    if (row_is_bad(&stored->row)) return true;
    if (r->kind == PASS_ROTATIONS) return visit_sampled(r, stored, err);
    if (r->kind == PASS_MARGINALS) {
        size_t list = stored->completions->list;
        if (list != r->last && !has_marginals(r, list)) add_row(r, stored, &stored->row.example, NULL);
        r->last = list;
        return true;
    }
    decided_row decided;
    capp_error why;
    if (decider_skips(r->decider, stored, &why)) return true;
    if (!decider_row(r->decider, stored, &decided, err)) return false;
    if (!decided.undecided) return true;
    decided.row.example.prior = decided.prior;
    add_row(r, stored, &decided.row.example, stored->completions->own ? NULL : r->decider->chosen);
    r->n_rescored++;
    return true;
}

static bool visit(void *user, const stored_row *stored, capp_error *err) {
    rescorer *r = user;
    if (!choose(r, stored, err)) return false;
    return (r->n_rows < BATCH_ROWS && r->memory.used <= BATCH_BYTES) || run_batch(r, err);
}

static bool pass(rescorer *r, pass_kind kind, capp_error *err) {
    r->kind = kind;
    r->last = SIZE_MAX;
    r->n_rescored = 0;
    return store_each(r->store, r->decider->facts, visit, r, err) && run_batch(r, err);
}

/* The marginals of a discount, and the prompts that say nothing. */
static bool pass_marginals(rescorer *r, capp_error *err) {
    const decider *d = r->decider;
    r->domain = d->domain;
    if (d->scoring.discount != 0 && !pass(r, PASS_MARGINALS, err)) return false;
    for (size_t i = 0; i < d->n_blanks; i++) {
        r->domain = d->blanks[i];
        if (!pass(r, PASS_MARGINALS, err)) return false;
    }
    return true;
}

static bool pass_rotations(rescorer *r, capp_error *err) {
    if (r->decider->calibration.method != CALIBRATE_POSITION) return true;
    return position_sampled(&r->sample, r->store, err) && rotations_open(&r->turned, r->decider, &r->settings, err) &&
           position_table(r->store, err) && pass(r, PASS_ROTATIONS, err);
}

/* New scores may change a fit to rows, and with it what is close. */
static bool pass_rows(rescorer *r, const store_labels *labels, capp_error *err) {
    enum { MOST_ROUNDS = 5 };
    for (int round = 0; round < MOST_ROUNDS; round++) {
        if (!calibrate(r->decider, labels, err) || !pass(r, PASS_EXACT, err)) return false;
        if (!r->n_rescored || !calibration_fits_rows(r->decider->calibration.method)) break;
    }
    return true;
}

bool rescore(store *s, decider *d, const store_labels *labels, const options *settings, capp_error *err) {
    rescorer r = {.store = s, .decider = d};
    if (d->calibration.method == CALIBRATE_POSITION) r.kind = PASS_ROTATIONS;
    bool good = open_model(&r, settings, err) && pass_marginals(&r, err) && pass_rotations(&r, err) &&
                (d->facts->margin <= 0 || pass_rows(&r, labels, err));
    close_model(&r);
    return good;
}
