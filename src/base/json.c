#include "base/json.h"

#include <math.h>
#include <string.h>

#include "base/math.h"

/* ---- Checking ---------------------------------------------------------------------------------------------------- */

typedef struct checker {
    const unsigned char *at, *end;
    const char *wrong; /* NULL: no error so far */
} checker;

static bool fail(checker *c, const char *wrong) {
    c->wrong = wrong;
    return false;
}

static bool is_space(unsigned char c) {
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static void skip_space(checker *c) {
    while (c->at < c->end && is_space(*c->at)) c->at++;
}

static int hex(unsigned char c) {
    if (c >= '0' && c <= '9') return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The four digits at p as a number, or -1. */
static int four_hex(const unsigned char *p) {
    int value = 0;
    for (int i = 0; i < 4; i++) {
        int digit = hex(p[i]);
        if (digit < 0) return -1;
        value = value << 4 | digit;
    }
    return value;
}

/* After a backslash. */
static bool check_escape(checker *c) {
    if (c->at == c->end) return fail(c, "a string does not end");
    unsigned char kind = *c->at++;
    if (kind != 'u') return (kind && strchr("\"\\/bfnrt", kind)) || fail(c, "an invalid escape sequence");
    int code = c->end - c->at < 4 ? -1 : four_hex(c->at);
    if (code < 0) return fail(c, "\\u without four hexadecimal digits");
    c->at += 4;
    if (code < 0xd800 || code >= 0xe000) return true;
    bool pair = code < 0xdc00 && c->end - c->at >= 6 && c->at[0] == '\\' && c->at[1] == 'u';
    int low = pair ? four_hex(c->at + 2) : -1;
    if (low < 0xdc00 || low >= 0xe000) return fail(c, "a surrogate without the other half of its pair");
    c->at += 6;
    return true;
}

/* A character above U+007F (Unicode standard, table 3-7). */
static bool check_wide(checker *c) {
    const unsigned char *p = c->at;
    size_t left = (size_t)(c->end - p);
    size_t size = p[0] >= 0xc2 && p[0] < 0xe0 ? 2 : (p[0] & 0xf0) == 0xe0 ? 3 : p[0] >= 0xf0 && p[0] < 0xf5 ? 4 : 0;
    if (!size || left < size) return fail(c, "invalid UTF-8");
    unsigned char low = p[0] == 0xe0 ? 0xa0 : p[0] == 0xf0 ? 0x90 : 0x80;
    unsigned char high = p[0] == 0xed ? 0x9f : p[0] == 0xf4 ? 0x8f : 0xbf;
    if (p[1] < low || p[1] > high) return fail(c, "invalid UTF-8");
    for (size_t i = 2; i < size; i++)
        if ((p[i] & 0xc0) != 0x80) return fail(c, "invalid UTF-8");
    c->at += size;
    return true;
}

/* After the opening quote. */
static bool check_string(checker *c) {
    while (c->at < c->end) {
        unsigned char b = *c->at;
        if (b == '"') {
            c->at++;
            return true;
        }
        if (b < 0x20) return fail(c, "a control character inside a string");
        if (b == '\\') {
            c->at++;
            if (!check_escape(c)) return false;
        } else if (b < 0x80) {
            c->at++;
        } else if (!check_wide(c)) {
            return false;
        }
    }
    return fail(c, "a string does not end");
}

static size_t digits(checker *c) {
    const unsigned char *begin = c->at;
    while (c->at < c->end && *c->at >= '0' && *c->at <= '9') c->at++;
    return (size_t)(c->at - begin);
}

static bool check_number(checker *c) {
    if (*c->at == '-') c->at++;
    bool zero = c->at < c->end && *c->at == '0';
    size_t n = digits(c);
    if (!n || (zero && n > 1)) return fail(c, "expected a value");
    if (c->at < c->end && *c->at == '.') {
        c->at++;
        if (!digits(c)) return fail(c, "a number without digits after the decimal point");
    }
    if (c->at < c->end && (*c->at | 0x20) == 'e') {
        c->at++;
        if (c->at < c->end && (*c->at == '+' || *c->at == '-')) c->at++;
        if (!digits(c)) return fail(c, "a number without digits in its exponent");
    }
    return true;
}

static bool check_word(checker *c, const char *word) {
    size_t n = strlen(word);
    if ((size_t)(c->end - c->at) < n || memcmp(c->at, word, n) != 0) return fail(c, "expected a value");
    c->at += n;
    return true;
}

static bool check_scalar(checker *c) {
    switch (*c->at) {
    case '"': c->at++; return check_string(c);
    case 't': return check_word(c, "true");
    case 'f': return check_word(c, "false");
    case 'n': return check_word(c, "null");
    default: return check_number(c);
    }
}

/* A member's name and colon. */
static bool check_name(checker *c) {
    skip_space(c);
    if (c->at == c->end || *c->at != '"') return fail(c, "expected the name of a member, a string");
    c->at++;
    if (!check_string(c)) return false;
    skip_space(c);
    if (c->at == c->end || *c->at != ':') return fail(c, "expected a colon after the name of a member");
    c->at++;
    return true;
}

/* After a value: closes the arrays and objects that end here. Sets *more if another item or member must follow. */
static bool check_after(checker *c, const char *open, size_t *depth, bool *more) {
    while (*depth) {
        skip_space(c);
        if (c->at == c->end) return fail(c, "the text ends inside a value");
        bool object = open[*depth - 1] == '{';
        if (*c->at == ',') {
            c->at++;
            *more = true;
            return !object || check_name(c);
        }
        if (*c->at != (object ? '}' : ']')) return fail(c, "expected a comma or the end of the array or object");
        c->at++;
        (*depth)--;
    }
    *more = false;
    return true;
}

static bool check_value(checker *c) {
    char open[CAPP_JSON_DEPTH];
    size_t depth = 0;
    for (bool more = true; more;) {
        skip_space(c);
        if (c->at == c->end) return fail(c, "the text ends where a value is expected");
        char first = (char)*c->at;
        if (first == '{' || first == '[') {
            if (depth == CAPP_JSON_DEPTH) return fail(c, "arrays and objects are nested too deeply");
            open[depth++] = first;
            c->at++;
            skip_space(c);
            bool empty = c->at < c->end && *c->at == (first == '{' ? '}' : ']');
            if (!empty) {
                if (first == '{' && !check_name(c)) return false;
                continue;
            }
        } else if (!check_scalar(c)) {
            return false;
        }
        if (!check_after(c, open, &depth, &more)) return false;
    }
    skip_space(c);
    return c->at == c->end || fail(c, "text after the end of the value");
}

capp_status capp_json_check(capp_str text, capp_json *value, capp_error *err) {
    checker c = {(const unsigned char *)text.data, (const unsigned char *)text.data + text.size, NULL};
    *value = NULL;
    if (!check_value(&c)) {
        size_t line = 1, column = 1;
        for (const char *p = text.data; p < (const char *)c.at; p++) {
            column = *p == '\n' ? 1 : column + 1;
            line += *p == '\n';
        }
        return capp_fail(err, CAPP_EFORMAT, "line %zu, column %zu is not JSON: %s", line, column, c.wrong);
    }
    *value = text.data;
    while (is_space((unsigned char)**value)) (*value)++;
    return CAPP_OK;
}

/* ---- Walking: the text is already checked ------------------------------------------------------------------------ */

static const char *past_space(const char *p) {
    while (is_space((unsigned char)*p)) p++;
    return p;
}

static const char *past_string(const char *p) {
    for (p++; *p != '"'; p++)
        if (*p == '\\') p++;
    return p + 1;
}

/* The byte after the value at p, which is inside an array or object. */
static const char *past_value(const char *p) {
    if (*p == '"') return past_string(p);
    if (*p != '{' && *p != '[') {
        while (*p != ',' && *p != ']' && *p != '}' && !is_space((unsigned char)*p)) p++;
        return p;
    }
    size_t depth = 1;
    for (p++; depth; p++) {
        if (*p == '"') p = past_string(p) - 1;
        if (*p == '{' || *p == '[') depth++;
        if (*p == '}' || *p == ']') depth--;
    }
    return p;
}

capp_json_kind capp_json_kind_of(capp_json value) {
    if (!value) return CAPP_JSON_NONE;
    switch (*value) {
    case '{': return CAPP_JSON_OBJECT;
    case '[': return CAPP_JSON_ARRAY;
    case '"': return CAPP_JSON_STRING;
    case 't':
    case 'f': return CAPP_JSON_BOOL;
    case 'n': return CAPP_JSON_NULL;
    default: return CAPP_JSON_NUMBER;
    }
}

capp_json_walk capp_json_begin(capp_json value) {
    capp_json_kind kind = capp_json_kind_of(value);
    bool object = kind == CAPP_JSON_OBJECT;
    return (capp_json_walk){NULL, NULL, object || kind == CAPP_JSON_ARRAY ? value + 1 : NULL, object};
}

bool capp_json_next(capp_json_walk *walk) {
    const char *p = walk->after;
    if (!p) return false;
    if (walk->value) p = past_value(walk->value);
    p = past_space(p);
    if (*p == ',') p = past_space(p + 1);
    if (*p == ']' || *p == '}') {
        walk->after = NULL;
        return false;
    }
    if (walk->object) {
        walk->name = p;
        p = past_space(past_space(past_string(p)) + 1);
    }
    walk->value = p;
    return true;
}

size_t capp_json_count(capp_json value) {
    size_t n = 0;
    for (capp_json_walk w = capp_json_begin(value); capp_json_next(&w);) n++;
    return n;
}

capp_json capp_json_get(capp_json object, const char *name) {
    capp_json found = NULL;
    if (capp_json_kind_of(object) != CAPP_JSON_OBJECT) return NULL;
    for (capp_json_walk w = capp_json_begin(object); capp_json_next(&w);)
        if (capp_json_is(w.name, name)) found = w.value;
    return found;
}

bool capp_json_read_fields(capp_json object, capp_json_fields *fields) {
    fields->n = 0;
    if (capp_json_kind_of(object) != CAPP_JSON_OBJECT) return true;
    for (capp_json_walk w = capp_json_begin(object); capp_json_next(&w); fields->n++) {
        if (fields->n == CAPP_JSON_MOST_FIELDS) return false;
        fields->names[fields->n] = w.name;
        fields->values[fields->n] = w.value;
    }
    return true;
}

capp_json capp_json_field(const capp_json_fields *fields, const char *name) {
    for (size_t i = fields->n; i; i--)
        if (capp_json_is(fields->names[i - 1], name)) return fields->values[i - 1];
    return NULL;
}

capp_str capp_json_raw(capp_json string, bool *escapes) {
    *escapes = false;
    if (capp_json_kind_of(string) != CAPP_JSON_STRING) return (capp_str){NULL, 0};
    const char *begin = string + 1, *p = begin;
    for (; *p != '"'; p++) {
        if (*p != '\\') continue;
        *escapes = true;
        p++;
    }
    return (capp_str){begin, (size_t)(p - begin)};
}

static size_t put_utf8(unsigned c, char *out) {
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    size_t size = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = size - 1; i; i--, c >>= 6) out[i] = (char)(0x80 | (c & 0x3f));
    out[0] = (char)((0xf00u >> size & 0xffu) | c);
    return size;
}

size_t capp_json_decode(capp_str raw, char *out) {
    static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
    size_t n = 0;
    for (size_t i = 0; i < raw.size; i++) {
        if (raw.data[i] != '\\') {
            out[n++] = raw.data[i];
            continue;
        }
        char kind = raw.data[++i];
        const char *known = strchr(from, kind);
        if (kind != 'u') {
            out[n++] = known ? to[known - from] : kind;
            continue;
        }
        unsigned code = (unsigned)four_hex((const unsigned char *)raw.data + i + 1);
        i += 4;
        if (code >= 0xd800 && code < 0xe000) {
            unsigned low = (unsigned)four_hex((const unsigned char *)raw.data + i + 3);
            code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
            i += 6;
        }
        n += put_utf8(code, out + n);
    }
    return n;
}

bool capp_json_is(capp_json string, const char *text) {
    bool escapes;
    char decoded[64];
    capp_str raw = capp_json_raw(string, &escapes);
    if (!raw.data) return false;
    size_t n = strlen(text);
    if (!escapes) return raw.size == n && !memcmp(raw.data, text, n);
    if (raw.size > sizeof decoded) return false;
    return capp_json_decode(raw, decoded) == n && !memcmp(decoded, text, n);
}

bool capp_json_bool(capp_json value, bool *out) {
    if (capp_json_kind_of(value) != CAPP_JSON_BOOL) return false;
    *out = *value == 't';
    return true;
}

bool capp_json_u32(capp_json value, uint32_t most, uint32_t *out) {
    if (capp_json_kind_of(value) != CAPP_JSON_NUMBER || *value == '-') return false;
    uint64_t n = 0;
    const char *p = value;
    for (; *p >= '0' && *p <= '9'; p++)
        if ((n = n * 10 + (uint64_t)(*p - '0')) > most) return false;
    if (*p == '.' || (*p | 0x20) == 'e') return false;
    *out = (uint32_t)n;
    return true;
}

/* Reads digits into *n as long as they fit 64 bits. Adds to *scale the power of ten by which *n must be multiplied
 * because of the digits that did not fit and those after the decimal point. */
static const char *take_digits(const char *p, uint64_t *n, int *scale, bool fraction, bool *full) {
    for (; *p >= '0' && *p <= '9'; p++) {
        uint64_t next;
        *full = *full || __builtin_mul_overflow(*n, 10u, &next) ||
                __builtin_add_overflow(next, (uint64_t)(*p - '0'), &next);
        if (*full) {
            *scale += fraction ? 0 : 1;
            continue;
        }
        *n = next;
        *scale -= fraction;
    }
    return p;
}

static double power_of_ten(int n) {
    static const double exact[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                   1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    return (size_t)n < sizeof exact / sizeof *exact ? exact[n] : capp_pow(10, n);
}

bool capp_json_f64(capp_json value, double *out) {
    if (capp_json_kind_of(value) != CAPP_JSON_NUMBER) return false;
    const char *p = value + (*value == '-');
    uint64_t n = 0;
    int scale = 0, exponent = 0;
    bool full = false;
    p = take_digits(p, &n, &scale, false, &full);
    if (*p == '.') p = take_digits(p + 1, &n, &scale, true, &full);
    if ((*p | 0x20) == 'e') {
        p++;
        bool negative = *p == '-';
        if (*p == '-' || *p == '+') p++;
        for (; *p >= '0' && *p <= '9'; p++)
            if (exponent < 100000) exponent = exponent * 10 + (*p - '0');
        scale += negative ? -exponent : exponent;
    }
    double f = (double)n;
    for (; scale < -308 && f != 0; scale += 308) f /= 1e308;
    if (f != 0) f = scale < 0 ? f / power_of_ten(-scale) : f * power_of_ten(scale);
    if (!isfinite(f)) return false;
    *out = *value == '-' ? -f : f;
    return true;
}
