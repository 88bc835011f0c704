#define _GNU_SOURCE
#include "reader.h"

#include <stdlib.h>
#include <string.h>

static bool format_of(const char *path, const char *format, input_format *result, capp_error *err) {
    static const struct {
        const char *name, *end;
        input_format format;
    } formats[] = {{"csv", ".csv", FORMAT_CSV},
                   {"jsonl", ".jsonl", FORMAT_JSONL},
                   {"ndjson", ".ndjson", FORMAT_JSONL},
                   {"json", ".json", FORMAT_JSONL},
                   {"text", ".txt", FORMAT_TEXT}};
    *result = FORMAT_GUESS;
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (format ? !strcmp(format, formats[i].name) : path && ends_with(path, formats[i].end))
            *result = formats[i].format;
    if (format && *result == FORMAT_GUESS)
        return fail_at(err, 0, "--format '%s' is unknown; use csv, jsonl or text", format);
    return true;
}

bool reader_open(reader *r, const char *path, const char *format, capp_error *err) {
    *r = (reader){.source.file = -1};
    return format_of(path, format, &r->format, err) && source_open(&r->source, path, err);
}

void reader_close(reader *r) {
    source_close(&r->source);
    if (r->parsing) csv_free(&r->parser);
    json_decref(r->object);
    buffer_free(&r->names);
    buffer_free(&r->cells);
    free(r->columns);
    free(r->ends);
    free(r->values);
    *r = (reader){.source.file = -1};
}

static void text_column(reader *r) {
    r->columns = take(1, sizeof *r->columns);
    r->columns[0] = (capp_str){"text", 4};
    r->n_columns = 1;
    r->values = take(1, sizeof *r->values);
}

static read_status next_text(reader *r, record *row, bool wait, capp_error *err) {
    if (!r->columns) text_column(r);
    capp_str line;
    read_status status = source_line(&r->source, wait, &line, err);
    if (status != READ_ROW) return status;
    if (line.size && line.data[line.size - 1] == '\n') line.size--;
    if (line.size && line.data[line.size - 1] == '\r') line.size--;
    r->values[0] = line;
    *row = (record){.reader = r, .line = r->source.line, .values = r->values};
    return READ_ROW;
}

/* ---- JSON lines (RFC 8259, an object a line) ------------------------------------------------------------------- */

static bool blank(capp_str line) {
    for (size_t i = 0; i < line.size; i++)
        if (!is_one_of(line.data[i], " \t\r\n")) return false;
    return true;
}

static read_status next_json(reader *r, record *row, bool wait, capp_error *err) {
    capp_str line;
    do {
        read_status status = source_line(&r->source, wait, &line, err);
        if (status != READ_ROW) return status;
    } while (blank(line));
    json_decref(r->object);
    json_error_t cause;
    r->object = json_loadb(line.data, line.size, JSON_ALLOW_NUL | JSON_DECODE_ANY, &cause);
    if (!r->object) {
        fail_at(err, r->source.line, "bad JSON at column %d: %s; each line must be one JSON object",
                cause.column > 0 ? cause.column : 1, cause.text);
        return READ_FAILED;
    }
    if (!json_is_object(r->object)) {
        fail_at(err, r->source.line, "the line is not a JSON object; write {\"text\": ...}");
        return READ_FAILED;
    }
    *row = (record){.reader = r, .line = r->source.line, .object = r->object};
    return READ_ROW;
}

/* ---- CSV (RFC 4180) -------------------------------------------------------------------------------------------- */

static void on_cell(void *data, size_t size, void *user) {
    reader *r = user;
    buffer_add(&r->cells, data, size);
    grow(&r->ends, &r->cells_capacity, r->n_cells + 1, sizeof *r->ends);
    r->ends[r->n_cells++] = r->cells.size;
}

static void on_row(int end, void *user) {
    (void)end;
    reader *r = user;
    r->complete = true;
}

static int no_space(unsigned char c) {
    (void)c;
    return 0; /* spaces around a field belong to it */
}

static read_status malformed(reader *r, capp_error *err) {
    if (csv_error(&r->parser) == CSV_ENOMEM || csv_error(&r->parser) == CSV_ETOOBIG)
        fail_at(err, r->begun_line, "out of memory for a CSV row");
    else if (r->source.ended && !r->rest.size)
        fail_at(err, r->begun_line, "a quoted field that begins in this row never ends; close the quote");
    else
        fail_at(err, r->source.line,
                "malformed CSV: a quote inside or behind a field; put the field in quotes and double those within");
    return READ_FAILED;
}

/* Feeds up to the next line end (LF or CR), so that at most one row is complete at a time. */
static bool feed(reader *r) {
    size_t size = 0;
    bool newline_only = true;
    while (size < r->rest.size) {
        char c = r->rest.data[size++];
        if (c == '\n' || c == '\r') break;
        newline_only = false;
    }
    if (!r->begun && !newline_only) {
        r->begun = true;
        r->begun_line = r->source.line;
    }
    if (csv_parse(&r->parser, r->rest.data, size, on_cell, on_row, r) != size) return false;
    r->rest.data += size;
    r->rest.size -= size;
    return true;
}

/* Cells of one row in r->cells and r->ends. */
static read_status csv_row(reader *r, bool wait, capp_error *err) {
    if (!r->begun) {
        r->n_cells = 0;
        r->cells.size = 0;
    }
    while (!r->complete) {
        if (r->rest.size) {
            if (!feed(r)) return malformed(r, err);
            continue;
        }
        read_status status = source_line(&r->source, wait, &r->rest, err);
        if (status == READ_END && !interrupted()) {
            if (csv_fini(&r->parser, on_cell, on_row, r)) return malformed(r, err);
            if (!r->complete) return READ_END;
        } else if (status != READ_ROW) {
            return status;
        }
    }
    r->begun = r->complete = false;
    return READ_ROW;
}

static capp_str cell(const reader *r, const buffer *text, size_t i) {
    size_t start = i ? r->ends[i - 1] : 0;
    return (capp_str){text->data ? text->data + start : "", r->ends[i] - start};
}

static read_status csv_header(reader *r, bool wait, capp_error *err) {
    if (!r->parsing) {
        csv_init(&r->parser, CSV_STRICT | CSV_STRICT_FINI);
        csv_set_space_func(&r->parser, no_space);
        r->parsing = true;
    }
    read_status status = csv_row(r, wait, err);
    if (status != READ_ROW) return status;
    buffer_str(&r->names, buffer_view(&r->cells));
    r->n_columns = r->n_cells;
    r->columns = take(r->n_columns, sizeof *r->columns);
    r->values = take(r->n_columns, sizeof *r->values);
    for (size_t i = 0; i < r->n_columns; i++) r->columns[i] = cell(r, &r->names, i);
    return READ_ROW;
}

static read_status next_csv(reader *r, record *row, bool wait, capp_error *err) {
    if (!r->columns) {
        read_status status = csv_header(r, wait, err);
        if (status != READ_ROW) return status;
    }
    read_status status = csv_row(r, wait, err);
    if (status != READ_ROW) return status;
    r->rows++;
    if (r->n_cells != r->n_columns) {
        fail_at(err, r->begun_line, "row %zu has %zu field%s, but the header has %zu; quote fields that hold commas",
                r->rows, r->n_cells, r->n_cells == 1 ? "" : "s", r->n_columns);
        return READ_FAILED;
    }
    for (size_t i = 0; i < r->n_columns; i++) r->values[i] = cell(r, &r->cells, i);
    *row = (record){.reader = r, .line = r->begun_line, .values = r->values};
    return READ_ROW;
}

read_status reader_next(reader *r, record *row, bool wait, capp_error *err) {
    if (r->format == FORMAT_GUESS) {
        char first = 0;
        read_status status = source_peek(&r->source, &first, err);
        if (status != READ_ROW) return status;
        r->format = first == '{' ? FORMAT_JSONL : FORMAT_TEXT;
    }
    return r->format == FORMAT_CSV     ? next_csv(r, row, wait, err)
           : r->format == FORMAT_JSONL ? next_json(r, row, wait, err)
                                       : next_text(r, row, wait, err);
}

/* ---- Fields ---------------------------------------------------------------------------------------------------- */

/* Index of the column, or n_columns. */
static size_t column_of(const reader *r, capp_str name) {
    size_t i = 0;
    while (i < r->n_columns && !str_equal(r->columns[i], name)) i++;
    return i;
}

/* Borrowed: jansson's getter for keys that are not NUL-terminated needs 2.14, Debian bookworm's. */
static const json_t *member(const record *row, capp_str name) {
    return name.size ? json_object_getn(row->object, name.data, name.size) : json_object_get(row->object, "");
}

bool record_text(const record *row, capp_str name, arena *a, capp_str *text) {
    if (!row->object) {
        size_t i = column_of(row->reader, name);
        if (i == row->reader->n_columns) return false;
        *text = arena_copy(a, row->values[i]);
        return true;
    }
    const json_t *value = member(row, name);
    if (!value) return false;
    if (json_is_string(value)) {
        *text = arena_copy(a, (capp_str){json_string_value(value), json_string_length(value)});
    } else if (json_is_null(value)) {
        *text = (capp_str){"", 0};
    } else {
        char *dump = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(17));
        *text = arena_copy(a, capp_str_of(dump));
        free(dump);
    }
    return true;
}

const json_t *record_json(const record *row, const char *name) {
    const json_t *value = row->object ? json_object_get(row->object, name) : NULL;
    return json_is_null(value) ? NULL : value;
}

static void list_names(buffer *list, capp_str name) {
    enum { ENOUGH = 500 };
    if (list->size >= ENOUGH) return;
    if (list->size) buffer_text(list, ", ");
    buffer_str(list, name);
    if (list->size >= ENOUGH) buffer_text(list, ", ...");
}

static bool fail_names(capp_error *err, size_t line, const char *what, capp_str name, const buffer *list) {
    return fail_at(err, line, "there is no %s '%.*s'; there is: %.*s", what, (int)name.size, name.data, (int)list->size,
                   list->data ? list->data : "");
}

bool fail_field(capp_error *err, const record *row, capp_str name) {
    buffer list = {0};
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)row->object, key, value) {
        list_names(&list, capp_str_of(key));
    }
    for (size_t i = 0; i < row->reader->n_columns; i++) list_names(&list, row->reader->columns[i]);
    fail_names(err, row->line, row->object ? "field" : "column", name, &list);
    buffer_free(&list);
    return false;
}

bool reader_knows(reader *r, capp_str name, capp_error *err) {
    size_t first = column_of(r, name);
    for (size_t i = first + 1; i < r->n_columns; i++)
        if (str_equal(r->columns[i], name))
            return fail_at(err, 1, "there are two columns '%.*s'; rename one", (int)name.size, name.data);
    if (!r->n_columns || first < r->n_columns) return true;
    return fail_field(err, &(record){.reader = r, .line = 1}, name);
}

static const row_field *json_fields(const record *row, arena *a, size_t *n) {
    row_field *fields = arena_take(a, json_object_size(row->object), sizeof *fields);
    const char *name;
    json_t *value;
    *n = 0;
    json_object_foreach((json_t *)(uintptr_t)row->object, name, value) {
        row_field *f = &fields[(*n)++];
        f->name = arena_copy(a, capp_str_of(name));
        f->json = !json_is_string(value);
        if (f->json) {
            char *dump = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(17));
            f->text = arena_copy(a, capp_str_of(dump));
            free(dump);
        } else {
            f->text = arena_copy(a, (capp_str){json_string_value(value), json_string_length(value)});
        }
    }
    return fields;
}

const row_field *record_fields(const record *row, arena *a, size_t *n) {
    if (row->object) return json_fields(row, a, n);
    *n = row->reader->n_columns;
    row_field *fields = arena_take(a, *n, sizeof *fields);
    for (size_t i = 0; i < *n; i++)
        fields[i] = (row_field){.name = row->reader->columns[i], .text = arena_copy(a, row->values[i])};
    return fields;
}
