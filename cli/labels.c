#include "labels.h"

#include "notes.h"

#include <string.h>

enum { SHOWN_BYTES = 200 };

static int shown_size(capp_str text, size_t most) {
    return (int)(text.size <= most ? text.size : utf8_valid(text.data, most));
}

void labels_find(capp_str label, const capp_str *completions, size_t n, size_t found[2]) {
    uint64_t index;
    found[LABELS_BY_TEXT] = found[LABELS_BY_INDEX] = SIZE_MAX;
    for (size_t i = n; i > 0; i--)
        if (str_equal(label, completions[i - 1])) found[LABELS_BY_TEXT] = i - 1;
    if (strlen(label.data) == label.size && parse_count(label.data, n - 1, &index))
        found[LABELS_BY_INDEX] = (size_t)index;
}

size_t labels_class(const size_t found[2], label_reading way) {
    if (way != LABELS_UNDECIDED) return found[way];
    return found[LABELS_BY_TEXT] != SIZE_MAX ? found[LABELS_BY_TEXT] : found[LABELS_BY_INDEX];
}

/* A class that differs from the label but looks the same; n: none. */
static size_t lookalike(capp_str label, const capp_str *completions, size_t n) {
    arena memory = {0};
    size_t i = 0;
    capp_str form = visible_form(label, &memory);
    while (i < n && !str_equal(form, visible_form(completions[i], &memory))) i++;
    arena_free(&memory);
    return i;
}

bool labels_fail(capp_str label, const size_t found[2], label_reading way, const capp_str *completions, size_t n,
                 size_t line, capp_error *err) {
    int shown = shown_size(label, SHOWN_BYTES);
    if (way == LABELS_BY_INDEX)
        return fail_at(err, line, "label '%.*s' is not an index from 0 to %zu", shown, label.data, n - 1);
    size_t alike = lookalike(label, completions, n);
    if (alike < n)
        return fail_at(err, line,
                       "label '%.*s' looks like class %zu, but differs in its Unicode form or in spaces around it; "
                       "write both the same way",
                       shown, label.data, alike + 1);
    if (way == LABELS_UNDECIDED)
        return fail_at(err, line, "label '%.*s' is none of the %zu classes and not an index from 0 to %zu", shown,
                       label.data, n, n - 1);
    bool index = found[LABELS_BY_INDEX] != SIZE_MAX;
    return fail_at(err, line, "label '%.*s' is none of the %zu classes%s", shown, label.data, n,
                   index ? "; if labels are indices from 0, use --label-index"
                         : "; correct it, add it to the classes, or remove the row");
}

/* ---- All labels ------------------------------------------------------------------------------------------------ */

/* Adds "line 3 'maybe'", for the first few. */
static void list_label(buffer *list, const char *place, size_t number, capp_str label) {
    enum { ENOUGH = 120, SHOWN = 40 };
    if (list->size >= ENOUGH) return;
    buffer_printf(list, "%s%s %zu '%.*s'", list->size ? ", " : "", place, number, shown_size(label, SHOWN), label.data);
    if (list->size >= ENOUGH) buffer_text(list, ", ...");
}

void labels_count(label_facts *facts, const char *place, size_t number, capp_str label, const size_t found[2]) {
    facts->n++;
    for (int way = 0; way < 2; way++) {
        if (found[way] != SIZE_MAX)
            facts->valid[way]++;
        else
            list_label(&facts->unlike[way], place, number, label);
    }
}

bool labels_decide(const label_facts *facts, const char *name, bool only_index, bool quiet, label_reading *way,
                   capp_error *err) {
    const buffer *text = &facts->unlike[LABELS_BY_TEXT], *index = &facts->unlike[LABELS_BY_INDEX];
    *way = LABELS_BY_TEXT;
    if (!only_index && facts->valid[LABELS_BY_TEXT] == facts->n) return true;
    *way = LABELS_BY_INDEX;
    bool all = facts->valid[LABELS_BY_INDEX] == facts->n;
    if (all && !only_index && !quiet)
        complain(
            "%s: reading labels as indices, 0 for the first class, because some are not the text of a class (%.*s)",
            name, (int)text->size, text->data);
    if (all) return true;
    if (only_index)
        return fail_at(err, 0,
                       "%s: some labels are not an index from 0 (%.*s); without --label-index, labels are texts", name,
                       (int)index->size, index->data);
    return fail_at(err, 0,
                   "%s: some labels are not the text of a class (%.*s) and some are not an index from 0 (%.*s); write "
                   "all labels in one way, or use --label-index",
                   name, (int)text->size, text->data, (int)index->size, index->data);
}

void labels_free(label_facts *facts) {
    for (int way = 0; way < 2; way++) buffer_free(&facts->unlike[way]);
    *facts = (label_facts){0};
}
