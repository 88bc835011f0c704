#include "sweep_report.h"

#include "capp_arrays.h"
#include "output_file.h"
#include "values.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A comparison of two variants on the same rows. */
typedef struct duel {
    size_t first, second, only_first, only_second;
    double p, corrected; /* McNemar's test, before and after Holm's correction */
} duel;

static const double LEVEL = 0.05;

/* All pairs: the best variant is known only after the fact, so each pair might have been the one that counts. */
static duel *make_duels(const sweep_facts *s, size_t *n) {
    duel *duels = allocate(s->n * s->n, sizeof *duels);
    *n = 0;
    for (size_t i = 0; i < s->n; i++)
        for (size_t j = i + 1; j < s->n; j++) {
            duel d = {.first = i, .second = j};
            const sweep_variant *a = &s->variants[i], *b = &s->variants[j];
            for (size_t k = 0; k < a->n; k++) {
                d.only_first += a->right[k] && !b->right[k];
                d.only_second += b->right[k] && !a->right[k];
            }
            d.p = capp_measure_mcnemar(d.only_first, d.only_second);
            duels[(*n)++] = d;
        }
    double *p = allocate(*n, sizeof *p);
    for (size_t i = 0; i < *n; i++) p[i] = duels[i].p;
    capp_measure_holm(p, *n);
    for (size_t i = 0; i < *n; i++) duels[i].corrected = p[i];
    free(p);
    return duels;
}

static const duel *duel_of(const duel *duels, size_t n, size_t a, size_t b) {
    for (size_t i = 0; i < n; i++)
        if ((duels[i].first == a && duels[i].second == b) || (duels[i].first == b && duels[i].second == a))
            return &duels[i];
    return NULL;
}

/* The variant with the most correct rows; of equals the one with the smaller log-loss. */
static size_t best_of(const sweep_facts *s) {
    size_t best = 0;
    for (size_t i = 1; i < s->n; i++) {
        const sweep_variant *a = &s->variants[i], *b = &s->variants[best];
        if (a->correct > b->correct || (a->correct == b->correct && a->loss < b->loss)) best = i;
    }
    return best;
}

static bool beats_all(const sweep_facts *s, const duel *duels, size_t n, size_t best) {
    for (size_t i = 0; i < s->n; i++)
        if (i != best && !(duel_of(duels, n, i, best)->corrected < LEVEL)) return false;
    return true;
}

static double mean(double sum, size_t n) {
    return n ? sum / (double)n : NAN;
}

/* Says why there is nothing to compare. */
static void tell_none(const sweep_facts *s) {
    const options *o = s->settings;
    if (s->n_left_out)
        complain("%s: no row was scored by all variants; correct the rows, or remove variants that cannot score them",
                 o->input);
    else if (!o->quiet)
        complain("%s: no rows", o->input);
}

static void put_table(buffer *b, const sweep_facts *s, const duel *duels, size_t n, size_t best) {
    buffer_text(b, "variant  accuracy  log-loss  p to the best  what varies\n");
    for (size_t i = 0; i < s->n; i++) {
        const sweep_variant *v = &s->variants[i];
        buffer_printf(b, "%5zu %c  %8.4f  %8.4f  ", i + 1, i == best ? '*' : ' ', mean((double)v->correct, v->n),
                      mean(v->loss, v->n));
        if (i == best)
            buffer_text(b, "               ");
        else
            buffer_printf(b, "%13.4g  ", duel_of(duels, n, i, best)->corrected);
        buffer_printf(b, "%.*s\n", (int)v->varies.size, v->varies.data);
    }
    buffer_printf(b, "\n%zu row%s with a label; ", s->variants[0].n, s->variants[0].n == 1 ? "" : "s");
    if (s->n_left_out)
        buffer_printf(b, "%zu that some variant could not score %s left out; ", s->n_left_out,
                      s->n_left_out == 1 ? "is" : "are");
    buffer_printf(b, "%llu tokens computed, %llu saved by sharing\n", (unsigned long long)s->tokens_computed,
                  (unsigned long long)s->tokens_saved);
    if (beats_all(s, duels, n, best))
        buffer_printf(b,
                      "Variant %zu is the winner: it is better than each other one (McNemar's test, p < %g after "
                      "Holm's correction for %zu comparison%s).\n",
                      best + 1, LEVEL, n, n == 1 ? "" : "s");
    else
        buffer_printf(b,
                      "There is no winner: variant %zu has the highest accuracy, but others may be as good (McNemar's "
                      "test, p >= %g after Holm's correction for %zu comparison%s). More labeled rows may tell.\n",
                      best + 1, LEVEL, n, n == 1 ? "" : "s");
}

static void put_variant(buffer *b, const sweep_variant *v, size_t number) {
    buffer_printf(b, "%s\n  {\"variant\": %zu, \"varies\": ", number > 1 ? "," : "", number);
    put_string(b, v->varies);
    buffer_text(b, ", \"store\": ");
    if (v->store)
        put_string(b, capp_str_of(v->store));
    else
        buffer_text(b, "null");
    buffer_printf(b, ", \"correct\": %zu, \"accuracy\": ", v->correct);
    put_double(b, mean((double)v->correct, v->n));
    buffer_text(b, ", \"log_loss\": ");
    put_double(b, mean(v->loss, v->n));
    buffer_char(b, '}');
}

static void put_json(buffer *b, const sweep_facts *s, const duel *duels, size_t n, size_t best) {
    buffer_printf(b, "{\"n\": %zu,\n \"left_out\": %zu,\n \"best\": ", s->variants[0].n, s->n_left_out);
    if (s->variants[0].n)
        buffer_printf(b, "%zu", best + 1);
    else
        buffer_text(b, "null");
    buffer_printf(b, ",\n \"winner\": %s,\n \"variants\": [",
                  s->variants[0].n && beats_all(s, duels, n, best) ? "true" : "false");
    for (size_t i = 0; i < s->n; i++) put_variant(b, &s->variants[i], i + 1);
    buffer_text(b, "],\n \"comparisons\": [");
    for (size_t i = 0; i < n; i++) {
        buffer_printf(b, "%s\n  {\"first\": %zu, \"second\": %zu, \"only_first\": %zu, \"only_second\": %zu, \"p\": ",
                      i ? "," : "", duels[i].first + 1, duels[i].second + 1, duels[i].only_first, duels[i].only_second);
        put_double(b, duels[i].p);
        buffer_text(b, ", \"corrected\": ");
        put_double(b, duels[i].corrected);
        buffer_char(b, '}');
    }
    buffer_printf(b, "],\n \"tokens_computed\": %llu,\n \"tokens_saved\": %llu,\n \"seconds\": ",
                  (unsigned long long)s->tokens_computed, (unsigned long long)s->tokens_saved);
    put_double(b, s->seconds);
    buffer_text(b, "}\n");
}

int sweep_report(const sweep_facts *s, capp_error *err) {
    size_t n, best = best_of(s);
    duel *duels = make_duels(s, &n);
    buffer text = {0};
    output json = {.file = -1};
    const options *o = s->settings;
    const char *inputs[] = {o->input, o->model, o->classes, o->project.path};
    int code = EXIT_DONE;
    if (o->json && !output_open(&json, o->json, inputs, sizeof inputs / sizeof *inputs, err)) {
        complain("%s", err->message);
        code = EXIT_FAILED;
    }
    if (s->variants[0].n)
        put_table(&text, s, duels, n, best);
    else
        tell_none(s);
    if (!code && o->json) put_json(&json.rows, s, duels, n, best);
    if (!code && (!o->json || json.path)) code = output_print(buffer_view(&text));
    buffer_free(&text);
    free(duels);
    if (json.file >= 0 && !output_close(&json, true)) code = output_failed(&json);
    return code || !s->n_left_out ? code : EXIT_PARTLY;
}
