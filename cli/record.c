#include "record.h"

#include <string.h>

bool reader_needs(const reader *input, capp_str name) {
    for (size_t i = 0; i < input->how.n_asked; i++)
        if (str_equal(input->how.asked[i], name)) return true;
    return false;
}

/* Whether a name is hard to recognize in a list without quotes around it. */
static bool needs_quotes(capp_str name) {
    if (!name.size || memchr(name.data, ',', name.size)) return true;
    return is_one_of(name.data[0], " \t") || is_one_of(name.data[name.size - 1], " \t");
}

void list_name(buffer *list, capp_str name) {
    enum { ENOUGH = 500, LONGEST = 80 };
    if (list->size >= ENOUGH) return;
    if (list->size) buffer_text(list, ", ");
    const char *quote = needs_quotes(name) ? "'" : "";
    int shown = name.size <= LONGEST ? (int)name.size : (int)utf8_valid(name.data, LONGEST);
    buffer_printf(list, "%s%.*s%s%s", quote, shown, name.data, (size_t)shown < name.size ? "..." : "", quote);
    if (list->size >= ENOUGH) buffer_text(list, ", ...");
}

void report_input(reader *input) {
    buffer text = {0}, list = {0};
    if (input->told || input->how.quiet) return;
    input->told = true;
    buffer_printf(&text, "reading %s as %s", input->source.name, format_words(input->is.format, input->is.separator));
    if (input->source.unpacker) buffer_printf(&text, " in %s", packing_name(input->source.packing));
    bool json = input->is.format == FORMAT_JSON || input->is.format == FORMAT_JSONL;
    for (size_t i = 0; !json && i < input->n_columns; i++) list_name(&list, input->columns[i]);
    for (size_t i = 0; json && i < input->n_members; i++) list_name(&list, input->members[i].name);
    if (input->is.format == FORMAT_TEXT)
        buffer_text(&text, ", one text per line");
    else if (input->is.separator == '\t')
        buffer_text(&text, ": separator tab, columns ");
    else if (input->is.format == FORMAT_CSV)
        buffer_printf(&text, ": separator '%c', columns ", input->is.separator);
    else
        buffer_text(&text, ": fields ");
    if (input->is.format != FORMAT_TEXT) buffer_str(&text, buffer_view(&list));
    if (input->named != FORMAT_GUESS && input->named != input->is.format && !(json && input->named == FORMAT_JSON))
        buffer_printf(&text, " (its name says %s)", format_words(input->named, input->named_separator));
    complain("%.*s", (int)text.size, text.data);
    buffer_free(&text);
    buffer_free(&list);
}

size_t find_column(const reader *input, capp_str name) {
    size_t i = 0;
    while (i < input->n_columns && !str_equal(input->columns[i], name)) i++;
    return i;
}

/* If two members have the same name, the last one. */
static json_value find_member(const record *row, capp_str name) {
    const reader *r = row->reader;
    for (size_t i = r->n_members; i > 0; i--)
        if (str_equal(r->members[i - 1].name, name)) return r->members[i - 1].value;
    return (json_value){NULL, 0};
}

bool record_text(const record *row, capp_str name, arena *a, capp_str *text) {
    if (!row->object.size) {
        size_t i = find_column(row->reader, name);
        if (i == row->reader->n_columns) return false;
        *text = arena_copy(a, row->values[i]);
        return true;
    }
    json_value value = find_member(row, name);
    json_kind kind = json_kind_of(value);
    if (kind == JSON_KIND_NONE) return false;
    *text = kind == JSON_KIND_STRING ? json_copy_string(a, value)
            : kind == JSON_KIND_NULL ? arena_copy(a, (capp_str){"", 0})
                                     : json_compact(a, value);
    return true;
}

json_value record_json(const record *row, const char *name) {
    json_value none = {NULL, 0}, value = row->object.size ? find_member(row, capp_str_of(name)) : none;
    return json_kind_of(value) == JSON_KIND_NULL ? none : value;
}

bool fail_field(capp_error *err, const record *row, capp_str name) {
    buffer list = {0};
    const reader *r = row->reader;
    bool json = row->object.size > 0;
    for (size_t i = 0; json && i < r->n_members; i++) list_name(&list, r->members[i].name);
    for (size_t i = 0; !json && i < r->n_columns; i++) list_name(&list, r->columns[i]);
    fail_at(err, row->line, "there is no %s '%.*s'; %s%.*s", json ? "field" : "column", (int)name.size, name.data,
            list.size ? "the input has: " : "the row is empty", (int)list.size, list.data ? list.data : "");
    buffer_free(&list);
    return false;
}

bool reader_knows(reader *input, capp_str name, capp_error *err) {
    if (!input->n_columns || find_column(input, name) < input->n_columns) return true;
    return fail_field(err, &(record){.reader = input, .line = 1}, name);
}

const field *record_fields(const record *row, arena *a, size_t *n) {
    const reader *r = row->reader;
    bool json = row->object.size > 0;
    size_t all = json ? r->n_members : r->n_columns;
    field *fields = arena_allocate(a, all, sizeof *fields);
    *n = 0;
    for (size_t i = 0; i < all; i++) {
        if (json && r->members[i].again) continue;
        field *f = &fields[(*n)++];
        *f = (field){.name = arena_copy(a, json ? r->members[i].name : r->columns[i])};
        f->json = json && json_kind_of(r->members[i].value) != JSON_KIND_STRING;
        f->text = f->json ? json_compact(a, r->members[i].value)
                  : json  ? json_copy_string(a, r->members[i].value)
                          : arena_copy(a, row->values[i]);
    }
    return fields;
}
