/* Rows of JSON: an object a line, or the elements of an array over any number of lines. */
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

/* A name that stands twice: malformed where the run looks for it, else told of once. */
static bool check_names(reader *r, size_t line, capp_error *err) {
    if (r->n_members < 2) return true;
    const member **sorted = arena_take(&r->memory, r->n_members, sizeof *sorted);
    for (size_t i = 0; i < r->n_members; i++) sorted[i] = &r->members[i];
    qsort(sorted, r->n_members, sizeof *sorted, by_name);
    for (size_t i = 1; i < r->n_members; i++) {
        capp_str name = sorted[i]->name;
        if (!str_equal(name, sorted[i - 1]->name)) continue;
        if (reader_asks(r, name))
            return fail_at(err, line, "the object has the name '%.*s' twice; remove one", (int)name.size, name.data);
        if (!r->warned && !r->how.quiet)
            complain("warning: %s:%zu: the object has the name '%.*s' twice; the last one counts", r->source.name, line,
                     (int)name.size, name.data);
        r->warned = true;
    }
    return true;
}

/* Makes a row of a text, which should be an object. advice: what the message ends with. */
static read_status parse(reader *r, capp_str text, size_t line, const char *advice, record *row, capp_error *err) {
    json_value object;
    size_t at = 0;
    const char *reason = "";
    r->rows++;
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
    arena_reset(&r->memory);
    r->n_members = 0;
    for (json_walk w = json_begin(object); json_next(&w);) {
        grow(&r->members, &r->members_capacity, r->n_members + 1, sizeof *r->members);
        r->members[r->n_members] = (member){json_copy_string(&r->memory, w.name), w.item, r->n_members};
        r->n_members++;
    }
    if (!check_names(r, line, err)) return READ_BAD;
    *row = (record){.reader = r, .line = line, .object = object};
    return READ_ROW;
}

read_status next_json_line(reader *r, record *row, bool wait, capp_error *err) {
    capp_str line;
    do {
        read_status status = source_line(&r->source, wait, &line, err);
        if (status == READ_BAD) r->rows++;
        if (status != READ_ROW) return status;
    } while (blank(line));
    while (line.size && is_one_of(line.data[line.size - 1], "\r\n")) line.size--;
    return parse(r, line, r->source.line, "each line must be one JSON object", row, err);
}

/* ---- Elements over many lines ----------------------------------------------------------------------------------- */

/* The next byte that is no space, not given out. */
static read_status peek(reader *r, bool wait, char *byte, capp_error *err) {
    for (;;) {
        capp_str view;
        read_status status = source_ahead(&r->source, 1, wait, &view, err);
        if (status != READ_ROW) return status;
        size_t n = 0;
        while (n < view.size && is_one_of(view.data[n], " \t\r\n")) n++;
        if (n < view.size) *byte = view.data[n];
        source_skip(&r->source, n);
        if (n < view.size) return READ_ROW;
    }
}

static read_status broken(const reader *r, const char *what, capp_error *err) {
    fail_at(err, r->source.line + !r->source.after_cr, "bad JSON: %s", what);
    return READ_FAILED;
}

/* Up to where the next element begins. READ_END: there are no more. */
static read_status find_element(reader *r, bool wait, capp_error *err) {
    for (;;) {
        char byte = 0;
        read_status status = peek(r, wait, &byte, err);
        if (status == READ_END && !interrupted() && (r->element == ELEMENT_ITEM || r->element == ELEMENT_NEXT))
            return broken(r, "the array does not end; the file may be cut short", err);
        if (status != READ_ROW) return status;
        switch (r->element) {
        case ELEMENT_AFTER: return broken(r, "something follows the array", err);
        case ELEMENT_BARE: return READ_ROW;
        case ELEMENT_ITEM:
            if (byte != ']') return READ_ROW;
            r->element = ELEMENT_AFTER;
            break;
        case ELEMENT_FIRST:
            r->element = byte == '[' ? ELEMENT_ITEM : ELEMENT_BARE;
            if (byte != '[') return READ_ROW;
            break;
        case ELEMENT_NEXT:
            if (byte != ',' && byte != ']') return broken(r, "a comma is missing between two elements", err);
            if (byte == ']') {
                r->element = ELEMENT_AFTER;
                break;
            }
            source_skip(&r->source, 1);
            status = peek(r, true, &byte, err); /* a comma is followed by an element */
            if (status == READ_ROW && byte == ']') return broken(r, "a comma stands before the array's end", err);
            r->element = ELEMENT_ITEM;
            if (status == READ_END && !interrupted()) continue;
            return status;
        }
        source_skip(&r->source, 1);
    }
}

read_status next_json_element(reader *r, record *row, bool wait, capp_error *err) {
    source *s = &r->source;
    capp_str view;
    if (!r->begun) {
        read_status status = find_element(r, wait, err);
        if (status != READ_ROW) return status;
        r->begun = true;
        r->scan = (json_scan){0};
        r->scanned = 0;
    }
    for (bool ends = false; !ends;) {
        read_status status = source_ahead(s, r->scanned + 1, wait, &view, err);
        if (status != READ_ROW) return status;
        size_t used = 0, left = view.size - r->scanned;
        ends = left ? json_scan_on(&r->scan, view.data + r->scanned, left, &used) : true;
        r->scanned += used;
        if (r->scanned > s->max_record) {
            fail_at(err, s->line + 1, "the record has more than %s; make it shorter, or allow more by --max-record",
                    human_bytes(s->max_record));
            return READ_FAILED;
        }
        if (!left && r->element == ELEMENT_ITEM)
            return interrupted() ? READ_END : broken(r, "the array does not end; the file may be cut short", err);
    }
    r->begun = false;
    if (r->element == ELEMENT_ITEM) r->element = ELEMENT_NEXT;
    size_t line = s->line + 1;
    source_skip(s, r->scanned);
    return parse(r, (capp_str){view.data, r->scanned}, line, "the input must be an array of JSON objects", row, err);
}
