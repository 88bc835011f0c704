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
    const options *settings;
    label_facts facts;
    size_t n_bad;   /* labels that are left out */
    buffer reason;  /* of the first of them */
    bool column;    /* a row has the column */
    buffer columns; /* names of the columns of the first row */
} pass;

/* A label that is none of the classes ends the command or, if the options allow it, is left out. */
static bool leave_out(pass *p, size_t index, const capp_error *cause, capp_error *err) {
    if (p->settings->on_error == ROW_STOP)
        return fail_at(err, 0, "%s: row %zu: %s; to leave such rows out, use --on-error skip", p->decider->path, index,
                       cause->message);
    if (!p->n_bad++) buffer_printf(&p->reason, "row %zu: %s", index, cause->message);
    return true;
}

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
    label_reading way = !p->labels->column         ? LABELS_BY_TEXT
                        : p->settings->label_index ? LABELS_BY_INDEX
                                                   : LABELS_UNDECIDED;
    labels_find(text, completions, n, found);
    if (labels_class(found, way) == SIZE_MAX) {
        capp_error cause;
        if (!p->labels->column) found[LABELS_BY_INDEX] = SIZE_MAX; /* capp label writes no index */
        labels_fail(text, found, way, completions, n, 0, &cause);
        return leave_out(p, next->index, &cause, err);
    }
    labels_count(&p->facts, "row", next->index, text, found);
    return true;
}

static bool judge(const pass *p, const options *settings, capp_error *err) {
    const char *path = p->decider->path;
    store_labels *l = p->labels;
    l->n = p->facts.n;
    l->n_bad = p->n_bad;
    if (!p->column && p->columns.size)
        return fail_at(err, 0, "%s: no row has a column '%.200s'; name one of these with --label: %.*s", path,
                       l->column, (int)p->columns.size, p->columns.data);
    if (!l->column && !l->n && !l->n_bad)
        return fail_at(err, 0,
                       "%s: the store has no labels; give some with capp label %s, or name a column of the input with "
                       "--label FIELD",
                       path, path);
    if (l->n_bad && !l->n)
        return fail_at(err, 0, "%s: none of the %zu labels is a class; the first is in %.*s", path, l->n_bad,
                       (int)p->reason.size, p->reason.data);
    if (l->n_bad && !settings->quiet)
        complain("%s: %zu of %zu labels %s left out; the first is in %.*s", path, l->n_bad, l->n + l->n_bad,
                 l->n_bad == 1 ? "is" : "are", (int)p->reason.size, p->reason.data);
    if (l->column) return labels_decide(&p->facts, path, settings->label_index, settings->quiet, &l->way, err);
    return true;
}

bool store_labels_open(store_labels *l, store *s, const decider *d, const options *settings, capp_error *err) {
    *l = (store_labels){.column = settings->label, .way = LABELS_BY_TEXT};
    pass p = {.labels = l, .decider = d, .settings = settings};
    bool good = store_each(s, d->facts, check_label, &p, err) && (interrupted() || judge(&p, settings, err));
    buffer_free(&p.columns);
    buffer_free(&p.reason);
    labels_free(&p.facts);
    return good;
}
