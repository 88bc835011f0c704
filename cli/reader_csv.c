/* Reads rows of CSV (RFC 4180), also with other separators. */
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

static void begin_parsing(reader *input) {
    if (input->parsing) csv_free(&input->parser);
    if (csv_init(&input->parser, CSV_STRICT | CSV_STRICT_FINI)) out_of_memory();
    csv_set_space_func(&input->parser, no_space);
    csv_set_delim(&input->parser, (unsigned char)input->is.separator);
    input->parsing = true;
}

static void set_bad(reader *input, const capp_error *cause) {
    if (!input->bad) input->cause = *cause;
    input->bad = true;
}

/* Reads a line of the record. If it is malformed, the record ends with it. */
static void feed(reader *input, capp_str line) {
    capp_error cause;
    if (!input->begun && !(line.size == 1 && is_one_of(*line.data, "\r\n"))) {
        input->begun = true;
        input->begun_line = input->source.line;
    }
    if (csv_parse(&input->parser, line.data, line.size, on_cell, on_row, input) == line.size) return;
    if (csv_error(&input->parser) != CSV_EPARSE) out_of_memory();
    fail_at(&cause, input->source.line,
            "malformed CSV: a quote inside or after a field; put the field in quotes and double the quotes in it");
    set_bad(input, &cause);
    begin_parsing(input);
    input->complete = true;
}

static bool check_size(reader *input, size_t more, capp_error *err) {
    input->bytes += more;
    if (input->bytes <= input->source.max_record) return true;
    return fail_at(err, input->begun_line,
                   "the record that begins here has more than %s; check whether a quote in it is not closed, or set a "
                   "larger --max-record",
                   human_bytes(input->source.max_record));
}

/* Reads the cells of one row to cells and ends. READ_BAD: the row is complete and malformed. */
static read_status csv_row(reader *input, bool wait, capp_error *err) {
    if (!input->begun) {
        input->n_cells = input->cells.size = input->bytes = 0;
        input->bad = false;
    }
    while (!input->complete) {
        capp_str line;
        read_status status = source_line(&input->source, wait, &line, err);
        if (status == READ_END && !interrupted()) {
            if (csv_fini(&input->parser, on_cell, on_row, input)) {
                fail_at(err, input->begun_line, "a quoted field in this row does not end; close the quote");
                return READ_FAILED;
            }
            if (!input->complete) return READ_END;
            break;
        }
        if (status == READ_BAD && !line.size) return READ_FAILED; /* too long, so its end is unknown */
        if (status == READ_BAD) set_bad(input, err);
        if (status != READ_ROW && status != READ_BAD) return status;
        if (input->begun && !check_size(input, line.size, err)) return READ_FAILED;
        feed(input, line);
        if (input->bytes == 0) input->bytes = line.size;
    }
    input->begun = input->complete = false;
    if (input->bad) *err = input->cause;
    return input->bad ? READ_BAD : READ_ROW;
}

static capp_str cell(const reader *input, const buffer *text, size_t i) {
    size_t start = i ? input->ends[i - 1] : 0;
    return (capp_str){text->data ? text->data + start : "", input->ends[i] - start};
}

/* A column name that occurs twice is an error if the run needs the column, otherwise a warning. */
static bool check_columns(reader *input, capp_error *err) {
    for (size_t i = 0; i < input->n_columns; i++) {
        capp_str name = input->columns[i];
        size_t first = find_column(input, name);
        if (first == i) continue;
        if (reader_needs(input, name))
            return fail_at(err, input->begun_line, "there are two columns '%.*s'; rename one", (int)name.size,
                           name.data);
        if (!input->warned && !input->how.quiet)
            complain("warning: %s:%zu: columns %zu and %zu have the same name '%.*s'", input->source.name,
                     input->begun_line, first + 1, i + 1, (int)name.size, name.data);
        input->warned = true;
    }
    return true;
}

static read_status csv_header(reader *input, bool wait, capp_error *err) {
    if (!input->parsing) begin_parsing(input);
    read_status status = csv_row(input, wait, err);
    if (status == READ_BAD) return READ_FAILED;
    if (status != READ_ROW) return status;
    input->names.size = 0;
    buffer_str(&input->names, buffer_view(&input->cells));
    input->n_columns = input->n_cells;
    input->columns = allocate(input->n_columns, sizeof *input->columns);
    input->values = allocate(input->n_columns, sizeof *input->values);
    for (size_t i = 0; i < input->n_columns; i++) input->columns[i] = cell(input, &input->names, i);
    return check_columns(input, err) ? READ_ROW : READ_FAILED;
}

read_status next_csv(reader *input, record *row, bool wait, capp_error *err) {
    if (!input->columns) {
        read_status status = csv_header(input, wait, err);
        if (status != READ_ROW) return status;
        report_input(input);
    }
    read_status status = csv_row(input, wait, err);
    if (status == READ_ROW || status == READ_BAD) input->rows++;
    if (status != READ_ROW) return status;
    if (input->n_cells != input->n_columns) {
        fail_at(err, input->begun_line,
                "row %zu has %zu field%s, but the header has %zu; put fields that contain %s in quotes", input->rows,
                input->n_cells, input->n_cells == 1 ? "" : "s", input->n_columns,
                input->is.separator == ',' ? "commas" : "separators");
        return READ_BAD;
    }
    for (size_t i = 0; i < input->n_columns; i++) input->values[i] = cell(input, &input->cells, i);
    *row = (record){.reader = input, .line = input->begun_line, .values = input->values};
    return READ_ROW;
}
