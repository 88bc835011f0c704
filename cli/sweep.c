/* capp sweep: several templates, lists of classes, projects or models over the same labeled rows. Variants of one model
 * run together: a window of rows is one call with all their prompts, so they share one token tree. */
#include "sweep_report.h"

#include "chat.h"
#include "check.h"
#include "manifest.h"
#include "models.h"
#include "orders.h"
#include "output_file.h"
#include "store_settings.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { WINDOW_ROWS = 512, MOST_VARIANTS = 100 };

/* A variant while its model runs. */
typedef struct lane {
    sweep_variant *variant;
    row_rules rules;
    check check;
    capp_chat *chat;
    capp_scoring scoring;
    const capp_scoring *used; /* of its calls, or NULL */
    output out;
    row *rows;           /* [WINDOW_ROWS] of the window */
    bool *scored;        /* [WINDOW_ROWS] */
    size_t *predictions; /* [WINDOW_ROWS] */
    double *loss;
} lane;

typedef struct sweep {
    sweep_facts facts;
    arena memory;
    lane *lanes; /* [n_lanes] those of the model that runs */
    size_t n_lanes;
    capp_model *model;
    capp_session *session;
    arena window;
    size_t first, n_rows; /* of the window */
    /* of a call */
    lane **of;      /* [n] the lane of each example */
    size_t *places; /* [n] its row in the window */
    bool failed;    /* a store */
} sweep;

/* ---- Variants ------------------------------------------------------------------------------------------------- */

/* Options that may be given several times: each value is a variant. */
static bool may_vary(const char *name) {
    static const char *const names[] = {"project",     "model",    "template", "classes",
                                        "instruction", "examples", "list",     "system"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(names[i], name)) return true;
    return false;
}

static size_t times_given(const options *o, const char *name) {
    size_t n = 0;
    for (size_t i = 0; i < o->n_given; i++) n += !o->given[i].line && !strcmp(o->given[i].name, name);
    return n;
}

static bool is_own(const char *name) {
    return !strcmp(name, "out") || !strcmp(name, "json") || !strcmp(name, "overwrite");
}

static void add_argument(sweep *s, sweep_variant *v, const char *name, const char *argument) {
    buffer text = {0};
    buffer_printf(&text, "--%s%s%s", name, argument ? "=" : "", argument ? argument : "");
    v->arguments[v->n_arguments++] = (char *)(uintptr_t)arena_copy(&s->memory, buffer_view(&text)).data;
    buffer_free(&text);
}

/* The arguments of variant `number`: for each option that varies, one of its values. */
static void make_arguments(sweep *s, sweep_variant *v, size_t number) {
    const options *o = s->facts.settings;
    buffer varies = {0};
    v->arguments = arena_allocate(&s->memory, o->n_given + 3, sizeof *v->arguments);
    v->arguments[v->n_arguments++] = (char *)(uintptr_t) "evaluate";
    for (size_t i = 0; i < o->n_given; i++) {
        const given_option *given = &o->given[i];
        size_t n = times_given(o, given->name), before = 0;
        for (size_t j = 0; j < i; j++) before += !strcmp(o->given[j].name, given->name);
        if (given->line || is_own(given->name)) continue;
        if (!may_vary(given->name) || n == 1) {
            add_argument(s, v, given->name, given->argument);
            continue;
        }
        size_t stride = 1; /* of this option in the numbers of variants */
        for (size_t j = 0; j < i; j++) {
            bool first = may_vary(o->given[j].name) && strcmp(o->given[j].name, given->name) != 0;
            for (size_t k = 0; k < j; k++) first = first && strcmp(o->given[k].name, o->given[j].name) != 0;
            if (first) stride *= times_given(o, o->given[j].name);
        }
        if (number / stride % n != before) continue;
        add_argument(s, v, given->name, given->argument);
        buffer_printf(&varies, "%s--%s '%s'", varies.size ? " " : "", given->name, given->argument);
    }
    v->arguments[v->n_arguments++] = (char *)(uintptr_t) "--";
    v->arguments[v->n_arguments++] = (char *)(uintptr_t)o->input;
    v->varies = arena_copy(&s->memory, buffer_view(&varies));
    buffer_free(&varies);
}

static size_t count_variants(const options *o) {
    size_t n = 1;
    for (size_t i = 0; i < o->n_given && n <= MOST_VARIANTS; i++) {
        bool first = may_vary(o->given[i].name) && !o->given[i].line;
        for (size_t j = 0; j < i; j++) first = first && strcmp(o->given[j].name, o->given[i].name) != 0;
        if (first) n *= times_given(o, o->given[i].name);
    }
    return n;
}

static bool make_store_name(sweep *s, sweep_variant *v, size_t number, capp_error *err) {
    const options *o = s->facts.settings;
    buffer path = {0};
    if (!o->out) return true;
    if (mkdir(o->out, 0777) && errno != EEXIST) return fail_at(err, 0, "%s: %s", o->out, strerror(errno));
    buffer_printf(&path, "%s/%zu.db", o->out, number + 1);
    v->store = (char *)(uintptr_t)arena_copy(&s->memory, buffer_view(&path)).data;
    buffer_free(&path);
    v->settings.out = v->store;
    v->settings.overwrite = o->overwrite;
    return true;
}

/* Keeps why a model cannot run. */
static bool on_fact(void *user, const char *section, const char *key, const char *value) {
    buffer *reason = user;
    if (!strcmp(key, "runs") && strcmp(section, "metadata") != 0 && !reason->size) buffer_text(reason, value);
    return !interrupted();
}

/* Looks at the models of all variants before a row runs: otherwise a wrong one would end the sweep after the others. */
static bool check_models(const sweep *s, capp_error *err) {
    for (size_t i = 0; i < s->facts.n; i++) {
        const options *o = &s->facts.variants[i].settings;
        const capp_model_options *how = &o->model_options;
        buffer reason = {0};
        bool seen = false;
        for (size_t j = 0; j < i && !how->n_lora; j++)
            seen = seen || !strcmp(o->model, s->facts.variants[j].settings.model);
        bool good = seen || !capp_describe_lora(o->model, how->lora, how->n_lora, on_fact, &reason, err);
        if (good && interrupted()) good = fail_at(err, 0, "stopped by a signal");
        if (good && reason.size) good = fail_at(err, 0, "%s cannot run: %.*s", o->model, (int)reason.size, reason.data);
        buffer_free(&reason);
        if (!good) return false;
    }
    return true;
}

static bool make_variants(sweep *s, capp_error *err) {
    size_t n = count_variants(s->facts.settings);
    if (n < 2)
        return fail_at(
            err, 0,
            "there is nothing to compare; give -p, -m, -t, -c, --instruction, --examples, --list or --system "
            "several times");
    if (n > MOST_VARIANTS) return fail_at(err, 0, "there are more than %d variants; give fewer", (int)MOST_VARIANTS);
    s->facts.variants = allocate(n, sizeof *s->facts.variants);
    for (size_t i = 0; i < n; i++) {
        sweep_variant *v = &s->facts.variants[s->facts.n++];
        *v = (sweep_variant){.n = 0};
        make_arguments(s, v, i);
        if (!options_parse(&v->settings, "evaluate", COMMAND_EVALUATE, (int)v->n_arguments, v->arguments, err) ||
            !models_locate(&v->settings, err))
            return false;
        v->settings.command = "classify"; /* whose store it is */
        v->settings.bit = COMMAND_CLASSIFY;
        if (!make_store_name(s, v, i, err)) return false;
    }
    return true;
}

/* ---- Opening --------------------------------------------------------------------------------------------------- */

/* Whether two variants run in one session. */
static bool same_model(const options *a, const options *b) {
    const capp_model_options *x = &a->model_options, *y = &b->model_options;
    bool isa = x->isa == y->isa || (x->isa && y->isa && !strcmp(x->isa, y->isa));
    return !strcmp(a->model, b->model) && (a->orders > 1) == (b->orders > 1) && !x->n_lora && !y->n_lora && isa &&
           x->precision == y->precision && x->context == y->context && x->memory == y->memory &&
           x->weights_memory == y->weights_memory && x->threads == y->threads;
}

static bool open_lane(sweep *s, lane *l, sweep_variant *v, reader *from, capp_error *err) {
    const options *o = &v->settings;
    *l = (lane){.variant = v, .out.file = -1};
    if (!rules_open(&l->rules, o, NEED_CHOICES, err)) return false;
    l->rules.fields = true;
    l->rows = allocate(WINDOW_ROWS, sizeof *l->rows);
    l->scored = allocate(WINDOW_ROWS, sizeof *l->scored);
    l->predictions = allocate(WINDOW_ROWS, sizeof *l->predictions);
    l->loss = allocate(WINDOW_ROWS, sizeof *l->loss);
    l->used = rules_scoring(&l->rules, o, &l->scoring);
    if (l == s->lanes) {
        const reader_options how = rules_reader(&l->rules, o);
        if (!reader_open(from, &how, err)) return false;
        if (!from->source.regular)
            return fail_at(err, 0, "sweep reads INPUT several times, so it must be a file; write the rows to one");
    }
    return check_input(&l->check, from, &l->rules, o, err);
}

static bool open_output(sweep *s, lane *l, const reader *from, capp_error *err) {
    const options *o = &l->variant->settings;
    const char *inputs[] = {o->input, o->model, o->classes, o->prior, o->examples, o->project.path};
    if (!l->variant->store) return true;
    if (!output_open_rows(&l->out, o, true, inputs, sizeof inputs / sizeof *inputs, err) ||
        !manifest_make(&l->out.manifest, o, s->model, err))
        return false;
    const store_run how = {.settings = o,
                           .rules = &l->rules,
                           .columns = from->columns,
                           .n_columns = from->n_columns,
                           .manifest = buffer_view(&l->out.manifest)};
    return (output_begin(&l->out) && store_describe(l->out.store, &how, s->model)) ||
           fail_at(err, 0, "%s: cannot write the store", l->variant->store);
}

static bool open_model(sweep *s, capp_error *err) {
    const options *o = &s->lanes[0].variant->settings;
    if (!orders_open_model(&s->model, o, err) || capp_session_open(&s->session, s->model, err)) return false;
    interrupt_session(s->session);
    for (size_t i = 0; i < s->n_lanes; i++) {
        lane *l = &s->lanes[i];
        if (!chat_open(&l->chat, &l->variant->settings, l->rules.turns, l->rules.n_turns, s->model, err)) return false;
    }
    return true;
}

static void close_lanes(sweep *s, bool ended) {
    interrupt_session(NULL);
    capp_stats stats;
    if (s->session) {
        capp_session_get_stats(s->session, &stats);
        s->facts.tokens_computed += stats.tokens_computed;
        s->facts.tokens_saved += stats.tokens_saved;
    }
    for (size_t i = 0; i < s->n_lanes; i++) {
        lane *l = &s->lanes[i];
        if (l->out.file >= 0) output_close(&l->out, ended);
        capp_chat_free(l->chat);
        rules_close(&l->rules);
        check_free(&l->check);
        free(l->rows);
        free(l->scored);
        free(l->predictions);
        free(l->loss);
    }
    capp_session_free(s->session);
    capp_model_free(s->model);
    s->session = NULL;
    s->model = NULL;
    s->n_lanes = 0;
}

/* ---- Rows ------------------------------------------------------------------------------------------------------ */

static bool on_result(void *user, const capp_result *result) {
    sweep *s = user;
    lane *l = s->of[result->row];
    size_t i = s->places[result->row];
    const row *of = &l->rows[i];
    double right = result->posterior[of->label];
    l->scored[i] = true;
    l->predictions[i] = result->prediction;
    l->loss[i] = -log(right > DBL_MIN ? right : DBL_MIN);
    if (!l->out.stored) return !interrupted();
    s->failed = !store_add(l->out.store, &l->variant->settings, &l->rules, s->model, s->first + i, of, result) ||
                !output_end_row(&l->out);
    return !s->failed && !interrupted();
}

/* Whether both lanes may be in one call. */
static bool same_call(const lane *a, const lane *b) {
    const options *x = &a->variant->settings, *y = &b->variant->settings;
    return !a->used && !b->used && !a->chat && !b->chat && !a->rules.n_more && !b->rules.n_more &&
           x->aggregate == y->aggregate && x->parse_special == y->parse_special;
}

static bool fail_call(const sweep *s, const lane *l, const row *of, capp_error *err) {
    advise_context(&l->variant->settings, s->model, err);
    const capp_error cause = *err;
    if (interrupted()) return fail_at(err, 0, "stopped by a signal");
    if (s->failed) return fail_at(err, 0, "%s: cannot write the store", l->variant->store);
    if (!of) return fail_at(err, 0, "%s", cause.message);
    return fail_at(err, 0, "%s:%zu: %.800s", l->variant->settings.input, of->line, cause.message);
}

/* Leaves out the row of a lane that a call could not score, if the options allow it. */
static bool leave_out(sweep *s, size_t index, capp_status status, const capp_error *err) {
    const lane *l = s->of[index];
    const options *o = &l->variant->settings;
    row *bad = &l->rows[s->places[index]];
    if (o->on_error == ROW_STOP || s->failed || interrupted() || !row_may_cause(status)) return false;
    row_set_bad(bad, err->message, &s->window);
    if (!o->quiet)
        complain("%s:%zu: left out: variant %zu: %s", o->input, bad->line, (size_t)(l->variant - s->facts.variants) + 1,
                 err->message);
    return true;
}

/* Scores n rows of lanes; after a row that turns out to be bad, continues with the rows after it. */
static bool score(sweep *s, const lane *leader, const row *rows, const capp_example *examples, size_t n,
                  capp_error *err) {
    capp_run_options how;
    capp_run_options_init(&how);
    how.aggregate = leader->variant->settings.aggregate;
    how.parse_special = leader->variant->settings.parse_special;
    how.chat = leader->chat;
    how.scoring = leader->used;
    while (n) {
        err->row = CAPP_NO_ROW;
        capp_status status = leader->rules.n_more
                                 ? orders_score(s->session, &leader->rules, rows, n, &how, on_result, s, err)
                                 : capp_score(s->session, examples, n, &how, on_result, s, err);
        if (!status) break;
        if (err->row >= n || !leave_out(s, err->row, status, err))
            return fail_call(s, leader, err->row < n ? &rows[err->row] : NULL, err);
        size_t done = err->row + 1;
        rows += done;
        examples += done;
        s->of += done;
        s->places += done;
        n -= done;
    }
    return true;
}

/* Scores the rows of the lanes that may run with lane `first`: row by row, all lanes of a row together. */
static bool call(sweep *s, size_t first, capp_error *err) {
    lane *leader = &s->lanes[first];
    size_t n = 0, most = s->n_rows * (s->n_lanes - first);
    capp_example *examples = arena_allocate(&s->window, most, sizeof *examples);
    row *rows = arena_allocate(&s->window, most, sizeof *rows);
    s->of = arena_allocate(&s->window, most, sizeof *s->of);
    s->places = arena_allocate(&s->window, most, sizeof *s->places);
    for (size_t i = 0; i < s->n_rows; i++)
        for (size_t j = first; j < s->n_lanes; j++) {
            lane *l = &s->lanes[j];
            if ((j > first && !same_call(leader, l)) || row_is_bad(&l->rows[i])) continue;
            rows[n] = l->rows[i];
            examples[n] = rules_example(&l->rules, &l->rows[i].example);
            s->of[n] = l;
            s->places[n++] = i;
        }
    return score(s, leader, rows, examples, n, err);
}

static bool score_window(sweep *s, capp_error *err) {
    for (size_t i = 0; i < s->n_lanes; i++) memset(s->lanes[i].scored, 0, WINDOW_ROWS * sizeof *s->lanes[i].scored);
    for (size_t i = 0; i < s->n_lanes; i++) {
        bool led = false;
        for (size_t j = 0; j < i; j++) led = led || same_call(&s->lanes[j], &s->lanes[i]);
        if (!led && !call(s, i, err)) return false;
    }
    return true;
}

/* Keeps what the comparison needs: for a row that cannot be scored, 2. */
static bool keep_results(sweep *s, capp_error *err) {
    for (size_t j = 0; j < s->n_lanes; j++) {
        lane *l = &s->lanes[j];
        sweep_variant *v = l->variant;
        grow(&v->right, &v->right_capacity, v->n + s->n_rows, sizeof *v->right);
        for (size_t i = 0; i < s->n_rows; i++) {
            bool scored = l->scored[i];
            v->right[v->n++] = !scored ? 2 : l->predictions[i] == l->rows[i].label;
            if (scored) v->loss += l->loss[i];
            bool bad = l->out.stored && !scored;
            if (bad && (!store_add_bad(l->out.store, s->first + i, &l->rows[i]) || !output_end_row(&l->out)))
                return fail_at(err, 0, "%s: cannot write the store", v->store);
        }
    }
    return true;
}

/* Reads a window of rows for all lanes. */
static read_status read_window(sweep *s, reader *from, capp_error *err) {
    read_status status = READ_ROW;
    arena_reset(&s->window);
    for (s->n_rows = 0; s->n_rows < WINDOW_ROWS; s->n_rows++) {
        record next;
        status = reader_next(from, &next, true, err);
        if (status != READ_ROW && status != READ_BAD) break;
        for (size_t j = 0; j < s->n_lanes; j++) {
            lane *l = &s->lanes[j];
            capp_error cause = *err;
            row_make(&l->rows[s->n_rows], &l->rules, status == READ_ROW ? &next : NULL, s->first + s->n_rows,
                     &s->window, &cause);
            if (!row_is_bad(&l->rows[s->n_rows]) || l->variant->settings.on_error != ROW_STOP) continue;
            const row *bad = &l->rows[s->n_rows];
            fail_at(err, 0, "%s:%zu: %.*s", l->variant->settings.input, bad->line, (int)bad->reason.size,
                    bad->reason.data);
            return READ_FAILED;
        }
    }
    return status;
}

static bool run_lanes(sweep *s, reader *from, capp_error *err) {
    read_status status = READ_ROW;
    for (s->first = 0; status != READ_END; s->first += s->n_rows) {
        status = read_window(s, from, err);
        if (status == READ_FAILED) return false;
        for (size_t i = 0; i < s->n_lanes && !s->first; i++)
            if (!open_output(s, &s->lanes[i], from, err)) return false;
        if (s->n_rows && (!score_window(s, err) || !keep_results(s, err))) return false;
        if (interrupted()) return fail_at(err, 0, "stopped by a signal");
    }
    for (size_t i = 0; i < s->n_lanes; i++)
        if (s->lanes[i].out.stored && !store_end(s->lanes[i].out.store))
            return fail_at(err, 0, "%s: cannot write the store", s->lanes[i].variant->store);
    return true;
}

/* Runs the variants that share the model of the first one that has not run. */
static bool run_model(sweep *s, bool *ran, capp_error *err) {
    sweep_variant *variants = s->facts.variants;
    size_t first = 0;
    reader from = {.source.file = -1};
    while (ran[first]) first++;
    bool good = true;
    for (size_t i = first; i < s->facts.n && good; i++) {
        if (ran[i] || (i > first && !same_model(&variants[first].settings, &variants[i].settings))) continue;
        ran[i] = true;
        good = open_lane(s, &s->lanes[s->n_lanes++], &variants[i], &from, err);
    }
    good = good && open_model(s, err) && run_lanes(s, &from, err);
    close_lanes(s, good);
    reader_close(&from);
    return good;
}

/* Rows count only if every variant has scored them. */
static void drop_unscored(sweep_facts *f) {
    size_t kept = 0, n = f->n ? f->variants[0].n : 0;
    for (size_t k = 0; k < n; k++) {
        bool whole = true;
        for (size_t i = 0; i < f->n; i++) whole = whole && f->variants[i].right[k] < 2;
        for (size_t i = 0; i < f->n && whole; i++) {
            f->variants[i].right[kept] = f->variants[i].right[k];
            f->variants[i].correct += f->variants[i].right[k];
        }
        kept += whole;
    }
    f->n_left_out = n - kept;
    for (size_t i = 0; i < f->n; i++) f->variants[i].n = kept;
}

int sweep_command(const options *o) {
    capp_error err = {.row = CAPP_NO_ROW};
    sweep s = {.facts.settings = o};
    double start = seconds_now();
    bool good = make_variants(&s, &err) && check_models(&s, &err);
    bool *ran = allocate(s.facts.n + 1, sizeof *ran);
    memset(ran, 0, (s.facts.n + 1) * sizeof *ran);
    s.lanes = allocate(s.facts.n + 1, sizeof *s.lanes);
    for (size_t i = 0; i < s.facts.n && good; i++)
        if (!ran[i]) good = run_model(&s, ran, &err);
    s.facts.seconds = seconds_now() - start;
    int code = interrupted() ? EXIT_SIGNAL + interrupted() : EXIT_FAILED;
    if (good) drop_unscored(&s.facts);
    if (good)
        code = sweep_report(&s.facts, &err);
    else
        complain("%s", err.message);
    for (size_t i = 0; i < s.facts.n; i++) {
        options_free(&s.facts.variants[i].settings);
        free(s.facts.variants[i].right);
    }
    free(s.facts.variants);
    free(s.lanes);
    free(ran);
    arena_free(&s.memory);
    arena_free(&s.window);
    return code;
}
