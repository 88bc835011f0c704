#include "json_parser.h"

#include <stdlib.h>
#include <string.h>

/* ---- Checking -------------------------------------------------------------------------------------------------- */

typedef struct checker {
    const char *start, *at, *end;
    const char *reason; /* NULL: no error yet */
} checker;

static bool wrong(checker *c, const char *reason) {
    if (!c->reason) c->reason = reason;
    return false;
}

static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static void skip_spaces(checker *c) {
    while (c->at < c->end && is_space(*c->at)) c->at++;
}

static bool take_byte(checker *c, char byte) {
    if (c->at == c->end || *c->at != byte) return false;
    c->at++;
    return true;
}

/* Value of four hexadecimal digits, or -1. */
static int hex4(const char *at, const char *end) {
    int value = 0;
    if (end - at < 4) return -1;
    for (int i = 0; i < 4; i++) {
        char c = at[i];
        int digit = is_digit(c)            ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0) return -1;
        value = value * 16 + digit;
    }
    return value;
}

/* Reads what follows "\u": one code point, from two escapes if the first is a high surrogate. -1 if it is invalid. */
static int32_t escaped_code(const char **at, const char *end) {
    int high = hex4(*at, end);
    if (high < 0 || (high >= 0xDC00 && high < 0xE000)) return -1;
    *at += 4;
    if (high < 0xD800 || high >= 0xE000) return high;
    if (end - *at < 6 || (*at)[0] != '\\' || (*at)[1] != 'u') return -1;
    int low = hex4(*at + 2, end);
    if (low < 0xDC00 || low >= 0xE000) return -1;
    *at += 6;
    return 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
}

static bool check_string(checker *c) {
    c->at++;
    for (;;) {
        if (c->at == c->end) return wrong(c, "a string does not end; close its quote");
        unsigned char byte = (unsigned char)*c->at;
        if (byte == '"') break;
        if (byte < 0x20) return wrong(c, "a control character in a string; escape it, as \\n or \\u0009");
        if (byte != '\\') {
            c->at++;
            continue;
        }
        const char *code = c->at + 1;
        if (code < c->end && *code == 'u') {
            code++;
            if (escaped_code(&code, c->end) < 0)
                return wrong(
                    c, "an incomplete \\u escape: write four hexadecimal digits, and both halves of a surrogate pair");
            c->at = code;
        } else if (code < c->end && is_one_of(*code, "\"\\/bfnrt")) {
            c->at += 2;
        } else {
            return wrong(c, "a backslash that does not begin an escape sequence; double it");
        }
    }
    c->at++;
    return true;
}

static bool check_digits(checker *c) {
    if (c->at == c->end || !is_digit(*c->at)) return wrong(c, "a number lacks a digit");
    while (c->at < c->end && is_digit(*c->at)) c->at++;
    return true;
}

static bool check_number(checker *c) {
    take_byte(c, '-');
    if (take_byte(c, '0')) {
        if (c->at < c->end && is_digit(*c->at))
            return wrong(c, "a number begins with 0; put it in quotes to keep the 0");
    } else if (!check_digits(c)) {
        return false;
    }
    if (take_byte(c, '.') && !check_digits(c)) return false;
    if (take_byte(c, 'e') || take_byte(c, 'E')) {
        if (!take_byte(c, '+')) take_byte(c, '-');
        return check_digits(c);
    }
    return true;
}

static bool check_word(checker *c) {
    static const char *const words[] = {"null", "true", "false"};
    static const char *const foreign[] = {"NaN", "Infinity", "-Infinity", "None", "True", "False", "nan"};
    size_t left = (size_t)(c->end - c->at);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        size_t n = strlen(words[i]);
        if (left < n || memcmp(c->at, words[i], n) != 0) continue;
        c->at += n;
        return true;
    }
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++) {
        size_t n = strlen(foreign[i]);
        if (left >= n && !memcmp(c->at, foreign[i], n))
            return wrong(c, "NaN, Infinity, None, True and False are not JSON; write null, true or false");
    }
    if (left && *c->at == '\'') return wrong(c, "a text in single quotes; use double quotes");
    return wrong(c, left ? "a value is missing or is not JSON" : "the text ends before the value does");
}

static bool check_value(checker *c, size_t depth);

/* The items of an array or the members of an object, after its first byte. */
static bool check_items(checker *c, size_t depth, char end) {
    if (depth >= JSON_DEPTH) return wrong(c, "arrays and objects are nested too deeply");
    c->at++;
    skip_spaces(c);
    if (take_byte(c, end)) return true;
    for (;;) {
        if (end == '}') {
            if (c->at == c->end || *c->at != '"')
                return wrong(c,
                             c->at == c->end ? "the text ends inside an object" : "a name in double quotes is missing");
            if (!check_string(c)) return false;
            skip_spaces(c);
            if (!take_byte(c, ':')) return wrong(c, "a colon is missing after a name");
            skip_spaces(c);
        }
        if (!check_value(c, depth + 1)) return false;
        skip_spaces(c);
        if (take_byte(c, end)) return true;
        if (!take_byte(c, ','))
            return wrong(c, c->at == c->end ? "the text ends inside an array or object"
                                            : "a comma or the end of the array or object is missing");
        skip_spaces(c);
    }
}

static bool check_value(checker *c, size_t depth) {
    char first = c->at < c->end ? *c->at : 0;
    if (first == '{') return check_items(c, depth, '}');
    if (first == '[') return check_items(c, depth, ']');
    if (first == '"') return check_string(c);
    if (is_digit(first) || (first == '-' && c->at + 1 < c->end && c->at[1] != 'I')) return check_number(c);
    return check_word(c);
}

bool json_check(capp_str text, json_value *value, size_t *at, const char **reason) {
    size_t valid = utf8_valid(text.data, text.size);
    checker c = {.start = text.data, .at = text.data, .end = text.data + valid};
    skip_spaces(&c);
    *value = (json_value){c.at, 0};
    bool good = check_value(&c, 0);
    value->size = (size_t)(c.at - value->data);
    skip_spaces(&c);
    if (good && c.at < c.end) good = wrong(&c, "there is text after the end of the value");
    if (valid < text.size && c.at == c.end) {
        c.reason = "invalid UTF-8";
        good = false;
    }
    if (good) return true;
    *at = (size_t)(c.at - c.start);
    *reason = c.reason;
    return false;
}

/* ---- Walking --------------------------------------------------------------------------------------------------- */

json_kind json_kind_of(json_value value) {
    if (!value.size) return JSON_KIND_NONE;
    switch (*value.data) {
    case '{': return JSON_KIND_OBJECT;
    case '[': return JSON_KIND_ARRAY;
    case '"': return JSON_KIND_STRING;
    case 'n': return JSON_KIND_NULL;
    case 't':
    case 'f': return JSON_KIND_BOOL;
    default: return JSON_KIND_NUMBER;
    }
}

/* Length of the value at data. */
static size_t value_size(const char *data, size_t size) {
    json_scan scan = {0};
    size_t used;
    json_scan_on(&scan, data, size, &used);
    return used;
}

json_walk json_begin(json_value value) {
    json_kind kind = json_kind_of(value);
    json_walk w = {.object = kind == JSON_KIND_OBJECT};
    if (kind == JSON_KIND_OBJECT || kind == JSON_KIND_ARRAY) {
        w.next = value.data + 1;
        w.end = value.data + value.size - 1;
    }
    return w;
}

static json_value walk_value(json_walk *w) {
    while (w->next < w->end && (is_space(*w->next) || *w->next == ',' || *w->next == ':')) w->next++;
    json_value value = {w->next, w->next < w->end ? value_size(w->next, (size_t)(w->end - w->next)) : 0};
    w->next += value.size;
    return value;
}

bool json_next(json_walk *w) {
    if (!w->next) return false;
    json_value first = walk_value(w);
    if (!first.size) return false;
    w->name = w->object ? first : (json_value){NULL, 0};
    w->item = w->object ? walk_value(w) : first;
    return true;
}

size_t json_size(json_value value) {
    size_t n = 0;
    for (json_walk w = json_begin(value); json_next(&w);) n++;
    return n;
}

/* ---- Values ---------------------------------------------------------------------------------------------------- */

static void add_code(buffer *b, int32_t code) {
    char bytes[4];
    size_t n = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const unsigned char lead[] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (size_t i = n - 1; i > 0; i--) {
        bytes[i] = (char)(0x80 | (code & 0x3F));
        code >>= 6;
    }
    bytes[0] = (char)(lead[n] | (unsigned char)code);
    buffer_add(b, bytes, n);
}

/* The bytes of a string between its quotes, with escapes resolved. compact: keeps the escapes that JSON needs. */
static void add_string(buffer *b, json_value string, bool compact) {
    static const char written[] = "bfnrt", meant[] = "\b\f\n\r\t";
    const char *at = string.data + 1, *end = string.data + string.size - 1;
    while (at < end) {
        const char *escape = memchr(at, '\\', (size_t)(end - at));
        buffer_add(b, at, (size_t)((escape ? escape : end) - at));
        if (!escape) break;
        const char *begin = escape;
        at = escape + 2;
        if (escape[1] == 'u') {
            int32_t code = escaped_code(&at, end);
            if (compact && (code < 0x20 || code == '"' || code == '\\' || code == 0x7F))
                buffer_add(b, begin, (size_t)(at - begin));
            else
                add_code(b, code);
        } else if (compact && escape[1] != '/') {
            buffer_add(b, begin, 2);
        } else {
            const char *known = strchr(written, escape[1]);
            buffer_char(b, known ? meant[known - written] : escape[1]);
        }
    }
}

void json_add_string(buffer *b, json_value string) {
    add_string(b, string, false);
}

static capp_str copy_of(arena *a, buffer *b) {
    capp_str copy = arena_copy(a, buffer_view(b));
    buffer_free(b);
    return copy;
}

capp_str json_copy_string(arena *a, json_value string) {
    capp_str inside = {string.data + 1, string.size - 2};
    if (!memchr(inside.data, '\\', inside.size)) return arena_copy(a, inside);
    buffer b = {0};
    add_string(&b, string, false);
    return copy_of(a, &b);
}

capp_str json_compact(arena *a, json_value value) {
    buffer b = {0};
    for (size_t i = 0; i < value.size;) {
        char c = value.data[i];
        if (c == '"') {
            json_value string = {value.data + i, value_size(value.data + i, value.size - i)};
            buffer_char(&b, '"');
            add_string(&b, string, true);
            buffer_char(&b, '"');
            i += string.size;
        } else {
            if (!is_space(c)) buffer_char(&b, c);
            i++;
        }
    }
    return copy_of(a, &b);
}

double json_double(json_value number) {
    char text[64];
    if (number.size < sizeof text) {
        memcpy(text, number.data, number.size);
        text[number.size] = 0;
        return strtod(text, NULL);
    }
    char *copy = allocate(number.size + 1, 1);
    memcpy(copy, number.data, number.size);
    copy[number.size] = 0;
    double value = strtod(copy, NULL);
    free(copy);
    return value;
}

bool json_is_true(json_value value) {
    return value.size && *value.data == 't';
}

/* ---- Scanning -------------------------------------------------------------------------------------------------- */

bool json_scan_on(json_scan *s, const char *data, size_t size, size_t *used) {
    for (size_t i = 0; i < size; i++) {
        char c = data[i];
        *used = i;
        if (s->scalar && (is_space(c) || is_one_of(c, ",:]}"))) return true;
        *used = i + 1;
        if (s->in_string) {
            if (s->escaped)
                s->escaped = false;
            else if (c == '\\')
                s->escaped = true;
            else if (c == '"')
                s->in_string = false;
            if (!s->in_string && !s->depth) return true;
        } else if (c == '"' && !s->scalar) {
            s->in_string = true;
        } else if (c == '{' || c == '[') {
            s->depth++;
            s->scalar = false;
        } else if (c == '}' || c == ']') {
            if (s->depth <= 1) return true;
            s->depth--;
        } else if (!s->depth) {
            s->scalar = true;
        }
    }
    *used = size;
    return false;
}
