/* Follows the rules of jinja2 with trim_blocks and lstrip_blocks: the line end after {% %} and {# #} is dropped, and so
 * are spaces between the beginning of a line and such a tag. A minus inside a tag removes all white space on its side,
 * a plus keeps it. */
#include "jinja/lexer.h"

#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "jinja/characters.h"

enum { MAX_BRACKETS = 200 };

typedef struct source_lexer {
    capp_str source;
    size_t at;
    int line;
    capp_jinja_token *tokens;
    size_t n, capacity;
    capp_error *err;
    char open[MAX_BRACKETS]; /* closing brackets that the current tag still needs */
    size_t n_open;
} source_lexer;

static capp_status fail(const source_lexer *lexer, const char *what) {
    return capp_fail(lexer->err, CAPP_EFORMAT, "line %d: %s", lexer->line, what);
}

static bool here(const source_lexer *lexer, size_t at, const char *text) {
    size_t n = strlen(text);
    return n <= lexer->source.size - at && !memcmp(lexer->source.data + at, text, n);
}

static capp_status push(source_lexer *lexer, capp_jinja_token_kind kind, size_t at, size_t size) {
    if (!capp_grow(&lexer->tokens, &lexer->capacity, lexer->n + 1, sizeof *lexer->tokens))
        return capp_fail_memory(lexer->err, "a chat template");
    lexer->tokens[lexer->n++] = (capp_jinja_token){kind, lexer->line, {lexer->source.data + at, size}};
    return CAPP_OK;
}

/* Moves to a later place and counts lines. */
static void move_to(source_lexer *lexer, size_t at) {
    for (; lexer->at < at; lexer->at++) lexer->line += lexer->source.data[lexer->at] == '\n';
}

static size_t past_space(const source_lexer *lexer, size_t at) {
    size_t size;
    while (at < lexer->source.size && capp_jinja_is_space(capp_utf8_character(lexer->source.data + at, &size)))
        at += size;
    return at;
}

static size_t before_space(const source_lexer *lexer, size_t from, size_t end) {
    while (end > from) {
        size_t back = capp_utf8_size_before(lexer->source.data + end), size;
        if (!capp_jinja_is_space(capp_utf8_character(lexer->source.data + end - back, &size))) break;
        end -= back;
    }
    return end;
}

/* ---- Text between tags --------------------------------------------------------------------------------------------
 */

/* Where the text that begins at lexer->at ends. The tag at `tag` follows it; sign: the character after the tag's
 * braces. */
static size_t text_end(const source_lexer *lexer, size_t tag, char sign, bool prints) {
    if (sign == '-') return before_space(lexer, lexer->at, tag);
    if (sign == '+' || prints) return tag;
    size_t line = tag;
    while (line > lexer->at && lexer->source.data[line - 1] != '\n') line--;
    bool line_start = line > lexer->at || !lexer->at || lexer->source.data[lexer->at - 1] == '\n';
    return line_start && before_space(lexer, line, tag) == line ? line : tag;
}

static size_t next_tag(const source_lexer *lexer) {
    for (size_t i = lexer->at; i + 1 < lexer->source.size; i++) {
        char second = lexer->source.data[i + 1];
        if (lexer->source.data[i] == '{' && (second == '{' || second == '%' || second == '#')) return i;
    }
    return lexer->source.size;
}

/* The place after the closing text of a block or comment, if that text is at `at`, with or without a sign. 0: it is not
 * there. */
static size_t close_at(const source_lexer *lexer, size_t at, const char *closing, bool trims) {
    char sign = at < lexer->source.size ? lexer->source.data[at] : 0;
    bool has_sign = sign == '-' || (sign == '+' && trims);
    if (!here(lexer, at + (has_sign && at < lexer->source.size), closing)) return 0;
    at += has_sign + 2U;
    if (sign == '-') return past_space(lexer, at);
    return trims && sign != '+' && at < lexer->source.size && lexer->source.data[at] == '\n' ? at + 1 : at;
}

static capp_status skip_comment(source_lexer *lexer) {
    for (size_t i = lexer->at; i < lexer->source.size; i++) {
        size_t end = close_at(lexer, i, "#}", true);
        if (!end) continue;
        move_to(lexer, end);
        return CAPP_OK;
    }
    return fail(lexer, "a comment is not closed: \"#}\" is missing");
}

/* at: after {% and its sign. Returns the place after the tag if it is raw or endraw (word); 0: it is another tag. */
static size_t raw_tag(const source_lexer *lexer, size_t at, const char *word, bool end) {
    at = past_space(lexer, at);
    if (!here(lexer, at, word)) return 0;
    at = past_space(lexer, at + strlen(word));
    if (end) return close_at(lexer, at, "%}", true);
    if (here(lexer, at, "-%}")) return past_space(lexer, at + 3);
    return here(lexer, at, "%}") ? at + 2 : 0;
}

static char sign_at(const source_lexer *lexer, size_t at) {
    char c = at < lexer->source.size ? lexer->source.data[at] : 0;
    return c == '-' || c == '+' ? c : 0;
}

static capp_status take_raw(source_lexer *lexer) {
    for (size_t i = lexer->at; i + 1 < lexer->source.size; i++) {
        if (!here(lexer, i, "{%")) continue;
        char sign = sign_at(lexer, i + 2);
        size_t end = raw_tag(lexer, i + 2 + (sign != 0), "endraw", true);
        if (!end) continue;
        size_t text = text_end(lexer, i, sign, false);
        capp_status st = text > lexer->at ? push(lexer, CAPP_JINJA_TOKEN_TEXT, lexer->at, text - lexer->at) : CAPP_OK;
        move_to(lexer, end);
        return st;
    }
    return fail(lexer, "\"{% raw %}\" is not closed: \"{% endraw %}\" is missing");
}

/* ---- Inside a tag ------------------------------------------------------------------------------------------------ */

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static bool is_name(char c) {
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (unsigned char)c >= 0x80;
}

static size_t past_digits(const source_lexer *lexer, size_t at) {
    while (at < lexer->source.size &&
           (is_digit(lexer->source.data[at]) ||
            (lexer->source.data[at] == '_' && at + 1 < lexer->source.size && is_digit(lexer->source.data[at + 1]))))
        at++;
    return at;
}

static capp_status take_number(source_lexer *lexer) {
    size_t end = past_digits(lexer, lexer->at);
    bool after_point = lexer->at && lexer->source.data[lexer->at - 1] == '.', real = false;
    if (!after_point && end + 1 < lexer->source.size && lexer->source.data[end] == '.' &&
        is_digit(lexer->source.data[end + 1])) {
        end = past_digits(lexer, end + 1);
        real = true;
    }
    if (!after_point && end < lexer->source.size && (lexer->source.data[end] | 0x20) == 'e') {
        size_t digits = end + 1 + (sign_at(lexer, end + 1) != 0);
        if (digits < lexer->source.size && is_digit(lexer->source.data[digits])) {
            end = past_digits(lexer, digits);
            real = true;
        }
    }
    if (end < lexer->source.size && is_name(lexer->source.data[end])) return fail(lexer, "invalid number");
    capp_status st = push(lexer, real ? CAPP_JINJA_TOKEN_FLOAT : CAPP_JINJA_TOKEN_INTEGER, lexer->at, end - lexer->at);
    lexer->at = end;
    return st;
}

static capp_status take_string(source_lexer *lexer) {
    char quote = lexer->source.data[lexer->at];
    size_t end = lexer->at + 1;
    while (end < lexer->source.size && lexer->source.data[end] != quote) end += lexer->source.data[end] == '\\' ? 2 : 1;
    if (end >= lexer->source.size) return fail(lexer, "a string is not closed: its ending quote is missing");
    capp_status st = push(lexer, CAPP_JINJA_TOKEN_STRING, lexer->at + 1, end - lexer->at - 1);
    move_to(lexer, end + 1);
    return st;
}

static capp_status take_operator(source_lexer *lexer) {
    static const char *const two[] = {"//", "**", "==", "!=", ">=", "<="};
    static const char one[] = "+-/*%~[](){}><=.:|,;";
    char c = lexer->source.data[lexer->at];
    size_t size = 1;
    for (size_t i = 0; i < sizeof two / sizeof two[0]; i++)
        if (here(lexer, lexer->at, two[i])) size = 2;
    if (size == 1 && !strchr(one, c)) return fail(lexer, "unexpected character in a tag");
    if (size == 1 && strchr("([{", c)) {
        if (lexer->n_open == MAX_BRACKETS)
            return capp_fail(lexer->err, CAPP_EUNSUPPORTED, "line %d: brackets are nested too deeply: more than %d",
                             lexer->line, MAX_BRACKETS);
        lexer->open[lexer->n_open++] = c == '(' ? ')' : c == '[' ? ']' : '}';
    }
    if (size == 1 && strchr(")]}", c) && (!lexer->n_open || lexer->open[--lexer->n_open] != c))
        return fail(lexer, "a closing bracket does not match an opening one");
    capp_status st = push(lexer, CAPP_JINJA_TOKEN_OPERATOR, lexer->at, size);
    lexer->at += size;
    return st;
}

/* One token, or the end of the tag: *ended. */
static capp_status take_inside(source_lexer *lexer, const char *closing, bool block, bool *ended) {
    size_t end = lexer->n_open ? 0 : close_at(lexer, lexer->at, closing, block);
    if (end) {
        *ended = true;
        capp_status st = push(lexer, block ? CAPP_JINJA_TOKEN_BLOCK_END : CAPP_JINJA_TOKEN_PRINT_END, lexer->at, 0);
        move_to(lexer, end);
        return st;
    }
    size_t space = past_space(lexer, lexer->at);
    if (space > lexer->at) {
        move_to(lexer, space);
        return CAPP_OK;
    }
    char c = lexer->source.data[lexer->at];
    if (!c) return fail(lexer, "unexpected character in a tag");
    if (is_digit(c)) return take_number(lexer);
    if (c == '"' || c == '\'') return take_string(lexer);
    if (!is_name(c)) return take_operator(lexer);
    end = lexer->at;
    while (end < lexer->source.size && is_name(lexer->source.data[end])) end++;
    capp_status st = push(lexer, CAPP_JINJA_TOKEN_NAME, lexer->at, end - lexer->at);
    lexer->at = end;
    return st;
}

static capp_status take_tag(source_lexer *lexer, bool block) {
    bool ended = false;
    capp_status st = push(lexer, block ? CAPP_JINJA_TOKEN_BLOCK_BEGIN : CAPP_JINJA_TOKEN_PRINT_BEGIN, lexer->at, 0);
    lexer->n_open = 0;
    while (st == CAPP_OK && !ended) {
        if (lexer->at >= lexer->source.size) return fail(lexer, "a tag is not closed: \"%}\" or \"}}\" is missing");
        st = take_inside(lexer, block ? "%}" : "}}", block, &ended);
    }
    return st;
}

/* Text up to the next tag, and that tag. */
static capp_status take_part(source_lexer *lexer) {
    size_t tag = next_tag(lexer);
    capp_status st = CAPP_OK;
    if (tag == lexer->source.size) {
        st = push(lexer, CAPP_JINJA_TOKEN_TEXT, lexer->at, tag - lexer->at);
        lexer->at = tag;
        return st;
    }
    char kind = lexer->source.data[tag + 1], sign = sign_at(lexer, tag + 2);
    size_t end = text_end(lexer, tag, sign, kind == '{'), inside = tag + 2 + (sign != 0);
    if (end > lexer->at) st = push(lexer, CAPP_JINJA_TOKEN_TEXT, lexer->at, end - lexer->at);
    if (st != CAPP_OK) return st;
    size_t raw = kind == '%' ? raw_tag(lexer, inside, "raw", false) : 0;
    move_to(lexer, raw ? raw : inside);
    if (raw) return take_raw(lexer);
    return kind == '#' ? skip_comment(lexer) : take_tag(lexer, kind == '%');
}

capp_status capp_jinja_lex(capp_str source, capp_jinja_token **tokens, capp_error *err) {
    source_lexer lexer = {.source = source, .line = 1, .err = err};
    capp_status st = CAPP_OK;
    *tokens = NULL;
    while (st == CAPP_OK && lexer.at < source.size) st = take_part(&lexer);
    if (st == CAPP_OK) st = push(&lexer, CAPP_JINJA_TOKEN_END, source.size, 0);
    if (st != CAPP_OK) {
        capp_free(lexer.tokens);
        return st;
    }
    *tokens = lexer.tokens;
    return CAPP_OK;
}
