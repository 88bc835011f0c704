#include "cost.h"

#include <stdlib.h>
#include <string.h>

/* Bytes of a token of English text: an estimate. */
static const double USUAL_BYTES = 4;

/* The tokens of a class, except the last one. */
typedef struct path {
    int32_t *ids;
    size_t n;
} path;

static int by_ids(const void *a, const void *b) {
    const path *x = a, *y = b;
    size_t n = x->n < y->n ? x->n : y->n;
    for (size_t i = 0; i < n; i++)
        if (x->ids[i] != y->ids[i]) return x->ids[i] < y->ids[i] ? -1 : 1;
    return (x->n > y->n) - (x->n < y->n);
}

static path path_of(const row_rules *rules, const capp_model *model, capp_str text, buffer *spaced) {
    path p = {NULL, 0};
    spaced->size = 0;
    if (rules->notes.space) buffer_char(spaced, ' ');
    buffer_str(spaced, text);
    if (capp_tokenize(model, buffer_view(spaced), 0, &p.ids, &p.n, NULL)) return (path){NULL, 0};
    p.n -= p.n > 0;
    return p;
}

size_t cost_of_classes(const row_rules *rules, const capp_model *model) {
    size_t nodes = 0, n;
    const capp_str *all = rules_completions(rules, &n);
    path *paths = allocate(n, sizeof *paths);
    buffer spaced = {0};
    for (size_t i = 0; i < n; i++) paths[i] = path_of(rules, model, all[i], &spaced);
    qsort(paths, n, sizeof *paths, by_ids);
    for (size_t i = 0; i < n; i++) {
        size_t same = 0;
        while (i && same < paths[i].n && same < paths[i - 1].n && paths[i].ids[same] == paths[i - 1].ids[same]) same++;
        nodes += paths[i].n - same;
    }
    for (size_t i = 0; i < n; i++) capp_free(paths[i].ids);
    buffer_free(&spaced);
    free(paths);
    return nodes;
}

double cost_of_row(const row_rules *rules, const cost_sample *sample, size_t tokens) {
    size_t before, behind;
    template_sizes(&rules->template, &before, &behind);
    double rows = (double)sample->rows, prompts = (double)sample->prompt_bytes;
    double bytes_a_token = sample->some_tokens ? (double)sample->some_bytes / (double)sample->some_tokens : USUAL_BYTES;
    double own = prompts - rows * (double)(before + behind); /* bytes of prompts that came from the input */
    if (!(own > 0)) own = 1;
    double cost = (double)behind + bytes_a_token * (double)tokens; /* in bytes of prompts */
    return cost * (double)sample->input_bytes / own;
}
