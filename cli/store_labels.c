#include "store_labels.h"

#include <string.h>

/* The text of the row's label; size 0: none. */
static capp_str text_of_label(const store_labels *l, const stored_row *stored, bool *column) {
    const row *of = &stored->row;
    *column = true;
    if (!l->column) return stored->label;
    for (size_t i = 0; i < of->n_fields; i++) {
        const field *f = &of->fields[i];
        if (!str_is(f->name, l->column)) continue;
        return f->json && str_is(f->text, "null") ? (capp_str){NULL, 0} : f->text;
    }
    *column = false;
    return (capp_str){NULL, 0};
}

size_t store_labels_of(const store_labels *l, const decider *d, const stored_row *stored) {
    bool column;
    size_t n, found[2];
    capp_str text = text_of_label(l, stored, &column);
    if (!text.size) return SIZE_MAX;
    const capp_str *completions = decider_completions(d, stored, &n);
    labels_find(text, completions, n, found);
    return labels_class(found, l->way);
}

/* ---- The first pass -------------------------------------------------------------------------------------------- */

typedef struct pass {
    store_labels *labels;
    const decider *decider;
    label_facts facts;
    bool column;    /* a row has the column */
    buffer columns; /* names of the columns of the first row */
} pass;

static bool check_label(void *user, const stored_row *next, capp_error *err) {
    pass *p = user;
    const row *of = &next->row;
    bool column;
    size_t n, found[2];
    bool first = !p->columns.size;
    for (size_t i = 0; first && i < of->n_fields; i++) list_name(&p->columns, of->fields[i].name);
    capp_str text = text_of_label(p->labels, next, &column);
    p->column = p->column || column;
    if (row_is_bad(of) || !text.size) return true;
    const capp_str *completions = decider_completions(p->decider, next, &n);
    labels_find(text, completions, n, found);
    labels_count(&p->facts, "row", next->index, text, found);
    if (labels_class(found, LABELS_UNDECIDED) != SIZE_MAX) return true;
    capp_error cause;
    labels_fail(text, found, p->labels->column ? LABELS_UNDECIDED : LABELS_BY_TEXT, completions, n, 0, &cause);
    return fail_at(err, 0, "%s: row %zu: %s", p->decider->path, next->index, cause.message);
}

static bool judge(const pass *p, const options *settings, capp_error *err) {
    const char *path = p->decider->path;
    store_labels *l = p->labels;
    l->n = p->facts.n;
    if (!p->column && p->columns.size)
        return fail_at(err, 0, "%s: no row has a column '%.200s'; name one of these with --label: %.*s", path,
                       l->column, (int)p->columns.size, p->columns.data);
    if (!l->column && !l->n)
        return fail_at(err, 0,
                       "%s: the store has no labels; give some with capp label %s, or name a column of the input with "
                       "--label FIELD",
                       path, path);
    if (l->column) return labels_decide(&p->facts, path, settings->label_index, settings->quiet, &l->way, err);
    return true;
}

bool store_labels_open(store_labels *l, store *s, const decider *d, const options *settings, capp_error *err) {
    *l = (store_labels){.column = settings->label, .way = LABELS_BY_TEXT};
    pass p = {.labels = l, .decider = d};
    bool good = store_each(s, d->facts, check_label, &p, err) && (interrupted() || judge(&p, settings, err));
    buffer_free(&p.columns);
    labels_free(&p.facts);
    return good;
}
