#include "toml.h"

#include <stdlib.h>
#include <string.h>

typedef struct parser {
    const char *at, *end, *path;
    size_t line;
    toml *document;
    capp_error *err;
} parser;

/* ---- Characters ------------------------------------------------------------------------------------------------ */

static bool fail(const parser *p, const char *what) {
    return fail_at(p->err, 0, "%s:%zu: %s", p->path, p->line, what);
}

static bool lacks(const parser *p, const char *feature, const char *cure) {
    return fail_at(p->err, 0, "%s:%zu: capp's subset of TOML lacks %s; %s", p->path, p->line, feature, cure);
}

static int peek(const parser *p, size_t ahead) {
    return (size_t)(p->end - p->at) > ahead ? (unsigned char)p->at[ahead] : -1;
}

static bool begins(const parser *p, const char *text) {
    size_t n = strlen(text);
    return (size_t)(p->end - p->at) >= n && !memcmp(p->at, text, n);
}

static bool is_digit(int c) {
    return c >= '0' && c <= '9';
}

static bool is_control(int c) {
    return (c >= 0 && c < 32 && c != '\t') || c == 127;
}

/* Bytes of the line end at the current place, or 0. */
static size_t line_end(const parser *p) {
    return peek(p, 0) == '\n' ? 1 : begins(p, "\r\n") ? 2 : 0;
}

static void skip_spaces(parser *p) {
    while (peek(p, 0) == ' ' || peek(p, 0) == '\t') p->at++;
}

static bool skip_comment(parser *p) {
    if (peek(p, 0) != '#') return true;
    for (; p->at < p->end && !line_end(p); p->at++)
        if (is_control(peek(p, 0))) return fail(p, "a comment contains a control character; remove it");
    return true;
}

/* Spaces, comments and line ends. */
static bool skip_lines(parser *p) {
    for (;;) {
        skip_spaces(p);
        if (!skip_comment(p)) return false;
        size_t n = line_end(p);
        if (!n) return true;
        p->at += n;
        p->line++;
    }
}

/* The rest of a line after its statement. */
static bool finish_line(parser *p, const char *what) {
    skip_spaces(p);
    if (!skip_comment(p)) return false;
    if (p->at < p->end && !line_end(p))
        return fail_at(p->err, 0, "%s:%zu: unexpected text after the %s; write one statement in a line", p->path,
                       p->line, what);
    return true;
}

/* ---- Strings --------------------------------------------------------------------------------------------------- */

static int hex_digit(int c) {
    if (is_digit(c)) return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static void add_character(buffer *b, uint32_t code) {
    if (code < 0x80) {
        buffer_char(b, (char)code);
    } else if (code < 0x800) {
        buffer_char(b, (char)(0xC0 | code >> 6));
    } else if (code < 0x10000) {
        buffer_char(b, (char)(0xE0 | code >> 12));
        buffer_char(b, (char)(0x80 | (code >> 6 & 0x3F)));
    } else {
        buffer_char(b, (char)(0xF0 | code >> 18));
        buffer_char(b, (char)(0x80 | (code >> 12 & 0x3F)));
        buffer_char(b, (char)(0x80 | (code >> 6 & 0x3F)));
    }
    if (code >= 0x80) buffer_char(b, (char)(0x80 | (code & 0x3F)));
}

/* \uXXXX and \UXXXXXXXX, from the digits on. */
static bool add_unicode(parser *p, buffer *b, size_t digits) {
    uint32_t code = 0;
    for (size_t i = 0; i < digits; i++) {
        int digit = hex_digit(peek(p, i));
        if (digit < 0) return fail(p, "\\u needs four hexadecimal digits, and \\U eight");
        code = code << 4 | (uint32_t)digit;
    }
    if (code > 0x10FFFF || (code >= 0xD800 && code < 0xE000))
        return fail(p, "\\u names no Unicode character; write the character itself");
    add_character(b, code);
    p->at += digits;
    return true;
}

/* Joins lines: a backslash at the end of a line, from what follows it. */
static bool join_lines(parser *p) {
    skip_spaces(p);
    if (!line_end(p)) return fail(p, "unknown escape '\\ ' in a string; write \\\\ for a backslash");
    for (;;) {
        size_t n = line_end(p);
        p->at += n;
        p->line += n > 0;
        skip_spaces(p);
        if (!line_end(p)) return true;
    }
}

static bool add_escape(parser *p, buffer *b, bool lines) {
    static const char letters[] = "btnfr\"\\", meanings[] = "\b\t\n\f\r\"\\";
    int c = peek(p, 1);
    p->at++;
    if (lines && (c == ' ' || c == '\t' || line_end(p))) return join_lines(p);
    const char *found = c > 0 ? strchr(letters, c) : NULL;
    if (!found && c != 'u' && c != 'U')
        return fail(p, "unknown escape in a string; write \\\\ for a backslash, or use a string in single quotes");
    p->at++;
    if (!found) return add_unicode(p, b, c == 'u' ? 4 : 8);
    buffer_char(b, meanings[found - letters]);
    return true;
}

/* Whether the string ends here. Up to two quotes before the three at the end belong to the text. */
static bool at_end(parser *p, buffer *b, char quote, bool lines) {
    const char three[] = {quote, quote, quote, 0};
    if (!lines) return peek(p, 0) == quote;
    if (!begins(p, three)) return false;
    for (int i = 0; i < 2 && peek(p, 3) == quote; i++) {
        buffer_char(b, quote);
        p->at++;
    }
    return true;
}

static bool read_string(parser *p, capp_str *text, bool may_have_lines) {
    char quote = *p->at;
    const char three[] = {quote, quote, quote, 0};
    bool lines = may_have_lines && begins(p, three), good = true;
    buffer b = {0};
    p->at += lines ? 3 : 1;
    if (lines && line_end(p)) {
        p->at += line_end(p);
        p->line++;
    }
    while (good && !at_end(p, &b, quote, lines)) {
        if (p->at == p->end || (!lines && line_end(p))) {
            good =
                fail(p, lines ? "a string is not closed; write three quotes at its end"
                              : "a string is not closed in its line; for several lines, write three quotes around it");
        } else if (line_end(p)) { /* CRLF counts as LF */
            p->at += line_end(p);
            p->line++;
            buffer_char(&b, '\n');
        } else if (is_control(peek(p, 0))) {
            good = fail(p, "a string contains a control character; write it as an escape, such as \\u001B");
        } else if (quote == '"' && *p->at == '\\') {
            good = add_escape(p, &b, lines);
        } else {
            buffer_char(&b, *p->at++);
        }
    }
    if (good) {
        p->at += lines ? 3 : 1;
        *text = arena_copy(&p->document->memory, buffer_view(&b));
    }
    buffer_free(&b);
    return good;
}

/* ---- Values ---------------------------------------------------------------------------------------------------- */

static const char *digits_from(const parser *p, const char *at) {
    while (at < p->end && is_digit((unsigned char)*at)) at++;
    return at;
}

static bool looks_like_date(const parser *p) {
    const char *end = digits_from(p, p->at);
    size_t n = (size_t)(end - p->at), left = (size_t)(p->end - end);
    return (n == 4 && left > 2 && *end == '-' && is_digit((unsigned char)end[1])) ||
           (n == 2 && left > 2 && *end == ':' && is_digit((unsigned char)end[1]));
}

static bool read_number(parser *p, toml_value *value) {
    const char *start = p->at, *at = start + (*start == '+' || *start == '-'), *digits = at;
    parser unsigned_part = *p;
    unsigned_part.at = at;
    if (looks_like_date(p)) return lacks(p, "dates and times", "write them as a string, in quotes");
    if (begins(&unsigned_part, "inf") || begins(&unsigned_part, "nan"))
        return lacks(p, "inf and nan", "write a finite number");
    if (at == start && at + 1 < p->end && *at == '0' && is_one_of(at[1], "xob"))
        return lacks(p, "hexadecimal, octal and binary numbers", "write a decimal number");
    at = digits_from(p, at);
    if (at == digits) return fail(p, "no value; write a string in quotes, a number, true, false or a list in brackets");
    if (*digits == '0' && at > digits + 1)
        return fail(p, "a number begins with 0; remove it, or use a string in quotes");
    value->kind = TOML_INTEGER;
    if (at < p->end && *at == '.') {
        digits = ++at;
        at = digits_from(p, at);
        if (at == digits) return fail(p, "a number has no digit after its point; write one");
        value->kind = TOML_FLOAT;
    }
    if (at < p->end && (*at == 'e' || *at == 'E')) {
        at++;
        if (at < p->end && (*at == '+' || *at == '-')) at++;
        digits = at;
        at = digits_from(p, at);
        if (at == digits) return fail(p, "a number has no digit in its exponent; write one");
        value->kind = TOML_FLOAT;
    }
    if (at < p->end && *at == '_') return lacks(p, "underscores in numbers", "write the digits alone");
    value->text = arena_copy(&p->document->memory, (capp_str){start, (size_t)(at - start)});
    p->at = at;
    return true;
}

static bool read_scalar(parser *p, toml_value *value) {
    value->line = p->line;
    int c = peek(p, 0);
    if (c == '{') return lacks(p, "inline tables", "write a [table] or a [[table]]");
    if (c == '"' || c == '\'') {
        value->kind = TOML_STRING;
        return read_string(p, &value->text, true);
    }
    bool is_true = begins(p, "true");
    if (!is_true && !begins(p, "false")) return p->at < p->end ? read_number(p, value) : fail(p, "no value after '='");
    value->kind = TOML_BOOL;
    value->text = capp_str_of(is_true ? "true" : "false");
    p->at += value->text.size;
    return true;
}

static bool read_array(parser *p, toml_value *value) {
    toml_value *items = NULL;
    size_t n = 0, capacity = 0;
    bool good = true;
    *value = (toml_value){.kind = TOML_ARRAY, .line = p->line};
    p->at++;
    while ((good = skip_lines(p)) && peek(p, 0) != ']') {
        toml_value item = {0};
        if (peek(p, 0) == '[') good = lacks(p, "arrays in arrays", "write one array of strings or numbers");
        if (!good || !read_scalar(p, &item) || !skip_lines(p)) break;
        grow(&items, &capacity, n + 1, sizeof *items);
        items[n++] = item;
        if (peek(p, 0) == ']') break;
        if (peek(p, 0) != ',') {
            fail(p, p->at < p->end ? "a comma or ']' is missing in a list" : "a list is not closed; write ']'");
            break;
        }
        p->at++;
    }
    good = good && peek(p, 0) == ']';
    if (good) {
        p->at++;
        value->items = arena_allocate(&p->document->memory, n, sizeof *items);
        if (n) memcpy(value->items, items, n * sizeof *items);
        value->n = n;
    }
    free(items);
    return good;
}

/* ---- Keys and tables ------------------------------------------------------------------------------------------- */

static bool is_bare(int c) {
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '-';
}

static bool read_key(parser *p, capp_str *name) {
    int c = peek(p, 0);
    if (c == '"' || c == '\'') {
        if (!read_string(p, name, false)) return false;
    } else {
        const char *start = p->at;
        while (is_bare(peek(p, 0))) p->at++;
        if (p->at == start) return fail(p, "no key; write NAME = VALUE, or put # before a comment");
        *name = arena_copy(&p->document->memory, (capp_str){start, (size_t)(p->at - start)});
    }
    skip_spaces(p);
    return peek(p, 0) != '.' || lacks(p, "dotted keys and tables in tables", "write a key without a dot, or in quotes");
}

static bool fail_again(const parser *p, capp_str name, size_t line) {
    return fail_at(p->err, 0,
                   "%s:%zu: '%.*s' is defined a second time; the first one is in line %zu; remove one of them", p->path,
                   p->line, (int)name.size, name.data, line);
}

static bool read_entry(parser *p) {
    toml_table *table = &p->document->tables[p->document->n - 1];
    toml_entry entry = {.line = p->line};
    if (!read_key(p, &entry.name)) return false;
    if (peek(p, 0) != '=') return fail(p, "'=' is missing after a key");
    for (size_t i = 0; i < table->n; i++)
        if (str_equal(table->entries[i].name, entry.name)) return fail_again(p, entry.name, table->entries[i].line);
    p->at++;
    skip_spaces(p);
    if (!(peek(p, 0) == '[' ? read_array(p, &entry.value) : read_scalar(p, &entry.value))) return false;
    grow(&table->entries, &table->capacity, table->n + 1, sizeof *table->entries);
    table->entries[table->n++] = entry;
    return finish_line(p, "value");
}

static void add_table(toml *document, toml_table table) {
    grow(&document->tables, &document->capacity, document->n + 1, sizeof *document->tables);
    document->tables[document->n++] = table;
}

static bool read_header(parser *p) {
    bool item = begins(p, "[[");
    toml_table table = {.item = item, .line = p->line};
    p->at += item ? 2 : 1;
    skip_spaces(p);
    if (!read_key(p, &table.name)) return false;
    if (!begins(p, item ? "]]" : "]")) return fail(p, item ? "']]' is missing" : "']' is missing");
    p->at += item ? 2 : 1;
    const toml_table *root = p->document->tables;
    for (size_t i = 0; i < root->n; i++)
        if (str_equal(root->entries[i].name, table.name)) return fail_again(p, table.name, root->entries[i].line);
    for (size_t i = 1; i < p->document->n; i++)
        if (str_equal(root[i].name, table.name) && !(item && root[i].item))
            return fail_again(p, table.name, root[i].line);
    add_table(p->document, table);
    return finish_line(p, "header");
}

bool toml_parse(toml *document, capp_str text, const char *path, capp_error *err) {
    *document = (toml){0};
    add_table(document, (toml_table){.line = 1});
    const char *start = text.data ? text.data : "";
    parser p = {start, start + text.size, path, 1, document, err};
    size_t valid = utf8_valid(p.at, text.size);
    if (valid < text.size) {
        for (size_t i = 0; i < valid; i++) p.line += p.at[i] == '\n';
        return fail(&p, "invalid UTF-8; save the file as UTF-8");
    }
    if (begins(&p, "\xEF\xBB\xBF"))
        return fail(&p, "the file begins with a byte order mark; save it as UTF-8 without one");
    for (;;) {
        if (!skip_lines(&p)) return false;
        if (p.at == p.end) return true;
        if (!(*p.at == '[' ? read_header(&p) : read_entry(&p))) return false;
    }
}

void toml_free(toml *document) {
    for (size_t i = 0; i < document->n; i++) free(document->tables[i].entries);
    free(document->tables);
    arena_free(&document->memory);
    *document = (toml){0};
}
