#include "reader.h"

#include <stdlib.h>
#include <string.h>

#include "reader_parts.h"

enum { HEAD = 1 << 16 }; /* bytes that are read to recognize the input */

bool reader_open(reader *input, const reader_options *how, capp_error *err) {
    *input = (reader){.source.file = -1, .how = *how, .waits = READ_LATER};
    bool from_stdin = !how->path || !strcmp(how->path, "-");
    if (!from_stdin) format_of_path(how->path, &input->named, &input->named_separator);
    input->is.separator = how->separator;
    if (how->format && !format_of_name(how->format, &input->is.format, &input->is.separator))
        return fail_at(err, 0, "--format '%s' is unknown; use csv, tsv, jsonl, json or text", how->format);
    if (how->separator && how->format && input->is.format != FORMAT_CSV)
        return fail_at(err, 0, "--separator is for CSV, but --format is %s", how->format);
    if (how->separator) {
        input->is.separator = how->separator;
        input->is.format = FORMAT_CSV;
    }
    return source_open(&input->source, how->path, how->max_record, err);
}

static void forget_rows(reader *input) {
    if (input->parsing) csv_free(&input->parser);
    free(input->columns);
    free(input->values);
    input->columns = input->values = NULL;
    input->parsing = input->begun = input->complete = input->bad = false;
    input->n_columns = input->rows = input->blanks = 0;
    input->waits = READ_LATER;
    input->element = ELEMENT_FIRST;
}

void reader_close(reader *input) {
    forget_rows(input);
    source_close(&input->source);
    buffer_free(&input->names);
    buffer_free(&input->cells);
    arena_free(&input->memory);
    free(input->members);
    free(input->ends);
    *input = (reader){.source.file = -1};
}

bool reader_rewind(reader *input, capp_error *err) {
    forget_rows(input);
    return source_rewind(&input->source, err);
}

/* ---- What the input is ------------------------------------------------------------------------------------------ */

/* Whether head is enough to recognize the input: it has a line that is not blank, a JSON object or the start of an
 * array. */
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

static read_status find_out(reader *input, bool wait, capp_error *err) {
    capp_str head = {"", 0};
    bool regular = input->source.regular;
    bool look = input->is.format == FORMAT_GUESS || (input->is.format == FORMAT_CSV && !input->is.separator) || regular;
    read_status status = READ_ROW;
    if (look) status = source_ahead(&input->source, regular ? HEAD : 1, wait, &head, err);
    while (look && !regular && status == READ_ROW && head.size < HEAD && !has_record(head) && !input->source.ended)
        status = source_ahead(&input->source, head.size + 1, wait, &head, err);
    if (status == READ_END && interrupted()) return status;
    if (status != READ_ROW && status != READ_END) return status;
    sniff_input in = {.head = head,
                      .whole = input->source.ended,
                      .first_alone = !regular,
                      .name = input->source.name,
                      .named = input->named,
                      .named_separator = input->named_separator,
                      .asked = input->how.asked,
                      .n_asked = input->how.n_asked};
    if (!sniff(&input->is, &in, err)) return READ_FAILED;
    input->source.cr = input->is.format != FORMAT_TEXT || input->is.cr;
    input->known = true;
    return READ_ROW;
}

/* ---- Plain text ------------------------------------------------------------------------------------------------- */

static void text_column(reader *input) {
    input->columns = allocate(1, sizeof *input->columns);
    input->columns[0] = (capp_str){"text", 4};
    input->n_columns = 1;
    input->values = allocate(1, sizeof *input->values);
}

static read_status give_text(reader *input, record *row, size_t line, capp_str text) {
    input->rows++;
    input->values[0] = text;
    *row = (record){.reader = input, .line = line, .values = input->values};
    return READ_ROW;
}

/* Blank lines wait for a line that is not blank: at the end of the input they are not rows. */
static read_status next_text(reader *input, record *row, bool wait, capp_error *err) {
    if (!input->columns) text_column(input);
    while (input->waits == READ_LATER) {
        capp_str line;
        read_status status = source_line(&input->source, wait, &line, err);
        if (status != READ_ROW && status != READ_BAD) return status;
        report_input(input);
        while (line.size && is_one_of(line.data[line.size - 1], "\r\n")) line.size--;
        bool blank = status == READ_ROW;
        for (size_t i = 0; blank && i < line.size; i++) blank = is_one_of(line.data[i], " \t\r");
        if (blank && !input->blanks) input->blank_line = input->source.line;
        input->blanks += blank;
        if (blank) continue;
        input->waits = status;
        input->waiting = line;
        input->cause = *err;
    }
    if (input->blanks) {
        input->blanks--;
        return give_text(input, row, input->blank_line++, (capp_str){"", 0});
    }
    read_status status = input->waits;
    input->waits = READ_LATER;
    if (status == READ_ROW) return give_text(input, row, input->source.line, input->waiting);
    input->rows++;
    *err = input->cause;
    return READ_BAD;
}

read_status reader_next(reader *input, record *row, bool wait, capp_error *err) {
    if (!input->known) {
        read_status status = find_out(input, wait, err);
        if (status != READ_ROW) return status;
    }
    if (input->is.format == FORMAT_CSV) return next_csv(input, row, wait, err);
    if (input->is.format == FORMAT_TEXT) return next_text(input, row, wait, err);
    read_status status = input->is.format == FORMAT_JSON ? next_json_element(input, row, wait, err)
                                                         : next_json_line(input, row, wait, err);
    if (status == READ_ROW) report_input(input);
    return status;
}
