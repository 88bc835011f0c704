#include "look.h"

#include "reader.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MOST_ROWS = 10000, MOST_CLASSES = 100 };

static const char *const text_names[] = {"text",  "prompt",   "question", "sentence", "review",
                                         "title", "document", "message",  "query",    "content"};
static const char *const label_names[] = {"label", "class", "category", "topic", "intent", "target", "sentiment"};

static bool is_among(capp_str name, const char *const *names, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (strlen(names[i]) == name.size && !strncasecmp(name.data, names[i], name.size)) return true;
    return false;
}

static void add_value(look *l, looked_column *column, capp_str text) {
    column->rows++;
    column->bytes += text.size;
    if (!text.size || column->n_values > LOOK_VALUES) return;
    for (size_t i = 0; i < column->n_values; i++)
        if (str_equal(column->values[i], text)) return;
    column->values[column->n_values++] = arena_copy(&l->memory, text);
}

static void add_row(look *l, const field *fields, size_t n, size_t *capacity) {
    for (size_t i = 0; i < n; i++) {
        size_t j = 0;
        while (j < l->n && !str_equal(l->columns[j].name, fields[i].name)) j++;
        if (j == l->n) {
            if (l->rows) continue; /* the columns are those of the first row */
            grow(&l->columns, capacity, l->n + 1, sizeof *l->columns);
            l->columns[l->n++] = (looked_column){.name = arena_copy(&l->memory, fields[i].name)};
        }
        add_value(l, &l->columns[j], fields[i].text);
    }
    l->rows++;
}

static double mean_size(const looked_column *column) {
    return column->rows ? (double)column->bytes / (double)column->rows : 0;
}

/* The column with a usual name, otherwise the one with the longest texts. */
static const looked_column *find_text(const look *l) {
    const looked_column *longest = NULL;
    for (size_t i = 0; i < l->n; i++) {
        if (is_among(l->columns[i].name, text_names, sizeof text_names / sizeof *text_names)) return &l->columns[i];
        if (!longest || mean_size(&l->columns[i]) > mean_size(longest)) longest = &l->columns[i];
    }
    return longest;
}

static bool may_be_label(const look *l, const looked_column *column) {
    return column != l->text && column->n_values >= 2 && column->n_values <= MOST_CLASSES;
}

/* The column with a usual name, otherwise the last one in which few values occur again and again. */
static const looked_column *find_label(const look *l) {
    const looked_column *found = NULL;
    for (size_t i = 0; i < l->n; i++) {
        const looked_column *c = &l->columns[i];
        if (!may_be_label(l, c)) continue;
        if (is_among(c->name, label_names, sizeof label_names / sizeof *label_names)) return c;
        if (c->rows >= 4 * c->n_values && mean_size(c) < 60) found = c;
    }
    return found;
}

static const looked_column *column_called(const look *l, const char *name) {
    for (size_t i = 0; i < l->n; i++)
        if (str_is(l->columns[i].name, name)) return &l->columns[i];
    return NULL;
}

bool look_at(look *l, const options *settings, const char *label, capp_error *err) {
    const reader_options how = {.path = settings->input,
                                .format = settings->format,
                                .separator = settings->separator,
                                .max_record = settings->max_record,
                                .quiet = true};
    reader from;
    arena memory = {0};
    size_t capacity = 0;
    *l = (look){0};
    bool good = reader_open(&from, &how, err);
    read_status status = READ_ROW;
    while (good && l->rows < MOST_ROWS && !interrupted()) {
        record next;
        size_t n;
        arena_reset(&memory);
        status = reader_next(&from, &next, true, err);
        if (status != READ_ROW) break;
        const field *fields = record_fields(&next, &memory, &n);
        add_row(l, fields, n, &capacity);
    }
    if (good && status != READ_ROW && status != READ_END) {
        const capp_error cause = *err;
        good = fail_at(err, 0, "%s:%zu: %.800s", settings->input, cause.row, cause.message);
    }
    reader_close(&from);
    arena_free(&memory);
    if (!good) return false;
    l->text = find_text(l);
    l->label = label ? column_called(l, label) : find_label(l);
    return !label || l->label || fail_at(err, 0, "%s has no column '%.200s'", settings->input, label);
}

void look_free(look *l) {
    free(l->columns);
    arena_free(&l->memory);
    *l = (look){0};
}
