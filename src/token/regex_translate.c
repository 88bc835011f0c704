#include "token/regex_translate.h"

#include <stdio.h>
#include <string.h>

#include "token/unicode_since_14.h"

/* The property White_Space, which is Oniguruma's \s. PCRE2's has U+180E too. */
#define WHITE_SPACE "\\t-\\r \\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}"
#define NOT_WHITE_SPACE                                                                                                \
    "\\x{0}-\\x{8}\\x{e}-\\x{1f}!-\\x{84}\\x{86}-\\x{9f}\\x{a1}-\\x{167f}\\x{1681}-\\x{1fff}\\x{200b}-\\x{2027}"       \
    "\\x{202a}-\\x{202e}\\x{2030}-\\x{205e}\\x{2060}-\\x{2fff}\\x{3001}-\\x{10ffff}"
#define LETTERS "\\p{L}" NEW_LU NEW_LL NEW_LM NEW_LO
/* Letters, marks, decimal digits, connectors, and what is alphabetic besides. */
#define WORD                                                                                                           \
    LETTERS "\\p{M}" NEW_M "\\p{Nd}" NEW_ND "\\p{Nl}\\p{Pc}\\x{24b6}-\\x{24e9}\\x{1f130}-\\x{1f149}"                   \
            "\\x{1f150}-\\x{1f169}\\x{1f170}-\\x{1f189}"
/* What Oniguruma takes for \\w and \\b outside a class: superscripts and fractions of Latin-1 besides. */
#define WORD_ALONE WORD "\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}"

/* What stands for an escape inside a class. */
static const struct {
    const char *escape, *inside;
} classes[] = {
    {"\\s", WHITE_SPACE},
    {"\\d", "\\p{Nd}" NEW_ND},
    {"\\w", WORD},
    {"\\h", "0-9a-fA-F"},
    {"\\p{L}", LETTERS},
    {"\\p{Lu}", "\\p{Lu}" NEW_LU},
    {"\\p{Ll}", "\\p{Ll}" NEW_LL},
    {"\\p{Lt}", "\\p{Lt}"},
    {"\\p{Lm}", "\\p{Lm}" NEW_LM},
    {"\\p{Lo}", "\\p{Lo}" NEW_LO},
    {"\\p{M}", "\\p{M}" NEW_M},
    {"\\p{Nd}", "\\p{Nd}" NEW_ND},
    {"\\p{N}", "\\p{N}" NEW_N},
    {"\\p{P}", "\\p{P}" NEW_P},
    {"\\p{S}", "\\p{S}" NEW_S},
    {"\\p{Han}", "\\p{sc:Han}\\x{2b739}\\x{2ebf0}-\\x{2ee5d}\\x{31350}-\\x{323af}"},
};

enum { N_CLASSES = sizeof classes / sizeof classes[0] };

/* Properties that both know and whose youngest characters no table here has: categories by their letters, scripts. */
static const char *const properties[] = {"Mn", "Mc", "Me", "Nl", "No", "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "Sm",
                                         "Sc", "Sk", "So", "Z",  "Zs", "Zl", "Zp", "C",  "Cc", "Cf", "Co", "Cs", "Lt"};
static const char *const scripts[] = {"Arabic",   "Armenian",  "Bengali",   "Bopomofo", "Cyrillic", "Devanagari",
                                      "Ethiopic", "Georgian",  "Greek",     "Gujarati", "Gurmukhi", "Hangul",
                                      "Hebrew",   "Hiragana",  "Kannada",   "Katakana", "Khmer",    "Lao",
                                      "Latin",    "Malayalam", "Mongolian", "Myanmar",  "Oriya",    "Sinhala",
                                      "Tamil",    "Telugu",    "Thai",      "Tibetan",  "Common",   "Inherited"};

typedef struct translation {
    capp_text *out;
    const char *p, *end;
    bool in_class;
    bool failed; /* out of memory */
    capp_error *err;
} translation;

void capp_quote(char *buffer, size_t size, const char *what, capp_str text, const char *rest) {
    snprintf(buffer, size, "%s \"%.*s%s\"", what, (int)text.size, text.data ? text.data : "", rest);
}

static void put(translation *t, const char *text) {
    t->failed = t->failed || !capp_text_put(t->out, text, strlen(text));
}

static void put_bytes(translation *t, const char *text, size_t size) {
    t->failed = t->failed || !capp_text_put(t->out, text, size);
}

static capp_status unknown(translation *t, const char *at, size_t size, const char *why) {
    if (size > (size_t)(t->end - at)) size = (size_t)(t->end - at);
    return capp_fail(t->err, CAPP_EUNSUPPORTED, "\"%.*s\" %s", (int)size, at, why);
}

static bool is_hex(char c) {
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}

/* Writes a class of characters, negated or not, wherever t stands. False: it cannot be negated there. */
static bool put_class(translation *t, const char *inside, bool negated) {
    if (t->in_class) {
        if (negated && !strcmp(inside, WHITE_SPACE))
            inside = NOT_WHITE_SPACE;
        else if (negated)
            return false;
        put(t, inside);
        return true;
    }
    put(t, negated ? "[^" : "[");
    put(t, inside);
    put(t, "]");
    return true;
}

static const char *class_of(const char *escape, size_t size) {
    for (size_t i = 0; i < N_CLASSES; i++)
        if (strlen(classes[i].escape) == size && !memcmp(classes[i].escape, escape, size)) return classes[i].inside;
    return NULL;
}

static bool is_listed(const char *const *list, size_t n, const char *name, size_t size) {
    for (size_t i = 0; i < n; i++)
        if (strlen(list[i]) == size && !memcmp(list[i], name, size)) return true;
    return false;
}

/* \p{...}, \P{...} or \p{^...} at p. */
static capp_status property(translation *t) {
    const char *begin = t->p, *close = memchr(begin, '}', (size_t)(t->end - begin));
    if (t->end - begin < 4 || begin[2] != '{' || !close) return unknown(t, begin, 8, "is no property");
    const char *name = begin + 3 + (begin[3] == '^');
    size_t n = (size_t)(close - name);
    bool negated = (begin[1] == 'P') != (begin[3] == '^');
    char plain[32] = "\\p{", inside[40];
    t->p = close + 1;
    if (n < sizeof plain - 5) {
        memcpy(plain + 3, name, n);
        plain[3 + n] = '}';
        const char *known = class_of(plain, n + 4);
        bool script = is_listed(scripts, sizeof scripts / sizeof scripts[0], name, n);
        if (!known && (script || is_listed(properties, sizeof properties / sizeof properties[0], name, n))) {
            snprintf(inside, sizeof inside, "\\p{%s%.*s}", script ? "sc:" : "", (int)n, name);
            known = inside;
        }
        if (known && put_class(t, known, negated)) return CAPP_OK;
        if (known) { /* [\P{L}]: the few letters younger than PCRE2's tables count as none */
            snprintf(inside, sizeof inside, "\\P{%s%.*s}", script ? "sc:" : "", (int)n, name);
            put(t, inside);
            return CAPP_OK;
        }
    }
    return unknown(t, begin, (size_t)(close + 1 - begin), "is a property that is not known here");
}

/* \xHH, \x{H...} or \uHHHH at p. */
static capp_status code_point(translation *t) {
    const char *begin = t->p, *p = begin + 2;
    bool braces = begin[1] == 'x' && p < t->end && *p == '{';
    p += braces;
    const char *digits = p;
    size_t most = braces ? 8 : begin[1] == 'u' ? 4 : 2;
    while (p < t->end && is_hex(*p) && (size_t)(p - digits) < most) p++;
    bool whole = braces ? p < t->end && *p == '}' && p > digits : (size_t)(p - digits) == most;
    /* \xHH is a byte to Oniguruma, a character to PCRE2. */
    if (!whole || (most == 2 && *digits > '7')) return unknown(t, begin, 8, "is no character");
    put(t, "\\x{");
    put_bytes(t, digits, (size_t)(p - digits));
    put(t, "}");
    t->p = p + braces;
    return CAPP_OK;
}

static capp_status escape(translation *t) {
    const char *begin = t->p;
    if (t->end - begin < 2) return unknown(t, begin, 1, "stands at the end");
    char c = begin[1];
    if (c == 'p' || c == 'P') return property(t);
    if (c == 'x' || c == 'u') return code_point(t);
    t->p += 2;
    char small[2] = {'\\', (char)(c | 0x20)};
    const char *known = strchr("sdwhSDWH", c) ? class_of(small, 2) : NULL;
    if (small[1] == 'w' && !t->in_class) known = WORD_ALONE;
    if (known) {
        if (put_class(t, known, c < 'a')) return CAPP_OK;
        if (c == 'D') {
            put(t, "\\D");
            return CAPP_OK;
        }
    } else if (c == 'v') {
        put(t, "\\x{b}");
        return CAPP_OK;
    } else if (c == 'b' || c == 'B') {
        if (!t->in_class)
            put(t, c == 'b' ? "(?:(?<=[" WORD_ALONE "])(?![" WORD_ALONE "])|(?<![" WORD_ALONE "])(?=[" WORD_ALONE "]))"
                            : "(?:(?<=[" WORD_ALONE "])(?=[" WORD_ALONE "])|(?<![" WORD_ALONE "])(?![" WORD_ALONE
                              "]))");
        else if (c == 'b')
            put(t, "\\x{8}");
        if (!t->in_class || c == 'b') return CAPP_OK;
    } else if (strchr("tnrfae", c) || (strchr("AzZGR", c) && !t->in_class)) {
        put_bytes(t, begin, 2);
        return CAPP_OK;
    } else if ((unsigned char)c >= 0x80 || !((c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z'))) {
        size_t size = capp_utf8_size(begin + 1);
        put_bytes(t, size > 1 ? begin + 1 : begin, size > 1 ? size : 2);
        t->p = begin + 1 + size;
        return CAPP_OK;
    }
    return unknown(t, begin, 2, "is an escape that is not known here");
}

/* Letters of (?imx-imx), of which m is PCRE2's s, up to a colon or parenthesis; p stands after "(?". */
static capp_status options(translation *t) {
    const char *begin = t->p;
    put(t, "(?");
    t->p += 2;
    for (; t->p < t->end && strchr("im-", *t->p); t->p++) put(t, *t->p == 'm' ? "s" : *t->p == 'i' ? "i" : "-");
    if (t->p == t->end || (*t->p != ':' && *t->p != ')') || (t->p == begin + 2 && *t->p == ')'))
        return unknown(t, begin, (size_t)(t->p - begin) + 1, "is a group that is not known here");
    put_bytes(t, t->p++, 1);
    return CAPP_OK;
}

static capp_status group(translation *t) {
    static const char *const plain[] = {"(?:", "(?=", "(?!", "(?>", "(?<=", "(?<!"};
    size_t left = (size_t)(t->end - t->p);
    if (left > 1 && t->p[1] == '*') return unknown(t, t->p, 2, "is a group that is not known here");
    if (left < 2 || t->p[1] != '?') {
        put(t, "(?:"); /* nothing asks for what a group has matched */
        t->p++;
        return CAPP_OK;
    }
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++) {
        size_t n = strlen(plain[i]);
        if (left < n || memcmp(t->p, plain[i], n) != 0) continue;
        put(t, plain[i]);
        t->p += n;
        return CAPP_OK;
    }
    return options(t);
}

/* {n}, {n,}, {n,m} or {,m} at p; anything else is a brace. */
static capp_status repeat(translation *t) {
    const char *begin = t->p, *p = begin + 1;
    while (p < t->end && ((*p >= '0' && *p <= '9') || *p == ',')) p++;
    if (p == t->end || *p != '}' || p == begin + 1 || (p == begin + 2 && begin[1] == ',')) {
        put(t, "\\{");
        t->p++;
        return CAPP_OK;
    }
    p++;
    bool exact = !memchr(begin, ',', (size_t)(p - begin));
    /* {n}+ is possessive to PCRE2 and {n}? is lazy to it, neither to Oniguruma. */
    if (p < t->end && (*p == '+' || (*p == '?' && exact)))
        return unknown(t, begin, (size_t)(p + 1 - begin), "is read differently");
    put(t, begin[1] == ',' ? "{0" : "{");
    put_bytes(t, begin + 1, (size_t)(p - begin - 1));
    t->p = p;
    return CAPP_OK;
}

static capp_status class_begins(translation *t) {
    const char *begin = t->p++;
    t->in_class = true;
    put(t, "[");
    if (t->p < t->end && *t->p == '^') put_bytes(t, t->p++, 1);
    if (t->p < t->end && *t->p == ']') return unknown(t, begin, 3, "is read differently");
    return CAPP_OK;
}

static capp_status in_class(translation *t) {
    const char *p = t->p;
    if (*p == '[' || (*p == '&' && t->end - p > 1 && p[1] == '&'))
        return unknown(t, p, 2, "inside a class: sets of sets are not known here");
    if (*p == ']') t->in_class = false;
    put_bytes(t, t->p++, 1);
    return CAPP_OK;
}

static capp_status translate_one(translation *t) {
    if (*t->p == '\\') return escape(t);
    if (t->in_class) return in_class(t);
    switch (*t->p) {
    case '[': return class_begins(t);
    case '(': return group(t);
    case '{': return repeat(t);
    default: put_bytes(t, t->p++, 1); return CAPP_OK;
    }
}

capp_status capp_regex_translate(capp_text *out, capp_str pattern, capp_error *err) {
    translation t = {out, pattern.data, pattern.data + pattern.size, false, false, err};
    if (!capp_text_put(out, "", 1)) return capp_fail_memory(err, "a regular expression");
    out->size = 0;
    capp_status st = CAPP_OK;
    while (st == CAPP_OK && t.p < t.end) st = translate_one(&t);
    if (st == CAPP_OK && t.failed) st = capp_fail_memory(err, "a regular expression");
    return st;
}
