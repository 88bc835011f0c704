#include "decider.h"

#include "capp_arrays.h"

#include "store_parts.h"

#include <stdlib.h>
#include <string.h>

/* ---- Options --------------------------------------------------------------------------------------------------- */

static bool choose_classes(decider *d, const options *settings, capp_error *err) {
    const row_rules *all = &d->facts->rules;
    if (!all->n_classes)
        return fail_at(err, 0, "-c chooses among the classes of the run, but its rows have their own completions");
    d->chosen = arena_allocate(&d->memory, d->rules.n_classes, sizeof *d->chosen);
    for (size_t i = 0; i < d->rules.n_classes; i++) {
        size_t j = 0;
        while (j < all->n_classes && !str_equal(d->rules.classes[i], all->classes[j])) j++;
        if (j == all->n_classes)
            return fail_at(err, 0,
                           "class '%.*s' is not in the store, which has scores of %zu classes; choose among these, or "
                           "run capp classify with -c '%.200s'",
                           (int)d->rules.classes[i].size, d->rules.classes[i].data, all->n_classes, settings->classes);
        d->chosen[i] = j;
    }
    return true;
}

/* The prior of the run, or the part of the chosen classes. */
static void take_prior(decider *d) {
    const row_rules *all = &d->facts->rules;
    size_t n = d->rules.n_classes;
    double sum = 0;
    d->rules.n_prior = d->chosen ? n : all->n_prior;
    d->rules.prior = allocate(d->rules.n_prior, sizeof *d->rules.prior);
    memcpy(d->rules.prior, all->prior, (d->chosen ? 0 : all->n_prior) * sizeof *d->rules.prior);
    for (size_t i = 0; i < n && d->chosen; i++) sum += all->prior[d->chosen[i]];
    for (size_t i = 0; i < n && d->chosen; i++) d->rules.prior[i] = all->prior[d->chosen[i]] / sum;
}

bool decider_open(decider *d, store *s, const char *path, const store_facts *facts, const options *settings,
                  capp_error *err) {
    *d = (decider){.store = s, .path = path, .facts = facts, .list = SIZE_MAX};
    options given = *settings;
    given.quiet = true; /* its warnings were printed when the rows were scored */
    given.template = given.label = NULL;
    if (!rules_open(&d->rules, &given, NEED_CHOICES, err)) return false;
    d->rules.fields = true;
    d->rules.id = facts->rules.id;
    bool own_classes = d->rules.n_classes > 0;
    if (own_classes && !choose_classes(d, settings, err)) return false;
    if (!own_classes) d->rules.n_classes = facts->rules.n_classes;
    if (!own_classes && d->rules.n_classes) {
        d->rules.classes = allocate(d->rules.n_classes, sizeof *d->rules.classes);
        memcpy(d->rules.classes, facts->rules.classes, d->rules.n_classes * sizeof *d->rules.classes);
    }
    if (d->rules.n_prior && d->rules.n_classes && d->rules.n_prior != d->rules.n_classes)
        return fail_at(err, 0, "--prior has %zu numbers, but there are %zu classes", d->rules.n_prior,
                       d->rules.n_classes);
    if (!d->rules.n_prior && facts->rules.n_prior) take_prior(d);
    d->multi_label = settings->multi_label;
    d->rules.normalize = !settings->multi_label && facts->rules.normalize;
    capp_run_options_init(&d->how);
    d->how.aggregate = options_given(settings, "aggregate") ? settings->aggregate : facts->aggregate;
    capp_scoring_init(&d->scoring);
    bool discounts = options_given(settings, "discount");
    d->scoring.discount = discounts ? settings->discount : facts->discount;
    d->domain = !discounts ? facts->domain : settings->domain ? capp_str_of(settings->domain) : (capp_str){"", 0};
    if (d->scoring.discount != 0) d->how.scoring = &d->scoring;
    return true;
}

void decider_close(decider *d) {
    rules_close(&d->rules);
    free(d->first);
    free(d->exact);
    free(d->rescored);
    free(d->posterior);
    arena_free(&d->memory);
    arena_free(&d->list_memory);
    *d = (decider){0};
}

/* ---- Lists of completions -------------------------------------------------------------------------------------- */

static const size_t *chosen_of(const decider *d, const stored_completions *c) {
    return c->own ? NULL : d->chosen;
}

/* The marginals of all completions of the list; NULL and a message if the store does not have them. */
static const double *read_marginals(decider *d, const stored_completions *c, capp_error *err) {
    sqlite3_stmt *statement = store_query_of(d->store, QUERY_MARGINALS);
    if (statement) {
        sqlite3_bind_int64(statement, 1, (int64_t)c->list);
        store_bind_text(statement, 2, d->domain);
        size_t bytes = c->offset[c->n] * sizeof(double);
        if (sqlite3_step(statement) == SQLITE_ROW && (size_t)sqlite3_column_bytes(statement, 0) == bytes) {
            double *marginals = arena_allocate(&d->list_memory, c->offset[c->n], sizeof *marginals);
            memcpy(marginals, sqlite3_column_blob(statement, 0), bytes);
            return marginals;
        }
    }
    if (d->domain.size)
        fail_at(err, 0,
                "the store has no log-probabilities after the domain prompt '%.*s'; to add them, use the same command "
                "with --rescore -m MODEL",
                (int)d->domain.size, d->domain.data);
    else
        fail_at(err, 0,
                "the store has no log-probabilities of the classes alone, which --discount needs; to add them, use the "
                "same command with --rescore -m MODEL");
    return NULL;
}

/* Prepares the list for the options. */
static bool take_list(decider *d, const stored_completions *c, capp_error *err) {
    if (d->of == c && d->list == c->list) return true;
    arena_reset(&d->list_memory);
    d->of = NULL;
    const size_t *chosen = chosen_of(d, c);
    d->n = chosen ? d->rules.n_classes : c->n;
    d->offset = arena_allocate(&d->list_memory, d->n + 1, sizeof *d->offset);
    d->offset[0] = 0;
    for (size_t i = 0; i < d->n; i++) {
        size_t from = chosen ? chosen[i] : i;
        d->offset[i + 1] = d->offset[i] + c->offset[from + 1] - c->offset[from];
    }
    d->ids = arena_allocate(&d->list_memory, d->offset[d->n], sizeof *d->ids);
    d->marginals = NULL;
    const double *marginals = NULL;
    if (d->how.scoring) {
        marginals = read_marginals(d, c, err);
        if (!marginals) return false;
        d->marginals = arena_allocate(&d->list_memory, d->offset[d->n], sizeof *d->marginals);
    }
    for (size_t i = 0; i < d->n; i++) {
        size_t from = c->offset[chosen ? chosen[i] : i], size = d->offset[i + 1] - d->offset[i];
        memcpy(d->ids + d->offset[i], c->ids + from, size * sizeof *d->ids);
        if (marginals) memcpy(d->marginals + d->offset[i], marginals + from, size * sizeof *marginals);
    }
    d->scoring.marginals = d->marginals;
    d->scoring.marginal_offset = d->offset;
    d->scoring.n_marginals = d->n;
    d->of = c;
    d->list = c->list;
    return true;
}

/* ---- Rows ------------------------------------------------------------------------------------------------------ */

/* The log-probabilities of the chosen completions. */
static const float *gather(const decider *d, const stored_row *stored, const float *all, float **kept,
                           size_t *capacity) {
    const stored_completions *c = stored->completions;
    const size_t *chosen = chosen_of(d, c);
    if (!chosen) return all;
    grow(kept, capacity, d->offset[d->n], sizeof **kept);
    for (size_t i = 0; i < d->n; i++)
        memcpy(*kept + d->offset[i], all + c->offset[chosen[i]], (d->offset[i + 1] - d->offset[i]) * sizeof **kept);
    return *kept;
}

static const bool *gather_rescored(decider *d, const stored_row *stored) {
    const size_t *chosen = chosen_of(d, stored->completions);
    if (!chosen) return stored->rescored;
    grow(&d->rescored, &d->rescored_capacity, d->n, sizeof *d->rescored);
    for (size_t i = 0; i < d->n; i++) d->rescored[i] = stored->rescored[chosen[i]];
    return d->rescored;
}

const capp_str *decider_completions(const decider *d, const stored_row *stored, size_t *n) {
    const stored_completions *c = stored->completions;
    *n = c->own ? c->n : d->rules.n_classes;
    return c->own ? c->texts : d->rules.classes;
}

/* Whether the options fit the row. */
static bool takes(const decider *d, const stored_row *stored, capp_error *why) {
    const stored_completions *c = stored->completions;
    size_t n;
    decider_completions(d, stored, &n);
    if (d->chosen && c->own)
        return fail_at(why, 0, "-c chooses among the classes of the run, but the row has its own completions");
    if (d->chosen && stored->own_prior)
        return fail_at(why, 0, "the row has its own prior, so -c cannot choose among its classes");
    if (!stored->own_prior && d->rules.n_prior && d->rules.n_prior != n)
        return fail_at(why, 0, "--prior has %zu numbers, but the row has %zu completions", d->rules.n_prior, n);
    return true;
}

bool decider_skips(const decider *d, const stored_row *stored, capp_error *why) {
    return d->facts->on_error != ROW_STOP && !takes(d, stored, why);
}

/* The row with the completions, the prior and normalize of the options. */
static void show_row(const decider *d, const stored_row *stored, row *shown) {
    *shown = stored->row;
    capp_example *e = &shown->example;
    e->completions = decider_completions(d, stored, &e->n_completions);
    if (!stored->own_prior) e->prior = d->rules.n_prior ? d->rules.prior : NULL;
    if (!shown->own_normalize) e->normalize = d->rules.normalize;
}

bool decider_row(decider *d, const stored_row *stored, decided_row *decided, capp_error *err) {
    capp_error cause;
    *decided = (decided_row){.row = stored->row};
    if (!takes(d, stored, &cause)) return fail_at(err, 0, "%s: row %zu: %s", d->path, stored->index, cause.message);
    if (!take_list(d, stored->completions, err)) return false;
    show_row(d, stored, &decided->row);
    grow(&d->posterior, &d->posterior_capacity, d->n, sizeof *d->posterior);
    const float *logprobs = stored->first ? stored->first : stored->logprobs;
    capp_logprobs given = {.n = 1,
                           .offset = d->offset,
                           .ids = d->ids,
                           .logprobs = gather(d, stored, logprobs, &d->first, &d->tokens_capacity),
                           .margin = d->facts->margin};
    if (stored->first) {
        given.exact = gather(d, stored, stored->logprobs, &d->exact, &d->exact_capacity);
        given.rescored = gather_rescored(d, stored);
    }
    const capp_decided results = {
        .posterior = d->posterior, .prediction = &decided->prediction, .undecided = &decided->undecided};
    if (capp_decide(&given, &decided->row.example, &d->how, &results, &cause))
        return fail_at(err, 0, "%s: row %zu: %s", d->path, stored->index, cause.message);
    decided->posterior = d->posterior;
    return true;
}
