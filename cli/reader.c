#define _GNU_SOURCE
#include "reader_parts.h"

#include <stdlib.h>
#include <string.h>

enum { HEAD = 1 << 16 }; /* bytes that are looked at to find out what a file is */

bool reader_open(reader *r, const reader_options *how, capp_error *err) {
    *r = (reader){.source.file = -1, .how = *how, .waits = READ_LATER};
    bool from_stdin = !how->path || !strcmp(how->path, "-");
    if (!from_stdin) format_of_path(how->path, &r->named, &r->named_separator);
    r->is.separator = how->separator;
    if (how->format && !format_of_name(how->format, &r->is.format, &r->is.separator))
        return fail_at(err, 0, "--format '%s' is unknown; use csv, tsv, jsonl, json or text", how->format);
    if (how->separator && how->format && r->is.format != FORMAT_CSV)
        return fail_at(err, 0, "--separator is for CSV, but --format is %s", how->format);
    if (how->separator) {
        r->is.separator = how->separator;
        r->is.format = FORMAT_CSV;
    }
    return source_open(&r->source, how->path, how->max_record, err);
}

static void forget_rows(reader *r) {
    if (r->parsing) csv_free(&r->parser);
    free(r->columns);
    free(r->values);
    r->columns = r->values = NULL;
    r->parsing = r->begun = r->complete = r->bad = false;
    r->n_columns = r->rows = r->blanks = 0;
    r->waits = READ_LATER;
    r->element = ELEMENT_FIRST;
}

void reader_close(reader *r) {
    forget_rows(r);
    source_close(&r->source);
    buffer_free(&r->names);
    buffer_free(&r->cells);
    arena_free(&r->memory);
    free(r->members);
    free(r->ends);
    *r = (reader){.source.file = -1};
}

bool reader_rewind(reader *r, capp_error *err) {
    forget_rows(r);
    return source_rewind(&r->source, err);
}

/* ---- What the input is ------------------------------------------------------------------------------------------ */

bool reader_asks(const reader *r, capp_str name) {
    for (size_t i = 0; i < r->how.n_asked; i++)
        if (str_equal(r->how.asked[i], name)) return true;
    return false;
}

void list_name(buffer *list, capp_str name) {
    enum { ENOUGH = 500 };
    if (list->size >= ENOUGH) return;
    if (list->size) buffer_text(list, ", ");
    buffer_str(list, name);
    if (list->size >= ENOUGH) buffer_text(list, ", ...");
}

void reader_tell(reader *r) {
    buffer text = {0}, list = {0};
    if (r->told || r->how.quiet) return;
    r->told = true;
    buffer_printf(&text, "reading %s as %s", r->source.name, format_words(r->is.format, r->is.separator));
    if (r->source.unpacker) buffer_printf(&text, " in %s", packing_name(r->source.packing));
    bool json = r->is.format == FORMAT_JSON || r->is.format == FORMAT_JSONL;
    for (size_t i = 0; !json && i < r->n_columns; i++) list_name(&list, r->columns[i]);
    for (size_t i = 0; json && i < r->n_members; i++) list_name(&list, r->members[i].name);
    if (r->is.format == FORMAT_TEXT)
        buffer_text(&text, ", a row a line");
    else if (r->is.separator == '\t')
        buffer_text(&text, ": separator tab, columns ");
    else if (r->is.format == FORMAT_CSV)
        buffer_printf(&text, ": separator '%c', columns ", r->is.separator);
    else
        buffer_text(&text, ": fields ");
    if (r->is.format != FORMAT_TEXT) buffer_str(&text, buffer_view(&list));
    if (r->named != FORMAT_GUESS && r->named != r->is.format && !(json && r->named == FORMAT_JSON))
        buffer_printf(&text, " (its name says %s)", format_words(r->named, r->named_separator));
    complain("%.*s", (int)text.size, text.data);
    buffer_free(&text);
    buffer_free(&list);
}

/* Whether head says enough: it has a line that is not blank, an object of JSON or the beginning of an array. */
static bool has_record(capp_str head) {
    size_t used;
    json_scan scan = {0};
    while (head.size && is_one_of(*head.data, " \t\r\n")) {
        head.data++;
        head.size--;
    }
    if (!head.size) return false;
    if (*head.data == '{' && json_scan_on(&scan, head.data, head.size, &used)) return true;
    bool array = *head.data == '[';
    for (size_t i = 1; i < head.size; i++)
        if (head.data[i] == '\n' ? !array : array && !is_one_of(head.data[i], " \t\r")) return true;
    return false;
}

static read_status find_out(reader *r, bool wait, capp_error *err) {
    capp_str head = {"", 0};
    bool regular = r->source.regular;
    bool look = r->is.format == FORMAT_GUESS || (r->is.format == FORMAT_CSV && !r->is.separator) || regular;
    read_status status = READ_ROW;
    if (look) status = source_ahead(&r->source, regular ? HEAD : 1, wait, &head, err);
    while (look && !regular && status == READ_ROW && head.size < HEAD && !has_record(head) && !r->source.ended)
        status = source_ahead(&r->source, head.size + 1, wait, &head, err);
    if (status == READ_END && interrupted()) return status;
    if (status != READ_ROW && status != READ_END) return status;
    sniff_input in = {.head = head,
                      .whole = r->source.ended,
                      .first_alone = !regular,
                      .name = r->source.name,
                      .named = r->named,
                      .named_separator = r->named_separator,
                      .asked = r->how.asked,
                      .n_asked = r->how.n_asked};
    if (!sniff(&r->is, &in, err)) return READ_FAILED;
    r->source.cr = r->is.format != FORMAT_TEXT || r->is.cr;
    r->known = true;
    return READ_ROW;
}

/* ---- Plain text ------------------------------------------------------------------------------------------------- */

static void text_column(reader *r) {
    r->columns = take(1, sizeof *r->columns);
    r->columns[0] = (capp_str){"text", 4};
    r->n_columns = 1;
    r->values = take(1, sizeof *r->values);
}

static read_status give_text(reader *r, record *row, size_t line, capp_str text) {
    r->rows++;
    r->values[0] = text;
    *row = (record){.reader = r, .line = line, .values = r->values};
    return READ_ROW;
}

/* Blank lines wait until one follows that is not: at the end of the input they are no rows. */
static read_status next_text(reader *r, record *row, bool wait, capp_error *err) {
    if (!r->columns) text_column(r);
    while (r->waits == READ_LATER) {
        capp_str line;
        read_status status = source_line(&r->source, wait, &line, err);
        if (status != READ_ROW && status != READ_BAD) return status;
        reader_tell(r);
        while (line.size && is_one_of(line.data[line.size - 1], "\r\n")) line.size--;
        bool blank = status == READ_ROW;
        for (size_t i = 0; blank && i < line.size; i++) blank = is_one_of(line.data[i], " \t\r");
        if (blank && !r->blanks) r->blank_line = r->source.line;
        r->blanks += blank;
        if (blank) continue;
        r->waits = status;
        r->waiting = line;
        r->cause = *err;
    }
    if (r->blanks) {
        r->blanks--;
        return give_text(r, row, r->blank_line++, (capp_str){"", 0});
    }
    read_status status = r->waits;
    r->waits = READ_LATER;
    if (status == READ_ROW) return give_text(r, row, r->source.line, r->waiting);
    r->rows++;
    *err = r->cause;
    return READ_BAD;
}

read_status reader_next(reader *r, record *row, bool wait, capp_error *err) {
    if (!r->known) {
        read_status status = find_out(r, wait, err);
        if (status != READ_ROW) return status;
    }
    if (r->is.format == FORMAT_CSV) return next_csv(r, row, wait, err);
    if (r->is.format == FORMAT_TEXT) return next_text(r, row, wait, err);
    read_status status =
        r->is.format == FORMAT_JSON ? next_json_element(r, row, wait, err) : next_json_line(r, row, wait, err);
    if (status == READ_ROW) reader_tell(r);
    return status;
}

/* ---- Fields ----------------------------------------------------------------------------------------------------- */

size_t column_of(const reader *r, capp_str name) {
    size_t i = 0;
    while (i < r->n_columns && !str_equal(r->columns[i], name)) i++;
    return i;
}

/* Of two members with one name the last one. */
static json_value value_of(const record *row, capp_str name) {
    const reader *r = row->reader;
    for (size_t i = r->n_members; i > 0; i--)
        if (str_equal(r->members[i - 1].name, name)) return r->members[i - 1].value;
    return (json_value){NULL, 0};
}

bool record_text(const record *row, capp_str name, arena *a, capp_str *text) {
    if (!row->object.size) {
        size_t i = column_of(row->reader, name);
        if (i == row->reader->n_columns) return false;
        *text = arena_copy(a, row->values[i]);
        return true;
    }
    json_value value = value_of(row, name);
    json_kind kind = json_kind_of(value);
    if (kind == JSON_KIND_NONE) return false;
    *text = kind == JSON_KIND_STRING ? json_copy_string(a, value)
            : kind == JSON_KIND_NULL ? arena_copy(a, (capp_str){"", 0})
                                     : json_compact(a, value);
    return true;
}

json_value record_json(const record *row, const char *name) {
    json_value none = {NULL, 0}, value = row->object.size ? value_of(row, capp_str_of(name)) : none;
    return json_kind_of(value) == JSON_KIND_NULL ? none : value;
}

bool fail_field(capp_error *err, const record *row, capp_str name) {
    buffer list = {0};
    const reader *r = row->reader;
    bool json = row->object.size > 0;
    for (size_t i = 0; json && i < r->n_members; i++) list_name(&list, r->members[i].name);
    for (size_t i = 0; !json && i < r->n_columns; i++) list_name(&list, r->columns[i]);
    fail_at(err, row->line, "there is no %s '%.*s'; there is: %.*s", json ? "field" : "column", (int)name.size,
            name.data, (int)list.size, list.data ? list.data : "");
    buffer_free(&list);
    return false;
}

bool reader_knows(reader *r, capp_str name, capp_error *err) {
    if (!r->n_columns || column_of(r, name) < r->n_columns) return true;
    return fail_field(err, &(record){.reader = r, .line = 1}, name);
}

const field *record_fields(const record *row, arena *a, size_t *n) {
    const reader *r = row->reader;
    bool json = row->object.size > 0;
    *n = json ? r->n_members : r->n_columns;
    field *fields = arena_take(a, *n, sizeof *fields);
    for (size_t i = 0; i < *n; i++) {
        field *f = &fields[i];
        *f = (field){.name = arena_copy(a, json ? r->members[i].name : r->columns[i])};
        f->json = json && json_kind_of(r->members[i].value) != JSON_KIND_STRING;
        f->text = f->json ? json_compact(a, r->members[i].value)
                  : json  ? json_copy_string(a, r->members[i].value)
                          : arena_copy(a, row->values[i]);
    }
    return fields;
}
