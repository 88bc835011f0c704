/* Reads rows of JSON: one object per line, or the elements of an array over any number of lines. */
#include "reader_parts.h"

#include <stdlib.h>
#include <string.h>

static bool blank(capp_str line) {
    for (size_t i = 0; i < line.size; i++)
        if (!is_one_of(line.data[i], " \t\r\n")) return false;
    return true;
}

static int by_name(const void *a, const void *b) {
    const member *x = *(const member *const *)a, *y = *(const member *const *)b;
    size_t n = x->name.size < y->name.size ? x->name.size : y->name.size;
    int order = n ? memcmp(x->name.data, y->name.data, n) : 0;
    if (!order) order = (x->name.size > y->name.size) - (x->name.size < y->name.size);
    return order ? order : (x->place > y->place) - (x->place < y->place);
}

/* A name that occurs twice is an error if the run needs the field, otherwise a warning. */
static bool check_names(reader *input, size_t line, capp_error *err) {
    if (input->n_members < 2) return true;
    const member **sorted = arena_allocate(&input->memory, input->n_members, sizeof *sorted);
    for (size_t i = 0; i < input->n_members; i++) sorted[i] = &input->members[i];
    qsort(sorted, input->n_members, sizeof *sorted, by_name);
    for (size_t i = 1; i < input->n_members; i++) {
        capp_str name = sorted[i]->name;
        if (!str_equal(name, sorted[i - 1]->name)) continue;
        if (reader_needs(input, name))
            return fail_at(err, line, "the object has the name '%.*s' twice; remove one", (int)name.size, name.data);
        if (!input->warned && !input->how.quiet)
            complain("warning: %s:%zu: the object has the name '%.*s' twice; capp uses the last one",
                     input->source.name, line, (int)name.size, name.data);
        input->warned = true;
    }
    return true;
}

/* Makes a row of a text, which should be an object. advice: the end of the message. */
static read_status parse(reader *input, capp_str text, size_t line, const char *advice, record *row, capp_error *err) {
    json_value object;
    size_t at = 0;
    const char *reason = "";
    input->rows++;
    if (!json_check(text, &object, &at, &reason)) {
        size_t start = 0;
        for (size_t i = 0; i < at; i++) {
            if (text.data[i] != '\n') continue;
            line++;
            start = i + 1;
        }
        fail_at(err, line, "bad JSON at column %zu: %s; %s", at - start + 1, reason, advice);
        return READ_BAD;
    }
    if (json_kind_of(object) != JSON_KIND_OBJECT) {
        fail_at(err, line, "the row is not a JSON object; write {\"text\": ...}");
        return READ_BAD;
    }
    arena_reset(&input->memory);
    input->n_members = 0;
    for (json_walk w = json_begin(object); json_next(&w);) {
        grow(&input->members, &input->members_capacity, input->n_members + 1, sizeof *input->members);
        input->members[input->n_members] = (member){json_copy_string(&input->memory, w.name), w.item, input->n_members};
        input->n_members++;
    }
    if (!check_names(input, line, err)) return READ_BAD;
    *row = (record){.reader = input, .line = line, .object = object};
    return READ_ROW;
}

read_status next_json_line(reader *input, record *row, bool wait, capp_error *err) {
    capp_str line;
    do {
        read_status status = source_line(&input->source, wait, &line, err);
        if (status == READ_BAD) input->rows++;
        if (status != READ_ROW) return status;
    } while (blank(line));
    while (line.size && is_one_of(line.data[line.size - 1], "\r\n")) line.size--;
    return parse(input, line, input->source.line, "each line must be one JSON object", row, err);
}

/* ---- Elements over many lines ----------------------------------------------------------------------------------- */

/* The next byte that is not a space; it is not consumed. */
static read_status peek(reader *input, bool wait, char *byte, capp_error *err) {
    for (;;) {
        capp_str view;
        read_status status = source_ahead(&input->source, 1, wait, &view, err);
        if (status != READ_ROW) return status;
        size_t n = 0;
        while (n < view.size && is_one_of(view.data[n], " \t\r\n")) n++;
        if (n < view.size) *byte = view.data[n];
        source_skip(&input->source, n);
        if (n < view.size) return READ_ROW;
    }
}

static read_status broken(const reader *input, const char *what, capp_error *err) {
    fail_at(err, input->source.line + !input->source.after_cr, "bad JSON: %s", what);
    return READ_FAILED;
}

/* Advances to the next element. READ_END: there are no more. */
static read_status find_element(reader *input, bool wait, capp_error *err) {
    for (;;) {
        char byte = 0;
        read_status status = peek(input, wait, &byte, err);
        if (status == READ_END && !interrupted() && (input->element == ELEMENT_ITEM || input->element == ELEMENT_NEXT))
            return broken(input, "the array does not end; the file may be cut short", err);
        if (status != READ_ROW) return status;
        switch (input->element) {
        case ELEMENT_AFTER: return broken(input, "there is text after the end of the array", err);
        case ELEMENT_BARE: return READ_ROW;
        case ELEMENT_ITEM:
            if (byte != ']') return READ_ROW;
            input->element = ELEMENT_AFTER;
            break;
        case ELEMENT_FIRST:
            input->element = byte == '[' ? ELEMENT_ITEM : ELEMENT_BARE;
            if (byte != '[') return READ_ROW;
            break;
        case ELEMENT_NEXT:
            if (byte != ',' && byte != ']') return broken(input, "a comma is missing between two elements", err);
            if (byte == ']') {
                input->element = ELEMENT_AFTER;
                break;
            }
            source_skip(&input->source, 1);
            status = peek(input, true, &byte, err); /* a comma is followed by an element */
            if (status == READ_ROW && byte == ']')
                return broken(input, "there is a comma before the end of the array", err);
            input->element = ELEMENT_ITEM;
            if (status == READ_END && !interrupted()) continue;
            return status;
        }
        source_skip(&input->source, 1);
    }
}

read_status next_json_element(reader *input, record *row, bool wait, capp_error *err) {
    source *s = &input->source;
    capp_str view;
    if (!input->begun) {
        read_status status = find_element(input, wait, err);
        if (status != READ_ROW) return status;
        input->begun = true;
        input->scan = (json_scan){0};
        input->scanned = 0;
    }
    for (bool ends = false; !ends;) {
        read_status status = source_ahead(s, input->scanned + 1, wait, &view, err);
        if (status != READ_ROW) return status;
        size_t used = 0, left = view.size - input->scanned;
        ends = left ? json_scan_on(&input->scan, view.data + input->scanned, left, &used) : true;
        input->scanned += used;
        if (input->scanned > s->max_record) {
            fail_at(err, s->line + 1, "the record has more than %s; make it shorter, or set a larger --max-record",
                    human_bytes(s->max_record));
            return READ_FAILED;
        }
        if (!left && input->element == ELEMENT_ITEM)
            return interrupted() ? READ_END : broken(input, "the array does not end; the file may be cut short", err);
    }
    input->begun = false;
    if (input->element == ELEMENT_ITEM) input->element = ELEMENT_NEXT;
    size_t line = s->line + 1;
    source_skip(s, input->scanned);
    return parse(input, (capp_str){view.data, input->scanned}, line, "the input must be an array of JSON objects", row,
                 err);
}
