#include "table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef enum column_kind {
    COLUMN_ID,
    COLUMN_FIELD,  /* of the input */
    COLUMN_FIELDS, /* all that a JSON row has */
    COLUMN_PREDICTION,
    COLUMN_INDEX,
    COLUMN_PROBABILITY,
    COLUMN_SECOND,
    COLUMN_MARGIN,
    COLUMN_CLASS, /* probability of class `number` */
    COLUMN_PROBABILITIES,
    COLUMN_TOP, /* the best `number`, or in CSV the number-th */
    COLUMN_TOP_PROBABILITY,
    COLUMN_TOKENS,
    COLUMN_TOKENS_RUN,
    COLUMN_LABEL,
    COLUMN_LABEL_INDEX,
    COLUMN_CORRECT,
    COLUMN_ERROR
} column_kind;

struct column {
    column_kind kind;
    capp_str name, source; /* as written; of the field */
    size_t number;
};

/* Fields of a JSON row that tell capp what to do: --keep all leaves them out. */
static const char *const instructions[] = {"completions", "prior", "end_of_prompt", "normalize"};

/* ---- Options --------------------------------------------------------------------------------------------------- */

static void read_keep(table *t, const char *list) {
    t->keep_all = list ? !strcmp(list, "all") : t->form != OUTPUT_JSONL;
    if (!list || t->keep_all || !strcmp(list, "none")) return;
    while (*list) {
        size_t n = strcspn(list, ",");
        grow(&t->kept, &t->kept_capacity, t->n_kept + 1, sizeof *t->kept);
        if (n) t->kept[t->n_kept++] = (capp_str){list, n};
        list += n + (list[n] == ',');
    }
}

static bool read_renames(table *t, capp_error *err) {
    t->rename = take(2 * t->options->n_rename, sizeof *t->rename);
    for (size_t i = 0; i < t->options->n_rename; i++) {
        const char *text = t->options->rename[i], *equals = strchr(text, '=');
        if (!equals || equals == text || !equals[1])
            return fail_at(err, 0, "--rename '%s' is not OLD=NEW, the names of a column before and after", text);
        t->rename[2 * i] = (capp_str){text, (size_t)(equals - text)};
        t->rename[2 * i + 1] = capp_str_of(equals + 1);
        t->n_rename++;
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
    capp_str *sorted = take(n, sizeof *sorted);
    if (n) memcpy(sorted, texts, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, by_text);
    bool differ = true;
    for (size_t i = 1; i < n; i++) differ = differ && !str_equal(sorted[i - 1], sorted[i]);
    free(sorted);
    return differ;
}

bool table_open(table *t, const options *o, const row_rules *rules, output_form form, bool labelled, capp_error *err) {
    *t = (table){.options = o, .rules = rules, .form = form, .labelled = labelled};
    t->by_name = rules->n_classes && all_differ(rules->classes, rules->n_classes);
    if (o->top && o->only_prediction)
        return fail_at(err, 0, "--top asks for probabilities, which --only-prediction does without; leave one out");
    read_keep(t, o->keep);
    return read_renames(t, err);
}

void table_close(table *t) {
    free(t->kept);
    free(t->columns);
    free(t->rename);
    free(t->order);
    arena_free(&t->memory);
    *t = (table){0};
}

/* ---- Columns --------------------------------------------------------------------------------------------------- */

static column *add(table *t, column_kind kind, const char *name, size_t number) {
    grow(&t->columns, &t->columns_capacity, t->n_columns + 1, sizeof *t->columns);
    column *c = &t->columns[t->n_columns++];
    *c = (column){.kind = kind, .name = capp_str_of(name), .number = number};
    return c;
}

static bool is_kept(const table *t, capp_str name) {
    const char *id = t->rules->id ? t->rules->id : "id";
    if (str_is(name, id) || (t->labelled && str_is(name, t->rules->label))) return false; /* written in any case */
    for (size_t i = 0; i < sizeof instructions / sizeof *instructions; i++)
        if (t->keep_all && str_is(name, instructions[i])) return false;
    for (size_t i = 0; i < t->n_kept; i++)
        if (str_equal(name, t->kept[i])) return true;
    return t->keep_all;
}

static bool add_fields(table *t, const capp_str *names, size_t n, capp_error *err) {
    for (size_t i = 0; i < t->n_kept; i++) {
        bool found = false;
        for (size_t j = 0; j < n; j++) found = found || str_equal(t->kept[i], names[j]);
        if (!found)
            return fail_at(err, 0, "--keep '%.*s': the input has no such column", (int)t->kept[i].size,
                           t->kept[i].data);
    }
    if (t->form == OUTPUT_JSONL && t->keep_all) {
        add(t, COLUMN_FIELDS, "", 0);
        return true;
    }
    for (size_t i = 0; i < n; i++) {
        if (!is_kept(t, names[i])) continue;
        column *c = add(t, COLUMN_FIELD, "", 0);
        c->name = c->source = arena_copy(&t->memory, names[i]);
    }
    return true;
}

static void add_top(table *t) {
    if (t->form == OUTPUT_JSONL) {
        add(t, COLUMN_TOP, "top", t->options->top);
        return;
    }
    size_t most = t->rules->n_classes && t->rules->n_classes < t->options->top ? t->rules->n_classes : t->options->top;
    for (size_t i = 0; i < most; i++) {
        buffer name = {0};
        buffer_printf(&name, "top_%zu", i + 1);
        add(t, COLUMN_TOP, "", i)->name = arena_copy(&t->memory, buffer_view(&name));
        buffer_text(&name, "_probability");
        add(t, COLUMN_TOP_PROBABILITY, "", i)->name = arena_copy(&t->memory, buffer_view(&name));
        buffer_free(&name);
    }
}

static void add_probabilities(table *t) {
    add(t, COLUMN_PROBABILITY, "probability", 0);
    add(t, COLUMN_SECOND, "second", 0);
    add(t, COLUMN_MARGIN, "margin", 0);
    if (t->options->top)
        add_top(t);
    else if (t->form == OUTPUT_JSONL || !t->by_name)
        add(t, COLUMN_PROBABILITIES, "probabilities", 0);
    else
        for (size_t i = 0; i < t->rules->n_classes; i++) add(t, COLUMN_CLASS, "", i)->name = t->rules->classes[i];
}

/* A new name is for a column of the input, else for one of a class, else for one of capp's own. */
static bool rename_columns(table *t, capp_error *err) {
    for (size_t i = 0; i < t->n_rename; i++) {
        column *found = NULL;
        for (size_t j = 0; j < t->n_columns; j++) {
            column *c = &t->columns[j];
            int rank = c->kind == COLUMN_FIELD ? 2 : c->kind == COLUMN_CLASS;
            int best = !found ? -1 : found->kind == COLUMN_FIELD ? 2 : found->kind == COLUMN_CLASS;
            if (str_equal(c->name, t->rename[2 * i]) && rank > best) found = c;
        }
        if (found)
            found->name = t->rename[2 * i + 1];
        else if (t->form != OUTPUT_JSONL || !t->keep_all)
            return fail_at(err, 0, "--rename '%.*s': there is no column of that name", (int)t->rename[2 * i].size,
                           t->rename[2 * i].data);
    }
    return true;
}

static bool fail_same(const column *a, const column *b, capp_error *err) {
    const column *c = a->kind == COLUMN_FIELD || b->kind != COLUMN_FIELD ? a : b;
    if (b->kind == COLUMN_CLASS && c->kind != COLUMN_FIELD) c = b;
    const char *what = c->kind == COLUMN_FIELD ? "column" : c->kind == COLUMN_CLASS ? "class" : "capp's column";
    int n = c->name.size < 100 ? (int)c->name.size : 100;
    return fail_at(err, 0,
                   "%s '%.*s' has the name of another column of the output; give it a new one by --rename "
                   "'%.*s=NEW'%s",
                   what, n, c->name.data, n, c->name.data,
                   c->kind == COLUMN_FIELD ? ", or leave it out by --keep" : "");
}

static int by_name(const void *a, const void *b) {
    const column *const *x = a, *const *y = b;
    int order = by_text(&(*x)->name, &(*y)->name);
    return order ? order : (*x > *y) - (*x < *y);
}

static bool names_differ(const table *t, capp_error *err) {
    const column **sorted = take(t->n_columns, sizeof(void *));
    bool differ = true;
    for (size_t i = 0; i < t->n_columns; i++) sorted[i] = &t->columns[i];
    qsort((void *)sorted, t->n_columns, sizeof *sorted, by_name);
    for (size_t i = 1; i < t->n_columns && differ; i++)
        if (str_equal(sorted[i - 1]->name, sorted[i]->name)) differ = fail_same(sorted[i - 1], sorted[i], err);
    free((void *)sorted);
    return differ;
}

bool table_begin(table *t, const capp_str *names, size_t n_names, capp_error *err) {
    t->begun = true;
    add(t, COLUMN_ID, "id", 0);
    if (!add_fields(t, names, n_names, err)) return false;
    add(t, COLUMN_PREDICTION, "prediction", 0);
    add(t, COLUMN_INDEX, "index", 0);
    if (t->options->only_prediction) {
        add(t, COLUMN_TOKENS, "completion_tokens", 0);
        add(t, COLUMN_TOKENS_RUN, "completion_tokens_run", 0);
    } else {
        add_probabilities(t);
    }
    if (t->labelled) {
        add(t, COLUMN_LABEL, "label", 0);
        add(t, COLUMN_LABEL_INDEX, "label_index", 0);
        add(t, COLUMN_CORRECT, "correct", 0);
    }
    if (t->options->on_error == ROW_NULL) add(t, COLUMN_ERROR, "error", 0);
    return rename_columns(t, err) && names_differ(t, err);
}

static const column *column_called(const table *t, capp_str name) {
    for (size_t i = 0; i < t->n_columns; i++)
        if (str_equal(t->columns[i].name, name)) return &t->columns[i];
    return NULL;
}

static capp_str renamed(const table *t, capp_str name) {
    for (size_t i = 0; i < t->n_rename; i++)
        if (str_equal(t->rename[2 * i], name)) return t->rename[2 * i + 1];
    return name;
}

static bool has_column(const table *t, capp_str name) {
    for (size_t i = 0; i < t->n_columns; i++)
        if (t->columns[i].kind == COLUMN_FIELD && str_equal(t->columns[i].source, name)) return true;
    return false;
}

bool table_takes(table *t, const row *of, capp_error *err) {
    bool own = of->example.completions != t->rules->classes;
    if (t->form != OUTPUT_JSONL && t->by_name && own && !t->options->only_prediction && !t->options->top)
        return fail_at(err, of->line,
                       "the row has completions of its own, but each column is of one class of -c; leave out -c, or "
                       "write JSON lines by -o NAME.jsonl");
    for (size_t i = 0; i < of->n_fields && t->keep_all; i++) {
        capp_str name = of->fields[i].name;
        if (!is_kept(t, name)) continue;
        if (t->form == OUTPUT_JSONL && column_called(t, renamed(t, name)))
            return fail_at(err, of->line,
                           "field '%.*s' has the name of one that capp writes; give it a new one by --rename "
                           "'%.*s=NEW', or leave it out by --keep",
                           (int)name.size, name.data, (int)name.size, name.data);
        if (t->form != OUTPUT_JSONL && !has_column(t, name) && !t->told && !t->options->quiet) {
            complain("line %zu: field '%.*s' is not in the first row and has no column; it is left out", of->line,
                     (int)name.size, name.data);
            t->told = true;
        }
    }
    return true;
}

/* ---- Rows ------------------------------------------------------------------------------------------------------ */

/* What a row came to. */
typedef struct outcome {
    const row *of;
    bool bad;
    size_t prediction, second; /* indices; second: SIZE_MAX where there is none */
    const double *posterior;   /* [n], or NULL */
    size_t n;
    const size_t *order; /* [n] classes from the most probable on, where --top asks */
    const capp_decision *decision;
} outcome;

static const field *field_called(const row *of, capp_str name) {
    for (size_t i = 0; i < of->n_fields; i++)
        if (str_equal(of->fields[i].name, name)) return &of->fields[i];
    return NULL;
}

static capp_str class_text(const outcome *x, size_t index) {
    return x->of->example.completions[index];
}

static void put_named(buffer *b, const table *t, const outcome *x) {
    if (!t->by_name || x->of->example.completions != t->rules->classes) {
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

/* A text as the format has it. */
static void put_text(buffer *b, const table *t, capp_str text) {
    if (t->form == OUTPUT_JSONL)
        put_string(b, text);
    else
        put_cell(b, text, t->form == OUTPUT_CSV ? ',' : '\t');
}

static void put_field(buffer *b, const table *t, const field *f) {
    if (t->form == OUTPUT_JSONL && f->json)
        buffer_str(b, f->text);
    else if (t->form == OUTPUT_JSONL || (f->text.size && !(f->json && str_is(f->text, "null"))))
        put_text(b, t, f->text);
}

/* The value of a column; false where there is none. */
static bool put_value(buffer *b, const table *t, const column *c, const outcome *x) {
    const row *of = x->of;
    bool json = t->form == OUTPUT_JSONL;
    const field *f = c->kind == COLUMN_FIELD ? field_called(of, c->source) : NULL;
    if (c->kind == COLUMN_ID) {
        if (json && !of->id_string)
            buffer_str(b, of->id);
        else
            put_text(b, t, of->id);
        return true;
    }
    if (f) put_field(b, t, f);
    if (c->kind == COLUMN_FIELD) return f != NULL;
    if (c->kind == COLUMN_ERROR) {
        if (x->bad) put_text(b, t, of->reason);
        return x->bad;
    }
    if (x->bad) return false;
    buffer list = {0};
    switch (c->kind) {
    case COLUMN_PREDICTION: put_text(b, t, class_text(x, x->prediction)); return true;
    case COLUMN_INDEX: buffer_printf(b, "%zu", x->prediction); return true;
    case COLUMN_PROBABILITY: put_double(b, x->posterior[x->prediction]); return true;
    case COLUMN_SECOND:
        if (x->second != SIZE_MAX) put_text(b, t, class_text(x, x->second));
        return x->second != SIZE_MAX;
    case COLUMN_MARGIN:
        if (x->second != SIZE_MAX) put_double(b, x->posterior[x->prediction] - x->posterior[x->second]);
        return x->second != SIZE_MAX;
    case COLUMN_CLASS: put_double(b, x->posterior[c->number]); return true;
    case COLUMN_PROBABILITIES:
        put_named(&list, t, x);
        if (json)
            buffer_str(b, buffer_view(&list));
        else
            put_text(b, t, buffer_view(&list));
        buffer_free(&list);
        return true;
    case COLUMN_TOP:
        if (json)
            put_top(b, x, c->number);
        else if (c->number < x->n)
            put_text(b, t, class_text(x, x->order[c->number]));
        return true;
    case COLUMN_TOP_PROBABILITY:
        if (c->number < x->n) put_double(b, x->posterior[x->order[c->number]]);
        return true;
    case COLUMN_TOKENS: buffer_printf(b, "%zu", x->decision->completion_tokens); return true;
    case COLUMN_TOKENS_RUN: buffer_printf(b, "%zu", x->decision->completion_tokens_run); return true;
    case COLUMN_LABEL: put_text(b, t, class_text(x, of->label)); return true;
    case COLUMN_LABEL_INDEX: buffer_printf(b, "%zu", of->label); return true;
    default: buffer_text(b, of->label == x->prediction ? "true" : "false"); return true;
    }
}

static void put_json_fields(buffer *b, const table *t, const row *of) {
    for (size_t i = 0; i < of->n_fields; i++) {
        if (!is_kept(t, of->fields[i].name)) continue;
        buffer_text(b, ", ");
        put_string(b, renamed(t, of->fields[i].name));
        buffer_text(b, ": ");
        put_field(b, t, &of->fields[i]);
    }
}

/* Of a bad row JSON has what there is, and a null prediction. */
static bool is_written(const column *c, const outcome *x) {
    if (!x->bad) return c->kind != COLUMN_ERROR;
    return c->kind == COLUMN_ID || c->kind == COLUMN_FIELD || c->kind == COLUMN_PREDICTION || c->kind == COLUMN_ERROR;
}

static void put_json(buffer *b, const table *t, const outcome *x) {
    size_t start = b->size;
    for (size_t i = 0; i < t->n_columns; i++) {
        const column *c = &t->columns[i];
        if (c->kind == COLUMN_FIELDS) {
            put_json_fields(b, t, x->of);
            continue;
        }
        if (!is_written(c, x)) continue;
        buffer_text(b, b->size > start ? ", " : "{");
        put_string(b, c->name);
        buffer_text(b, ": ");
        if (!put_value(b, t, c, x)) buffer_text(b, "null");
    }
    buffer_text(b, "}\n");
}

static void put_cells(buffer *b, const table *t, const outcome *x) {
    for (size_t i = 0; i < t->n_columns; i++) {
        if (i) buffer_char(b, t->form == OUTPUT_CSV ? ',' : '\t');
        put_value(b, t, &t->columns[i], x);
    }
    buffer_char(b, '\n');
}

void put_header(buffer *b, const table *t) {
    if (t->form == OUTPUT_JSONL) return;
    for (size_t i = 0; i < t->n_columns; i++) {
        if (i) buffer_char(b, t->form == OUTPUT_CSV ? ',' : '\t');
        put_text(b, t, t->columns[i].name);
    }
    buffer_char(b, '\n');
}

static void put_outcome(buffer *b, const table *t, const outcome *x) {
    (t->form == OUTPUT_JSONL ? put_json : put_cells)(b, t, x);
}

/* The best of those that are not `but`, the first of equals. */
static size_t best_but(const double *posterior, size_t n, size_t but) {
    size_t best = SIZE_MAX;
    for (size_t i = 0; i < n; i++)
        if (i != but && (best == SIZE_MAX || posterior[i] > posterior[best])) best = i;
    return best;
}

/* The places of the most probable classes, those of equals in their order, behind the prediction. */
static void order_classes(table *t, const outcome *x) {
    size_t most = t->options->top < x->n ? t->options->top : x->n;
    grow(&t->order, &t->order_capacity, x->n, sizeof *t->order);
    bool *taken = take(x->n, sizeof *taken);
    memset(taken, 0, x->n * sizeof *taken);
    for (size_t i = 0; i < most; i++) {
        size_t best = i ? SIZE_MAX : x->prediction;
        for (size_t j = 0; j < x->n && i; j++)
            if (!taken[j] && (best == SIZE_MAX || x->posterior[j] > x->posterior[best])) best = j;
        taken[best] = true;
        t->order[i] = best;
    }
    free(taken);
}

void put_choice(buffer *b, table *t, const row *of, const capp_result *result) {
    outcome x = {.of = of,
                 .prediction = result->prediction,
                 .posterior = result->posterior,
                 .n = result->n_completions,
                 .second = best_but(result->posterior, result->n_completions, result->prediction)};
    if (t->options->top) order_classes(t, &x);
    x.order = t->order;
    put_outcome(b, t, &x);
}

void put_decision(buffer *b, table *t, const row *of, const capp_decision *decision) {
    const outcome x = {.of = of, .prediction = decision->prediction, .decision = decision};
    put_outcome(b, t, &x);
}

void put_bad(buffer *b, table *t, const row *of) {
    const outcome x = {.of = of, .bad = true};
    put_outcome(b, t, &x);
}
