#include "jinja/methods.h"

#include <stdio.h>
#include <string.h>
#include <utf8proc.h>

#include "base/utf8.h"
#include "jinja/arguments.h"
#include "jinja/characters.h"
#include "jinja/strings.h"
#include "jinja/text.h"

static const capp_jinja_value nothing = {.kind = CAPP_JINJA_UNDEFINED};

typedef enum method_id {
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
} method_id;

static const struct {
    capp_jinja_kind kind;
    const char *name;
    method_id id;
    const char *parameters; /* see capp_jinja_bind_arguments; NULL: the method reads its arguments itself */
    size_t least;           /* smallest number of arguments */
} methods[] = {
    {CAPP_JINJA_STRING, "strip", STRIP, "chars", 0},
    {CAPP_JINJA_STRING, "lstrip", LSTRIP, "chars", 0},
    {CAPP_JINJA_STRING, "rstrip", RSTRIP, "chars", 0},
    {CAPP_JINJA_STRING, "startswith", STARTSWITH, "prefix", 1},
    {CAPP_JINJA_STRING, "endswith", ENDSWITH, "suffix", 1},
    {CAPP_JINJA_STRING, "split", SPLIT, "sep maxsplit", 0},
    {CAPP_JINJA_STRING, "rsplit", RSPLIT, "sep maxsplit", 0},
    {CAPP_JINJA_STRING, "splitlines", SPLITLINES, "keepends", 0},
    {CAPP_JINJA_STRING, "lower", LOWER, "", 0},
    {CAPP_JINJA_STRING, "upper", UPPER, "", 0},
    {CAPP_JINJA_STRING, "title", TITLE, "", 0},
    {CAPP_JINJA_STRING, "capitalize", CAPITALIZE, "", 0},
    {CAPP_JINJA_STRING, "replace", REPLACE, "old new count", 2},
    {CAPP_JINJA_STRING, "find", FIND, "sub", 1},
    {CAPP_JINJA_STRING, "rfind", RFIND, "sub", 1},
    {CAPP_JINJA_STRING, "count", COUNT, "sub", 1},
    {CAPP_JINJA_STRING, "join", JOIN, "iterable", 1},
    {CAPP_JINJA_STRING, "removeprefix", REMOVEPREFIX, "prefix", 1},
    {CAPP_JINJA_STRING, "removesuffix", REMOVESUFFIX, "suffix", 1},
    {CAPP_JINJA_STRING, "isdigit", ISDIGIT, "", 0},
    {CAPP_JINJA_STRING, "isalpha", ISALPHA, "", 0},
    {CAPP_JINJA_STRING, "isalnum", ISALNUM, "", 0},
    {CAPP_JINJA_STRING, "isspace", ISSPACE, "", 0},
    {CAPP_JINJA_STRING, "isupper", ISUPPER, "", 0},
    {CAPP_JINJA_STRING, "islower", ISLOWER, "", 0},
    {CAPP_JINJA_STRING, "format", FORMAT, NULL, 0},
    {CAPP_JINJA_DICT, "get", GET, "key default", 1},
    {CAPP_JINJA_DICT, "items", ITEMS, "", 0},
    {CAPP_JINJA_DICT, "keys", KEYS, "", 0},
    {CAPP_JINJA_DICT, "values", VALUES, "", 0},
    {CAPP_JINJA_LIST, "index", INDEX, "value", 1},
    {CAPP_JINJA_LIST, "count", COUNT, "value", 1},
    {CAPP_JINJA_TUPLE, "index", INDEX, "value", 1},
    {CAPP_JINJA_TUPLE, "count", COUNT, "value", 1},
    {CAPP_JINJA_LOOP, "cycle", CYCLE, NULL, 1},
    {CAPP_JINJA_LOOP, "changed", CHANGED, NULL, 0},
};
enum { N_METHODS = sizeof methods / sizeof methods[0] };

/* Other attributes of Python's types: their use is an error, not an undefined value. */
static const struct {
    capp_jinja_kind kind;
    const char *names; /* separated by spaces, with one at each end */
} unknown[] = {
    {CAPP_JINJA_STRING,
     " casefold center encode expandtabs format_map index isascii isdecimal isidentifier isnumeric "
     "isprintable istitle ljust maketrans partition rindex rjust rpartition swapcase translate zfill "},
    {CAPP_JINJA_DICT, " clear copy fromkeys pop popitem setdefault update "},
    {CAPP_JINJA_LIST, " append clear copy extend insert pop remove reverse sort "},
    {CAPP_JINJA_INTEGER,
     " as_integer_ratio bit_count bit_length conjugate denominator from_bytes imag numerator real to_bytes "},
    {CAPP_JINJA_FLOAT, " as_integer_ratio conjugate fromhex hex imag is_integer real "},
    {CAPP_JINJA_MACRO, " name arguments catch_kwargs catch_varargs caller "},
};

static bool is_listed(const char *names, capp_str name) {
    for (const char *at = names + 1; *at; at += strcspn(at, " ") + 1)
        if (strcspn(at, " ") == name.size && !memcmp(at, name.data, name.size)) return true;
    return false;
}

capp_jinja_value capp_jinja_find_method(capp_jinja_run *run, capp_jinja_value self, capp_str name) {
    size_t row = 0;
    while (row < N_METHODS && (methods[row].kind != self.kind || strlen(methods[row].name) != name.size ||
                               memcmp(methods[row].name, name.data, name.size) != 0))
        row++;
    bool known = row < N_METHODS;
    for (size_t i = 0; !known && i < sizeof unknown / sizeof unknown[0]; i++)
        if (unknown[i].kind == self.kind && is_listed(unknown[i].names, name)) known = true;
    if (!known) return capp_jinja_undefined(run, name);
    capp_jinja_method *method = capp_jinja_allocate(run, 1, sizeof *method);
    if (!method) return nothing;
    *method = (capp_jinja_method){self, (int)row};
    if (row < N_METHODS) return (capp_jinja_value){.kind = CAPP_JINJA_METHOD, .method = method};
    return capp_jinja_fail(run, CAPP_EUNSUPPORTED, "the attribute or method '%.*s' of a %s is not supported",
                           (int)name.size, name.data, capp_jinja_kind_name(self));
}

static bool has_affix(const capp_jinja_string *s, capp_jinja_value affix, bool suffix) {
    if (affix.kind != CAPP_JINJA_STRING) return false;
    const capp_jinja_string *a = affix.string;
    return a->size <= s->size && !memcmp(s->text + (suffix ? s->size - a->size : 0), a->text, a->size);
}

/* startswith and endswith take a text or a tuple of them. */
static capp_jinja_value with_affix(capp_jinja_run *run, const capp_jinja_string *s, capp_jinja_value affix,
                                   bool suffix) {
    if (affix.kind != CAPP_JINJA_TUPLE) {
        if (affix.kind == CAPP_JINJA_STRING) return capp_jinja_boolean(has_affix(s, affix, suffix));
        return capp_jinja_fail_kind(run, "startswith and endswith need a text or a tuple of texts, not", affix);
    }
    for (size_t i = 0; i < affix.list->n; i++)
        if (has_affix(s, affix.list->items[i], suffix)) return capp_jinja_boolean(true);
    return capp_jinja_boolean(false);
}

static capp_jinja_value without_affix(capp_jinja_run *run, const capp_jinja_string *s, capp_jinja_value affix,
                                      bool suffix) {
    bool has = has_affix(s, affix, suffix);
    size_t size = has ? s->size - affix.string->size : s->size;
    return capp_jinja_substring(run, s, has && !suffix ? affix.string->size : 0, size);
}

static bool is_of(int32_t c, method_id id) {
    utf8proc_category_t category = utf8proc_category(c);
    bool letter = category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO;
    bool digit = category == UTF8PROC_CATEGORY_ND;
    return id == ISSPACE ? capp_jinja_is_space(c) : id == ISALPHA ? letter : id == ISDIGIT ? digit : letter || digit;
}

/* isdigit and isalnum know decimal digits. Python also counts some of Unicode's other numbers as digits: those are not
 * supported. */
static capp_jinja_value consists_of(capp_jinja_run *run, const capp_jinja_string *s, method_id id) {
    bool all = s->size > 0;
    for (size_t at = 0, size; all && at < s->size && capp_jinja_count_steps(run, 1); at += size) {
        int32_t c = capp_utf8_character(s->text + at, &size);
        utf8proc_category_t category = utf8proc_category(c);
        bool odd = category == UTF8PROC_CATEGORY_NO || category == UTF8PROC_CATEGORY_NL;
        if (odd && (id == ISDIGIT || id == ISALNUM))
            return capp_jinja_fail(run, CAPP_EUNSUPPORTED, "isdigit and isalnum of U+%04X are not supported",
                                   (unsigned)c);
        all = is_of(c, id);
    }
    return capp_jinja_boolean(all);
}

static capp_jinja_value count_in(capp_jinja_run *run, const capp_jinja_string *s, const capp_jinja_string *part) {
    int64_t n = 0;
    if (!part) return nothing;
    if (!part->size) return capp_jinja_integer((int64_t)capp_jinja_count_characters(s) + 1);
    for (size_t at = 0; (at = capp_jinja_find_first(run, s, at, part)) != SIZE_MAX; at += part->size) n++;
    return capp_jinja_integer(n);
}

static capp_jinja_value find_in(capp_jinja_run *run, const capp_jinja_string *s, const capp_jinja_string *part,
                                bool back) {
    size_t at = back ? capp_jinja_find_last(run, s, s->size, part) : capp_jinja_find_first(run, s, 0, part);
    if (at == SIZE_MAX) return capp_jinja_integer(-1);
    return capp_jinja_integer((int64_t)capp_jinja_count_characters(&(capp_jinja_string){s->text, s->given, at}));
}

static capp_jinja_value join_strings(capp_jinja_run *run, const capp_jinja_string *between, capp_jinja_value of) {
    capp_jinja_value items = capp_jinja_iterate(run, of);
    for (size_t i = 0; run->status == CAPP_OK && i < items.list->n; i++)
        if (items.list->items[i].kind != CAPP_JINJA_STRING)
            capp_jinja_fail_kind(run, "join needs texts, not", items.list->items[i]);
    return run->status == CAPP_OK ? capp_jinja_join(run, between, items.list) : nothing;
}

/* Reads a field of a format: a number (*i) or a name. False: it is neither. */
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

/* The argument of a field; returns NULL and fails if there is none. *next: number of fields without number or name
 * before this one; -1: the fields before it had numbers. */
static const capp_jinja_value *argument_of(capp_jinja_run *run, const capp_jinja_arguments *args, capp_str field,
                                           int64_t *next) {
    size_t i;
    bool named;
    if (!read_field(field, &i, &named)) {
        capp_jinja_fail(run, CAPP_EUNSUPPORTED,
                        "format: braces with more than a number or a name in them are not supported");
        return NULL;
    }
    for (size_t k = 0; named && k < args->n_named; k++)
        if (args->names[k].size == field.size && !memcmp(args->names[k].data, field.data, field.size))
            return &args->values[args->n + k];
    bool mixed = !named && (field.size ? *next > 0 : *next < 0);
    if (!named && !mixed) {
        if (!field.size) i = (size_t)(*next)++;
        if (field.size) *next = -1;
        if (i < args->n) return &args->values[i];
    }
    capp_jinja_fail(run, CAPP_EINVAL, "format: %s",
                    mixed ? "a format cannot mix fields with and without numbers" : "a field has no argument");
    return NULL;
}

/* str.format. */
static capp_jinja_value format(capp_jinja_run *run, const capp_jinja_string *s, const capp_jinja_arguments *args) {
    capp_jinja_buffer b = {0};
    int64_t next = 0;
    for (size_t at = 0; at < s->size && run->status == CAPP_OK;) {
        size_t end = at;
        char c = s->text[at];
        while (end < s->size && s->text[end] != '{' && s->text[end] != '}') end++;
        bool twice = end == at && at + 1 < s->size && s->text[at + 1] == c;
        if (end > at || twice) {
            const capp_jinja_string part = {s->text + at, s->given + at, twice ? 1 : end - at};
            capp_jinja_append_string(run, &b, &part);
            at = twice ? at + 2 : end;
            continue;
        }
        const char *close = c == '{' ? memchr(s->text + at, '}', s->size - at) : NULL;
        if (!close) return capp_jinja_fail(run, CAPP_EINVAL, "format: a brace is not closed, or not doubled");
        size_t size = (size_t)(close - s->text) - at - 1;
        const capp_jinja_value *value = argument_of(run, args, (capp_str){s->text + at + 1, size}, &next);
        if (value) capp_jinja_append_string(run, &b, capp_jinja_to_text(run, *value));
        at += size + 2;
    }
    return capp_jinja_buffer_to_string(run, &b);
}

static capp_jinja_value str_method(capp_jinja_run *run, const capp_jinja_string *s, method_id id,
                                   const capp_jinja_value *a) {
    static const capp_jinja_letter_case cases[] = {CAPP_JINJA_LOWER_CASE, CAPP_JINJA_UPPER_CASE, CAPP_JINJA_TITLE_CASE,
                                                   CAPP_JINJA_FIRST_UPPER_CASE};
    int64_t most = -1;
    bool whole = a[0].kind == CAPP_JINJA_STRING;
    switch (id) {
    case STRIP:
    case LSTRIP:
    case RSTRIP: return capp_jinja_strip(run, s, whole ? a[0].string : NULL, id != RSTRIP, id != LSTRIP);
    case STARTSWITH:
    case ENDSWITH: return with_affix(run, s, a[0], id == ENDSWITH);
    case SPLIT:
    case RSPLIT:
        if (!capp_jinja_is_missing(a[1]) && !capp_jinja_get_integer(a[1], &most))
            return capp_jinja_fail(run, CAPP_EINVAL, "maxsplit must be an integer");
        if (whole) return capp_jinja_split(run, s, a[0].string, most, id == RSPLIT);
        if (id == SPLIT || most < 0) return capp_jinja_split_words(run, s, most);
        return capp_jinja_fail(run, CAPP_EUNSUPPORTED, "rsplit without a separator is not supported");
    case SPLITLINES: return capp_jinja_split_lines(run, s, capp_jinja_is_true(a[0]));
    case LOWER:
    case UPPER:
    case TITLE:
    case CAPITALIZE: return capp_jinja_change_case(run, s, cases[id - LOWER]);
    case REPLACE:
        if (a[2].kind != CAPP_JINJA_UNDEFINED && !capp_jinja_get_integer(a[2], &most))
            return capp_jinja_fail(run, CAPP_EINVAL, "the count of replace must be an integer");
        return capp_jinja_replace(run, s, a[0].string, a[1].string, most);
    case FIND:
    case RFIND: return find_in(run, s, a[0].string, id == RFIND);
    case COUNT: return count_in(run, s, a[0].string);
    case JOIN: return join_strings(run, s, a[0]);
    case REMOVEPREFIX:
    case REMOVESUFFIX: return without_affix(run, s, a[0], id == REMOVESUFFIX);
    case ISUPPER:
    case ISLOWER: return capp_jinja_boolean(capp_jinja_has_case(s, id == ISUPPER));
    default: return consists_of(run, s, id);
    }
}

static capp_jinja_value dict_view(capp_jinja_run *run, const capp_jinja_dict *dict, method_id id) {
    capp_jinja_value out = capp_jinja_list_new(run, CAPP_JINJA_VIEW, dict->n);
    for (size_t i = 0; i < dict->n && run->status == CAPP_OK; i++) {
        capp_jinja_value item = id == KEYS ? dict->keys[i] : dict->values[i];
        if (id == ITEMS) {
            item = capp_jinja_list_new(run, CAPP_JINJA_TUPLE, 2);
            capp_jinja_list_append(run, item, dict->keys[i]);
            capp_jinja_list_append(run, item, dict->values[i]);
        }
        capp_jinja_list_append(run, out, item);
    }
    return out;
}

static capp_jinja_value list_method(capp_jinja_run *run, const capp_jinja_list *list, method_id id,
                                    capp_jinja_value value) {
    int64_t n = 0;
    for (size_t i = 0; i < list->n && run->status == CAPP_OK; i++) {
        bool equal = capp_jinja_equal(run, list->items[i], value);
        if (equal && id == INDEX) return capp_jinja_integer((int64_t)i);
        n += equal;
    }
    return id == COUNT ? capp_jinja_integer(n)
                       : capp_jinja_fail(run, CAPP_EINVAL, "index: the list does not have this value");
}

static capp_jinja_value loop_method(capp_jinja_run *run, capp_jinja_loop *loop, method_id id,
                                    const capp_jinja_arguments *args) {
    if (id == CYCLE) return args->values[loop->index % args->n];
    capp_jinja_value values = capp_jinja_list_new(run, CAPP_JINJA_TUPLE, args->n);
    for (size_t i = 0; i < args->n; i++) capp_jinja_list_append(run, values, args->values[i]);
    bool changed = loop->changed.kind == CAPP_JINJA_UNDEFINED || !capp_jinja_equal(run, loop->changed, values);
    loop->changed = values;
    return capp_jinja_boolean(changed);
}

capp_jinja_value capp_jinja_call_method(capp_jinja_run *run, const capp_jinja_method *method,
                                        const capp_jinja_arguments *arguments) {
    capp_jinja_value a[CAPP_JINJA_MAX_PARAMETERS] = {nothing}, self = method->self;
    const char *name = methods[method->row].name, *parameters = methods[method->row].parameters;
    method_id id = methods[method->row].id;
    size_t least = methods[method->row].least;
    if (arguments->n + arguments->n_named < least)
        return capp_jinja_fail(run, CAPP_EINVAL, "%s needs at least %zu argument(s)", name, least);
    if (id == FORMAT) return format(run, self.string, arguments);
    if (!parameters) return loop_method(run, self.loop, id, arguments);
    if (!capp_jinja_bind_arguments(run, name, parameters, arguments, a)) return nothing;
    bool texts = id == REPLACE || id == FIND || id == RFIND || id == REMOVEPREFIX || id == REMOVESUFFIX;
    bool stripping = id == STRIP || id == LSTRIP || id == RSTRIP || id == SPLIT || id == RSPLIT;
    bool bad = self.kind == CAPP_JINJA_STRING && (texts || id == COUNT) && a[0].kind != CAPP_JINJA_STRING;
    bad = bad || (stripping && arguments->n + arguments->n_named && a[0].kind != CAPP_JINJA_STRING &&
                  !capp_jinja_is_missing(a[0]));
    if (bad || (id == REPLACE && a[1].kind != CAPP_JINJA_STRING)) {
        char what[60];
        snprintf(what, sizeof what, "the argument of %s cannot be", name);
        return capp_jinja_fail_kind(run, what, a[bad ? 0 : 1]);
    }
    if (self.kind == CAPP_JINJA_STRING) return str_method(run, self.string, id, a);
    if (capp_jinja_has_list(self)) return list_method(run, self.list, id, a[0]);
    if (id != GET) return dict_view(run, self.dict, id);
    const capp_jinja_value *found =
        capp_jinja_check_hashable(run, a[0]) ? capp_jinja_dict_get(run, self.dict, a[0]) : NULL;
    return found ? *found : arguments->n + arguments->n_named > 1 ? a[1] : capp_jinja_none();
}
