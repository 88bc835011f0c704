/* The warnings of capp plan, and its report. */
#include "plan_report.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHOWN = 5 }; /* warnings of one kind */

/* Adds a warning: a plain sentence with its cure. */
static void __attribute__((format(printf, 2, 3))) plan_warn(plan_facts *p, const char *format, ...) {
    char text[600];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    buffer_text(&p->warnings, p->n_warnings ? ",\n  " : "\n  ");
    put_string(&p->warnings, capp_str_of(text));
    buffer_printf(&p->sentences, "  - %s\n", text);
    p->n_warnings++;
}

/* ---- Classes --------------------------------------------------------------------------------------------------- */

/* Two completions of different classes with equal tokens, or one of which begins with the other. */
static void judge_tokens(plan_facts *p) {
    size_t equal = 0, begun = 0;
    bool sums = p->settings->aggregate == CAPP_AGGREGATE_SUM;
    for (size_t i = 0; i < p->n_completions; i++)
        for (size_t j = 0; j < p->n_completions; j++) {
            const plan_completion *a = &p->completions[i], *b = &p->completions[j];
            if (i == j || a->class == b->class || a->n > b->n || memcmp(a->ids, b->ids, a->n * sizeof *a->ids) != 0)
                continue;
            int na = a->text.size < 100 ? (int)a->text.size : 100, nb = b->text.size < 100 ? (int)b->text.size : 100;
            if (a->n == b->n && i < j && equal++ < SHOWN)
                plan_warn(p, "'%.*s' and '%.*s' have the same tokens, so the model cannot tell them apart; change one.",
                          na, a->text.data, nb, b->text.data);
            if (a->n < b->n && begun++ < SHOWN)
                plan_warn(p, "'%.*s' begins with '%.*s'%s; choose words that begin differently.", nb, b->text.data, na,
                          a->text.data,
                          sums ? ", so under --aggregate sum it can never be the more probable one"
                               : ", so what the model says for one counts for the other");
        }
}

static void judge_descriptions(plan_facts *p) {
    const row_rules *rules = &p->run.rules;
    if (rules->n_undescribed)
        plan_warn(p,
                  "The list writes descriptions, but there is none for %zu of %zu classes; give each class one, or "
                  "remove {description} from --list.",
                  rules->n_undescribed, rules->n_classes);
}

static void judge_examples(plan_facts *p) {
    if (rules_rows_are_examples(p->settings))
        plan_warn(p, "The file has the rows and the examples, so each prompt has the answer to its row; take the "
                     "examples of --examples from other rows.");
}

/* Spaces between the prompt and the classes. */
static void judge_spaces(plan_facts *p) {
    const row_rules *rules = &p->run.rules;
    capp_str end;
    bool literal = rules->has_template && template_end(&rules->template, &end) && end.size;
    bool prompt = literal && is_one_of(end.data[end.size - 1], " \t\n");
    size_t n, with = 0;
    const capp_str *texts = rules_completions(rules, &n);
    for (size_t i = 0; i < n; i++) with += is_one_of(*texts[i].data, " \t\n");
    if (rules->notes.space && literal && end.data[end.size - 1] == ' ')
        plan_warn(p, "The template ends with a space, and capp puts another one before each class; remove the space at "
                     "the end of the template.");
    if (rules->notes.space && with)
        plan_warn(p, "%zu of %zu classes begin with a space, and capp puts another one before them; remove it.", with,
                  n);
    if (!rules->notes.space && !p->settings->chat && literal && !prompt && with < n)
        plan_warn(p,
                  "There is no space between the prompt and %zu of %zu classes, so that their first word joins the "
                  "last word of the prompt; remove --end-of-prompt ''.",
                  n - with, n);
}

static int by_value(const void *a, const void *b) {
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* Ranks from 1; equal values share the mean of their ranks. */
static void rank(const double *values, double *ranks, size_t n) {
    double *sorted = allocate(n, sizeof *sorted);
    memcpy(sorted, values, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, by_value);
    for (size_t i = 0; i < n; i++) {
        size_t first = 0, last;
        while (sorted[first] < values[i]) first++;
        for (last = first; last + 1 < n && !(sorted[last + 1] > values[i]); last++) continue;
        ranks[i] = 1 + ((double)first + (double)last) / 2;
    }
    free(sorted);
}

/* Spearman's correlation of the number of tokens of a completion with its mean log-probability; NaN if all are equal.
 */
static double length_correlation(const plan_facts *p) {
    size_t n = p->n_completions;
    double *values = allocate(4 * n, sizeof *values), *length = values, *score = values + n;
    for (size_t i = 0; i < n; i++) {
        length[i] = (double)p->completions[i].n;
        score[i] = p->completions[i].score;
    }
    double *a = values + 2 * n, *b = values + 3 * n, xy = 0, xx = 0, yy = 0, mean = ((double)n + 1) / 2;
    rank(length, a, n);
    rank(score, b, n);
    for (size_t i = 0; i < n; i++) {
        xy += (a[i] - mean) * (b[i] - mean);
        xx += (a[i] - mean) * (a[i] - mean);
        yy += (b[i] - mean) * (b[i] - mean);
    }
    free(values);
    return xx > 0 && yy > 0 ? xy / sqrt(xx * yy) : NAN;
}

static void token_range(const plan_facts *p, size_t *least, size_t *most) {
    *least = p->n_completions ? SIZE_MAX : 0;
    *most = 0;
    for (size_t i = 0; i < p->n_completions; i++) {
        if (p->completions[i].n < *least) *least = p->completions[i].n;
        if (p->completions[i].n > *most) *most = p->completions[i].n;
    }
}

static void judge_discount(plan_facts *p) {
    if (p->settings->discount == 0 || p->settings->domain) return;
    size_t least, most;
    token_range(p, &least, &most);
    plan_warn(
        p,
        "Without --domain, the discount leaves the first token of each class as it is%s; add a prompt that says only "
        "what is asked, such as --domain 'Topic:'.",
        most == 1    ? ", and all classes have one token"
        : least == 1 ? ", and some classes have no other"
                     : "");
}

static void judge_lengths(plan_facts *p) {
    enum { ENOUGH = 5 };
    size_t least, most;
    token_range(p, &least, &most);
    if (p->settings->aggregate == CAPP_AGGREGATE_SUM && most > least)
        plan_warn(p,
                  "Classes have %zu to %zu tokens, and --aggregate sum favors short ones; use mean, or words of one "
                  "length.",
                  least, most);
    double r = p->n_completions >= ENOUGH ? length_correlation(p) : NAN;
    if (p->settings->aggregate == CAPP_AGGREGATE_MEAN && fabs(r) >= 0.7)
        plan_warn(p,
                  "%s classes score higher whatever the row says (rank correlation of tokens and mean log-probability "
                  "%.2f); a discount such as --discount -1 --domain 'Topic:' takes this away.",
                  r > 0 ? "Long" : "Short", r);
    const row_rules *rules = &p->run.rules;
    size_t *counts = allocate(rules->n_classes + 1, sizeof *counts);
    memset(counts, 0, (rules->n_classes + 1) * sizeof *counts);
    for (size_t i = 0; i < rules->n_phrasings; i++) counts[rules->class_of[i]]++;
    for (size_t i = 1; i < rules->n_classes && rules->n_phrasings && !rules->n_prior; i++)
        if (counts[i] != counts[0]) {
            plan_warn(p, "Classes have different numbers of phrasings, whose probabilities are added, so those with "
                         "more are favored; give each class as many, or set a prior.");
            break;
        }
    free(counts);
}

/* ---- Rows and the sample --------------------------------------------------------------------------------------- */

static void judge_sample(plan_facts *p) {
    const row_rules *rules = &p->run.rules;
    double rows = p->n_mass ? (double)p->n_mass : NAN;
    if (p->first_mass / rows < 0.01)
        plan_warn(p,
                  "The model expects other words here: the first tokens of all classes together get %.2g %% of the "
                  "probability; ask in the template for the words of the classes, or list them with --list.",
                  100 * p->first_mass / rows);
    size_t *counts = allocate(rules->n_classes + 1, sizeof *counts), most = 0;
    memset(counts, 0, (rules->n_classes + 1) * sizeof *counts);
    for (size_t i = 0; i < p->n_predicted; i++)
        if (p->predictions[i] < rules->n_classes) counts[p->predictions[i]]++;
    for (size_t i = 1; i < rules->n_classes; i++)
        if (counts[i] > counts[most]) most = i;
    if (rules->n_classes && p->n_predicted >= 20 && counts[most] * 10 > p->n_predicted * 9)
        plan_warn(p,
                  "The class '%.*s' wins %zu of the %zu rows of the sample; if that is too many, use a discount, or "
                  "capp decide --calibrate.",
                  rules->classes[most].size < 100 ? (int)rules->classes[most].size : 100, rules->classes[most].data,
                  counts[most], p->n_predicted);
    free(counts);
    if (p->n_changed * 10 > p->n_ordered)
        plan_warn(p,
                  "With the list of classes in another order, %zu of %zu predictions change; use --orders %zu to "
                  "average over orders.",
                  p->n_changed, p->n_ordered, rules->n_classes < 8 ? rules->n_classes : (size_t)8);
}

static void judge_rows(plan_facts *p) {
    size_t others = p->n_bad - p->n_long;
    char advice[CONTEXT_ADVICE] = "";
    if (p->n_long) context_advice(p->settings, p->run.model, advice);
    if (p->n_long)
        plan_warn(p, "%zu row%s too long for the context of %u tokens (the first is in line %zu); shorten such rows%s.",
                  p->n_long, p->n_long == 1 ? " is" : "s are", p->info.context, p->first_long, advice);
    if (others && p->first_bad)
        plan_warn(p,
                  "%zu row%s cannot be scored%s (the first is in line %zu: %.*s); correct such rows, or use --on-error "
                  "skip or null.",
                  others, others == 1 ? "" : "s", p->n_long ? " for other reasons" : "", p->first_bad,
                  p->reason.size < 200 ? (int)p->reason.size : 200, p->reason.data);
    else if (others)
        plan_warn(p, "%zu row%s cannot be scored; run the command without plan to see why.", others,
                  others == 1 ? "" : "s");
    if (p->n_repeated)
        plan_warn(
            p, "%zu row%s an earlier row (line %zu repeats line %zu); remove such rows if each text should count once.",
            p->n_repeated, p->n_repeated == 1 ? " probably repeats" : "s probably repeat", p->first_repeated[1],
            p->first_repeated[0]);
}

void plan_judge(plan_facts *p) {
    judge_rows(p);
    judge_tokens(p);
    judge_descriptions(p);
    judge_examples(p);
    judge_spaces(p);
    judge_lengths(p);
    judge_discount(p);
    judge_sample(p);
}

/* ---- The report ------------------------------------------------------------------------------------------------ */

/* Estimated seconds of the whole run, without opening the model and unpacking its weights for the first time. */
static double plan_seconds(const plan_facts *p) {
    return p->sample_tokens ? p->seconds * (double)p->work.tokens_computed / (double)p->sample_tokens : NAN;
}

void plan_text(const plan_facts *p, buffer *b) {
    size_t least, most;
    const capp_work *w = &p->work;
    uint64_t alone = w->tokens_computed + w->tokens_saved;
    token_range(p, &least, &most);
    buffer_printf(b, "rows       %zu", p->n_prompts + p->n_bad);
    if (p->n_bad) buffer_printf(b, ", of which %zu cannot be scored", p->n_bad);
    buffer_printf(b, "\nlongest    %llu tokens; the context is %u\n", (unsigned long long)w->longest, p->info.context);
    if (p->n_completions && least == most)
        buffer_printf(b, "classes    %zu, of %zu token%s\n", p->run.rules.n_classes, most, most == 1 ? "" : "s");
    else if (p->n_completions)
        buffer_printf(b, "classes    %zu, of %zu to %zu tokens\n", p->run.rules.n_classes, least, most);
    buffer_printf(b, "tokens     %llu to compute; sharing saves %llu (%.1f %%)\n",
                  (unsigned long long)w->tokens_computed, (unsigned long long)w->tokens_saved,
                  alone ? 100 * (double)w->tokens_saved / (double)alone : 0);
    buffer_printf(b, "waves      %llu\n", (unsigned long long)w->waves);
    buffer_printf(b, "memory     %s for the run, %s for unpacked weights\n", human_bytes(w->planned_bytes),
                  human_bytes(p->weight_bytes));
    if (p->n_mass) {
        buffer_text(b, "time       ");
        buffer_duration(b, plan_seconds(p));
        buffer_printf(b, " (measured on %zu row%s: %.0f tokens per second)\n", p->n_rows, p->n_rows == 1 ? "" : "s",
                      (double)p->sample_tokens / p->seconds);
        buffer_printf(b, "mass       %.3g %% of the probability for the classes, %.3g %% for their first tokens\n",
                      100 * p->mass / (double)p->n_mass, 100 * p->first_mass / (double)p->n_mass);
    }
    if (p->n_ordered)
        buffer_printf(b, "order      %zu of %zu predictions change with another order of the classes\n", p->n_changed,
                      p->n_ordered);
    buffer_printf(b, "\n%zu warning%s\n", p->n_warnings, p->n_warnings == 1 ? "" : "s");
    buffer_str(b, buffer_view(&p->sentences));
}

static void put_number(buffer *b, const char *name, double value) {
    buffer_printf(b, ",\n \"%s\": ", name);
    put_double(b, value);
}

void plan_json(const plan_facts *p, buffer *b) {
    size_t least, most;
    const capp_work *w = &p->work;
    double rows = p->n_mass ? (double)p->n_mass : NAN;
    token_range(p, &least, &most);
    buffer_printf(b, "{\"rows\": %zu,\n \"bad_rows\": %zu,\n \"long_rows\": %zu,\n \"repeated_rows\": %zu",
                  p->n_prompts + p->n_bad, p->n_bad, p->n_long, p->n_repeated);
    buffer_printf(b,
                  ",\n \"longest\": %llu,\n \"context\": %u,\n \"tokens_computed\": %llu,\n \"tokens_saved\": %llu,\n "
                  "\"waves\": %llu",
                  (unsigned long long)w->longest, p->info.context, (unsigned long long)w->tokens_computed,
                  (unsigned long long)w->tokens_saved, (unsigned long long)w->waves);
    buffer_printf(b, ",\n \"planned_bytes\": %llu,\n \"planned_weight_bytes\": %llu",
                  (unsigned long long)w->planned_bytes, (unsigned long long)p->weight_bytes);
    buffer_printf(b, ",\n \"class_tokens\": [%zu, %zu],\n \"sample_rows\": %zu", least, most, p->n_rows);
    put_number(b, "seconds", plan_seconds(p));
    put_number(b, "load_seconds", p->info.load_seconds);
    put_number(b, "tokens_per_second", p->seconds > 0 ? (double)p->sample_tokens / p->seconds : NAN);
    put_number(b, "mass", p->mass / rows);
    put_number(b, "first_token_mass", p->first_mass / rows);
    put_number(b, "order_changes", p->n_ordered ? (double)p->n_changed / (double)p->n_ordered : NAN);
    buffer_text(b, ",\n \"warnings\": [");
    buffer_str(b, buffer_view(&p->warnings));
    buffer_text(b, "]}\n");
}
