/* Templates into tokens, by the rules of jinja2 with trim_blocks and lstrip_blocks: the line end behind {% %} and {# #}
 * goes, and so do spaces between the beginning of a line and one of them; a minus inside a tag takes all white space on
 * its side, a plus keeps it. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "chat/ast.h"
#include "token/unicode.h"

enum { MOST_BRACKETS = 200 };

typedef struct lexer {
    capp_str source;
    size_t at;
    int line;
    capp_jtoken *tokens;
    size_t n, capacity;
    capp_error *err;
    char open[MOST_BRACKETS]; /* brackets of the tag at hand */
    size_t n_open;
} lexer;

static capp_status fail(const lexer *l, const char *what) {
    return capp_fail(l->err, CAPP_EFORMAT, "line %d: %s", l->line, what);
}

static bool here(const lexer *l, size_t at, const char *text) {
    size_t n = strlen(text);
    return n <= l->source.size - at && !memcmp(l->source.data + at, text, n);
}

static capp_status push(lexer *l, capp_jtoken_kind kind, size_t at, size_t size) {
    if (!capp_grow(&l->tokens, &l->capacity, l->n + 1, sizeof *l->tokens))
        return capp_fail_memory(l->err, "a chat template");
    l->tokens[l->n++] = (capp_jtoken){kind, l->line, {l->source.data + at, size}};
    return CAPP_OK;
}

/* Moves on, counting lines. */
static void move_to(lexer *l, size_t at) {
    for (; l->at < at; l->at++) l->line += l->source.data[l->at] == '\n';
}

static size_t past_space(const lexer *l, size_t at) {
    size_t size;
    while (at < l->source.size && capp_jis_space(capp_utf8_character(l->source.data + at, &size))) at += size;
    return at;
}

static size_t before_space(const lexer *l, size_t from, size_t end) {
    while (end > from) {
        size_t back = capp_utf8_size_before(l->source.data + end), size;
        if (!capp_jis_space(capp_utf8_character(l->source.data + end - back, &size))) break;
        end -= back;
    }
    return end;
}

/* ---- Text between tags --------------------------------------------------------------------------------------------
 */

/* Where the text ends that begins at l->at and is followed by a tag at `tag`, by the sign behind its braces. */
static size_t text_end(const lexer *l, size_t tag, char sign, bool prints) {
    if (sign == '-') return before_space(l, l->at, tag);
    if (sign == '+' || prints) return tag;
    size_t line = tag;
    while (line > l->at && l->source.data[line - 1] != '\n') line--;
    bool line_start = line > l->at || !l->at || l->source.data[l->at - 1] == '\n';
    return line_start && before_space(l, line, tag) == line ? line : tag;
}

static size_t next_tag(const lexer *l) {
    for (size_t i = l->at; i + 1 < l->source.size; i++) {
        char second = l->source.data[i + 1];
        if (l->source.data[i] == '{' && (second == '{' || second == '%' || second == '#')) return i;
    }
    return l->source.size;
}

/* The byte behind the closing text of a block or comment whose sign, if any, stands at `at`; 0: it does not end here.
 */
static size_t close_at(const lexer *l, size_t at, const char *closing, bool trims) {
    char sign = at < l->source.size ? l->source.data[at] : 0;
    bool has_sign = sign == '-' || (sign == '+' && trims);
    if (!here(l, at + (has_sign && at < l->source.size), closing)) return 0;
    at += has_sign + 2U;
    if (sign == '-') return past_space(l, at);
    return trims && sign != '+' && at < l->source.size && l->source.data[at] == '\n' ? at + 1 : at;
}

static capp_status skip_comment(lexer *l) {
    for (size_t i = l->at; i < l->source.size; i++) {
        size_t end = close_at(l, i, "#}", true);
        if (!end) continue;
        move_to(l, end);
        return CAPP_OK;
    }
    return fail(l, "a comment has no end");
}

/* Behind {% and its sign: the byte behind the tag where it is raw, or endraw; 0: it is not. */
static size_t raw_tag(const lexer *l, size_t at, const char *word, bool end) {
    at = past_space(l, at);
    if (!here(l, at, word)) return 0;
    at = past_space(l, at + strlen(word));
    if (end) return close_at(l, at, "%}", true);
    if (here(l, at, "-%}")) return past_space(l, at + 3);
    return here(l, at, "%}") ? at + 2 : 0;
}

static char sign_at(const lexer *l, size_t at) {
    char c = at < l->source.size ? l->source.data[at] : 0;
    return c == '-' || c == '+' ? c : 0;
}

static capp_status take_raw(lexer *l) {
    for (size_t i = l->at; i + 1 < l->source.size; i++) {
        if (!here(l, i, "{%")) continue;
        char sign = sign_at(l, i + 2);
        size_t end = raw_tag(l, i + 2 + (sign != 0), "endraw", true);
        if (!end) continue;
        size_t text = text_end(l, i, sign, false);
        capp_status st = text > l->at ? push(l, CAPP_JT_DATA, l->at, text - l->at) : CAPP_OK;
        move_to(l, end);
        return st;
    }
    return fail(l, "raw has no endraw");
}

/* ---- Inside a tag ------------------------------------------------------------------------------------------------ */

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static bool is_name(char c) {
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (unsigned char)c >= 0x80;
}

static size_t past_digits(const lexer *l, size_t at) {
    while (at < l->source.size &&
           (is_digit(l->source.data[at]) ||
            (l->source.data[at] == '_' && at + 1 < l->source.size && is_digit(l->source.data[at + 1]))))
        at++;
    return at;
}

static capp_status take_number(lexer *l) {
    size_t end = past_digits(l, l->at);
    bool after_point = l->at && l->source.data[l->at - 1] == '.', real = false;
    if (!after_point && end + 1 < l->source.size && l->source.data[end] == '.' && is_digit(l->source.data[end + 1])) {
        end = past_digits(l, end + 1);
        real = true;
    }
    if (!after_point && end < l->source.size && (l->source.data[end] | 0x20) == 'e') {
        size_t digits = end + 1 + (sign_at(l, end + 1) != 0);
        if (digits < l->source.size && is_digit(l->source.data[digits])) {
            end = past_digits(l, digits);
            real = true;
        }
    }
    if (end < l->source.size && is_name(l->source.data[end])) return fail(l, "a number that capp does not read");
    capp_status st = push(l, real ? CAPP_JT_FLOAT : CAPP_JT_INT, l->at, end - l->at);
    l->at = end;
    return st;
}

static capp_status take_string(lexer *l) {
    char quote = l->source.data[l->at];
    size_t end = l->at + 1;
    while (end < l->source.size && l->source.data[end] != quote) end += l->source.data[end] == '\\' ? 2 : 1;
    if (end >= l->source.size) return fail(l, "a string has no end");
    capp_status st = push(l, CAPP_JT_STRING, l->at + 1, end - l->at - 1);
    move_to(l, end + 1);
    return st;
}

static capp_status take_operator(lexer *l) {
    static const char *const two[] = {"//", "**", "==", "!=", ">=", "<="};
    static const char one[] = "+-/*%~[](){}><=.:|,;";
    char c = l->source.data[l->at];
    size_t size = 1;
    for (size_t i = 0; i < sizeof two / sizeof two[0]; i++)
        if (here(l, l->at, two[i])) size = 2;
    if (size == 1 && !strchr(one, c)) return fail(l, "a character that does not belong in a tag");
    if (size == 1 && strchr("([{", c)) {
        if (l->n_open == MOST_BRACKETS)
            return capp_fail(l->err, CAPP_EUNSUPPORTED, "line %d: too many brackets inside each other", l->line);
        l->open[l->n_open++] = c == '(' ? ')' : c == '[' ? ']' : '}';
    }
    if (size == 1 && strchr(")]}", c) && (!l->n_open || l->open[--l->n_open] != c))
        return fail(l, "a bracket closes what is not open");
    capp_status st = push(l, CAPP_JT_OPERATOR, l->at, size);
    l->at += size;
    return st;
}

/* One token, or the tag's end: *ended. */
static capp_status take_inside(lexer *l, const char *closing, bool block, bool *ended) {
    size_t end = l->n_open ? 0 : close_at(l, l->at, closing, block);
    if (end) {
        *ended = true;
        capp_status st = push(l, block ? CAPP_JT_BLOCK_END : CAPP_JT_PRINT_END, l->at, 0);
        move_to(l, end);
        return st;
    }
    size_t space = past_space(l, l->at);
    if (space > l->at) {
        move_to(l, space);
        return CAPP_OK;
    }
    char c = l->source.data[l->at];
    if (!c) return fail(l, "a character that does not belong in a tag");
    if (is_digit(c)) return take_number(l);
    if (c == '"' || c == '\'') return take_string(l);
    if (!is_name(c)) return take_operator(l);
    end = l->at;
    while (end < l->source.size && is_name(l->source.data[end])) end++;
    capp_status st = push(l, CAPP_JT_NAME, l->at, end - l->at);
    l->at = end;
    return st;
}

static capp_status take_tag(lexer *l, bool block) {
    bool ended = false;
    capp_status st = push(l, block ? CAPP_JT_BLOCK_BEGIN : CAPP_JT_PRINT_BEGIN, l->at, 0);
    l->n_open = 0;
    while (st == CAPP_OK && !ended) {
        if (l->at >= l->source.size) return fail(l, "a tag has no end");
        st = take_inside(l, block ? "%}" : "}}", block, &ended);
    }
    return st;
}

/* Text up to the next tag, and that tag. */
static capp_status take_part(lexer *l) {
    size_t tag = next_tag(l);
    capp_status st = CAPP_OK;
    if (tag == l->source.size) {
        st = push(l, CAPP_JT_DATA, l->at, tag - l->at);
        l->at = tag;
        return st;
    }
    char kind = l->source.data[tag + 1], sign = sign_at(l, tag + 2);
    size_t end = text_end(l, tag, sign, kind == '{'), inside = tag + 2 + (sign != 0);
    if (end > l->at) st = push(l, CAPP_JT_DATA, l->at, end - l->at);
    if (st != CAPP_OK) return st;
    size_t raw = kind == '%' ? raw_tag(l, inside, "raw", false) : 0;
    move_to(l, raw ? raw : inside);
    if (raw) return take_raw(l);
    return kind == '#' ? skip_comment(l) : take_tag(l, kind == '%');
}

capp_status capp_jinja_lex(capp_str source, capp_jtoken **tokens, capp_error *err) {
    lexer l = {.source = source, .line = 1, .err = err};
    capp_status st = CAPP_OK;
    *tokens = NULL;
    while (st == CAPP_OK && l.at < source.size) st = take_part(&l);
    if (st == CAPP_OK) st = push(&l, CAPP_JT_END, source.size, 0);
    if (st != CAPP_OK) {
        capp_free(l.tokens);
        return st;
    }
    *tokens = l.tokens;
    return CAPP_OK;
}
