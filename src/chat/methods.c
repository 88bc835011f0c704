/* Methods of strings, lists, dicts and loops, as Python has them. */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <utf8proc.h>

#include "chat/value.h"
#include "token/unicode.h"

static const capp_jval nothing = {.kind = CAPP_J_UNDEFINED};

bool capp_jbind(capp_jrun *r, const char *what, const char *parameters, const capp_jargs *args,
                capp_jval bound[CAPP_J_MOST_PARAMETERS]) {
    size_t n = 0, taken = 0;
    for (const char *at = parameters; *at && n < CAPP_J_MOST_PARAMETERS; n++) {
        size_t size = strcspn(at, " ");
        bound[n] = nothing;
        if (n < args->n) bound[n] = args->at[n];
        for (size_t i = 0; i < args->n_named; i++)
            if (args->names[i].size == size && !memcmp(args->names[i].data, at, size)) {
                if (n < args->n) break; /* twice: counted as one too many */
                bound[n] = args->at[args->n + i];
                taken++;
            }
        at += size;
        while (*at == ' ') at++;
    }
    if (args->n > n || taken < args->n_named)
        capp_jfail(r, CAPP_EINVAL, "%s has no place for one of the arguments", what);
    return r->status == CAPP_OK;
}

/* ---- Letters ----------------------------------------------------------------------------------------------------- */

/* Characters whose other case is several characters, or depends on their neighbours (Unicode's SpecialCasing): capp
 * does not know those. */
static bool special_case(int32_t c, bool up) {
    if (!up) return c == 0x130 || c == 0x3a3;
    return c == 0xdf || c == 0x149 || c == 0x1f0 || c == 0x390 || c == 0x3b0 || c == 0x587 ||
           (c >= 0x1e96 && c <= 0x1e9a) || (c >= 0x1f50 && c <= 0x1f56) || (c >= 0x1f80 && c <= 0x1ffc) ||
           (c >= 0xfb00 && c <= 0xfb17);
}

static bool is_cased(int32_t c) {
    if (c < 0x80) return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    return utf8proc_islower(c) || utf8proc_isupper(c) || utf8proc_category(c) == UTF8PROC_CATEGORY_LT;
}

static void put_cased(capp_jrun *r, capp_jbuffer *b, int32_t c, bool up, bool title, uint8_t given) {
    utf8proc_uint8_t out[4];
    if (special_case(c, up)) {
        capp_jfail(r, CAPP_EUNSUPPORTED, "the other case of U+%04X is not supported", (unsigned)c);
        return;
    }
    c = !up ? utf8proc_tolower(c) : title ? utf8proc_totitle(c) : utf8proc_toupper(c);
    utf8proc_ssize_t size = utf8proc_encode_char(c, out);
    capp_jput_bytes(r, b, (const char *)out, (size_t)size, given);
}

capp_jval capp_jchange_case(capp_jrun *r, const capp_jstr *s, capp_jcase to) {
    capp_jbuffer b = {0};
    bool inside = false; /* a word */
    for (size_t at = 0, size; at < s->size && r->status == CAPP_OK; at += size) {
        int32_t c = capp_utf8_character(s->text + at, &size);
        bool first = to == CAPP_J_TITLE ? !inside : at == 0;
        bool up = to == CAPP_J_UPPER || (to != CAPP_J_LOWER && first);
        put_cased(r, &b, c, up, to != CAPP_J_UPPER, s->given[at]);
        inside = is_cased(c);
    }
    return capp_jbuffer_str(r, &b);
}

bool capp_jis_case(const capp_jstr *s, bool upper) {
    bool any = false;
    for (size_t at = 0, size; at < s->size; at += size) {
        int32_t c = capp_utf8_character(s->text + at, &size);
        if (!is_cased(c)) continue;
        if (upper ? !utf8proc_isupper(c) : !utf8proc_islower(c)) return false;
        any = true;
    }
    return any;
}

/* ---- Parts of strings -------------------------------------------------------------------------------------------- */

static bool among(const capp_jstr *set, const char *at, size_t size) {
    for (size_t i = 0; i < set->size; i += capp_utf8_size(set->text + i))
        if (capp_utf8_size(set->text + i) == size && !memcmp(set->text + i, at, size)) return true;
    return false;
}

static bool stripped(const capp_jstr *set, const char *at) {
    size_t size;
    int32_t c = capp_utf8_character(at, &size);
    return set ? among(set, at, size) : capp_jis_space(c);
}

capp_jval capp_jstrip(capp_jrun *r, const capp_jstr *s, const capp_jstr *characters, bool left, bool right) {
    size_t begin = 0, end = s->size;
    if (!capp_jwork(r, 1 + s->size / 16 * (characters ? 1 + characters->size : 1))) return nothing;
    while (left && begin < end && stripped(characters, s->text + begin)) begin += capp_utf8_size(s->text + begin);
    while (right && end > begin) {
        size_t back = capp_utf8_size_before(s->text + end);
        if (!stripped(characters, s->text + end - back)) break;
        end -= back;
    }
    return capp_jpart(r, s, begin, end - begin);
}

/* Where part is found in s from byte `from` on; SIZE_MAX: nowhere. */
static size_t find_from(capp_jrun *r, const capp_jstr *s, size_t from, const capp_jstr *part) {
    if (!part || !capp_jwork(r, 1)) return SIZE_MAX;
    if (!part->size) return from;
    const char *found = s->size > from ? memmem(s->text + from, s->size - from, part->text, part->size) : NULL;
    size_t at = found ? (size_t)(found - s->text) : SIZE_MAX;
    return capp_jwork(r, ((found ? at : s->size) - from) / 16) ? at : SIZE_MAX;
}

static size_t find_back(capp_jrun *r, const capp_jstr *s, size_t end, const capp_jstr *part) {
    if (!part || part->size > end) return SIZE_MAX;
    for (size_t at = end - part->size + 1; at-- > 0 && capp_jwork(r, 1 + part->size / 32);)
        if (!part->size || !memcmp(s->text + at, part->text, part->size)) return at;
    return SIZE_MAX;
}

capp_jval capp_jreplace(capp_jrun *r, const capp_jstr *s, const capp_jstr *old, const capp_jstr *by, int64_t most) {
    capp_jbuffer b = {0};
    size_t at = 0;
    if (!old->size) { /* between all characters */
        for (;; most--) {
            if (most) capp_jput(r, &b, by);
            if (at >= s->size || r->status != CAPP_OK) break;
            size_t size = capp_utf8_size(s->text + at);
            capp_jput_bytes(r, &b, s->text + at, size, s->given[at]);
            at += size;
            if (!most) most = 1;
        }
        return capp_jbuffer_str(r, &b);
    }
    for (size_t found; most && (found = find_from(r, s, at, old)) != SIZE_MAX; most--) {
        capp_jput(r, &b, &(capp_jstr){s->text + at, s->given + at, found - at});
        capp_jput(r, &b, by);
        at = found + old->size;
    }
    capp_jput(r, &b, &(capp_jstr){s->text + at, s->given + at, s->size - at});
    return capp_jbuffer_str(r, &b);
}

capp_jval capp_jjoin(capp_jrun *r, const capp_jstr *between, const capp_jlist *items) {
    capp_jbuffer b = {0};
    for (size_t i = 0; i < items->n && r->status == CAPP_OK; i++) {
        if (i) capp_jput(r, &b, between);
        capp_jput(r, &b, capp_jtext(r, items->at[i]));
    }
    return capp_jbuffer_str(r, &b);
}

static size_t skip_space(const capp_jstr *s, size_t at, bool space) {
    size_t size;
    while (at < s->size && capp_jis_space(capp_utf8_character(s->text + at, &size)) == space) at += size;
    return at;
}

static capp_jval split_words(capp_jrun *r, const capp_jstr *s, int64_t most) {
    capp_jval out = capp_jlist_new(r, CAPP_J_LIST, 0);
    for (size_t at = skip_space(s, 0, true); at < s->size && r->status == CAPP_OK; most--) {
        size_t end = most ? skip_space(s, at, false) : s->size;
        capp_jlist_push(r, out, capp_jpart(r, s, at, end - at));
        if (!capp_jwork(r, (end - at) / 16) || !most) break;
        at = skip_space(s, end, true);
    }
    return out;
}

static capp_jval reversed(capp_jrun *r, capp_jval list) {
    capp_jlist *l = list.of.list;
    for (size_t i = 0; r->status == CAPP_OK && i < l->n / 2; i++) {
        capp_jval one = l->at[i];
        l->at[i] = l->at[l->n - 1 - i];
        l->at[l->n - 1 - i] = one;
    }
    return list;
}

static capp_jval split(capp_jrun *r, const capp_jstr *s, const capp_jstr *by, int64_t most, bool back) {
    capp_jval out = capp_jlist_new(r, CAPP_J_LIST, 0);
    size_t at = 0, end = s->size, found;
    if (!by->size) return capp_jfail(r, CAPP_EINVAL, "split by an empty text");
    for (; !back && most && (found = find_from(r, s, at, by)) != SIZE_MAX; most--) {
        capp_jlist_push(r, out, capp_jpart(r, s, at, found - at));
        at = found + by->size;
    }
    for (; back && most && (found = find_back(r, s, end, by)) != SIZE_MAX; most--) {
        capp_jlist_push(r, out, capp_jpart(r, s, found + by->size, end - found - by->size));
        end = found;
    }
    capp_jlist_push(r, out, capp_jpart(r, s, at, end - at));
    return back ? reversed(r, out) : out;
}

capp_jval capp_jsplit_lines(capp_jrun *r, const capp_jstr *s, bool keep) {
    capp_jval out = capp_jlist_new(r, CAPP_J_LIST, 0);
    size_t begin = 0;
    for (size_t at = 0, size; at < s->size && r->status == CAPP_OK; at += size) {
        int32_t c = capp_utf8_character(s->text + at, &size);
        bool end = (c >= 10 && c <= 13) || (c >= 0x1c && c <= 0x1e) || c == 0x85 || c == 0x2028 || c == 0x2029;
        if (!end || !capp_jwork(r, 1)) continue;
        size_t line_end = at;
        if (c == '\r' && at + 1 < s->size && s->text[at + 1] == '\n') size = 2;
        capp_jlist_push(r, out, capp_jpart(r, s, begin, (keep ? at + size : line_end) - begin));
        begin = at + size;
    }
    if (begin < s->size) capp_jlist_push(r, out, capp_jpart(r, s, begin, s->size - begin));
    return out;
}

/* ---- Methods ----------------------------------------------------------------------------------------------------- */

enum which {
    STRIP,
    LSTRIP,
    RSTRIP,
    STARTSWITH,
    ENDSWITH,
    SPLIT,
    RSPLIT,
    SPLITLINES,
    LOWER,
    UPPER,
    TITLE,
    CAPITALIZE,
    REPLACE,
    FIND,
    RFIND,
    COUNT,
    JOIN,
    REMOVEPREFIX,
    REMOVESUFFIX,
    ISDIGIT,
    ISALPHA,
    ISALNUM,
    ISSPACE,
    ISUPPER,
    ISLOWER,
    GET,
    ITEMS,
    KEYS,
    VALUES,
    INDEX,
    CYCLE,
    CHANGED,
    FORMAT
};

static const struct {
    capp_jkind kind;
    const char *name;
    enum which which;
    const char *parameters; /* as of capp_jbind; NULL: looked at apart */
    size_t least;           /* arguments that must be there */
} methods[] = {
    {CAPP_J_STR, "strip", STRIP, "chars", 0},
    {CAPP_J_STR, "lstrip", LSTRIP, "chars", 0},
    {CAPP_J_STR, "rstrip", RSTRIP, "chars", 0},
    {CAPP_J_STR, "startswith", STARTSWITH, "prefix", 1},
    {CAPP_J_STR, "endswith", ENDSWITH, "suffix", 1},
    {CAPP_J_STR, "split", SPLIT, "sep maxsplit", 0},
    {CAPP_J_STR, "rsplit", RSPLIT, "sep maxsplit", 0},
    {CAPP_J_STR, "splitlines", SPLITLINES, "keepends", 0},
    {CAPP_J_STR, "lower", LOWER, "", 0},
    {CAPP_J_STR, "upper", UPPER, "", 0},
    {CAPP_J_STR, "title", TITLE, "", 0},
    {CAPP_J_STR, "capitalize", CAPITALIZE, "", 0},
    {CAPP_J_STR, "replace", REPLACE, "old new count", 2},
    {CAPP_J_STR, "find", FIND, "sub", 1},
    {CAPP_J_STR, "rfind", RFIND, "sub", 1},
    {CAPP_J_STR, "count", COUNT, "sub", 1},
    {CAPP_J_STR, "join", JOIN, "iterable", 1},
    {CAPP_J_STR, "removeprefix", REMOVEPREFIX, "prefix", 1},
    {CAPP_J_STR, "removesuffix", REMOVESUFFIX, "suffix", 1},
    {CAPP_J_STR, "isdigit", ISDIGIT, "", 0},
    {CAPP_J_STR, "isalpha", ISALPHA, "", 0},
    {CAPP_J_STR, "isalnum", ISALNUM, "", 0},
    {CAPP_J_STR, "isspace", ISSPACE, "", 0},
    {CAPP_J_STR, "isupper", ISUPPER, "", 0},
    {CAPP_J_STR, "islower", ISLOWER, "", 0},
    {CAPP_J_STR, "format", FORMAT, NULL, 0},
    {CAPP_J_DICT, "get", GET, "key default", 1},
    {CAPP_J_DICT, "items", ITEMS, "", 0},
    {CAPP_J_DICT, "keys", KEYS, "", 0},
    {CAPP_J_DICT, "values", VALUES, "", 0},
    {CAPP_J_LIST, "index", INDEX, "value", 1},
    {CAPP_J_LIST, "count", COUNT, "value", 1},
    {CAPP_J_TUPLE, "index", INDEX, "value", 1},
    {CAPP_J_TUPLE, "count", COUNT, "value", 1},
    {CAPP_J_LOOP, "cycle", CYCLE, NULL, 1},
    {CAPP_J_LOOP, "changed", CHANGED, NULL, 0},
};
enum { N_METHODS = sizeof methods / sizeof methods[0] };

/* What Python's types have besides: an error, not an undefined value. */
static const struct {
    capp_jkind kind;
    const char *names; /* between spaces */
} unknown[] = {
    {CAPP_J_STR, " casefold center encode expandtabs format_map index isascii isdecimal isidentifier isnumeric "
                 "isprintable istitle ljust maketrans partition rindex rjust rpartition swapcase translate zfill "},
    {CAPP_J_DICT, " clear copy fromkeys pop popitem setdefault update "},
    {CAPP_J_LIST, " append clear copy extend insert pop remove reverse sort "},
    {CAPP_J_INT,
     " as_integer_ratio bit_count bit_length conjugate denominator from_bytes imag numerator real to_bytes "},
    {CAPP_J_FLOAT, " as_integer_ratio conjugate fromhex hex imag is_integer real "},
    {CAPP_J_MACRO, " name arguments catch_kwargs catch_varargs caller "},
};

static bool is_listed(const char *names, capp_str name) {
    for (const char *at = names + 1; *at; at += strcspn(at, " ") + 1)
        if (strcspn(at, " ") == name.size && !memcmp(at, name.data, name.size)) return true;
    return false;
}

capp_jval capp_jmethod_of(capp_jrun *r, capp_jval self, capp_str name) {
    size_t row = 0;
    while (row < N_METHODS && (methods[row].kind != self.kind || strlen(methods[row].name) != name.size ||
                               memcmp(methods[row].name, name.data, name.size) != 0))
        row++;
    bool known = row < N_METHODS;
    for (size_t i = 0; !known && i < sizeof unknown / sizeof unknown[0]; i++)
        if (unknown[i].kind == self.kind && is_listed(unknown[i].names, name)) known = true;
    if (!known) return capp_jundefined(r, name);
    capp_jmethod *method = capp_jtake(r, 1, sizeof *method);
    if (!method) return nothing;
    *method = (capp_jmethod){self, (int)row};
    if (row < N_METHODS) return (capp_jval){.kind = CAPP_J_METHOD, .of.method = method};
    return capp_jfail(r, CAPP_EUNSUPPORTED, "'%.*s' of a %s is not supported", (int)name.size, name.data,
                      capp_jkind_name(self));
}

static bool has_affix(const capp_jstr *s, capp_jval affix, bool suffix) {
    if (affix.kind != CAPP_J_STR) return false;
    const capp_jstr *a = affix.of.str;
    return a->size <= s->size && !memcmp(s->text + (suffix ? s->size - a->size : 0), a->text, a->size);
}

/* startswith and endswith take a text or a tuple of them. */
static capp_jval with_affix(capp_jrun *r, const capp_jstr *s, capp_jval affix, bool suffix) {
    if (affix.kind != CAPP_J_TUPLE) {
        if (affix.kind == CAPP_J_STR) return capp_jbool(has_affix(s, affix, suffix));
        return capp_jfail_kind(r, "startswith or endswith of", affix);
    }
    for (size_t i = 0; i < affix.of.list->n; i++)
        if (has_affix(s, affix.of.list->at[i], suffix)) return capp_jbool(true);
    return capp_jbool(false);
}

static capp_jval without_affix(capp_jrun *r, const capp_jstr *s, capp_jval affix, bool suffix) {
    bool has = has_affix(s, affix, suffix);
    size_t size = has ? s->size - affix.of.str->size : s->size;
    return capp_jpart(r, s, has && !suffix ? affix.of.str->size : 0, size);
}

static bool is_of(int32_t c, enum which which) {
    utf8proc_category_t category = utf8proc_category(c);
    bool letter = category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO;
    bool digit = category == UTF8PROC_CATEGORY_ND;
    return which == ISSPACE   ? capp_jis_space(c)
           : which == ISALPHA ? letter
           : which == ISDIGIT ? digit
                              : letter || digit;
}

/* isdigit and isalnum know ASCII and decimal digits: of the rest of Unicode's numbers Python knows more. */
static capp_jval consists_of(capp_jrun *r, const capp_jstr *s, enum which which) {
    bool all = s->size > 0;
    for (size_t at = 0, size; all && at < s->size && capp_jwork(r, 1); at += size) {
        int32_t c = capp_utf8_character(s->text + at, &size);
        utf8proc_category_t category = utf8proc_category(c);
        bool odd = category == UTF8PROC_CATEGORY_NO || category == UTF8PROC_CATEGORY_NL;
        if (odd && (which == ISDIGIT || which == ISALNUM))
            return capp_jfail(r, CAPP_EUNSUPPORTED, "whether U+%04X is a digit is not supported", (unsigned)c);
        all = is_of(c, which);
    }
    return capp_jbool(all);
}

static capp_jval count_in(capp_jrun *r, const capp_jstr *s, const capp_jstr *part) {
    int64_t n = 0;
    if (!part) return nothing;
    if (!part->size) return capp_jint((int64_t)capp_jcharacters(s) + 1);
    for (size_t at = 0; (at = find_from(r, s, at, part)) != SIZE_MAX; at += part->size) n++;
    return capp_jint(n);
}

static capp_jval find_in(capp_jrun *r, const capp_jstr *s, const capp_jstr *part, bool back) {
    size_t at = back ? find_back(r, s, s->size, part) : find_from(r, s, 0, part);
    if (at == SIZE_MAX) return capp_jint(-1);
    return capp_jint((int64_t)capp_jcharacters(&(capp_jstr){s->text, s->given, at}));
}

static capp_jval join_strings(capp_jrun *r, const capp_jstr *between, capp_jval of) {
    capp_jval items = capp_jwalk(r, of);
    for (size_t i = 0; r->status == CAPP_OK && i < items.of.list->n; i++)
        if (items.of.list->at[i].kind != CAPP_J_STR) capp_jfail_kind(r, "join of a text and", items.of.list->at[i]);
    return r->status == CAPP_OK ? capp_jjoin(r, between, items.of.list) : nothing;
}

/* A field of a format: whether it is a number, *i, or a name; anything else is more than capp knows. */
static bool read_field(capp_str field, size_t *i, bool *named) {
    bool digits = true, word = true;
    *i = 0;
    for (size_t k = 0; k < field.size; k++) {
        char c = field.data[k];
        bool digit = c >= '0' && c <= '9', letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        digits = digits && digit;
        word = word && (letter || (k && digit));
        if (digits && k < 9) *i = *i * 10 + (size_t)(c - '0');
    }
    *named = field.size && !digits;
    return *named ? word : field.size <= 9;
}

/* The argument that it stands for; NULL and a failure where there is none. *next: how many fields without number or
 * name there were before; -1: those before had numbers. */
static const capp_jval *argument_of(capp_jrun *r, const capp_jargs *args, capp_str field, int64_t *next) {
    size_t i;
    bool named;
    if (!read_field(field, &i, &named)) {
        capp_jfail(r, CAPP_EUNSUPPORTED, "a format with more in its braces than a number or a name is not supported");
        return NULL;
    }
    for (size_t k = 0; named && k < args->n_named; k++)
        if (args->names[k].size == field.size && !memcmp(args->names[k].data, field.data, field.size))
            return &args->at[args->n + k];
    bool mixed = !named && (field.size ? *next > 0 : *next < 0);
    if (!named && !mixed) {
        if (!field.size) i = (size_t)(*next)++;
        if (field.size) *next = -1;
        if (i < args->n) return &args->at[i];
    }
    capp_jfail(r, CAPP_EINVAL, "a format with %s",
               mixed ? "fields with and without numbers" : "more fields than arguments");
    return NULL;
}

/* str.format. */
static capp_jval format(capp_jrun *r, const capp_jstr *s, const capp_jargs *args) {
    capp_jbuffer b = {0};
    int64_t next = 0;
    for (size_t at = 0; at < s->size && r->status == CAPP_OK;) {
        size_t end = at;
        char c = s->text[at];
        while (end < s->size && s->text[end] != '{' && s->text[end] != '}') end++;
        bool twice = end == at && at + 1 < s->size && s->text[at + 1] == c;
        if (end > at || twice) {
            const capp_jstr part = {s->text + at, s->given + at, twice ? 1 : end - at};
            capp_jput(r, &b, &part);
            at = twice ? at + 2 : end;
            continue;
        }
        const char *close = c == '{' ? memchr(s->text + at, '}', s->size - at) : NULL;
        if (!close) return capp_jfail(r, CAPP_EINVAL, "a single brace in a format");
        size_t size = (size_t)(close - s->text) - at - 1;
        const capp_jval *value = argument_of(r, args, (capp_str){s->text + at + 1, size}, &next);
        if (value) capp_jput(r, &b, capp_jtext(r, *value));
        at += size + 2;
    }
    return capp_jbuffer_str(r, &b);
}

static bool is_missing(capp_jval v) {
    return v.kind == CAPP_J_UNDEFINED || v.kind == CAPP_J_NONE;
}

static capp_jval str_method(capp_jrun *r, const capp_jstr *s, enum which which, const capp_jval *a) {
    static const capp_jcase cases[] = {CAPP_J_LOWER, CAPP_J_UPPER, CAPP_J_TITLE, CAPP_J_CAPITAL};
    int64_t most = -1;
    bool whole = a[0].kind == CAPP_J_STR;
    switch (which) {
    case STRIP:
    case LSTRIP:
    case RSTRIP: return capp_jstrip(r, s, whole ? a[0].of.str : NULL, which != RSTRIP, which != LSTRIP);
    case STARTSWITH:
    case ENDSWITH: return with_affix(r, s, a[0], which == ENDSWITH);
    case SPLIT:
    case RSPLIT:
        if (!is_missing(a[1]) && !capp_jinteger(a[1], &most))
            return capp_jfail(r, CAPP_EINVAL, "maxsplit is no number");
        if (whole) return split(r, s, a[0].of.str, most, which == RSPLIT);
        if (which == SPLIT || most < 0) return split_words(r, s, most);
        return capp_jfail(r, CAPP_EUNSUPPORTED, "rsplit of words is not supported");
    case SPLITLINES: return capp_jsplit_lines(r, s, capp_jtruth(a[0]));
    case LOWER:
    case UPPER:
    case TITLE:
    case CAPITALIZE: return capp_jchange_case(r, s, cases[which - LOWER]);
    case REPLACE:
        if (a[2].kind != CAPP_J_UNDEFINED && !capp_jinteger(a[2], &most))
            return capp_jfail(r, CAPP_EINVAL, "the count of replace is no number");
        return capp_jreplace(r, s, a[0].of.str, a[1].of.str, most);
    case FIND:
    case RFIND: return find_in(r, s, a[0].of.str, which == RFIND);
    case COUNT: return count_in(r, s, a[0].of.str);
    case JOIN: return join_strings(r, s, a[0]);
    case REMOVEPREFIX:
    case REMOVESUFFIX: return without_affix(r, s, a[0], which == REMOVESUFFIX);
    case ISUPPER:
    case ISLOWER: return capp_jbool(capp_jis_case(s, which == ISUPPER));
    default: return consists_of(r, s, which);
    }
}

static capp_jval dict_view(capp_jrun *r, const capp_jdict *dict, enum which which) {
    capp_jval out = capp_jlist_new(r, CAPP_J_VIEW, dict->n);
    for (size_t i = 0; i < dict->n && r->status == CAPP_OK; i++) {
        capp_jval item = which == KEYS ? dict->keys[i] : dict->values[i];
        if (which == ITEMS) {
            item = capp_jlist_new(r, CAPP_J_TUPLE, 2);
            capp_jlist_push(r, item, dict->keys[i]);
            capp_jlist_push(r, item, dict->values[i]);
        }
        capp_jlist_push(r, out, item);
    }
    return out;
}

static capp_jval list_method(capp_jrun *r, const capp_jlist *list, enum which which, capp_jval value) {
    int64_t n = 0;
    for (size_t i = 0; i < list->n && r->status == CAPP_OK; i++) {
        bool equal = capp_jequal(r, list->at[i], value);
        if (equal && which == INDEX) return capp_jint((int64_t)i);
        n += equal;
    }
    return which == COUNT ? capp_jint(n) : capp_jfail(r, CAPP_EINVAL, "index of what is not in the list");
}

static capp_jval loop_method(capp_jrun *r, capp_jloop *loop, enum which which, const capp_jargs *args) {
    if (which == CYCLE) return args->at[loop->index % args->n];
    capp_jval values = capp_jlist_new(r, CAPP_J_TUPLE, args->n);
    for (size_t i = 0; i < args->n; i++) capp_jlist_push(r, values, args->at[i]);
    bool changed = loop->changed.kind == CAPP_J_UNDEFINED || !capp_jequal(r, loop->changed, values);
    loop->changed = values;
    return capp_jbool(changed);
}

capp_jval capp_jmethod_call(capp_jrun *r, const capp_jmethod *method, const capp_jargs *args) {
    capp_jval a[CAPP_J_MOST_PARAMETERS] = {nothing}, self = method->self;
    const char *name = methods[method->which].name, *parameters = methods[method->which].parameters;
    enum which which = methods[method->which].which;
    size_t least = methods[method->which].least;
    if (args->n + args->n_named < least) return capp_jfail(r, CAPP_EINVAL, "%s needs %zu arguments", name, least);
    if (which == FORMAT) return format(r, self.of.str, args);
    if (!parameters) return loop_method(r, self.of.loop, which, args);
    if (!capp_jbind(r, name, parameters, args, a)) return nothing;
    bool texts = which == REPLACE || which == FIND || which == RFIND || which == REMOVEPREFIX || which == REMOVESUFFIX;
    bool stripping = which == STRIP || which == LSTRIP || which == RSTRIP || which == SPLIT || which == RSPLIT;
    bool bad = self.kind == CAPP_J_STR && (texts || which == COUNT) && a[0].kind != CAPP_J_STR;
    bad = bad || (stripping && args->n + args->n_named && a[0].kind != CAPP_J_STR && !is_missing(a[0]));
    if (bad || (which == REPLACE && a[1].kind != CAPP_J_STR)) {
        char what[60];
        snprintf(what, sizeof what, "the argument of %s is", name);
        return capp_jfail_kind(r, what, a[bad ? 0 : 1]);
    }
    if (self.kind == CAPP_J_STR) return str_method(r, self.of.str, which, a);
    if (capp_jis_list(self)) return list_method(r, self.of.list, which, a[0]);
    if (which != GET) return dict_view(r, self.of.dict, which);
    const capp_jval *found = capp_jhashable(r, a[0]) ? capp_jdict_get(r, self.of.dict, a[0]) : NULL;
    return found ? *found : args->n + args->n_named > 1 ? a[1] : capp_jnone();
}
