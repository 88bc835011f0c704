#include "token/regex_translate.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "token/unicode_since_14.h"

/* The property White_Space, which is \s in Oniguruma. PCRE2's \s also has U+180E. */
#define WHITE_SPACE "\\t-\\r \\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}"
#define NOT_WHITE_SPACE                                                                                                \
    "\\x{0}-\\x{8}\\x{e}-\\x{1f}!-\\x{84}\\x{86}-\\x{9f}\\x{a1}-\\x{167f}\\x{1681}-\\x{1fff}\\x{200b}-\\x{2027}"       \
    "\\x{202a}-\\x{202e}\\x{2030}-\\x{205e}\\x{2060}-\\x{2fff}\\x{3001}-\\x{10ffff}"
#define LETTERS "\\p{L}" NEW_LU NEW_LL NEW_LM NEW_LO
/* Letters, marks, decimal digits, connectors, and other alphabetic characters. */
#define WORD                                                                                                           \
    LETTERS "\\p{M}" NEW_M "\\p{Nd}" NEW_ND "\\p{Nl}\\p{Pc}\\x{24b6}-\\x{24e9}\\x{1f130}-\\x{1f149}"                   \
            "\\x{1f150}-\\x{1f169}\\x{1f170}-\\x{1f189}"
/* \\w and \\b of Oniguruma outside a class have superscripts and fractions of Latin-1, too. */
#define WORD_ALONE WORD "\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}"

/* The meaning of an escape inside a class. */
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

/* Properties that both engines know, each with the characters that are newer than PCRE2's tables: categories by their
 * letters, and scripts. (C lacks the characters that are now assigned; U+1171E has moved from Mn to Mc.) */
typedef struct property_row {
    const char *name, *younger;
} property_row;

static const property_row categories[] = {
    {"Mn", "\\x{897}\\x{ece}\\x{10d69}-\\x{10d6d}\\x{10efc}-\\x{10eff}\\x{11241}"
           "\\x{113bb}-\\x{113c0}\\x{113ce}\\x{113d0}\\x{113d2}\\x{113e1}-\\x{113e2}"
           "\\x{11f00}-\\x{11f01}\\x{11f36}-\\x{11f3a}\\x{11f40}\\x{11f42}\\x{11f5a}\\x{13440}"
           "\\x{13447}-\\x{13455}\\x{1611e}-\\x{16129}\\x{1612d}-\\x{1612f}\\x{1e08f}"
           "\\x{1e4ec}-\\x{1e4ef}\\x{1e5ee}-\\x{1e5ef}"},
    {"Mc", "\\x{cf3}\\x{113b8}-\\x{113ba}\\x{113c2}\\x{113c5}\\x{113c7}-\\x{113ca}"
           "\\x{113cc}-\\x{113cd}\\x{113cf}\\x{1171e}\\x{11f03}\\x{11f34}-\\x{11f35}"
           "\\x{11f3e}-\\x{11f3f}\\x{11f41}\\x{1612a}-\\x{1612c}"},
    {"Me", ""},
    {"Nl", ""},
    {"No", "\\x{1d2c0}-\\x{1d2d3}"},
    {"Pc", ""},
    {"Pd", "\\x{10d6e}"},
    {"Ps", ""},
    {"Pe", ""},
    {"Pi", ""},
    {"Pf", ""},
    {"Po", "\\x{1b4e}-\\x{1b4f}\\x{1b7f}\\x{113d4}-\\x{113d5}\\x{113d7}-\\x{113d8}"
           "\\x{11b00}-\\x{11b09}\\x{11be1}\\x{11f43}-\\x{11f4f}\\x{16d6d}-\\x{16d6f}\\x{1e5ff}"},
    {"Sm", "\\x{10d8e}-\\x{10d8f}"},
    {"Sc", ""},
    {"Sk", ""},
    {"So", "\\x{2427}-\\x{2429}\\x{2ffc}-\\x{2fff}\\x{31e4}-\\x{31e5}\\x{31ef}"
           "\\x{1cc00}-\\x{1ccef}\\x{1cd00}-\\x{1ceb3}\\x{1f6dc}\\x{1f774}-\\x{1f776}"
           "\\x{1f77b}-\\x{1f77f}\\x{1f7d9}\\x{1f8b2}-\\x{1f8bb}\\x{1f8c0}-\\x{1f8c1}"
           "\\x{1fa75}-\\x{1fa77}\\x{1fa87}-\\x{1fa89}\\x{1fa8f}\\x{1faad}-\\x{1faaf}"
           "\\x{1fabb}-\\x{1fabf}\\x{1fac6}\\x{1face}-\\x{1facf}\\x{1fada}-\\x{1fadc}\\x{1fadf}"
           "\\x{1fae8}-\\x{1fae9}\\x{1faf7}-\\x{1faf8}\\x{1fbcb}-\\x{1fbef}"},
    {"Z", ""},
    {"Zs", ""},
    {"Zl", ""},
    {"Zp", ""},
    {"C", ""},
    {"Cc", ""},
    {"Cf", "\\x{13439}-\\x{1343f}"},
    {"Co", ""},
    {"Cs", ""},
};
static const property_row scripts[] = {
    {"Arabic", "\\x{897}\\x{10ec2}-\\x{10ec4}\\x{10efc}-\\x{10eff}"},
    {"Armenian", ""},
    {"Bengali", ""},
    {"Bopomofo", ""},
    {"Cyrillic", "\\x{1c89}-\\x{1c8a}\\x{1e030}-\\x{1e06d}\\x{1e08f}"},
    {"Devanagari", "\\x{11b00}-\\x{11b09}"},
    {"Ethiopic", ""},
    {"Georgian", ""},
    {"Greek", ""},
    {"Gujarati", ""},
    {"Gurmukhi", ""},
    {"Hangul", ""},
    {"Hebrew", ""},
    {"Hiragana", "\\x{1b132}"},
    {"Kannada", "\\x{cf3}"},
    {"Katakana", "\\x{1b155}"},
    {"Khmer", ""},
    {"Lao", "\\x{ece}"},
    {"Latin", "\\x{a7cb}-\\x{a7cd}\\x{a7da}-\\x{a7dc}\\x{1df25}-\\x{1df2a}"},
    {"Malayalam", ""},
    {"Mongolian", ""},
    {"Myanmar", "\\x{116d0}-\\x{116e3}"},
    {"Oriya", ""},
    {"Sinhala", ""},
    {"Tamil", ""},
    {"Telugu", ""},
    {"Thai", ""},
    {"Tibetan", ""},
    {"Common", "\\x{2427}-\\x{2429}\\x{2ffc}-\\x{2fff}\\x{31e4}-\\x{31e5}\\x{31ef}"
               "\\x{1cc00}-\\x{1ccf9}\\x{1cd00}-\\x{1ceb3}\\x{1d2c0}-\\x{1d2d3}\\x{1f6dc}"
               "\\x{1f774}-\\x{1f776}\\x{1f77b}-\\x{1f77f}\\x{1f7d9}\\x{1f8b2}-\\x{1f8bb}"
               "\\x{1f8c0}-\\x{1f8c1}\\x{1fa75}-\\x{1fa77}\\x{1fa87}-\\x{1fa89}\\x{1fa8f}"
               "\\x{1faad}-\\x{1faaf}\\x{1fabb}-\\x{1fabf}\\x{1fac6}\\x{1face}-\\x{1facf}"
               "\\x{1fada}-\\x{1fadc}\\x{1fadf}\\x{1fae8}-\\x{1fae9}\\x{1faf7}-\\x{1faf8}"
               "\\x{1fbcb}-\\x{1fbef}"},
    {"Inherited", ""},
};

enum { N_CATEGORIES = sizeof categories / sizeof categories[0], N_SCRIPTS = sizeof scripts / sizeof scripts[0] };

/* Any character, and how deep classes in classes may be. */
#define ANY "[\\x{0}-\\x{10ffff}]"
enum { MAX_DEPTH = 8 };

/* A set of characters: what stands between brackets, and expressions for one character each that cannot stand there. */
typedef struct char_set {
    capp_text inside, others; /* each of the others after a | */
    size_t n_others;
} char_set;

typedef struct translation {
    capp_text *out;
    const char *begin, *p, *end; /* the pattern, and where in it this stands */
    char_set *set;               /* the class that is being read, or NULL */
    bool failed;                 /* out of memory */
    size_t depth, caseless;      /* groups around p; caseless: 1 + the groups around the first (?i) in effect, else 0 */
    capp_error *err;
} translation;

void capp_regex_quote(char *buffer, size_t size, const char *what, capp_str text, const char *rest) {
    snprintf(buffer, size, "%s \"%.*s%s\"", what, (int)text.size, text.data ? text.data : "", rest);
}

static void put(translation *t, const char *text) {
    t->failed = t->failed || !capp_text_append(t->out, text, strlen(text));
}

static void put_bytes(translation *t, const char *text, size_t size) {
    t->failed = t->failed || !capp_text_append(t->out, text, size);
}

/* at: the beginning of a character. */
static capp_status unknown(translation *t, const char *at, size_t size, const char *why) {
    while (size < (size_t)(t->end - at) && (at[size] & 0xc0) == 0x80) size++;
    if (size > (size_t)(t->end - at)) size = (size_t)(t->end - at);
    return capp_fail(t->err, CAPP_EUNSUPPORTED, "\"%.*s\" %s", (int)size, at, why);
}

static bool is_hex(char c) {
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}

/* Writes a class of characters, negated or not, wherever t stands. */
static void put_class(translation *t, const char *inside, bool negated) {
    if (t->set && negated && strcmp(inside, WHITE_SPACE) != 0) {
        t->set->n_others++;
        t->failed = t->failed || !capp_text_append(&t->set->others, "|[^", 3) ||
                    !capp_text_append(&t->set->others, inside, strlen(inside)) ||
                    !capp_text_append(&t->set->others, "]", 1);
    } else if (t->set) {
        put(t, negated ? NOT_WHITE_SPACE : inside);
    } else {
        put(t, negated ? "[^" : "[");
        put(t, inside);
        put(t, "]");
    }
}

static const char *class_of(const char *escape, size_t size) {
    for (size_t i = 0; i < N_CLASSES; i++)
        if (strlen(classes[i].escape) == size && !memcmp(classes[i].escape, escape, size)) return classes[i].inside;
    return NULL;
}

static const char *younger_of(const property_row *rows, size_t n, const char *name, size_t size) {
    for (size_t i = 0; i < n; i++)
        if (strlen(rows[i].name) == size && !memcmp(rows[i].name, name, size)) return rows[i].younger;
    return NULL;
}

/* \p{...}, \P{...} or \p{^...} at p. */
static capp_status property(translation *t) {
    const char *begin = t->p, *close = memchr(begin, '}', (size_t)(t->end - begin));
    if (t->end - begin < 4 || begin[2] != '{' || !close) return unknown(t, begin, 8, "is not a property");
    const char *name = begin + 3 + (begin[3] == '^');
    size_t n = (size_t)(close - name);
    bool negated = (begin[1] == 'P') != (begin[3] == '^');
    char plain[32] = "\\p{", inside[512];
    t->p = close + 1;
    if (n < sizeof plain - 5) {
        memcpy(plain + 3, name, n);
        plain[3 + n] = '}';
        /* After (?i) they mean more to Oniguruma, but not to PCRE2. */
        if (t->caseless && n == 2 && *name == 'L')
            return unknown(t, begin, n + 4, "after (?i) is not supported: PCRE2 and Oniguruma read it differently");
        const char *known = class_of(plain, n + 4);
        const char *younger = known ? NULL : younger_of(categories, N_CATEGORIES, name, n);
        bool script = !known && !younger && (younger = younger_of(scripts, N_SCRIPTS, name, n)) != NULL;
        if (younger) {
            snprintf(inside, sizeof inside, "\\p{%s%.*s}%s", script ? "sc:" : "", (int)n, name, younger);
            known = inside;
        }
        if (known) {
            put_class(t, known, negated);
            return CAPP_OK;
        }
    }
    return unknown(t, begin, (size_t)(close + 1 - begin), "is not a supported property");
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
    /* \xHH is a byte in Oniguruma, a character in PCRE2. */
    if (!whole || (most == 2 && *digits > '7')) return unknown(t, begin, 8, "is not a character");
    put(t, "\\x{");
    put_bytes(t, digits, (size_t)(p - digits));
    put(t, "}");
    t->p = p + braces;
    return CAPP_OK;
}

static capp_status escape(translation *t) {
    const char *begin = t->p;
    if (t->end - begin < 2) return unknown(t, begin, 1, "is at the end of the pattern");
    char c = begin[1];
    if (c == 'p' || c == 'P') return property(t);
    if (c == 'x' || c == 'u') return code_point(t);
    t->p += 2;
    char small[2] = {'\\', (char)(c | 0x20)};
    const char *known = strchr("sdwhSDWH", c) ? class_of(small, 2) : NULL;
    if (small[1] == 'w' && !t->set) known = WORD_ALONE;
    if (known) {
        put_class(t, known, c < 'a');
        return CAPP_OK;
    }
    if (c == 'v') {
        put(t, "\\x{b}");
        return CAPP_OK;
    } else if (c == 'b' || c == 'B') {
        if (!t->set)
            put(t, c == 'b' ? "(?:(?<=[" WORD_ALONE "])(?![" WORD_ALONE "])|(?<![" WORD_ALONE "])(?=[" WORD_ALONE "]))"
                            : "(?:(?<=[" WORD_ALONE "])(?=[" WORD_ALONE "])|(?<![" WORD_ALONE "])(?![" WORD_ALONE
                              "]))");
        else if (c == 'b')
            put(t, "\\x{8}");
        if (!t->set || c == 'b') return CAPP_OK;
    } else if (strchr("tnrfae", c) || (strchr("AzZGR", c) && !t->set)) {
        put_bytes(t, begin, 2);
        return CAPP_OK;
    } else if ((unsigned char)c >= 0x80 || !((c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z'))) {
        size_t size = capp_utf8_size(begin + 1);
        put_bytes(t, size > 1 ? begin + 1 : begin, size > 1 ? size : 2);
        t->p = begin + 1 + size;
        return CAPP_OK;
    }
    return unknown(t, begin, 2, "is not a supported escape");
}

/* (?im-im: or (?im-im) at p; m is PCRE2's s. Oniguruma reads a|b(?i)c|d as a|b(?i:c|d), so the form without a colon is
 * supported only at the beginning. */
static capp_status options(translation *t) {
    const char *begin = t->p;
    put(t, "(?");
    t->p += 2;
    for (; t->p < t->end && strchr("im-", *t->p); t->p++) {
        if (*t->p == 'i' && !memchr(begin, '-', (size_t)(t->p - begin)) && !t->caseless) t->caseless = SIZE_MAX;
        put(t, *t->p == 'm' ? "s" : *t->p == 'i' ? "i" : "-");
    }
    if (t->p == t->end || (*t->p != ':' && *t->p != ')') || (begin != t->begin && *t->p == ')') || t->p == begin + 2)
        return unknown(t, begin, (size_t)(t->p - begin) + 1, "is not a supported group");
    t->depth += *t->p == ':';
    if (t->caseless == SIZE_MAX) t->caseless = 1 + t->depth;
    put_bytes(t, t->p++, 1);
    return CAPP_OK;
}

static capp_status group(translation *t) {
    static const char *const plain[] = {"(?:", "(?=", "(?!", "(?>", "(?<=", "(?<!"};
    size_t left = (size_t)(t->end - t->p);
    if (left > 1 && t->p[1] == '*') return unknown(t, t->p, 2, "is not a supported group");
    if (left < 2 || t->p[1] != '?') {
        put(t, "(?:"); /* captures are not needed */
        t->p++;
        t->depth++;
        return CAPP_OK;
    }
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++) {
        size_t n = strlen(plain[i]);
        if (left < n || memcmp(t->p, plain[i], n) != 0) continue;
        put(t, plain[i]);
        t->p += n;
        t->depth++;
        return CAPP_OK;
    }
    return options(t);
}

static capp_status group_ends(translation *t) {
    put_bytes(t, t->p++, 1);
    if (t->caseless == 1 + t->depth) t->caseless = 0;
    t->depth -= t->depth > 0;
    return CAPP_OK;
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
    /* In PCRE2 {n}+ is possessive and {n}? is lazy; in Oniguruma they are neither. */
    if (p < t->end && (*p == '+' || (*p == '?' && exact)))
        return unknown(t, begin, (size_t)(p + 1 - begin), "is not supported: PCRE2 and Oniguruma read it differently");
    put(t, begin[1] == ',' ? "{0" : "{");
    put_bytes(t, begin + 1, (size_t)(p - begin - 1));
    t->p = p;
    return CAPP_OK;
}

/* ---- Classes ----------------------------------------------------------------------------------------------------- */

static void set_free(char_set *set) {
    capp_free(set->inside.data);
    capp_free(set->others.data);
}

/* Writes an expression for one character that is in the set, or not in it. */
static void put_set(translation *t, const char_set *set, bool negated) {
    bool brackets = set->inside.size || !set->n_others;
    if (!set->n_others || (!brackets && set->n_others == 1 && !negated)) {
        if (brackets) put(t, negated ? "[^" : "[");
        put_bytes(t, brackets ? set->inside.data : set->others.data + 1,
                  brackets ? set->inside.size : set->others.size - 1);
        if (brackets) put(t, "]");
        return;
    }
    put(t, negated ? "(?:(?!" : "(?>"); /* atomic, or a character would have several ways to match */
    if (brackets) {
        put(t, "[");
        put_bytes(t, set->inside.data, set->inside.size);
        put(t, "]");
    }
    put_bytes(t, set->others.data + !brackets, set->others.size - !brackets);
    put(t, negated ? ")" ANY ")" : ")");
}

static bool at_and(const char *p, const char *end) {
    return end - p > 1 && p[0] == '&' && p[1] == '&';
}

static bool is_class(const char *p, const char *end) {
    return end - p > 1 && p[0] == '\\' && strchr("sdwhSDWHpP", p[1]);
}

/* A hyphen inside a class. first: nothing stands before it; behind_set: a class or an escape for one does. */
static capp_status hyphen(translation *t, bool first, bool behind_set) {
    const char *p = t->p++;
    bool last = t->p < t->end && *t->p == ']';
    bool before_set = t->p < t->end && (*t->p == '[' || is_class(t->p, t->end) || at_and(t->p, t->end));
    if (!first && !last && (before_set || behind_set))
        return unknown(t, p, 3, "is not supported: PCRE2 and Oniguruma read it differently");
    put(t, first || last ? "\\-" : "-");
    return CAPP_OK;
}

static capp_status set_at(translation *t, char_set *parent, unsigned depth);

/* What a class has up to && or its end. */
static capp_status side_of(translation *t, char_set *side, unsigned depth) {
    const char *begin = t->p, *set_end = NULL;
    capp_text *out = t->out;
    char_set *outer = t->set;
    capp_status st = CAPP_OK;
    t->out = &side->inside;
    t->set = side;
    while (st == CAPP_OK && t->p < t->end && *t->p != ']' && !at_and(t->p, t->end)) {
        if (*t->p == '\\') {
            bool set = is_class(t->p, t->end);
            st = escape(t);
            if (set) set_end = t->p;
        } else if (*t->p == '[') {
            st = set_at(t, side, depth + 1);
            set_end = t->p;
        } else if (*t->p == '-') {
            st = hyphen(t, t->p == begin, t->p == set_end);
        } else {
            put(t, strchr("^.:=", *t->p) ? "\\" : ""); /* in PCRE2 [.a.] is a collating element */
            put_bytes(t, t->p++, 1);
        }
    }
    t->out = out;
    t->set = outer;
    if (st == CAPP_OK && t->failed) return capp_fail_memory(t->err, "a regular expression");
    if (st == CAPP_OK && (t->p == t->end || t->p == begin))
        return unknown(t, begin - 1, 3, "is not a class, or one that PCRE2 and Oniguruma read differently");
    return st;
}

/* A class at t->p. A class of plain characters joins those of its parent; any other becomes an expression beside them.
 * `both` collects the sides of && but the last: each must have the character. */
static capp_status set_at(translation *t, char_set *parent, unsigned depth) {
    const char *begin = t->p++;
    capp_text both = {0}, *out = t->out;
    bool negated = t->p < t->end && *t->p == '^', more = true;
    capp_status st = CAPP_OK;
    if (depth && t->caseless)
        return unknown(t, begin, 3, "after (?i) is not supported: PCRE2 and Oniguruma read it differently");
    if (depth > MAX_DEPTH || (depth && t->p < t->end && *t->p == ':'))
        return unknown(t, begin, 3, "is not a supported class");
    t->p += negated;
    while (st == CAPP_OK && more) {
        char_set side = {0};
        st = side_of(t, &side, depth);
        more = at_and(t->p, t->end);
        if (st == CAPP_OK && more && t->caseless)
            st = unknown(t, begin, 3, "after (?i) is not supported: PCRE2 and Oniguruma read it differently");
        if (st == CAPP_OK && more) {
            t->out = &both;
            put(t, "(?=");
            put_set(t, &side, false);
            put(t, ")");
        } else if (st == CAPP_OK && !both.size && !negated) {
            t->out = &parent->inside;
            put_bytes(t, side.inside.data, side.inside.size);
            t->out = &parent->others;
            put_bytes(t, side.others.data, side.others.size);
            parent->n_others += side.n_others;
        } else if (st == CAPP_OK) {
            t->out = &parent->others;
            parent->n_others++;
            put(t, both.size ? negated ? "|(?:(?!" : "|(?:" : "|");
            put_bytes(t, both.data, both.size);
            put_set(t, &side, negated && !both.size);
            put(t, both.size ? negated ? ")" ANY ")" : ")" : "");
        }
        set_free(&side);
        if (st == CAPP_OK && t->failed) st = capp_fail_memory(t->err, "a regular expression");
        t->p += more ? 2 : 1;
    }
    t->out = out;
    capp_free(both.data);
    return st;
}

static capp_status class_at(translation *t) {
    char_set set = {0};
    capp_status st = set_at(t, &set, 0);
    if (st == CAPP_OK) put_set(t, &set, false);
    set_free(&set);
    return st;
}

static capp_status translate_one(translation *t) {
    if (*t->p == '\\') return escape(t);
    switch (*t->p) {
    case '[': return class_at(t);
    case '(': return group(t);
    case ')': return group_ends(t);
    case '{': return repeat(t);
    default: put_bytes(t, t->p++, 1); return CAPP_OK;
    }
}

capp_status capp_regex_translate(capp_text *out, capp_str pattern, capp_error *err) {
    const char *end = pattern.data + pattern.size;
    translation t = {.out = out, .begin = pattern.data, .p = pattern.data, .end = end, .err = err};
    if (!capp_text_append(out, "", 1)) return capp_fail_memory(err, "a regular expression");
    out->size = 0;
    capp_status st = CAPP_OK;
    while (st == CAPP_OK && t.p < t.end) st = translate_one(&t);
    if (st == CAPP_OK && t.failed) st = capp_fail_memory(err, "a regular expression");
    return st;
}
