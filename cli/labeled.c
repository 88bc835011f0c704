#include "labeled.h"

#include <string.h>

bool labeled_open(labeled *l, const char *path, const options *settings, capp_error *err) {
    *l = (labeled){.settings = settings, .path = path};
    l->store = store_open(path, false, err);
    if (!l->store || !store_learn(&l->facts, l->store, err)) return false;
    if (!decider_open(&l->decider, l->store, path, &l->facts, settings, err)) return false;
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

/* The class that the column names, by its text or by its index. */
static bool read_label(const labeled *l, row *of, size_t index, bool *found, capp_error *err) {
    const field *f = NULL;
    for (size_t i = 0; i < of->n_fields && !f; i++)
        if (str_is(of->fields[i].name, l->settings->label)) f = &of->fields[i];
    *found = f && f->text.size && !(f->json && str_is(f->text, "null"));
    if (!*found) return true;
    const capp_example *e = &of->example;
    uint64_t number;
    of->label = SIZE_MAX;
    for (size_t i = e->n_completions; i-- > 0 && !l->settings->label_index;)
        if (str_equal(f->text, e->completions[i])) of->label = i;
    if (of->label == SIZE_MAX && parse_count(f->text.data, e->n_completions - 1, &number)) of->label = (size_t)number;
    return of->label != SIZE_MAX ||
           fail_at(err, 0, "%s: row %zu: label '%.*s' is none of the %zu classes and not an index from 0 to %zu",
                   l->path, index, (int)f->text.size, f->text.data, e->n_completions, e->n_completions - 1);
}

read_status labeled_next(labeled *l, decided_row *decided, size_t *index, capp_error *err) {
    for (;;) {
        stored_row next;
        bool found = false;
        read_status status = store_rows_next(l->rows, &next, err);
        if (status != READ_ROW) return status;
        *index = next.index;
        if (!row_is_bad(&next.row)) {
            if (!decider_row(&l->decider, &next, decided, err)) return READ_FAILED;
            if (!read_label(l, &decided->row, next.index, &found, err)) return READ_FAILED;
        }
        if (found) return READ_ROW;
        l->n_without++;
    }
}
