#include "labeled.h"

#include <string.h>

/* ---- Labels ---------------------------------------------------------------------------------------------------- */

static const field *label_field(const labeled *l, const row *of) {
    for (size_t i = 0; i < of->n_fields; i++)
        if (str_is(of->fields[i].name, l->settings->label)) return &of->fields[i];
    return NULL;
}

static bool is_label(const field *f) {
    return f && f->text.size && !(f->json && str_is(f->text, "null"));
}

/* The class that the label names, by its text or by its index; SIZE_MAX: none. */
static size_t class_of(capp_str label, label_reading way, const capp_str *completions, size_t n) {
    uint64_t number;
    if (way == LABELS_BY_INDEX)
        return strlen(label.data) == label.size && parse_count(label.data, n - 1, &number) ? (size_t)number : SIZE_MAX;
    for (size_t i = 0; i < n; i++)
        if (str_equal(label, completions[i])) return i;
    return SIZE_MAX;
}

/* ---- The first pass -------------------------------------------------------------------------------------------- */

/* What the labels of the store have in common. */
typedef struct label_facts {
    bool column;      /* a row has the column */
    buffer columns;   /* names of the columns of the first row */
    buffer unlike[2]; /* the first label that does not name a class in this way */
} label_facts;

static void list_columns(label_facts *facts, const row *of) {
    for (size_t i = 0; i < of->n_fields; i++)
        buffer_printf(&facts->columns, "%s%.*s", i ? ", " : "", (int)of->fields[i].name.size, of->fields[i].name.data);
}

static bool check_label(const labeled *l, const stored_row *next, label_facts *facts, capp_error *err) {
    const field *f = label_field(l, &next->row);
    facts->column = facts->column || f;
    if (!facts->columns.size) list_columns(facts, &next->row);
    if (row_is_bad(&next->row) || !is_label(f)) return true;
    size_t n, unlike = 0;
    const capp_str *completions = decider_completions(&l->decider, next, &n);
    int size = f->text.size <= 200 ? (int)f->text.size : (int)utf8_valid(f->text.data, 200);
    for (int way = 0; way < 2; way++) {
        if (class_of(f->text, way, completions, n) != SIZE_MAX) continue;
        unlike++;
        if (!facts->unlike[way].size)
            buffer_printf(&facts->unlike[way], "row %zu '%.*s'", next->index, size, f->text.data);
    }
    return unlike < 2 ||
           fail_at(err, 0, "%s: row %zu: label '%.*s' is none of the %zu classes and not an index from 0 to %zu",
                   l->path, next->index, size, f->text.data, n, n - 1);
}

/* Reads all labels by text if possible, otherwise all by index, as a run does. */
static bool decide_labels(labeled *l, const label_facts *facts, capp_error *err) {
    const buffer *text = &facts->unlike[LABELS_BY_TEXT], *index = &facts->unlike[LABELS_BY_INDEX];
    if (!facts->column && facts->columns.size)
        return fail_at(err, 0, "%s: no row has a column '%.200s'; name one of these with --label: %.*s", l->path,
                       l->settings->label, (int)facts->columns.size, facts->columns.data);
    bool by_index = l->settings->label_index || text->size;
    l->labels = by_index ? LABELS_BY_INDEX : LABELS_BY_TEXT;
    if (!by_index) return true;
    if (index->size && l->settings->label_index)
        return fail_at(err, 0,
                       "%s: some labels are not an index from 0 (%.*s); without --label-index, labels are texts",
                       l->path, (int)index->size, index->data);
    if (index->size)
        return fail_at(err, 0,
                       "%s: some labels are not the text of a class (%.*s) and some are not an index from 0 (%.*s); "
                       "write all labels in one way, or use --label-index",
                       l->path, (int)text->size, text->data, (int)index->size, index->data);
    if (!l->settings->label_index && !l->settings->quiet)
        complain(
            "%s: reading labels as indices, 0 for the first class, because some are not the text of a class (%.*s)",
            l->path, (int)text->size, text->data);
    return true;
}

static bool check_labels(labeled *l, capp_error *err) {
    label_facts facts = {.column = false};
    stored_row next;
    read_status status = READ_ROW;
    store_rows *rows = store_rows_open(l->store, &l->facts, err);
    if (!rows) return false;
    bool good = true;
    while (good && !interrupted() && (status = store_rows_next(rows, &next, err)) == READ_ROW)
        good = check_label(l, &next, &facts, err);
    store_rows_close(rows);
    good = good && status != READ_FAILED && (interrupted() || decide_labels(l, &facts, err));
    buffer_free(&facts.columns);
    for (int way = 0; way < 2; way++) buffer_free(&facts.unlike[way]);
    return good;
}

/* ---- Rows ------------------------------------------------------------------------------------------------------ */

bool labeled_open(labeled *l, const char *path, const options *settings, capp_error *err) {
    *l = (labeled){.settings = settings, .path = path};
    l->store = store_open(path, false, err);
    if (!l->store || !store_learn(&l->facts, l->store, err)) return false;
    if (!decider_open(&l->decider, l->store, path, &l->facts, settings, err)) return false;
    if (!check_labels(l, err)) return false;
    l->rows = store_rows_open(l->store, &l->facts, err);
    return l->rows != NULL;
}

void labeled_close(labeled *l) {
    store_rows_close(l->rows);
    decider_close(&l->decider);
    store_forget(&l->facts);
    store_close(l->store);
    *l = (labeled){0};
}

read_status labeled_next(labeled *l, decided_row *decided, size_t *index, capp_error *err) {
    for (;;) {
        stored_row next;
        if (interrupted()) return READ_END;
        read_status status = store_rows_next(l->rows, &next, err);
        if (status != READ_ROW) return status;
        *index = next.index;
        const field *f = label_field(l, &next.row);
        capp_error why;
        if (row_is_bad(&next.row) || !is_label(f) || decider_skips(&l->decider, &next, &why)) {
            l->n_without++;
            continue;
        }
        if (!decider_row(&l->decider, &next, decided, err)) return READ_FAILED;
        const capp_example *e = &decided->row.example;
        decided->row.label = class_of(f->text, l->labels, e->completions, e->n_completions);
        l->n_undecided += decided->undecided;
        return READ_ROW;
    }
}

void labeled_tell(const labeled *l, size_t n) {
    if (l->n_undecided && !l->settings->quiet)
        complain("%s: %zu of %zu rows with a label are undecided: their best classes are within the margin of the "
                 "precision and were not scored in the one that decides; to decide them, first run capp decide with "
                 "the same options "
                 "and --rescore -m MODEL",
                 l->path, l->n_undecided, n);
}
