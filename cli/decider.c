#include "decider.h"

#include "capp_arrays.h"

#include "store_parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- Options --------------------------------------------------------------------------------------------------- */

/* For class `class`: takes the completion of the run with this text, or those of its class of this name; named: a class
 * first. */
static bool choose_words(decider *d, size_t class, capp_str words, bool named, capp_error *err) {
    const row_rules *all = &d->facts->rules;
    size_t n, before = d->n_chosen;
    const capp_str *completions = rules_completions(all, &n);
    for (int turn = 0; turn < 2 && d->n_chosen == before; turn++)
        for (size_t j = 0; j < n; j++) {
            bool by_name = named ? !turn : turn > 0;
            bool is = by_name ? all->n_phrasings && str_equal(words, all->classes[all->class_of[j]])
                              : str_equal(words, completions[j]);
            if (!is || (!by_name && d->n_chosen > before)) continue;
            grow(&d->chosen, &d->chosen_capacity, d->n_chosen + 1, sizeof *d->chosen);
            grow(&d->class_of, &d->class_of_capacity, d->n_chosen + 1, sizeof *d->class_of);
            d->chosen[d->n_chosen] = j;
            d->class_of[d->n_chosen++] = class;
        }
    return d->n_chosen > before ||
           fail_at(err, 0,
                   "class '%.*s' is not in the store, which has scores of %zu %s; choose among these, or run capp "
                   "classify with this class",
                   (int)words.size, words.data, n, all->n_phrasings ? "phrasings of classes" : "classes");
}

static bool choose_classes(decider *d, capp_error *err) {
    const row_rules *mine = &d->rules;
    if (!d->facts->rules.n_classes)
        return fail_at(err, 0, "-c chooses among the classes of the run, but its rows have their own completions");
    for (size_t i = 0; i < mine->n_classes && !mine->n_phrasings; i++)
        if (!choose_words(d, i, mine->classes[i], true, err)) return false;
    for (size_t i = 0; i < mine->n_phrasings; i++)
        if (!choose_words(d, mine->class_of[i], mine->phrasings[i], false, err)) return false;
    return true;
}

size_t decider_run_class(const decider *d, size_t class) {
    const row_rules *all = &d->facts->rules;
    size_t found = d->chosen ? SIZE_MAX : class;
    for (size_t i = 0; i < d->n_chosen; i++) {
        if (d->class_of[i] != class) continue;
        size_t of = all->n_phrasings ? all->class_of[d->chosen[i]] : d->chosen[i];
        if (found != SIZE_MAX && found != of) return SIZE_MAX;
        found = of;
    }
    return found;
}

/* The prior of the run, or the part of the chosen classes. */
static bool take_prior(decider *d, capp_error *err) {
    const row_rules *all = &d->facts->rules;
    size_t n = d->rules.n_classes;
    double sum = 0;
    d->rules.n_prior = d->chosen ? n : all->n_prior;
    d->rules.prior = allocate(d->rules.n_prior, sizeof *d->rules.prior);
    memcpy(d->rules.prior, all->prior, (d->chosen ? 0 : all->n_prior) * sizeof *d->rules.prior);
    for (size_t i = 0; i < n && d->chosen; i++) {
        size_t of = decider_run_class(d, i);
        if (of == SIZE_MAX)
            return fail_at(err, 0,
                           "class '%.*s' joins classes of the run, which has a prior for each; give the prior of the "
                           "new classes with --prior",
                           (int)d->rules.classes[i].size, d->rules.classes[i].data);
        sum += d->rules.prior[i] = all->prior[of];
    }
    for (size_t i = 0; i < n && d->chosen; i++) d->rules.prior[i] /= sum;
    return true;
}

/* The prompts that say nothing (Zhao et al. 2021): the template of the run with these texts in each column. */
static bool make_blanks(decider *d, capp_error *err) {
    static const char *const texts[] = {"N/A", "[MASK]", ""};
    enum { TEXTS = sizeof texts / sizeof *texts };
    template pattern = {0};
    capp_str written = store_get(d->store, "template", &d->memory);
    if (written.size && !template_parse(&pattern, written.data, "the template", err)) return false;
    d->blanks = arena_allocate(&d->memory, TEXTS, sizeof *d->blanks);
    for (size_t i = 0; i < TEXTS; i++) {
        capp_str blank = capp_str_of(texts[i]);
        if (written.size) blank = template_fill(&pattern, blank, &d->memory);
        if (blank.size) d->blanks[d->n_blanks++] = blank;
    }
    template_free(&pattern);
    return true;
}

/* Position debiasing needs prompts that list the classes in one order. */
static bool check_list(decider *d, capp_error *err) {
    capp_str orders = store_argument(d->facts, "orders", &d->memory);
    if (!store_argument(d->facts, "list", &d->memory).size)
        return fail_at(err, 0,
                       "%s: --calibrate position is for prompts that list the classes, but the run had no --list; use "
                       "another method",
                       d->path);
    return !orders.size || strtod(orders.data, NULL) < 2 ||
           fail_at(err, 0,
                   "%s: the run has the mean over orders of the list (--orders %.*s), which leaves no position for "
                   "--calibrate position to take out; use another method",
                   d->path, (int)orders.size, orders.data);
}

bool decider_open(decider *d, store *s, const char *path, const store_facts *facts, const options *settings,
                  capp_error *err) {
    *d = (decider){.store = s, .path = path, .facts = facts, .list = SIZE_MAX};
    d->calibration = (calibration){.method = settings->calibrate, .coverage = settings->sets};
    options given = *settings;
    given.quiet = true; /* its warnings were printed when the rows were scored */
    given.template = given.label = given.examples = given.instruction = given.list = NULL;
    given.examples_label = given.examples_separator = given.list_separator = NULL;
    given.orders = 1;
    if (!rules_open(&d->rules, &given, NEED_CHOICES, err)) return false;
    d->rules.fields = true;
    d->rules.id = facts->rules.id;
    bool own_classes = d->rules.n_classes > 0;
    if (own_classes && !choose_classes(d, err)) return false;
    if (!own_classes) d->rules.n_classes = facts->rules.n_classes;
    if (!own_classes && d->rules.n_classes) {
        d->rules.classes = allocate(d->rules.n_classes, sizeof *d->rules.classes);
        memcpy(d->rules.classes, facts->rules.classes, d->rules.n_classes * sizeof *d->rules.classes);
    }
    if (d->rules.n_prior && d->rules.n_classes && d->rules.n_prior != d->rules.n_classes)
        return fail_at(err, 0, "--prior has %zu numbers, but there are %zu classes", d->rules.n_prior,
                       d->rules.n_classes);
    if (!rules_check_prior(&d->rules, err)) return false;
    if (!d->rules.n_prior && facts->rules.n_prior && !take_prior(d, err)) return false;
    d->multi_label = settings->multi_label;
    d->rules.normalize = !settings->multi_label && facts->rules.normalize;
    capp_run_options_init(&d->how);
    d->how.aggregate = options_given(settings, "aggregate") ? settings->aggregate : facts->aggregate;
    capp_scoring_init(&d->scoring);
    bool pmi = d->calibration.method == CALIBRATE_PMI, discounts = pmi || options_given(settings, "discount");
    d->scoring.discount = pmi ? -1 : discounts ? settings->discount : facts->discount;
    d->domain = !discounts ? facts->domain : settings->domain ? capp_str_of(settings->domain) : (capp_str){"", 0};
    if (d->calibration.method == CALIBRATE_POSITION) return check_list(d, err);
    return d->calibration.method != CALIBRATE_CONTEXTUAL || make_blanks(d, err);
}

void decider_close(decider *d) {
    rules_close(&d->rules);
    free(d->chosen);
    free(d->class_of);
    free(d->first);
    free(d->exact);
    free(d->rescored);
    free(d->posterior);
    free(d->score);
    free(d->prior);
    free(d->logs);
    calibration_free(&d->calibration);
    arena_free(&d->memory);
    arena_free(&d->list_memory);
    *d = (decider){0};
}

/* ---- Lists of completions -------------------------------------------------------------------------------------- */

static const size_t *chosen_of(const decider *d, const stored_completions *c) {
    return c->own ? NULL : d->chosen;
}

/* The marginals of all completions of the list; NULL and a message if the store does not have them. */
static const double *read_marginals(decider *d, const stored_completions *c, capp_str domain, capp_error *err) {
    sqlite3_stmt *statement = store_query_of(d->store, QUERY_MARGINALS);
    if (statement) {
        sqlite3_bind_int64(statement, 1, (int64_t)c->list);
        store_bind_text(statement, 2, domain);
        size_t bytes = c->offset[c->n] * sizeof(double);
        if (sqlite3_step(statement) == SQLITE_ROW && (size_t)sqlite3_column_bytes(statement, 0) == bytes) {
            double *marginals = arena_allocate(&d->list_memory, c->offset[c->n], sizeof *marginals);
            memcpy(marginals, sqlite3_column_blob(statement, 0), bytes);
            return marginals;
        }
    }
    fail_at(
        err, 0,
        "%s: the store has no log-probabilities of the classes %s%.*s%s; to add them, use capp decide with the same "
        "options and --rescore -m MODEL",
        d->path, domain.size ? "after the prompt '" : "alone", (int)domain.size, domain.data, domain.size ? "'" : "");
    return NULL;
}

/* Contextual calibration of the list: minus the logarithm of the mean probability of each class after the prompts that
 * say nothing. */
static bool take_shift(decider *d, const stored_completions *c, capp_error *err) {
    const size_t *chosen = chosen_of(d, c);
    size_t tokens = d->offset[d->n];
    float *logprobs = arena_allocate(&d->list_memory, d->n_blanks * tokens, sizeof *logprobs);
    double *scores = arena_allocate(&d->list_memory, d->n_blanks * d->width, sizeof *scores);
    for (size_t i = 0; i < d->n_blanks; i++) {
        const double *all = read_marginals(d, c, d->blanks[i], err);
        if (!all) return false;
        for (size_t k = 0; k < d->n; k++) {
            const double *from = all + c->offset[chosen ? chosen[k] : k];
            for (size_t t = d->offset[k]; t < d->offset[k + 1]; t++)
                logprobs[i * tokens + t] = (float)from[t - d->offset[k]];
        }
    }
    const capp_logprobs given = {.n = d->n_blanks, .offset = d->offset, .logprobs = logprobs};
    const capp_example example = {.completions = d->texts, .n_completions = d->n, .normalize = true};
    const capp_decided results = {.score = scores};
    capp_error cause;
    d->shift = arena_allocate(&d->list_memory, d->width, sizeof *d->shift);
    return (!capp_decide(&given, &example, &d->how, &results, &cause) &&
            !capp_calibrate_shift(scores, d->n_blanks, d->width, d->shift, &cause)) ||
           fail_at(err, 0, "%s: --calibrate contextual: %s", d->path, cause.message);
}

/* The texts of the completions, and the classes that have several of them. */
static void take_classes(decider *d, const stored_completions *c) {
    const row_rules *all = &d->facts->rules;
    const size_t *chosen = chosen_of(d, c), *class_of = NULL;
    if (!c->own) class_of = chosen ? d->class_of : all->n_phrasings ? all->class_of : NULL;
    if (class_of && d->n == d->rules.n_classes) class_of = NULL;
    d->width = class_of ? d->rules.n_classes : d->n;
    d->scoring.class_of = class_of;
    d->scoring.n_phrasings = class_of ? d->n : 0;
    d->scoring.n_classes = class_of ? d->width : 0;
    d->how.scoring = d->scoring.discount != 0 || class_of ? &d->scoring : NULL;
    d->texts = arena_allocate(&d->list_memory, d->n, sizeof *d->texts);
    for (size_t i = 0; i < d->n; i++) d->texts[i] = c->texts[chosen ? chosen[i] : i];
}

/* Prepares the list for the options. */
static bool take_list(decider *d, const stored_completions *c, capp_error *err) {
    if (d->of == c && d->list == c->list) return true;
    arena_reset(&d->list_memory);
    d->of = NULL;
    const size_t *chosen = chosen_of(d, c);
    d->n = chosen ? d->n_chosen : c->n;
    take_classes(d, c);
    d->offset = arena_allocate(&d->list_memory, d->n + 1, sizeof *d->offset);
    d->offset[0] = 0;
    for (size_t i = 0; i < d->n; i++) {
        size_t from = chosen ? chosen[i] : i;
        d->offset[i + 1] = d->offset[i] + c->offset[from + 1] - c->offset[from];
    }
    d->ids = arena_allocate(&d->list_memory, d->offset[d->n], sizeof *d->ids);
    d->marginals = NULL;
    const double *marginals = NULL;
    if (d->scoring.discount != 0) {
        marginals = read_marginals(d, c, d->domain, err);
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
    d->shift = NULL;
    if (d->n_blanks && !take_shift(d, c, err)) return false;
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

static bool takes_calibration(const decider *d, const stored_row *stored, size_t n, capp_error *why) {
    const calibration *c = &d->calibration;
    bool normalize = stored->row.own_normalize ? stored->row.example.normalize : d->rules.normalize;
    if (c->method == CALIBRATE_NONE && !(c->coverage > 0)) return true;
    if (!normalize)
        return fail_at(why, 0,
                       "the probabilities of the row do not sum to 1 (normalize, --multi-label), so there is nothing "
                       "to calibrate");
    if (c->method == CALIBRATE_POSITION && stored->completions->own)
        return fail_at(why, 0, "the row has its own completions, so --calibrate position knows no places of them");
    if (c->width && c->width != n)
        return fail_at(why, 0,
                       "the row has %zu completions and others have %zu, but --calibrate %s fits one shift or scale "
                       "for all rows",
                       n, c->width, calibration_name(c->method));
    if (c->method == CALIBRATE_PRIOR && stored->own_prior)
        return fail_at(why, 0, "the row has its own prior, so --calibrate prior cannot estimate one");
    return true;
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
    return takes_calibration(d, stored, n, why);
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

/* The prior that has the effect of the shifts: prior * exp(shift / scale), divided by its sum. */
static const double *shifted_prior(decider *d, const double *prior, double scale, const double *shift) {
    double top = -INFINITY, sum = 0;
    grow(&d->prior, &d->prior_capacity, d->width, sizeof *d->prior);
    for (size_t k = 0; k < d->width; k++) top = fmax(top, shift[k]);
    for (size_t k = 0; k < d->width; k++) sum += d->prior[k] = (prior ? prior[k] : 1) * exp((shift[k] - top) / scale);
    for (size_t k = 0; k < d->width; k++) d->prior[k] /= sum;
    return d->prior;
}

static bool decide_as(decider *d, const capp_logprobs *given, const capp_example *example, bool plain, double scale,
                      decided_row *decided, capp_error *why) {
    capp_run_options how = d->how;
    capp_scoring undiscounted = d->scoring;
    if (plain && d->calibration.method == CALIBRATE_PMI) {
        undiscounted.discount = 0;
        undiscounted.marginals = NULL;
        how.scoring = undiscounted.class_of ? &undiscounted : NULL;
    }
    const capp_decided results = {.posterior = d->posterior,
                                  .score = d->score,
                                  .prediction = &decided->prediction,
                                  .undecided = &decided->undecided};
    if (capp_decide(given, example, &how, &results, why)) return false;
    if (scale == 1) return true;
    /* A scale changes no order, so the prediction stays. */
    double *shift = NULL;
    if (example->prior) {
        grow(&d->logs, &d->logs_capacity, d->width, sizeof *d->logs);
        shift = d->logs;
        for (size_t k = 0; k < d->width; k++) shift[k] = scale * log(example->prior[k]);
    }
    return !capp_calibrate_apply(d->score, 1, d->width, scale, shift, d->posterior, why);
}

bool decider_fit_row(decider *d, const stored_row *stored, size_t fit, decided_row *decided, capp_error *err) {
    capp_error cause;
    *decided = (decided_row){.row = stored->row, .posterior = NULL};
    if (!takes(d, stored, &cause)) return fail_at(err, 0, "%s: row %zu: %s", d->path, stored->index, cause.message);
    if (!take_list(d, stored->completions, err)) return false;
    show_row(d, stored, &decided->row);
    grow(&d->posterior, &d->posterior_capacity, d->width, sizeof *d->posterior);
    grow(&d->score, &d->score_capacity, d->width, sizeof *d->score);
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
    const calibration *c = &d->calibration;
    bool plain = fit == CALIBRATION_OFF, fitted = !plain && c->fitted;
    double scale = fitted ? c->scale[fit] : 1;
    const double *shift = plain ? NULL : fitted ? c->shift[fit] : d->shift;
    capp_example example = decided->row.example;
    example.completions = d->texts;
    example.n_completions = d->n;
    if (shift) example.prior = shifted_prior(d, example.prior, scale, shift);
    if (!decide_as(d, &given, &example, plain, scale, decided, &cause))
        return fail_at(err, 0, "%s: row %zu: %s", d->path, stored->index, cause.message);
    decided->posterior = d->posterior;
    decided->score = d->score;
    decided->prior = example.prior;
    decided->least = plain ? 0 : c->least[fit];
    return true;
}

bool decider_row(decider *d, const stored_row *stored, decided_row *decided, capp_error *err) {
    size_t fit = d->cross ? calibration_fold(stored->index) : CALIBRATION_ALL;
    return decider_fit_row(d, stored, fit, decided, err);
}
