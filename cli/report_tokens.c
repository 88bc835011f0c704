#include "report_tokens.h"

#include "store_parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The completions of a row that are shown: the best ones, the label and the prediction. */
enum { BEST = 5 };

typedef struct ranked {
    size_t place;
    double mean; /* of the log-probabilities */
} ranked;

static int by_mean(const void *a, const void *b) {
    const ranked *x = a, *y = b;
    if (x->mean != y->mean) return x->mean > y->mean ? -1 : 1;
    return (x->place > y->place) - (x->place < y->place);
}

static ranked *rank(const stored_row *stored) {
    const stored_completions *c = stored->completions;
    ranked *order = allocate(c->n, sizeof *order);
    for (size_t i = 0; i < c->n; i++) {
        double sum = 0;
        for (size_t t = c->offset[i]; t < c->offset[i + 1]; t++) sum += (double)stored->logprobs[t];
        order[i] = (ranked){i, sum / (double)(c->offset[i + 1] - c->offset[i])};
    }
    qsort(order, c->n, sizeof *order, by_mean);
    return order;
}

/* A token shows its numbers when the pointer or the keyboard's focus is on it. The darker, the less probable. */
static void put_token(buffer *b, capp_str text, double logprob) {
    double share = fmin(1, -logprob / 8);
    buffer_printf(
        b, "<span class=\"k\" tabindex=\"0\" style=\"background:rgba(var(--mark),%.2f)\" data-p=\"%.3f, %.3g %%\">",
        0.08 + 0.5 * share, logprob, 100 * exp(logprob));
    put_html(b, text);
    buffer_text(b, "</span>");
}

static void put_completion(buffer *b, const stored_row *stored, const stored_tokens *tokens, size_t place) {
    const stored_completions *c = stored->completions;
    size_t n = c->offset[place + 1] - c->offset[place];
    buffer_text(b, "<p class=\"ks\">");
    for (size_t i = 0; i < n; i++) {
        capp_str text = place < tokens->n && i < tokens->size[place] ? tokens->texts[place][i] : c->texts[place];
        put_token(b, text, (double)stored->logprobs[c->offset[place] + i]);
    }
    buffer_text(b, "</p>");
}

static char *tokens_of(const report_row *of, const stored_row *stored, const stored_tokens *tokens) {
    const stored_completions *c = stored->completions;
    ranked *order = rank(stored);
    buffer b = {0};
    for (size_t i = 0; i < c->n; i++) {
        capp_str text = c->texts[order[i].place];
        if (i < BEST || str_is(text, of->label) || str_is(text, of->prediction))
            put_completion(&b, stored, tokens, order[i].place);
    }
    free(order);
    buffer_char(&b, 0);
    return b.data;
}

static bool fill(report_row *rows, size_t n, labeled *from, capp_error *err) {
    for (size_t i = 0; i < n; i++) {
        stored_row stored;
        stored_tokens tokens;
        arena memory = {0};
        store_rows *at = store_rows_at(from->store, &from->facts, rows[i].index, err);
        bool good = at && store_rows_next(at, &stored, err) == READ_ROW &&
                    store_tokens(from->store, stored.completions->list, &memory, &tokens, err);
        if (good) rows[i].tokens = tokens_of(&rows[i], &stored, &tokens);
        store_rows_close(at);
        arena_free(&memory);
        if (!good) return false;
    }
    return true;
}

bool report_tokens(report *r, labeled *from, capp_error *err) {
    return fill(r->mistakes, r->n_mistakes, from, err) && fill(r->uncertain, r->n_uncertain, from, err);
}
