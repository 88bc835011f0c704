/* capp plan: what a run will cost, measured on a sample, and what may be wrong with its question. */
#include "memory.h"
#include "plan_report.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

/* ---- All rows -------------------------------------------------------------------------------------------------- */

/* A hash of the prompt, without differences of case and of spaces. */
static uint64_t hash_prompt(capp_str prompt, buffer *plain) {
    arena memory = {0};
    capp_str form = visible_form(prompt, &memory);
    plain->size = 0;
    for (size_t i = 0; i < form.size; i++) {
        bool space = is_one_of(form.data[i], " \t\r\n");
        if (space && plain->size && plain->data[plain->size - 1] == ' ') continue;
        buffer_char(plain, space ? ' ' : (char)tolower((unsigned char)form.data[i]));
    }
    arena_free(&memory);
    return XXH3_64bits(plain->data, plain->size);
}

static capp_str copied(plan_facts *p, capp_str text) {
    return arena_copy(&p->memory, text);
}

/* Keeps the row for the sample. */
static void keep_row(plan_facts *p, const row *of) {
    grow(&p->rows, &p->rows_capacity, p->n_rows + 1, sizeof *p->rows);
    plan_row *kept = &p->rows[p->n_rows++];
    capp_example *e = &kept->example;
    *kept = (plan_row){.example = of->example};
    e->prompt = copied(p, e->prompt);
    if (p->run.rules.n_more) kept->other = copied(p, of->prompts[p->run.rules.n_more / 2]);
    if (e->completions != p->run.rules.classes) {
        capp_str *texts = arena_allocate(&p->memory, e->n_completions, sizeof *texts);
        for (size_t i = 0; i < e->n_completions; i++) texts[i] = copied(p, e->completions[i]);
        e->completions = texts;
    }
    if (e->prior && e->prior != p->run.rules.prior) {
        double *prior = arena_allocate(&p->memory, e->n_completions, sizeof *prior);
        memcpy(prior, e->prior, e->n_completions * sizeof *prior);
        e->prior = prior;
    }
    if (e->end_of_prompt && e->end_of_prompt != p->run.rules.end_of_prompt)
        e->end_of_prompt = *e->end_of_prompt ? " " : "";
}

/* Rows of the sample lie at equal distances, if the number of rows is known; otherwise they are the first ones. */
static void take_rows(plan_facts *p, const row *rows, size_t n, buffer *plain) {
    size_t all = p->run.check.n_rows, most = p->settings->sample;
    size_t step = all > most ? all / most : 1;
    for (size_t i = 0; i < n; i++, p->seen++) {
        grow(&p->prompts, &p->prompts_capacity, 2 * (p->n_prompts + 1), sizeof *p->prompts);
        p->prompts[2 * p->n_prompts] = hash_prompt(rows[i].example.prompt, plain);
        p->prompts[2 * p->n_prompts++ + 1] = rows[i].line;
        if (p->seen % step == 0 && p->n_rows < most) keep_row(p, &rows[i]);
    }
}

static void calls_of(plan_facts *p, capp_run_options *how) {
    capp_run_options_init(how);
    how->parse_special = p->settings->parse_special;
    how->aggregate = p->settings->aggregate;
    how->chat = p->run.chat;
    how->scoring = rules_scoring(&p->run.rules, p->settings, &p->run.scoring);
}

static void find_bad(plan_facts *p) {
    for (size_t i = 0; i < p->run.n_rows && !p->first_bad; i++) {
        if (!row_is_bad(&p->run.rows[i])) continue;
        p->first_bad = p->run.rows[i].line;
        p->reason = copied(p, p->run.rows[i].reason);
    }
}

/* Plans the rows of a window, with all orders of the list that the run will average. */
static capp_status window(run *this_run, const row *rows, size_t n, void *user, capp_error *err) {
    plan_facts *p = user;
    size_t orders = p->settings->orders;
    buffer plain = {0};
    capp_run_options how;
    capp_example *examples = allocate(n * orders, sizeof *examples);
    for (size_t i = 0; i < n * orders; i++) {
        examples[i] = rules_example(&this_run->rules, &rows[i / orders].example);
        if (i % orders) examples[i].prompt = rows[i / orders].prompts[i % orders - 1];
    }
    if (rows == this_run->good) find_bad(p); /* before rows that turn out to be too long */
    calls_of(p, &how);
    capp_status status = capp_forecast(this_run->session, examples, n * orders, &how, &p->work, err);
    size_t good = n;
    if (status) good = err->row = err->row < n * orders ? err->row / orders : n;
    if (status == CAPP_ETOOLONG && !p->n_long++) p->first_long = rows[err->row].line;
    take_rows(p, rows, good, &plain);
    free(examples);
    buffer_free(&plain);
    return status;
}

static int by_hash(const void *a, const void *b) {
    const uint64_t *x = a, *y = b;
    for (int i = 0; i < 2; i++)
        if (x[i] != y[i]) return x[i] < y[i] ? -1 : 1;
    return 0;
}

static void find_repeated(plan_facts *p) {
    if (p->n_prompts) qsort(p->prompts, p->n_prompts, 2 * sizeof *p->prompts, by_hash);
    for (size_t i = 1; i < p->n_prompts; i++) {
        const uint64_t *last = &p->prompts[2 * i - 2], *this = &p->prompts[2 * i];
        if (*last != *this) continue;
        if (!p->n_repeated++ || this[1] < p -> first_repeated[1]) {
            p->first_repeated[0] = (size_t)last[1];
            p->first_repeated[1] = (size_t)this[1];
        }
    }
}

/* ---- The sample ------------------------------------------------------------------------------------------------ */

/* Whether completion i is equal to an earlier one, or goes on where another one ends: then its probability is a part of
 * that of the other. */
static bool is_part(const capp_result *r, size_t i) {
    size_t n = r->offset[i + 1] - r->offset[i];
    for (size_t j = 0; j < r->n_completions; j++) {
        size_t m = r->offset[j + 1] - r->offset[j];
        bool same = j != i && m <= n && !memcmp(r->ids + r->offset[i], r->ids + r->offset[j], m * sizeof *r->ids);
        if (same && (m < n || j < i)) return true;
    }
    return false;
}

/* Whether an earlier completion begins with the same token. */
static bool begins_again(const capp_result *r, size_t i) {
    for (size_t j = 0; j < i; j++)
        if (r->ids[r->offset[j]] == r->ids[r->offset[i]]) return true;
    return false;
}

static void add_mass(plan_facts *p, const capp_result *r) {
    for (size_t i = 0; i < r->n_completions; i++) {
        double sum = 0;
        size_t n = r->offset[i + 1] - r->offset[i];
        for (size_t j = 0; j < n; j++) sum += (double)r->logprobs[r->offset[i] + j];
        if (!is_part(r, i)) p->mass += exp(sum);
        if (!begins_again(r, i)) p->first_mass += exp((double)r->logprobs[r->offset[i]]);
        if (r->n_completions == p->n_completions) p->completions[i].score += sum / (double)n;
    }
    p->n_mass++;
}

static void learn_completions(plan_facts *p, const capp_result *r) {
    size_t n;
    const row_rules *rules = &p->run.rules;
    const capp_str *texts = rules_completions(rules, &n);
    if (p->n_completions || n != r->n_completions) return;
    p->completions = arena_allocate(&p->memory, n, sizeof *p->completions);
    for (p->n_completions = 0; p->n_completions < n; p->n_completions++) {
        size_t i = p->n_completions;
        plan_completion *c = &p->completions[i];
        *c = (plan_completion){.text = texts[i], .class = rules->n_phrasings ? rules->class_of[i] : i};
        c->n = r->offset[i + 1] - r->offset[i];
        c->ids = arena_allocate(&p->memory, c->n, sizeof *c->ids);
        memcpy(c->ids, r->ids + r->offset[i], c->n * sizeof *c->ids);
    }
}

static bool on_result(void *user, const capp_result *result) {
    plan_facts *p = user;
    if (p->rows[result->row].example.completions == p->run.rules.classes) learn_completions(p, result);
    add_mass(p, result);
    grow(&p->predictions, &p->predictions_capacity, p->n_predicted + 1, sizeof *p->predictions);
    p->predictions[p->n_predicted++] = result->prediction;
    return !interrupted();
}

static bool on_other(void *user, const capp_result *result) {
    plan_facts *p = user;
    p->n_changed += p->predictions[result->row] != result->prediction;
    p->n_ordered++;
    return !interrupted();
}

/* Runs the sample: once to measure, and once with the list of classes in another order. */
static bool run_sample(plan_facts *p, capp_error *err) {
    capp_run_options how;
    capp_work work = {0};
    capp_session *session = p->run.session;
    capp_example *examples = allocate(p->n_rows, sizeof *examples);
    for (size_t i = 0; i < p->n_rows; i++) examples[i] = rules_example(&p->run.rules, &p->rows[i].example);
    calls_of(p, &how);
    if (p->n_rows) fill_weights(p->run.model, session);
    /* The first row alone makes room for the rest, which is measured. */
    bool good = !capp_score(session, examples, p->n_rows > 0, &how, ignore_result, NULL, err) &&
                !capp_forecast(session, examples, p->n_rows, &how, &work, err);
    double start = seconds_now();
    good = good && !capp_score(session, examples, p->n_rows, &how, on_result, p, err);
    p->seconds = seconds_now() - start;
    p->sample_tokens = work.tokens_computed;
    for (size_t i = 0; i < p->n_rows; i++) examples[i].prompt = p->rows[i].other;
    if (p->run.rules.n_more) good = good && !capp_score(session, examples, p->n_rows, &how, on_other, p, err);
    free(examples);
    return good;
}

/* ---- The command ----------------------------------------------------------------------------------------------- */

static int write_plan(plan_facts *p, capp_error *err) {
    buffer text = {0};
    output json = {.file = -1};
    const char *inputs[] = {p->settings->input, p->settings->model, p->settings->classes, p->settings->project.path};
    if (p->settings->json && !output_open(&json, p->settings->json, inputs, sizeof inputs / sizeof *inputs, err)) {
        complain("%s", err->message);
        return EXIT_FAILED;
    }
    if (p->settings->json) plan_json(p, &json.rows);
    if (p->run.first) plan_text(p, &text);
    int code = EXIT_DONE;
    if (!p->settings->json || json.path) code = output_print(buffer_view(&text));
    buffer_free(&text);
    if (json.file >= 0 && !output_close(&json, true)) code = output_failed(&json);
    return code || !p->n_bad ? code : EXIT_PARTLY;
}

/* The first bad row of a run without a good one, in which no window was planned. */
static void find_first_bad(plan_facts *p) {
    const check *found = &p->run.check;
    if (p->first_bad || p->n_bad == p->n_long) return;
    if (found->n_bad && found->first_line != p->first_long) {
        p->first_bad = found->first_line;
        p->reason = copied(p, buffer_view(&found->first_reason));
    } else {
        find_bad(p);
    }
}

static int make_plan(plan_facts *p, bool quiet) {
    capp_error err = {.row = CAPP_NO_ROW};
    int code = run_windows(&p->run, window, p);
    if (code != EXIT_DONE && code != EXIT_PARTLY) return code;
    if (!p->run.first && !quiet) complain("%s: no rows", p->run.reader.source.name);
    p->n_bad = p->run.n_bad;
    find_first_bad(p);
    capp_model_get_info(p->run.model, &p->info);
    p->weight_bytes = capp_model_forecast_weights(p->run.model);
    find_repeated(p);
    if (!run_sample(p, &err)) {
        if (interrupted()) return EXIT_SIGNAL + interrupted();
        complain("%s", err.message);
        return EXIT_FAILED;
    }
    plan_judge(p);
    return write_plan(p, &err);
}

int plan_command(const options *o) {
    options shown = *o; /* bad rows are counted, not told one by one */
    shown.on_error = ROW_SKIP;
    shown.quiet = true;
    shown.compare_orders = o->list != NULL && !o->multi_label;
    plan_facts *p = allocate(1, sizeof *p);
    *p = (plan_facts){.settings = &shown};
    int code = run_open(&p->run, &shown, NEED_CHOICES, true) ? make_plan(p, o->quiet) : EXIT_FAILED;
    code = run_close(&p->run, code);
    arena_free(&p->memory);
    free(p->prompts);
    free(p->rows);
    free(p->predictions);
    buffer_free(&p->warnings);
    buffer_free(&p->sentences);
    free(p);
    return code;
}
