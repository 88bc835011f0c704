/* Reads rows of an earlier run back from the columns in which it wrote them. */
#include "column.h"
#include "json_parser.h"
#include "output_rows.h"

#include <math.h>
#include <stdlib.h>

/* The cell of the column of this kind and number. False if there is none, or if it is empty. */
static bool cell_of(const table *layout, const record *written, column_kind kind, size_t number, arena *a,
                    capp_str *text) {
    for (size_t i = 0; i < layout->n_columns; i++) {
        const column *c = &layout->columns[i];
        if (c->kind == kind && c->number == number) return record_text(written, c->name, a, text) && text->size > 0;
    }
    return false;
}

/* The item of an object with this name, or of an array with this index, as a number; otherwise NaN. */
static double number_in(capp_str text, capp_str name, size_t index, arena *a) {
    json_value value;
    size_t at, i = 0;
    const char *reason;
    if (!json_check(text, &value, &at, &reason)) return NAN;
    for (json_walk w = json_begin(value); json_next(&w); i++)
        if ((w.name.size ? str_equal(json_copy_string(a, w.name), name) : i == index) &&
            json_kind_of(w.item) == JSON_KIND_NUMBER)
            return json_double(w.item);
    return NAN;
}

/* The same for the value of --top in JSON lines: [{"class": ..., "index": 2, "probability": 0.7}, ...]. */
static double number_in_top(capp_str text, size_t index, arena *a) {
    json_value list;
    size_t at;
    const char *reason;
    if (!json_check(text, &list, &at, &reason)) return NAN;
    for (json_walk w = json_begin(list); json_next(&w);)
        if (number_in(w.item, capp_str_of("index"), SIZE_MAX, a) == (double)index)
            return number_in(w.item, capp_str_of("probability"), SIZE_MAX, a);
    return NAN;
}

static double probability_of(const table *layout, const record *written, const row *this_row, arena *a) {
    capp_str text, name = this_row->example.completions[this_row->label];
    if (cell_of(layout, written, COLUMN_CLASS, this_row->label, a, &text)) return strtod(text.data, NULL);
    if (cell_of(layout, written, COLUMN_PROBABILITIES, 0, a, &text)) return number_in(text, name, this_row->label, a);
    if (layout->form == OUTPUT_JSONL && cell_of(layout, written, COLUMN_TOP, layout->options->top, a, &text))
        return number_in_top(text, this_row->label, a);
    for (size_t i = 0; cell_of(layout, written, COLUMN_TOP, i, a, &text); i++)
        if (str_equal(text, name) && cell_of(layout, written, COLUMN_TOP_PROBABILITY, i, a, &text))
            return strtod(text.data, NULL);
    return NAN;
}

bool table_read(const table *layout, const record *written, const row *this_row, arena *a, size_t *prediction,
                double *probability) {
    capp_str text;
    uint64_t index;
    if (!cell_of(layout, written, COLUMN_INDEX, 0, a, &text)) return false;
    if (!parse_count(text.data, this_row->example.n_completions - 1, &index)) return false;
    *prediction = (size_t)index;
    *probability = probability_of(layout, written, this_row, a);
    return true;
}
