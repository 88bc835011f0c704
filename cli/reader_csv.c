/* Rows of CSV (RFC 4180) and its like with other separators. */
#include "reader_parts.h"

#include <stdlib.h>

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

static void begin_parsing(reader *r) {
    if (r->parsing) csv_free(&r->parser);
    if (csv_init(&r->parser, CSV_STRICT | CSV_STRICT_FINI)) out_of_memory();
    csv_set_space_func(&r->parser, no_space);
    csv_set_delim(&r->parser, (unsigned char)r->is.separator);
    r->parsing = true;
}

static void set_bad(reader *r, const capp_error *cause) {
    if (!r->bad) r->cause = *cause;
    r->bad = true;
}

/* Reads a line of the record. Where it is malformed the record ends with it. */
static void feed(reader *r, capp_str line) {
    capp_error cause;
    if (!r->begun && !(line.size == 1 && is_one_of(*line.data, "\r\n"))) {
        r->begun = true;
        r->begun_line = r->source.line;
    }
    if (csv_parse(&r->parser, line.data, line.size, on_cell, on_row, r) == line.size) return;
    if (csv_error(&r->parser) != CSV_EPARSE) out_of_memory();
    fail_at(&cause, r->source.line,
            "malformed CSV: a quote inside or behind a field; put the field in quotes and double those within");
    set_bad(r, &cause);
    begin_parsing(r);
    r->complete = true;
}

static bool check_size(reader *r, size_t more, capp_error *err) {
    r->bytes += more;
    if (r->bytes <= r->source.max_record) return true;
    return fail_at(err, r->begun_line,
                   "the record that begins here has more than %s: a quote in it may not be closed; else allow more by "
                   "--max-record",
                   human_bytes(r->source.max_record));
}

/* Cells of one row in r->cells and r->ends. READ_BAD: it is complete and malformed. */
static read_status csv_row(reader *r, bool wait, capp_error *err) {
    if (!r->begun) {
        r->n_cells = r->cells.size = r->bytes = 0;
        r->bad = false;
    }
    while (!r->complete) {
        capp_str line;
        read_status status = source_line(&r->source, wait, &line, err);
        if (status == READ_END && !interrupted()) {
            if (csv_fini(&r->parser, on_cell, on_row, r)) {
                fail_at(err, r->begun_line, "a quoted field that begins in this row never ends; close the quote");
                return READ_FAILED;
            }
            if (!r->complete) return READ_END;
            break;
        }
        if (status == READ_BAD && !line.size) return READ_FAILED; /* too long: where it ends nobody knows */
        if (status == READ_BAD) set_bad(r, err);
        if (status != READ_ROW && status != READ_BAD) return status;
        if (r->begun && !check_size(r, line.size, err)) return READ_FAILED;
        feed(r, line);
        if (r->bytes == 0) r->bytes = line.size;
    }
    r->begun = r->complete = false;
    if (r->bad) *err = r->cause;
    return r->bad ? READ_BAD : READ_ROW;
}

static capp_str cell(const reader *r, const buffer *text, size_t i) {
    size_t start = i ? r->ends[i - 1] : 0;
    return (capp_str){text->data ? text->data + start : "", r->ends[i] - start};
}

/* A column that stands twice: an error where the run looks for it, else told of once. */
static bool check_columns(reader *r, capp_error *err) {
    for (size_t i = 0; i < r->n_columns; i++) {
        capp_str name = r->columns[i];
        size_t first = column_of(r, name);
        if (first == i) continue;
        if (reader_asks(r, name))
            return fail_at(err, r->begun_line, "there are two columns '%.*s'; rename one", (int)name.size, name.data);
        if (!r->warned && !r->how.quiet)
            complain("warning: %s:%zu: columns %zu and %zu have the same name '%.*s'", r->source.name, r->begun_line,
                     first + 1, i + 1, (int)name.size, name.data);
        r->warned = true;
    }
    return true;
}

static read_status csv_header(reader *r, bool wait, capp_error *err) {
    if (!r->parsing) begin_parsing(r);
    read_status status = csv_row(r, wait, err);
    if (status == READ_BAD) return READ_FAILED;
    if (status != READ_ROW) return status;
    r->names.size = 0;
    buffer_str(&r->names, buffer_view(&r->cells));
    r->n_columns = r->n_cells;
    r->columns = take(r->n_columns, sizeof *r->columns);
    r->values = take(r->n_columns, sizeof *r->values);
    for (size_t i = 0; i < r->n_columns; i++) r->columns[i] = cell(r, &r->names, i);
    return check_columns(r, err) ? READ_ROW : READ_FAILED;
}

read_status next_csv(reader *r, record *row, bool wait, capp_error *err) {
    if (!r->columns) {
        read_status status = csv_header(r, wait, err);
        if (status != READ_ROW) return status;
        reader_tell(r);
    }
    read_status status = csv_row(r, wait, err);
    if (status == READ_ROW || status == READ_BAD) r->rows++;
    if (status != READ_ROW) return status;
    if (r->n_cells != r->n_columns) {
        fail_at(err, r->begun_line, "row %zu has %zu field%s, but the header has %zu; quote fields that hold %s",
                r->rows, r->n_cells, r->n_cells == 1 ? "" : "s", r->n_columns,
                r->is.separator == ',' ? "commas" : "separators");
        return READ_BAD;
    }
    for (size_t i = 0; i < r->n_columns; i++) r->values[i] = cell(r, &r->cells, i);
    *row = (record){.reader = r, .line = r->begun_line, .values = r->values};
    return READ_ROW;
}
