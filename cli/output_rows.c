#include "output_rows.h"
#include "column.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Fields of a JSON row that are instructions for capp. --keep all leaves them out. */
static const char *const instructions[] = {"completions", "prior", "end_of_prompt", "normalize"};

/* ---- Options --------------------------------------------------------------------------------------------------- */

static void read_keep(table *layout, const char *list) {
    layout->keep_all = list ? !strcmp(list, "all") : layout->form != OUTPUT_JSONL;
    if (!list || layout->keep_all || !strcmp(list, "none")) return;
    while (*list) {
        size_t n = strcspn(list, ",");
        grow(&layout->kept, &layout->kept_capacity, layout->n_kept + 1, sizeof *layout->kept);
        if (n) layout->kept[layout->n_kept++] = (capp_str){list, n};
        list += n + (list[n] == ',');
    }
}

static bool read_renames(table *layout, capp_error *err) {
    layout->rename = allocate(2 * layout->options->n_rename, sizeof *layout->rename);
    for (size_t i = 0; i < layout->options->n_rename; i++) {
        const char *text = layout->options->rename[i], *equals = strchr(text, '=');
        if (!equals || equals == text || !equals[1])
            return fail_at(err, 0, "--rename '%s' is not of the form OLD=NEW", text);
        layout->rename[2 * i] = (capp_str){text, (size_t)(equals - text)};
        layout->rename[2 * i + 1] = capp_str_of(equals + 1);
        layout->n_rename++;
    }
    return true;
}

static int by_text(const void *a, const void *b) {
    const capp_str *x = a, *y = b;
    size_t n = x->size < y->size ? x->size : y->size;
    int order = n ? memcmp(x->data, y->data, n) : 0;
    return order ? order : (x->size > y->size) - (x->size < y->size);
}

static bool all_differ(const capp_str *texts, size_t n) {
    capp_str *sorted = allocate(n, sizeof *sorted);
    if (n) memcpy(sorted, texts, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, by_text);
    bool differ = true;
    for (size_t i = 1; i < n; i++) differ = differ && !str_equal(sorted[i - 1], sorted[i]);
    free(sorted);
    return differ;
}

bool table_open(table *layout, const options *settings, const row_rules *rules, output_form form, bool labeled,
                capp_error *err) {
    *layout = (table){.options = settings, .rules = rules, .form = form, .labeled = labeled};
    layout->by_name = rules->n_classes && all_differ(rules->classes, rules->n_classes);
    if (settings->top && settings->only_prediction)
        return fail_at(err, 0,
                       "--top needs probabilities, which --only-prediction does not compute; remove one of the two");
    read_keep(layout, settings->keep);
    return read_renames(layout, err);
}

void table_close(table *layout) {
    free(layout->kept);
    free(layout->columns);
    free(layout->rename);
    free(layout->order);
    arena_free(&layout->memory);
    *layout = (table){0};
}

/* ---- Columns --------------------------------------------------------------------------------------------------- */

static column *add(table *layout, column_kind kind, const char *name, size_t number) {
    grow(&layout->columns, &layout->columns_capacity, layout->n_columns + 1, sizeof *layout->columns);
    column *c = &layout->columns[layout->n_columns++];
    *c = (column){.kind = kind, .name = capp_str_of(name), .number = number};
    return c;
}

static bool is_kept(const table *layout, capp_str name) {
    const char *id = layout->rules->id ? layout->rules->id : "id";
    if (str_is(name, id) || (layout->labeled && str_is(name, layout->rules->label)))
        return false; /* written in any case */
    for (size_t i = 0; i < sizeof instructions / sizeof *instructions; i++)
        if (layout->keep_all && str_is(name, instructions[i])) return false;
    for (size_t i = 0; i < layout->n_kept; i++)
        if (str_equal(name, layout->kept[i])) return true;
    return layout->keep_all;
}

static bool add_fields(table *layout, const capp_str *names, size_t n, capp_error *err) {
    for (size_t i = 0; i < layout->n_kept; i++) {
        bool found = false;
        for (size_t j = 0; j < n; j++) found = found || str_equal(layout->kept[i], names[j]);
        if (!found)
            return fail_at(err, 0, "--keep '%.*s': the input has no such column", (int)layout->kept[i].size,
                           layout->kept[i].data);
    }
    if (layout->form == OUTPUT_JSONL && layout->keep_all) {
        add(layout, COLUMN_FIELDS, "", 0);
        return true;
    }
    for (size_t i = 0; i < n; i++) {
        if (!is_kept(layout, names[i])) continue;
        column *c = add(layout, COLUMN_FIELD, "", 0);
        c->name = c->source = arena_copy(&layout->memory, names[i]);
    }
    return true;
}

static void add_top(table *layout) {
    if (layout->form == OUTPUT_JSONL) {
        add(layout, COLUMN_TOP, "top", layout->options->top);
        return;
    }
    size_t most = layout->rules->n_classes && layout->rules->n_classes < layout->options->top ? layout->rules->n_classes
                                                                                              : layout->options->top;
    for (size_t i = 0; i < most; i++) {
        buffer name = {0};
        buffer_printf(&name, "top_%zu", i + 1);
        add(layout, COLUMN_TOP, "", i)->name = arena_copy(&layout->memory, buffer_view(&name));
        buffer_text(&name, "_probability");
        add(layout, COLUMN_TOP_PROBABILITY, "", i)->name = arena_copy(&layout->memory, buffer_view(&name));
        buffer_free(&name);
    }
}

static void add_probabilities(table *layout) {
    add(layout, COLUMN_PROBABILITY, "probability", 0);
    add(layout, COLUMN_SECOND, "second", 0);
    add(layout, COLUMN_MARGIN, "margin", 0);
    if (layout->options->top)
        add_top(layout);
    else if (layout->form == OUTPUT_JSONL || !layout->by_name)
        add(layout, COLUMN_PROBABILITIES, "probabilities", 0);
    else
        for (size_t i = 0; i < layout->rules->n_classes; i++)
            add(layout, COLUMN_CLASS, "", i)->name = layout->rules->classes[i];
}

/* A new name belongs to a column of the input, otherwise to a column of a class, otherwise to one of capp's own
 * columns. */
static bool rename_columns(table *layout, capp_error *err) {
    for (size_t i = 0; i < layout->n_rename; i++) {
        column *found = NULL;
        for (size_t j = 0; j < layout->n_columns; j++) {
            column *c = &layout->columns[j];
            int rank = c->kind == COLUMN_FIELD ? 2 : c->kind == COLUMN_CLASS;
            int best = !found ? -1 : found->kind == COLUMN_FIELD ? 2 : found->kind == COLUMN_CLASS;
            if (str_equal(c->name, layout->rename[2 * i]) && rank > best) found = c;
        }
        if (found)
            found->name = layout->rename[2 * i + 1];
        else if (layout->form != OUTPUT_JSONL || !layout->keep_all)
            return fail_at(err, 0, "--rename '%.*s': there is no column of that name", (int)layout->rename[2 * i].size,
                           layout->rename[2 * i].data);
    }
    return true;
}

static bool fail_same(const column *a, const column *b, capp_error *err) {
    const column *c = a->kind == COLUMN_FIELD || b->kind != COLUMN_FIELD ? a : b;
    if (b->kind == COLUMN_CLASS && c->kind != COLUMN_FIELD) c = b;
    const char *what = c->kind == COLUMN_FIELD ? "column" : c->kind == COLUMN_CLASS ? "class" : "capp's column";
    int n = c->name.size < 100 ? (int)c->name.size : 100;
    return fail_at(err, 0, "%s '%.*s' has the same name as another column of the output; use --rename '%.*s=NEW'%s",
                   what, n, c->name.data, n, c->name.data,
                   c->kind == COLUMN_FIELD ? ", or leave it out with --keep" : "");
}

static int by_name(const void *a, const void *b) {
    const column *const *x = a, *const *y = b;
    int order = by_text(&(*x)->name, &(*y)->name);
    return order ? order : (*x > *y) - (*x < *y);
}

static bool names_differ(const table *layout, capp_error *err) {
    const column **sorted = allocate(layout->n_columns, sizeof(void *));
    bool differ = true;
    for (size_t i = 0; i < layout->n_columns; i++) sorted[i] = &layout->columns[i];
    qsort((void *)sorted, layout->n_columns, sizeof *sorted, by_name);
    for (size_t i = 1; i < layout->n_columns && differ; i++)
        if (str_equal(sorted[i - 1]->name, sorted[i]->name)) differ = fail_same(sorted[i - 1], sorted[i], err);
    free((void *)sorted);
    return differ;
}

bool table_begin(table *layout, const capp_str *names, size_t n_names, capp_error *err) {
    layout->begun = true;
    add(layout, COLUMN_ID, "id", 0);
    if (!add_fields(layout, names, n_names, err)) return false;
    add(layout, COLUMN_PREDICTION, "prediction", 0);
    add(layout, COLUMN_INDEX, "index", 0);
    if (layout->options->only_prediction) {
        add(layout, COLUMN_TOKENS, "completion_tokens", 0);
        add(layout, COLUMN_TOKENS_RUN, "completion_tokens_run", 0);
    } else {
        add_probabilities(layout);
    }
    if (layout->labeled) {
        add(layout, COLUMN_LABEL, "label", 0);
        add(layout, COLUMN_LABEL_INDEX, "label_index", 0);
        add(layout, COLUMN_CORRECT, "correct", 0);
    }
    if (layout->sets) add(layout, COLUMN_SET, "set", 0);
    if (layout->may_be_undecided) add(layout, COLUMN_UNDECIDED, "undecided", 0);
    if (layout->options->on_error == ROW_NULL) add(layout, COLUMN_ERROR, "error", 0);
    return rename_columns(layout, err) && names_differ(layout, err);
}

static const column *column_called(const table *layout, capp_str name) {
    for (size_t i = 0; i < layout->n_columns; i++)
        if (str_equal(layout->columns[i].name, name)) return &layout->columns[i];
    return NULL;
}

static capp_str renamed(const table *layout, capp_str name) {
    for (size_t i = 0; i < layout->n_rename; i++)
        if (str_equal(layout->rename[2 * i], name)) return layout->rename[2 * i + 1];
    return name;
}

static bool has_column(const table *layout, capp_str name) {
    for (size_t i = 0; i < layout->n_columns; i++)
        if (layout->columns[i].kind == COLUMN_FIELD && str_equal(layout->columns[i].source, name)) return true;
    return false;
}

bool table_takes(table *layout, const row *this_row, capp_error *err) {
    bool own = this_row->example.completions != layout->rules->classes;
    if (layout->form != OUTPUT_JSONL && layout->by_name && own && !layout->options->only_prediction &&
        !layout->options->top)
        return fail_at(err, this_row->line,
                       "the row has its own completions, but the columns are the classes of -c; write JSON lines with "
                       "-o NAME.jsonl");
    for (size_t i = 0; i < this_row->n_fields && layout->keep_all; i++) {
        capp_str name = this_row->fields[i].name;
        if (!is_kept(layout, name)) continue;
        if (layout->form == OUTPUT_JSONL && column_called(layout, renamed(layout, name)))
            return fail_at(err, this_row->line,
                           "field '%.*s' has the same name as a field that capp writes; use --rename "
                           "'%.*s=NEW', or leave it out with --keep",
                           (int)name.size, name.data, (int)name.size, name.data);
        if (layout->form != OUTPUT_JSONL && !has_column(layout, name) && !layout->told && !layout->options->quiet) {
            complain("line %zu: field '%.*s' is not in the first row, so it has no column and is left out",
                     this_row->line, (int)name.size, name.data);
            layout->told = true;
        }
    }
    return true;
}

/* ---- Rows ------------------------------------------------------------------------------------------------------ */

/* The result of a row. */
typedef struct outcome {
    const row *of;
    bool bad, undecided;
    double least;              /* posterior of the classes of the set */
    size_t prediction, second; /* indices; second: SIZE_MAX if there is none */
    const double *posterior;   /* [n], or NULL */
    size_t n;
    const size_t *order; /* [n] classes from the most probable one on, if --top needs them */
    const capp_decision *decision;
} outcome;

static const field *field_called(const row *this_row, capp_str name) {
    for (size_t i = 0; i < this_row->n_fields; i++)
        if (str_equal(this_row->fields[i].name, name)) return &this_row->fields[i];
    return NULL;
}

static capp_str class_text(const outcome *x, size_t index) {
    return x->of->example.completions[index];
}

static void put_named(buffer *b, const table *layout, const outcome *x) {
    if (!layout->by_name || x->of->example.completions != layout->rules->classes) {
        put_doubles(b, x->posterior, x->n);
        return;
    }
    buffer_char(b, '{');
    for (size_t i = 0; i < x->n; i++) {
        if (i) buffer_text(b, ", ");
        put_string(b, class_text(x, i));
        buffer_text(b, ": ");
        put_double(b, x->posterior[i]);
    }
    buffer_char(b, '}');
}

static void put_set(buffer *b, const outcome *x) {
    size_t n = 0;
    buffer_char(b, '[');
    for (size_t i = 0; i < x->n; i++) {
        if (x->posterior[i] < x->least) continue;
        buffer_text(b, n++ ? ", " : "");
        put_string(b, class_text(x, i));
    }
    buffer_char(b, ']');
}

static void put_top(buffer *b, const outcome *x, size_t most) {
    buffer_char(b, '[');
    for (size_t i = 0; i < x->n && i < most; i++) {
        buffer_text(b, i ? ", {\"class\": " : "{\"class\": ");
        put_string(b, class_text(x, x->order[i]));
        buffer_printf(b, ", \"index\": %zu, \"probability\": ", x->order[i]);
        put_double(b, x->posterior[x->order[i]]);
        buffer_char(b, '}');
    }
    buffer_char(b, ']');
}

/* A text in the form that the format needs. */
static void put_text(buffer *b, const table *layout, capp_str text) {
    if (layout->form == OUTPUT_JSONL)
        put_string(b, text);
    else
        put_cell(b, text, layout->form == OUTPUT_CSV ? ',' : '\t');
}

static void put_field(buffer *b, const table *layout, const field *f) {
    if (layout->form == OUTPUT_JSONL && f->json)
        buffer_str(b, f->text);
    else if (layout->form == OUTPUT_JSONL || (f->text.size && !(f->json && str_is(f->text, "null"))))
        put_text(b, layout, f->text);
}

/* Writes a list in JSON, in a table as a text; frees it. */
static void put_list(buffer *b, const table *layout, buffer *list) {
    if (layout->form == OUTPUT_JSONL)
        buffer_str(b, buffer_view(list));
    else
        put_text(b, layout, buffer_view(list));
    buffer_free(list);
}

/* The value of a column; false if there is none. */
static bool put_value(buffer *b, const table *layout, const column *c, const outcome *x) {
    const row *of = x->of;
    bool json = layout->form == OUTPUT_JSONL;
    const field *f = c->kind == COLUMN_FIELD ? field_called(of, c->source) : NULL;
    if (c->kind == COLUMN_ID) {
        if (json && !of->id_string)
            buffer_str(b, of->id);
        else
            put_text(b, layout, of->id);
        return true;
    }
    if (f) put_field(b, layout, f);
    if (c->kind == COLUMN_FIELD) return f != NULL;
    if (c->kind == COLUMN_ERROR) {
        if (x->bad) put_text(b, layout, of->reason);
        return x->bad;
    }
    if (x->bad) return false;
    buffer list = {0};
    switch (c->kind) {
    case COLUMN_PREDICTION: put_text(b, layout, class_text(x, x->prediction)); return true;
    case COLUMN_INDEX: buffer_printf(b, "%zu", x->prediction); return true;
    case COLUMN_PROBABILITY: put_double(b, x->posterior[x->prediction]); return true;
    case COLUMN_SECOND:
        if (x->second != SIZE_MAX) put_text(b, layout, class_text(x, x->second));
        return x->second != SIZE_MAX;
    case COLUMN_MARGIN:
        if (x->second != SIZE_MAX) put_double(b, x->posterior[x->prediction] - x->posterior[x->second]);
        return x->second != SIZE_MAX;
    case COLUMN_CLASS: put_double(b, x->posterior[c->number]); return true;
    case COLUMN_PROBABILITIES:
        put_named(&list, layout, x);
        put_list(b, layout, &list);
        return true;
    case COLUMN_TOP:
        if (json)
            put_top(b, x, c->number);
        else if (c->number < x->n)
            put_text(b, layout, class_text(x, x->order[c->number]));
        return true;
    case COLUMN_TOP_PROBABILITY:
        if (c->number < x->n) put_double(b, x->posterior[x->order[c->number]]);
        return true;
    case COLUMN_TOKENS: buffer_printf(b, "%zu", x->decision->completion_tokens); return true;
    case COLUMN_TOKENS_RUN: buffer_printf(b, "%zu", x->decision->completion_tokens_run); return true;
    case COLUMN_SET:
        put_set(&list, x);
        put_list(b, layout, &list);
        return true;
    case COLUMN_UNDECIDED: buffer_text(b, x->undecided ? "true" : "false"); return true;
    case COLUMN_LABEL: put_text(b, layout, class_text(x, of->label)); return true;
    case COLUMN_LABEL_INDEX: buffer_printf(b, "%zu", of->label); return true;
    default: buffer_text(b, of->label == x->prediction ? "true" : "false"); return true;
    }
}

static void put_json_fields(buffer *b, const table *layout, const row *this_row) {
    for (size_t i = 0; i < this_row->n_fields; i++) {
        if (!is_kept(layout, this_row->fields[i].name)) continue;
        buffer_text(b, ", ");
        put_string(b, renamed(layout, this_row->fields[i].name));
        buffer_text(b, ": ");
        put_field(b, layout, &this_row->fields[i]);
    }
}

/* For a bad row, JSON has the fields that are known, and a null prediction. Only an undecided row says whether it is
 * one. */
static bool is_written(const column *c, const outcome *x) {
    if (c->kind == COLUMN_UNDECIDED) return x->undecided;
    if (!x->bad) return c->kind != COLUMN_ERROR;
    return c->kind == COLUMN_ID || c->kind == COLUMN_FIELD || c->kind == COLUMN_PREDICTION || c->kind == COLUMN_ERROR;
}

static void put_json(buffer *b, const table *layout, const outcome *x) {
    size_t start = b->size;
    for (size_t i = 0; i < layout->n_columns; i++) {
        const column *c = &layout->columns[i];
        if (c->kind == COLUMN_FIELDS) {
            put_json_fields(b, layout, x->of);
            continue;
        }
        if (!is_written(c, x)) continue;
        buffer_text(b, b->size > start ? ", " : "{");
        put_string(b, c->name);
        buffer_text(b, ": ");
        if (!put_value(b, layout, c, x)) buffer_text(b, "null");
    }
    buffer_text(b, "}\n");
}

static void put_cells(buffer *b, const table *layout, const outcome *x) {
    for (size_t i = 0; i < layout->n_columns; i++) {
        if (i) buffer_char(b, layout->form == OUTPUT_CSV ? ',' : '\t');
        put_value(b, layout, &layout->columns[i], x);
    }
    buffer_char(b, '\n');
}

void put_header(buffer *b, const table *layout) {
    if (layout->form == OUTPUT_JSONL) return;
    for (size_t i = 0; i < layout->n_columns; i++) {
        if (i) buffer_char(b, layout->form == OUTPUT_CSV ? ',' : '\t');
        put_text(b, layout, layout->columns[i].name);
    }
    buffer_char(b, '\n');
}

static void put_outcome(buffer *b, const table *layout, const outcome *x) {
    (layout->form == OUTPUT_JSONL ? put_json : put_cells)(b, layout, x);
}

/* The best of the classes other than `but`; if several are equal, the first. */
static size_t best_but(const double *posterior, size_t n, size_t but) {
    size_t best = SIZE_MAX;
    for (size_t i = 0; i < n; i++)
        if (i != but && (best == SIZE_MAX || posterior[i] > posterior[best])) best = i;
    return best;
}

/* The order of the most probable classes. The prediction is first; equal classes are in their order. */
static void order_classes(table *layout, const outcome *x) {
    size_t most = layout->options->top < x->n ? layout->options->top : x->n;
    grow(&layout->order, &layout->order_capacity, x->n, sizeof *layout->order);
    bool *taken = allocate(x->n, sizeof *taken);
    memset(taken, 0, x->n * sizeof *taken);
    for (size_t i = 0; i < most; i++) {
        size_t best = i ? SIZE_MAX : x->prediction;
        for (size_t j = 0; j < x->n && i; j++)
            if (!taken[j] && (best == SIZE_MAX || x->posterior[j] > x->posterior[best])) best = j;
        taken[best] = true;
        layout->order[i] = best;
    }
    free(taken);
}

void put_choice(buffer *b, table *layout, const row *this_row, const capp_result *result, choice_notes of_store) {
    outcome x = {.of = this_row,
                 .undecided = of_store.undecided,
                 .least = of_store.least,
                 .prediction = result->prediction,
                 .posterior = result->posterior,
                 .n = result->n_classes,
                 .second = best_but(result->posterior, result->n_classes, result->prediction)};
    if (layout->options->top) order_classes(layout, &x);
    x.order = layout->order;
    put_outcome(b, layout, &x);
}

void put_decision(buffer *b, table *layout, const row *this_row, const capp_decision *decision) {
    const outcome x = {.of = this_row, .prediction = decision->prediction, .decision = decision};
    put_outcome(b, layout, &x);
}

void put_bad(buffer *b, table *layout, const row *this_row) {
    const outcome x = {.of = this_row, .bad = true};
    put_outcome(b, layout, &x);
}
