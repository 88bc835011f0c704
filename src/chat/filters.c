/* Filters: value | name(arguments). Those of jinja2 that are not here are an error where they are used. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chat/value.h"
#include "token/unicode.h"

static const capp_jval nothing = {.kind = CAPP_J_UNDEFINED};

typedef capp_jval (*filter_fn)(capp_jrun *r, capp_jval input, const capp_jval *a);

static bool is_name(capp_str name, const char *text) {
    return name.size == strlen(text) && !memcmp(name.data, text, name.size);
}

static capp_jval stream(capp_jrun *r) {
    return capp_jlist_new(r, CAPP_J_STREAM, 0);
}

static capp_jval bad(capp_jrun *r, const char *name, capp_jval v) {
    char what[40];
    snprintf(what, sizeof what, "%s of", name);
    return capp_jfail_kind(r, what, v);
}

/* ---- Of text ----------------------------------------------------------------------------------------------------- */

static capp_jval lower(capp_jrun *r, capp_jval input, const capp_jval *a) {
    (void)a;
    return capp_jchange_case(r, capp_jtext(r, input), CAPP_J_LOWER);
}

static capp_jval upper(capp_jrun *r, capp_jval input, const capp_jval *a) {
    (void)a;
    return capp_jchange_case(r, capp_jtext(r, input), CAPP_J_UPPER);
}

static capp_jval capitalize(capp_jrun *r, capp_jval input, const capp_jval *a) {
    (void)a;
    return capp_jchange_case(r, capp_jtext(r, input), CAPP_J_CAPITAL);
}

/* jinja2's own title: words begin behind spaces, minus signs and opening brackets only. */
static capp_jval title(capp_jrun *r, capp_jval input, const capp_jval *a) {
    (void)a;
    const capp_jstr *s = capp_jtext(r, input);
    capp_jbuffer b = {0};
    bool begins = true;
    for (size_t at = 0, size; at < s->size && r->status == CAPP_OK; at += size) {
        int32_t c = capp_utf8_character(s->text + at, &size);
        const capp_jstr one = {s->text + at, s->given + at, size};
        capp_jval changed = capp_jchange_case(r, &one, begins ? CAPP_J_UPPER : CAPP_J_LOWER);
        if (r->status == CAPP_OK) capp_jput(r, &b, changed.of.str);
        begins = c && c < 0x80 ? strchr("-({[<", c) || capp_jis_space(c) : capp_jis_space(c);
    }
    return capp_jbuffer_str(r, &b);
}

static capp_jval trim(capp_jrun *r, capp_jval input, const capp_jval *a) {
    bool given = a[0].kind != CAPP_J_UNDEFINED && a[0].kind != CAPP_J_NONE;
    if (given && a[0].kind != CAPP_J_STR) return bad(r, "trim by", a[0]);
    return capp_jstrip(r, capp_jtext(r, input), given ? a[0].of.str : NULL, true, true);
}

static capp_jval replace(capp_jrun *r, capp_jval input, const capp_jval *a) {
    int64_t most = -1;
    if (a[2].kind > CAPP_J_NONE && !capp_jinteger(a[2], &most)) return bad(r, "the count of replace", a[2]);
    return capp_jreplace(r, capp_jtext(r, input), capp_jtext(r, a[0]), capp_jtext(r, a[1]), most);
}

static capp_jval to_string(capp_jrun *r, capp_jval input, const capp_jval *a) {
    (void)a;
    const capp_jstr *s = capp_jtext(r, input);
    return capp_jpart(r, s, 0, s->size);
}

/* Lines by str.splitlines, whatever ends them; the first one is not indented unless asked for. */
static capp_jval indent(capp_jrun *r, capp_jval input, const capp_jval *a) {
    int64_t width = 4;
    capp_jbuffer b = {0}, step = {0}, whole = {0};
    bool text = a[0].kind == CAPP_J_STR, first = capp_jtruth(a[1]), blank = capp_jtruth(a[2]);
    if (input.kind != CAPP_J_STR) return bad(r, "indent", input);
    if (!text && a[0].kind != CAPP_J_UNDEFINED && !capp_jinteger(a[0], &width)) return bad(r, "indent by", a[0]);
    for (; !text && width > 0 && r->status == CAPP_OK; width--) capp_jput_text(r, &step, " ");
    capp_jput(r, &whole, input.of.str);
    capp_jput_text(r, &whole, "\n");
    capp_jval made = capp_jbuffer_str(r, &step), all = capp_jbuffer_str(r, &whole);
    if (r->status != CAPP_OK) return nothing;
    const capp_jstr *by = text ? a[0].of.str : made.of.str;
    capp_jval lines = capp_jsplit_lines(r, all.of.str, false);
    for (size_t i = 0; r->status == CAPP_OK && i < lines.of.list->n; i++) {
        const capp_jstr *line = lines.of.list->at[i].of.str;
        if (i) capp_jput_text(r, &b, "\n");
        if (i ? blank || line->size : first) capp_jput(r, &b, by);
        capp_jput(r, &b, line);
    }
    return capp_jbuffer_str(r, &b);
}

static capp_jval to_json(capp_jrun *r, capp_jval input, const capp_jval *a) {
    capp_jbuffer b = {0};
    capp_jval comma = capp_jstr_of(r, ", "), colon = capp_jstr_of(r, ": "), tight = capp_jstr_of(r, ","), by = nothing;
    int64_t width;
    if (a[1].kind == CAPP_J_STR) {
        by = a[1];
    } else if (capp_jinteger(a[1], &width)) {
        if (r->status == CAPP_OK && width > 100) return capp_jfail(r, CAPP_EUNSUPPORTED, "tojson: an indent above 100");
        capp_jbuffer spaces = {0};
        for (; width > 0; width--) capp_jput_text(r, &spaces, " ");
        by = capp_jbuffer_str(r, &spaces);
    } else if (a[1].kind > CAPP_J_NONE) {
        return bad(r, "tojson: an indent", a[1]);
    }
    if (by.kind == CAPP_J_STR) comma = tight;
    if (a[2].kind > CAPP_J_NONE) {
        if (a[2].kind != CAPP_J_TUPLE && a[2].kind != CAPP_J_LIST) return bad(r, "tojson: separators", a[2]);
        if (a[2].of.list->n != 2 || a[2].of.list->at[0].kind != CAPP_J_STR || a[2].of.list->at[1].kind != CAPP_J_STR)
            return bad(r, "tojson: separators", a[2]);
        comma = a[2].of.list->at[0];
        colon = a[2].of.list->at[1];
    }
    if (r->status != CAPP_OK) return nothing;
    const capp_jjson_style style = {.ascii = capp_jtruth(a[0]),
                                    .sorted = capp_jtruth(a[3]),
                                    .indent = by.kind == CAPP_J_STR ? by.of.str : NULL,
                                    .comma = comma.of.str,
                                    .colon = colon.of.str};
    capp_jput_json(r, &b, input, &style);
    return capp_jbuffer_str(r, &b);
}

/* ---- Of numbers -------------------------------------------------------------------------------------------------- */

/* A whole number in decimal, spaces around it; false: no such text. */
static bool text_integer(const capp_jstr *s, int64_t *out) {
    char digits[32];
    size_t n = 0, at = 0, end = s->size;
    while (at < end && capp_jis_space((unsigned char)s->text[at])) at++;
    while (end > at && capp_jis_space((unsigned char)s->text[end - 1])) end--;
    if (end - at >= sizeof digits) return false;
    for (; at < end; at++) digits[n++] = s->text[at];
    digits[n] = 0;
    size_t sign = digits[0] == '-' || digits[0] == '+';
    if (!digits[sign] || strspn(digits + sign, "0123456789") != n - sign) return false;
    errno = 0;
    *out = strtoll(digits, NULL, 10);
    return !errno;
}

static capp_jval to_int(capp_jrun *r, capp_jval input, const capp_jval *a) {
    capp_jval otherwise = a[0].kind == CAPP_J_UNDEFINED ? capp_jint(0) : a[0];
    int64_t value;
    if (capp_jinteger(input, &value)) return capp_jint(value);
    if (input.kind == CAPP_J_FLOAT)
        return isfinite(input.of.number) && fabs(input.of.number) < 0x1p63 ? capp_jint((int64_t)input.of.number)
                                                                           : otherwise;
    if (input.kind == CAPP_J_UNDEFINED) return bad(r, "int", input);
    if (input.kind != CAPP_J_STR) return otherwise;
    if (text_integer(input.of.str, &value)) return capp_jint(value);
    for (size_t i = 0; i < input.of.str->size; i++)
        if (input.of.str->text[i] >= '0' && input.of.str->text[i] <= '9')
            return capp_jfail(r, CAPP_EUNSUPPORTED, "int of a text that is no plain whole number");
    return otherwise;
}

static capp_jval to_float(capp_jrun *r, capp_jval input, const capp_jval *a) {
    int64_t value;
    if (input.kind == CAPP_J_UNDEFINED) return bad(r, "float", input);
    if (capp_jis_number(input)) return capp_jfloat(capp_jnumber(input));
    if (input.kind == CAPP_J_STR && text_integer(input.of.str, &value)) return capp_jfloat((double)value);
    if (input.kind == CAPP_J_STR)
        return capp_jfail(r, CAPP_EUNSUPPORTED, "float of a text that is no plain whole number");
    return a[0].kind == CAPP_J_UNDEFINED ? capp_jfloat(0) : a[0];
}

static capp_jval absolute(capp_jrun *r, capp_jval input, const capp_jval *a) {
    (void)a;
    int64_t value;
    if (capp_jinteger(input, &value) && value > INT64_MIN) return capp_jint(value < 0 ? -value : value);
    return input.kind == CAPP_J_FLOAT ? capp_jfloat(fabs(input.of.number)) : bad(r, "abs", input);
}

static capp_jval length(capp_jrun *r, capp_jval input, const capp_jval *a) {
    (void)a;
    switch (input.kind) {
    case CAPP_J_UNDEFINED: return capp_jint(0);
    case CAPP_J_STR: return capp_jint((int64_t)capp_jcharacters(input.of.str));
    case CAPP_J_LIST:
    case CAPP_J_TUPLE:
    case CAPP_J_VIEW: return capp_jint((int64_t)input.of.list->n);
    case CAPP_J_DICT: return capp_jint((int64_t)input.of.dict->n);
    case CAPP_J_LOOP: return capp_jint((int64_t)input.of.loop->items->n);
    default: return bad(r, "length", input);
    }
}

/* ---- Of sequences ------------------------------------------------------------------------------------------------ */

static capp_jval otherwise(capp_jrun *r, capp_jval input, const capp_jval *a) {
    bool missing = input.kind == CAPP_J_UNDEFINED || (capp_jtruth(a[1]) && !capp_jtruth(input));
    if (!missing) return input;
    return a[0].kind == CAPP_J_UNDEFINED && !a[0].of.name ? capp_jstr_of(r, "") : a[0];
}

static capp_jval first(capp_jrun *r, capp_jval input, const capp_jval *a) {
    (void)a;
    if (input.kind == CAPP_J_STREAM) {
        capp_jlist *list = input.of.list;
        return list->taken < list->n ? list->at[list->taken++] : capp_jundefined(r, capp_str_of("first of nothing"));
    }
    capp_jval items = capp_jwalk(r, input);
    if (r->status != CAPP_OK) return nothing;
    return items.of.list->n ? items.of.list->at[0] : capp_jundefined(r, capp_str_of("first of nothing"));
}

static capp_jval last(capp_jrun *r, capp_jval input, const capp_jval *a) {
    (void)a;
    if (input.kind == CAPP_J_STREAM) return bad(r, "last", input);
    capp_jval items = capp_jwalk(r, input);
    if (r->status != CAPP_OK) return nothing;
    size_t n = items.of.list->n;
    return n ? items.of.list->at[n - 1] : capp_jundefined(r, capp_str_of("last of nothing"));
}

static capp_jval to_list(capp_jrun *r, capp_jval input, const capp_jval *a) {
    (void)a;
    capp_jval items = capp_jwalk(r, input);
    if (r->status != CAPP_OK) return nothing;
    capp_jval out = capp_jlist_new(r, CAPP_J_LIST, items.of.list->n);
    for (size_t i = 0; i < items.of.list->n && r->status == CAPP_OK; i++) capp_jlist_push(r, out, items.of.list->at[i]);
    return out;
}

static capp_jval reverse(capp_jrun *r, capp_jval input, const capp_jval *a) {
    capp_jval items = to_list(r, input, a), out = stream(r);
    capp_jbuffer b = {0};
    if (r->status == CAPP_OK && input.kind == CAPP_J_STREAM) return bad(r, "reverse", input);
    for (size_t i = r->status == CAPP_OK ? items.of.list->n : 0; i-- > 0 && r->status == CAPP_OK;) {
        if (input.kind == CAPP_J_STR)
            capp_jput(r, &b, items.of.list->at[i].of.str);
        else
            capp_jlist_push(r, out, items.of.list->at[i]);
    }
    return input.kind == CAPP_J_STR ? capp_jbuffer_str(r, &b) : out;
}

static capp_jval items_of(capp_jrun *r, capp_jval input, const capp_jval *a) {
    (void)a;
    capp_jval out = stream(r);
    if (input.kind == CAPP_J_UNDEFINED) return out;
    if (input.kind != CAPP_J_DICT) return bad(r, "items", input);
    for (size_t i = 0; i < input.of.dict->n && r->status == CAPP_OK; i++) {
        capp_jval pair = capp_jlist_new(r, CAPP_J_TUPLE, 2);
        capp_jlist_push(r, pair, input.of.dict->keys[i]);
        capp_jlist_push(r, pair, input.of.dict->values[i]);
        capp_jlist_push(r, out, pair);
    }
    return out;
}

/* A part by its name, "function.name", as map and the like take it. */
static capp_jval part_of(capp_jrun *r, capp_jval item, capp_jval attribute) {
    if (attribute.kind != CAPP_J_STR) return capp_jitem(r, item, attribute);
    const capp_jstr *s = attribute.of.str;
    for (size_t at = 0; at <= s->size && r->status == CAPP_OK;) {
        const char *dot = at < s->size ? memchr(s->text + at, '.', s->size - at) : NULL;
        size_t end = dot ? (size_t)(dot - s->text) : s->size;
        capp_jval key = capp_jpart(r, s, at, end - at);
        int64_t index;
        if (r->status == CAPP_OK && text_integer(key.of.str, &index)) key = capp_jint(index);
        item = capp_jitem(r, item, key);
        at = end + 1;
    }
    return item;
}

static capp_jval join(capp_jrun *r, capp_jval input, const capp_jval *a) {
    capp_jval items = to_list(r, input, a);
    if (r->status != CAPP_OK) return nothing;
    bool parts = a[1].kind > CAPP_J_NONE;
    for (size_t i = 0; parts && i < items.of.list->n && r->status == CAPP_OK; i++)
        items.of.list->at[i] = part_of(r, items.of.list->at[i], a[1]);
    return r->status == CAPP_OK ? capp_jjoin(r, capp_jtext(r, a[0]), items.of.list) : nothing;
}

/* What sort, unique, min and max compare: texts in lower case, unless the case counts. */
static capp_jval sort_key(capp_jrun *r, capp_jval item, bool exact, capp_jval attribute) {
    if (attribute.kind > CAPP_J_NONE) item = part_of(r, item, attribute);
    return item.kind == CAPP_J_STR && !exact ? capp_jchange_case(r, item.of.str, CAPP_J_LOWER) : item;
}

static capp_jval keys_of(capp_jrun *r, capp_jval items, bool exact, capp_jval attribute) {
    capp_jval keys = capp_jlist_new(r, CAPP_J_LIST, 0);
    for (size_t i = 0; r->status == CAPP_OK && i < items.of.list->n; i++)
        capp_jlist_push(r, keys, sort_key(r, items.of.list->at[i], exact, attribute));
    return keys;
}

/* Stable, by insertion: lists in templates are short, and steps are counted. equals: keys that are equal need no order,
 * as where Python compares lists of them. */
static void sort_by(capp_jrun *r, capp_jlist *items, capp_jlist *keys, bool down, bool equals) {
    for (size_t i = 1; i < items->n && r->status == CAPP_OK; i++) {
        capp_jval item = items->at[i], key = keys->at[i];
        size_t k = i;
        for (; k && capp_jwork(r, 1); k--) {
            bool equal = equals && capp_jequal(r, keys->at[k - 1], key);
            int order = equal ? 0 : capp_jcompare(r, keys->at[k - 1], key, "<");
            if (down ? order >= 0 : order <= 0) break;
            items->at[k] = items->at[k - 1];
            keys->at[k] = keys->at[k - 1];
        }
        items->at[k] = item;
        keys->at[k] = key;
    }
}

static capp_jval sort(capp_jrun *r, capp_jval input, const capp_jval *a) {
    capp_jval items = to_list(r, input, a);
    if (a[2].kind == CAPP_J_STR && a[2].of.str->size && memchr(a[2].of.str->text, ',', a[2].of.str->size))
        return capp_jfail(r, CAPP_EUNSUPPORTED, "sort by several attributes is not supported");
    capp_jval keys = keys_of(r, items, capp_jtruth(a[1]), a[2]);
    if (r->status == CAPP_OK) sort_by(r, items.of.list, keys.of.list, capp_jtruth(a[0]), true);
    return items;
}

static capp_jval dictsort(capp_jrun *r, capp_jval input, const capp_jval *a) {
    if (input.kind != CAPP_J_DICT) return bad(r, "dictsort", input);
    bool by_value = capp_jstr_is(a[1], "value");
    if (a[1].kind != CAPP_J_UNDEFINED && !by_value && !capp_jstr_is(a[1], "key"))
        return capp_jfail(r, CAPP_EINVAL, "dictsort is by 'key' or 'value'");
    capp_jval items = to_list(r, items_of(r, input, a), a),
              keys = keys_of(r, items, capp_jtruth(a[0]), capp_jint(by_value));
    if (r->status == CAPP_OK) sort_by(r, items.of.list, keys.of.list, capp_jtruth(a[2]), false);
    return items;
}

static capp_jval unique(capp_jrun *r, capp_jval input, const capp_jval *a) {
    capp_jval items = to_list(r, input, a), keys = keys_of(r, items, capp_jtruth(a[0]), a[1]), out = stream(r);
    for (size_t i = 0; r->status == CAPP_OK && i < items.of.list->n; i++) {
        bool seen = !capp_jhashable(r, keys.of.list->at[i]);
        for (size_t k = 0; k < i && !seen; k++) seen = capp_jequal(r, keys.of.list->at[k], keys.of.list->at[i]);
        if (!seen) capp_jlist_push(r, out, items.of.list->at[i]);
    }
    return out;
}

static capp_jval extreme(capp_jrun *r, capp_jval input, const capp_jval *a, int sign) {
    capp_jval items = to_list(r, input, a), keys = keys_of(r, items, capp_jtruth(a[0]), a[1]);
    size_t best = 0;
    if (r->status == CAPP_OK && !items.of.list->n) return capp_jundefined(r, capp_str_of("min or max of nothing"));
    for (size_t i = 1; r->status == CAPP_OK && i < items.of.list->n; i++)
        if (capp_jcompare(r, keys.of.list->at[i], keys.of.list->at[best], "<") * sign < 0) best = i;
    return r->status == CAPP_OK ? items.of.list->at[best] : nothing;
}

static capp_jval least(capp_jrun *r, capp_jval input, const capp_jval *a) {
    return extreme(r, input, a, 1);
}

static capp_jval most(capp_jrun *r, capp_jval input, const capp_jval *a) {
    return extreme(r, input, a, -1);
}

static capp_jval sum(capp_jrun *r, capp_jval input, const capp_jval *a) {
    capp_jval items = capp_jwalk(r, input);
    int64_t total = 0, value;
    if (a[1].kind != CAPP_J_UNDEFINED && !capp_jinteger(a[1], &total)) return bad(r, "sum from", a[1]);
    for (size_t i = 0; r->status == CAPP_OK && i < items.of.list->n; i++) {
        capp_jval item = items.of.list->at[i];
        if (a[0].kind > CAPP_J_NONE) item = part_of(r, item, a[0]);
        if (!capp_jinteger(item, &value) || __builtin_add_overflow(total, value, &total))
            return capp_jfail(r, CAPP_EUNSUPPORTED, "sum of what is no whole number");
    }
    return capp_jint(total);
}

/* ---- With filters and tests inside ------------------------------------------------------------------------------- */

static capp_jargs rest_of(const capp_jargs *args, size_t from) {
    return (capp_jargs){args->at + from, args->names, args->n - from, args->n_named};
}

/* map('name', arguments), or map(attribute='name', default=...). */
static capp_jval map(capp_jrun *r, capp_jval input, const capp_jargs *args) {
    if (!capp_jtruth(input)) return stream(r); /* none too */
    capp_jval items = capp_jwalk(r, input), out = stream(r), a[CAPP_J_MOST_PARAMETERS] = {nothing};
    bool parts = !args->n;
    if (r->status != CAPP_OK || (parts && !capp_jbind(r, "map", "attribute default", args, a))) return nothing;
    if (parts ? a[0].kind == CAPP_J_UNDEFINED : args->at[0].kind != CAPP_J_STR)
        return capp_jfail(r, CAPP_EINVAL, "map needs the name of a filter or an attribute");
    const capp_jargs rest = parts ? *args : rest_of(args, 1);
    for (size_t i = 0; i < items.of.list->n && r->status == CAPP_OK; i++) {
        capp_jval item = items.of.list->at[i];
        if (parts) {
            item = part_of(r, item, a[0]);
            if (item.kind == CAPP_J_UNDEFINED && args->n_named > 1) item = a[1];
        } else {
            const capp_jstr *name = args->at[0].of.str;
            item = capp_jfilter(r, (capp_str){name->text, name->size}, item, &rest);
        }
        capp_jlist_push(r, out, item);
    }
    return out;
}

/* select, reject: by a test or by being true; selectattr, rejectattr: of an attribute. */
static capp_jval choose(capp_jrun *r, capp_jval input, const capp_jargs *args, bool wanted, bool attribute) {
    if (!capp_jtruth(input)) return stream(r);
    capp_jval items = capp_jwalk(r, input), out = stream(r);
    size_t at = attribute ? 1 : 0;
    if (r->status != CAPP_OK) return nothing;
    if (args->n < at || (args->n > at && args->at[at].kind != CAPP_J_STR))
        return capp_jfail(r, CAPP_EINVAL, "select and the like need the name of an attribute or a test");
    const capp_jargs rest = args->n > at ? rest_of(args, at + 1) : (capp_jargs){0};
    for (size_t i = 0; i < items.of.list->n && r->status == CAPP_OK; i++) {
        capp_jval item = items.of.list->at[i], looked = attribute ? part_of(r, item, args->at[0]) : item;
        const capp_jstr *name = args->n > at ? args->at[at].of.str : NULL;
        bool holds = r->status == CAPP_OK &&
                     (name ? capp_jcheck(r, (capp_str){name->text, name->size}, looked, &rest) : capp_jtruth(looked));
        if (holds == wanted) capp_jlist_push(r, out, item);
    }
    return out;
}

/* ---- All --------------------------------------------------------------------------------------------------------- */

static const struct {
    const char *name, *parameters;
    filter_fn fn;
    size_t least;
} filters[] = {
    {"abs", "", absolute, 0},
    {"capitalize", "", capitalize, 0},
    {"count", "", length, 0},
    {"d", "default_value boolean", otherwise, 0},
    {"default", "default_value boolean", otherwise, 0},
    {"dictsort", "case_sensitive by reverse", dictsort, 0},
    {"first", "", first, 0},
    {"float", "default", to_float, 0},
    {"indent", "width first blank", indent, 0},
    {"int", "default", to_int, 0},
    {"items", "", items_of, 0},
    {"join", "d attribute", join, 0},
    {"last", "", last, 0},
    {"length", "", length, 0},
    {"list", "", to_list, 0},
    {"lower", "", lower, 0},
    {"max", "case_sensitive attribute", most, 0},
    {"min", "case_sensitive attribute", least, 0},
    {"replace", "old new count", replace, 2},
    {"reverse", "", reverse, 0},
    {"sort", "reverse case_sensitive attribute", sort, 0},
    {"string", "", to_string, 0},
    {"sum", "attribute start", sum, 0},
    {"title", "", title, 0},
    {"tojson", "ensure_ascii indent separators sort_keys", to_json, 0},
    {"trim", "chars", trim, 0},
    {"unique", "case_sensitive attribute", unique, 0},
    {"upper", "", upper, 0},
};

capp_jval capp_jfilter(capp_jrun *r, capp_str name, capp_jval input, const capp_jargs *args) {
    capp_jval a[CAPP_J_MOST_PARAMETERS] = {nothing};
    if (!capp_jenter(r)) return nothing;
    capp_jval out = nothing;
    size_t row = 0, n = sizeof filters / sizeof filters[0];
    while (row < n && !is_name(name, filters[row].name)) row++;
    if (row < n && args->n + args->n_named < filters[row].least)
        out = capp_jfail(r, CAPP_EINVAL, "%s needs %zu arguments", filters[row].name, filters[row].least);
    else if (row < n)
        out =
            capp_jbind(r, filters[row].name, filters[row].parameters, args, a) ? filters[row].fn(r, input, a) : nothing;
    else if (is_name(name, "map"))
        out = map(r, input, args);
    else if (is_name(name, "select") || is_name(name, "selectattr"))
        out = choose(r, input, args, true, name.size > 6);
    else if (is_name(name, "reject") || is_name(name, "rejectattr"))
        out = choose(r, input, args, false, name.size > 6);
    else
        out = capp_jfail(r, CAPP_EUNSUPPORTED, "the filter '%.*s' is not supported", capp_jshown(name, 60), name.data);
    capp_jleave(r);
    return out;
}
