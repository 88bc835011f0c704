#include "jinja/filters.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "jinja/access.h"
#include "jinja/arguments.h"
#include "jinja/characters.h"
#include "jinja/strings.h"
#include "jinja/tests.h"
#include "jinja/text.h"

static const capp_jinja_value nothing = {.kind = CAPP_JINJA_UNDEFINED};

typedef capp_jinja_value (*filter_fn)(capp_jinja_run *run, capp_jinja_value input, const capp_jinja_value *bound);

static capp_jinja_value stream(capp_jinja_run *run) {
    return capp_jinja_list_new(run, CAPP_JINJA_STREAM, 0);
}

static capp_jinja_value fail_argument(capp_jinja_run *run, const char *name, capp_jinja_value v) {
    char what[80];
    snprintf(what, sizeof what, "%s does not take", name);
    return capp_jinja_fail_kind(run, what, v);
}

/* ---- Of text ----------------------------------------------------------------------------------------------------- */

static capp_jinja_value lower(capp_jinja_run *run, capp_jinja_value input, const capp_jinja_value *bound) {
    (void)bound;
    return capp_jinja_change_case(run, capp_jinja_to_text(run, input), CAPP_JINJA_LOWER_CASE);
}

static capp_jinja_value upper(capp_jinja_run *run, capp_jinja_value input, const capp_jinja_value *bound) {
    (void)bound;
    return capp_jinja_change_case(run, capp_jinja_to_text(run, input), CAPP_JINJA_UPPER_CASE);
}

static capp_jinja_value capitalize(capp_jinja_run *run, capp_jinja_value input, const capp_jinja_value *bound) {
    (void)bound;
    return capp_jinja_change_case(run, capp_jinja_to_text(run, input), CAPP_JINJA_FIRST_UPPER_CASE);
}

/* Like jinja2's title, not Python's: words begin only after white space, minus signs and opening brackets. */
static capp_jinja_value title(capp_jinja_run *run, capp_jinja_value input, const capp_jinja_value *bound) {
    (void)bound;
    const capp_jinja_string *s = capp_jinja_to_text(run, input);
    capp_jinja_buffer b = {0};
    bool begins = true;
    for (size_t at = 0, size; at < s->size && run->status == CAPP_OK; at += size) {
        int32_t c = capp_utf8_character(s->text + at, &size);
        const capp_jinja_string one = {s->text + at, s->given + at, size};
        capp_jinja_value changed =
            capp_jinja_change_case(run, &one, begins ? CAPP_JINJA_UPPER_CASE : CAPP_JINJA_LOWER_CASE);
        if (run->status == CAPP_OK) capp_jinja_append_string(run, &b, changed.string);
        begins = c && c < 0x80 ? strchr("-({[<", c) || capp_jinja_is_space(c) : capp_jinja_is_space(c);
    }
    return capp_jinja_buffer_to_string(run, &b);
}

static capp_jinja_value trim(capp_jinja_run *run, capp_jinja_value input, const capp_jinja_value *bound) {
    bool given = bound[0].kind != CAPP_JINJA_UNDEFINED && bound[0].kind != CAPP_JINJA_NONE;
    if (given && bound[0].kind != CAPP_JINJA_STRING) return fail_argument(run, "the argument of trim", bound[0]);
    return capp_jinja_strip(run, capp_jinja_to_text(run, input), given ? bound[0].string : NULL, true, true);
}

static capp_jinja_value replace(capp_jinja_run *run, capp_jinja_value input, const capp_jinja_value *bound) {
    int64_t most = -1;
    if (bound[2].kind > CAPP_JINJA_NONE && !capp_jinja_get_integer(bound[2], &most))
        return fail_argument(run, "the count of replace", bound[2]);
    return capp_jinja_replace(run, capp_jinja_to_text(run, input), capp_jinja_to_text(run, bound[0]),
                              capp_jinja_to_text(run, bound[1]), most);
}

static capp_jinja_value to_string(capp_jinja_run *run, capp_jinja_value input, const capp_jinja_value *bound) {
    (void)bound;
    const capp_jinja_string *s = capp_jinja_to_text(run, input);
    return capp_jinja_substring(run, s, 0, s->size);
}

/* Lines are those of str.splitlines. The first line is indented only if the template asks for it. */
static capp_jinja_value indent(capp_jinja_run *run, capp_jinja_value input, const capp_jinja_value *bound) {
    int64_t width = 4;
    capp_jinja_buffer b = {0}, step = {0}, whole = {0};
    bool text = bound[0].kind == CAPP_JINJA_STRING, first = capp_jinja_is_true(bound[1]),
         blank = capp_jinja_is_true(bound[2]);
    if (input.kind != CAPP_JINJA_STRING) return fail_argument(run, "indent", input);
    if (!text && bound[0].kind != CAPP_JINJA_UNDEFINED && !capp_jinja_get_integer(bound[0], &width))
        return fail_argument(run, "the width of indent", bound[0]);
    for (; !text && width > 0 && run->status == CAPP_OK; width--) capp_jinja_append_text(run, &step, " ");
    capp_jinja_append_string(run, &whole, input.string);
    capp_jinja_append_text(run, &whole, "\n");
    capp_jinja_value made = capp_jinja_buffer_to_string(run, &step), all = capp_jinja_buffer_to_string(run, &whole);
    if (run->status != CAPP_OK) return nothing;
    const capp_jinja_string *by = text ? bound[0].string : made.string;
    capp_jinja_value lines = capp_jinja_split_lines(run, all.string, false);
    for (size_t i = 0; run->status == CAPP_OK && i < lines.list->n; i++) {
        const capp_jinja_string *line = lines.list->items[i].string;
        if (i) capp_jinja_append_text(run, &b, "\n");
        if (i ? blank || line->size : first) capp_jinja_append_string(run, &b, by);
        capp_jinja_append_string(run, &b, line);
    }
    return capp_jinja_buffer_to_string(run, &b);
}

static capp_jinja_value to_json(capp_jinja_run *run, capp_jinja_value input, const capp_jinja_value *bound) {
    capp_jinja_buffer b = {0};
    capp_jinja_value comma = capp_jinja_string_from_c(run, ", "), colon = capp_jinja_string_from_c(run, ": "),
                     tight = capp_jinja_string_from_c(run, ","), by = nothing;
    int64_t width;
    if (bound[1].kind == CAPP_JINJA_STRING) {
        by = bound[1];
    } else if (capp_jinja_get_integer(bound[1], &width)) {
        if (run->status == CAPP_OK && width > 100)
            return capp_jinja_fail(run, CAPP_EUNSUPPORTED, "tojson: indents above 100 are not supported");
        capp_jinja_buffer spaces = {0};
        for (; width > 0; width--) capp_jinja_append_text(run, &spaces, " ");
        by = capp_jinja_buffer_to_string(run, &spaces);
    } else if (bound[1].kind > CAPP_JINJA_NONE) {
        return fail_argument(run, "the indent of tojson", bound[1]);
    }
    if (by.kind == CAPP_JINJA_STRING) comma = tight;
    if (bound[2].kind > CAPP_JINJA_NONE) {
        if (bound[2].kind != CAPP_JINJA_TUPLE && bound[2].kind != CAPP_JINJA_LIST)
            return fail_argument(run, "the argument separators of tojson", bound[2]);
        if (bound[2].list->n != 2 || bound[2].list->items[0].kind != CAPP_JINJA_STRING ||
            bound[2].list->items[1].kind != CAPP_JINJA_STRING)
            return fail_argument(run, "the argument separators of tojson", bound[2]);
        comma = bound[2].list->items[0];
        colon = bound[2].list->items[1];
    }
    if (run->status != CAPP_OK) return nothing;
    const capp_jinja_json_style style = {.ascii = capp_jinja_is_true(bound[0]),
                                         .sorted = capp_jinja_is_true(bound[3]),
                                         .indent = by.kind == CAPP_JINJA_STRING ? by.string : NULL,
                                         .comma = comma.string,
                                         .colon = colon.string};
    capp_jinja_append_json(run, &b, input, &style);
    return capp_jinja_buffer_to_string(run, &b);
}

/* ---- Of numbers -------------------------------------------------------------------------------------------------- */

/* Reads a decimal integer, which may have white space around it. False: the text is not an integer. */
static bool text_integer(const capp_jinja_string *s, int64_t *out) {
    char digits[32];
    size_t n = 0, at = 0, end = s->size;
    while (at < end && capp_jinja_is_space((unsigned char)s->text[at])) at++;
    while (end > at && capp_jinja_is_space((unsigned char)s->text[end - 1])) end--;
    if (end - at >= sizeof digits) return false;
    for (; at < end; at++) digits[n++] = s->text[at];
    digits[n] = 0;
    size_t sign = digits[0] == '-' || digits[0] == '+';
    if (!digits[sign] || strspn(digits + sign, "0123456789") != n - sign) return false;
    errno = 0;
    *out = strtoll(digits, NULL, 10);
    return !errno;
}

static capp_jinja_value to_int(capp_jinja_run *run, capp_jinja_value input, const capp_jinja_value *bound) {
    capp_jinja_value otherwise = bound[0].kind == CAPP_JINJA_UNDEFINED ? capp_jinja_integer(0) : bound[0];
    int64_t value;
    if (capp_jinja_get_integer(input, &value)) return capp_jinja_integer(value);
    if (input.kind == CAPP_JINJA_FLOAT)
        return isfinite(input.number) && fabs(input.number) < 0x1p63 ? capp_jinja_integer((int64_t)input.number)
                                                                     : otherwise;
    if (input.kind == CAPP_JINJA_UNDEFINED) return fail_argument(run, "int", input);
    if (input.kind != CAPP_JINJA_STRING) return otherwise;
    if (text_integer(input.string, &value)) return capp_jinja_integer(value);
    for (size_t i = 0; i < input.string->size; i++)
        if (input.string->text[i] >= '0' && input.string->text[i] <= '9')
            return capp_jinja_fail(run, CAPP_EUNSUPPORTED,
                                   "int of a text that is not a plain integer is not supported");
    return otherwise;
}

static capp_jinja_value to_float(capp_jinja_run *run, capp_jinja_value input, const capp_jinja_value *bound) {
    int64_t value;
    if (input.kind == CAPP_JINJA_UNDEFINED) return fail_argument(run, "float", input);
    if (capp_jinja_is_number(input)) return capp_jinja_float(capp_jinja_get_number(input));
    if (input.kind == CAPP_JINJA_STRING && text_integer(input.string, &value)) return capp_jinja_float((double)value);
    if (input.kind == CAPP_JINJA_STRING)
        return capp_jinja_fail(run, CAPP_EUNSUPPORTED, "float of a text that is not a plain integer is not supported");
    return bound[0].kind == CAPP_JINJA_UNDEFINED ? capp_jinja_float(0) : bound[0];
}

static capp_jinja_value absolute(capp_jinja_run *run, capp_jinja_value input, const capp_jinja_value *bound) {
    (void)bound;
    int64_t value;
    if (capp_jinja_get_integer(input, &value) && value > INT64_MIN)
        return capp_jinja_integer(value < 0 ? -value : value);
    return input.kind == CAPP_JINJA_FLOAT ? capp_jinja_float(fabs(input.number)) : fail_argument(run, "abs", input);
}

static capp_jinja_value length(capp_jinja_run *run, capp_jinja_value input, const capp_jinja_value *bound) {
    (void)bound;
    switch (input.kind) {
    case CAPP_JINJA_UNDEFINED: return capp_jinja_integer(0);
    case CAPP_JINJA_STRING: return capp_jinja_integer((int64_t)capp_jinja_count_characters(input.string));
    case CAPP_JINJA_LIST:
    case CAPP_JINJA_TUPLE:
    case CAPP_JINJA_VIEW: return capp_jinja_integer((int64_t)input.list->n);
    case CAPP_JINJA_DICT: return capp_jinja_integer((int64_t)input.dict->n);
    case CAPP_JINJA_LOOP: return capp_jinja_integer((int64_t)input.loop->list->n);
    default: return fail_argument(run, "length", input);
    }
}

/* ---- Of sequences ------------------------------------------------------------------------------------------------ */

static capp_jinja_value otherwise(capp_jinja_run *run, capp_jinja_value input, const capp_jinja_value *bound) {
    bool missing = input.kind == CAPP_JINJA_UNDEFINED || (capp_jinja_is_true(bound[1]) && !capp_jinja_is_true(input));
    if (!missing) return input;
    return bound[0].kind == CAPP_JINJA_UNDEFINED && !bound[0].name ? capp_jinja_string_from_c(run, "") : bound[0];
}

static capp_jinja_value first(capp_jinja_run *run, capp_jinja_value input, const capp_jinja_value *bound) {
    (void)bound;
    if (input.kind == CAPP_JINJA_STREAM) {
        capp_jinja_list *list = input.list;
        return list->taken < list->n ? list->items[list->taken++]
                                     : capp_jinja_undefined(run, capp_str_of("first of nothing"));
    }
    capp_jinja_value items = capp_jinja_iterate(run, input);
    if (run->status != CAPP_OK) return nothing;
    return items.list->n ? items.list->items[0] : capp_jinja_undefined(run, capp_str_of("first of nothing"));
}

static capp_jinja_value last(capp_jinja_run *run, capp_jinja_value input, const capp_jinja_value *bound) {
    (void)bound;
    if (input.kind == CAPP_JINJA_STREAM) return fail_argument(run, "last", input);
    capp_jinja_value items = capp_jinja_iterate(run, input);
    if (run->status != CAPP_OK) return nothing;
    size_t n = items.list->n;
    return n ? items.list->items[n - 1] : capp_jinja_undefined(run, capp_str_of("last of nothing"));
}

static capp_jinja_value to_list(capp_jinja_run *run, capp_jinja_value input, const capp_jinja_value *bound) {
    (void)bound;
    capp_jinja_value items = capp_jinja_iterate(run, input);
    if (run->status != CAPP_OK) return nothing;
    capp_jinja_value out = capp_jinja_list_new(run, CAPP_JINJA_LIST, items.list->n);
    for (size_t i = 0; i < items.list->n && run->status == CAPP_OK; i++)
        capp_jinja_list_append(run, out, items.list->items[i]);
    return out;
}

static capp_jinja_value reverse(capp_jinja_run *run, capp_jinja_value input, const capp_jinja_value *bound) {
    capp_jinja_value items = to_list(run, input, bound), out = stream(run);
    capp_jinja_buffer b = {0};
    if (run->status == CAPP_OK && input.kind == CAPP_JINJA_STREAM) return fail_argument(run, "reverse", input);
    for (size_t i = run->status == CAPP_OK ? items.list->n : 0; i-- > 0 && run->status == CAPP_OK;) {
        if (input.kind == CAPP_JINJA_STRING)
            capp_jinja_append_string(run, &b, items.list->items[i].string);
        else
            capp_jinja_list_append(run, out, items.list->items[i]);
    }
    return input.kind == CAPP_JINJA_STRING ? capp_jinja_buffer_to_string(run, &b) : out;
}

static capp_jinja_value items_of(capp_jinja_run *run, capp_jinja_value input, const capp_jinja_value *bound) {
    (void)bound;
    capp_jinja_value out = stream(run);
    if (input.kind == CAPP_JINJA_UNDEFINED) return out;
    if (input.kind != CAPP_JINJA_DICT) return fail_argument(run, "items", input);
    for (size_t i = 0; i < input.dict->n && run->status == CAPP_OK; i++) {
        capp_jinja_value pair = capp_jinja_list_new(run, CAPP_JINJA_TUPLE, 2);
        capp_jinja_list_append(run, pair, input.dict->keys[i]);
        capp_jinja_list_append(run, pair, input.dict->values[i]);
        capp_jinja_list_append(run, out, pair);
    }
    return out;
}

/* The attribute of an item by its path, such as "function.name", in the form that map and similar filters use. */
static capp_jinja_value part_of(capp_jinja_run *run, capp_jinja_value item, capp_jinja_value attribute) {
    if (attribute.kind != CAPP_JINJA_STRING) return capp_jinja_get_item(run, item, attribute);
    const capp_jinja_string *s = attribute.string;
    for (size_t at = 0; at <= s->size && run->status == CAPP_OK;) {
        const char *dot = at < s->size ? memchr(s->text + at, '.', s->size - at) : NULL;
        size_t end = dot ? (size_t)(dot - s->text) : s->size;
        capp_jinja_value key = capp_jinja_substring(run, s, at, end - at);
        int64_t index;
        if (run->status == CAPP_OK && text_integer(key.string, &index)) key = capp_jinja_integer(index);
        item = capp_jinja_get_item(run, item, key);
        at = end + 1;
    }
    return item;
}

static capp_jinja_value join(capp_jinja_run *run, capp_jinja_value input, const capp_jinja_value *bound) {
    capp_jinja_value items = to_list(run, input, bound);
    if (run->status != CAPP_OK) return nothing;
    bool parts = bound[1].kind > CAPP_JINJA_NONE;
    for (size_t i = 0; parts && i < items.list->n && run->status == CAPP_OK; i++)
        items.list->items[i] = part_of(run, items.list->items[i], bound[1]);
    return run->status == CAPP_OK ? capp_jinja_join(run, capp_jinja_to_text(run, bound[0]), items.list) : nothing;
}

/* The keys that sort, unique, min and max compare: texts in lower case, unless exact. */
static capp_jinja_value sort_key(capp_jinja_run *run, capp_jinja_value item, bool exact, capp_jinja_value attribute) {
    if (attribute.kind > CAPP_JINJA_NONE) item = part_of(run, item, attribute);
    return item.kind == CAPP_JINJA_STRING && !exact ? capp_jinja_change_case(run, item.string, CAPP_JINJA_LOWER_CASE)
                                                    : item;
}

static capp_jinja_value keys_of(capp_jinja_run *run, capp_jinja_value items, bool exact, capp_jinja_value attribute) {
    capp_jinja_value keys = capp_jinja_list_new(run, CAPP_JINJA_LIST, 0);
    for (size_t i = 0; run->status == CAPP_OK && i < items.list->n; i++)
        capp_jinja_list_append(run, keys, sort_key(run, items.list->items[i], exact, attribute));
    return keys;
}

/* A stable insertion sort: lists in templates are short, and steps are counted. equals: equal keys need no order, as
 * when Python compares lists of them. */
static void sort_by(capp_jinja_run *run, capp_jinja_list *items, capp_jinja_list *keys, bool down, bool equals) {
    for (size_t i = 1; i < items->n && run->status == CAPP_OK; i++) {
        capp_jinja_value item = items->items[i], key = keys->items[i];
        size_t k = i;
        for (; k && capp_jinja_count_steps(run, 1); k--) {
            bool equal = equals && capp_jinja_equal(run, keys->items[k - 1], key);
            int order = equal ? 0 : capp_jinja_compare(run, keys->items[k - 1], key, "<");
            if (down ? order >= 0 : order <= 0) break;
            items->items[k] = items->items[k - 1];
            keys->items[k] = keys->items[k - 1];
        }
        items->items[k] = item;
        keys->items[k] = key;
    }
}

static capp_jinja_value sort(capp_jinja_run *run, capp_jinja_value input, const capp_jinja_value *bound) {
    capp_jinja_value items = to_list(run, input, bound);
    if (bound[2].kind == CAPP_JINJA_STRING && bound[2].string->size &&
        memchr(bound[2].string->text, ',', bound[2].string->size))
        return capp_jinja_fail(run, CAPP_EUNSUPPORTED, "sort by several attributes is not supported");
    capp_jinja_value keys = keys_of(run, items, capp_jinja_is_true(bound[1]), bound[2]);
    if (run->status == CAPP_OK) sort_by(run, items.list, keys.list, capp_jinja_is_true(bound[0]), true);
    return items;
}

static capp_jinja_value dictsort(capp_jinja_run *run, capp_jinja_value input, const capp_jinja_value *bound) {
    if (input.kind != CAPP_JINJA_DICT) return fail_argument(run, "dictsort", input);
    bool by_value = capp_jinja_string_is(bound[1], "value");
    if (bound[1].kind != CAPP_JINJA_UNDEFINED && !by_value && !capp_jinja_string_is(bound[1], "key"))
        return capp_jinja_fail(run, CAPP_EINVAL, "dictsort: the argument by must be 'key' or 'value'");
    capp_jinja_value items = to_list(run, items_of(run, input, bound), bound),
                     keys = keys_of(run, items, capp_jinja_is_true(bound[0]), capp_jinja_integer(by_value));
    if (run->status == CAPP_OK) sort_by(run, items.list, keys.list, capp_jinja_is_true(bound[2]), false);
    return items;
}

static capp_jinja_value unique(capp_jinja_run *run, capp_jinja_value input, const capp_jinja_value *bound) {
    capp_jinja_value items = to_list(run, input, bound),
                     keys = keys_of(run, items, capp_jinja_is_true(bound[0]), bound[1]), out = stream(run);
    for (size_t i = 0; run->status == CAPP_OK && i < items.list->n; i++) {
        bool seen = !capp_jinja_check_hashable(run, keys.list->items[i]);
        for (size_t k = 0; k < i && !seen; k++) seen = capp_jinja_equal(run, keys.list->items[k], keys.list->items[i]);
        if (!seen) capp_jinja_list_append(run, out, items.list->items[i]);
    }
    return out;
}

static capp_jinja_value extreme(capp_jinja_run *run, capp_jinja_value input, const capp_jinja_value *bound, int sign) {
    capp_jinja_value items = to_list(run, input, bound),
                     keys = keys_of(run, items, capp_jinja_is_true(bound[0]), bound[1]);
    size_t best = 0;
    if (run->status == CAPP_OK && !items.list->n)
        return capp_jinja_undefined(run, capp_str_of("min or max of nothing"));
    for (size_t i = 1; run->status == CAPP_OK && i < items.list->n; i++)
        if (capp_jinja_compare(run, keys.list->items[i], keys.list->items[best], "<") * sign < 0) best = i;
    return run->status == CAPP_OK ? items.list->items[best] : nothing;
}

static capp_jinja_value least(capp_jinja_run *run, capp_jinja_value input, const capp_jinja_value *bound) {
    return extreme(run, input, bound, 1);
}

static capp_jinja_value most(capp_jinja_run *run, capp_jinja_value input, const capp_jinja_value *bound) {
    return extreme(run, input, bound, -1);
}

static capp_jinja_value sum(capp_jinja_run *run, capp_jinja_value input, const capp_jinja_value *bound) {
    capp_jinja_value items = capp_jinja_iterate(run, input);
    int64_t total = 0, value;
    if (bound[1].kind != CAPP_JINJA_UNDEFINED && !capp_jinja_get_integer(bound[1], &total))
        return fail_argument(run, "the start of sum", bound[1]);
    for (size_t i = 0; run->status == CAPP_OK && i < items.list->n; i++) {
        capp_jinja_value item = items.list->items[i];
        if (bound[0].kind > CAPP_JINJA_NONE) item = part_of(run, item, bound[0]);
        if (!capp_jinja_get_integer(item, &value) || __builtin_add_overflow(total, value, &total))
            return capp_jinja_fail(run, CAPP_EUNSUPPORTED, "sum is supported for 64-bit integers only");
    }
    return capp_jinja_integer(total);
}

/* ---- With filters and tests inside ------------------------------------------------------------------------------- */

static capp_jinja_arguments rest_of(const capp_jinja_arguments *args, size_t from) {
    return (capp_jinja_arguments){args->values + from, args->names, args->n - from, args->n_named};
}

/* map('name', arguments), or map(attribute='name', default=...). */
static capp_jinja_value map(capp_jinja_run *run, capp_jinja_value input, const capp_jinja_arguments *args) {
    if (!capp_jinja_is_true(input)) return stream(run); /* undefined and none give no items */
    capp_jinja_value items = capp_jinja_iterate(run, input), out = stream(run),
                     bound[CAPP_JINJA_MAX_PARAMETERS] = {nothing};
    bool parts = !args->n;
    if (run->status != CAPP_OK || (parts && !capp_jinja_bind_arguments(run, "map", "attribute default", args, bound)))
        return nothing;
    if (parts ? bound[0].kind == CAPP_JINJA_UNDEFINED : args->values[0].kind != CAPP_JINJA_STRING)
        return capp_jinja_fail(run, CAPP_EINVAL, "map needs the name of a filter, or attribute=...");
    const capp_jinja_arguments rest = parts ? *args : rest_of(args, 1);
    for (size_t i = 0; i < items.list->n && run->status == CAPP_OK; i++) {
        capp_jinja_value item = items.list->items[i];
        if (parts) {
            item = part_of(run, item, bound[0]);
            if (item.kind == CAPP_JINJA_UNDEFINED && args->n_named > 1) item = bound[1];
        } else {
            const capp_jinja_string *name = args->values[0].string;
            item = capp_jinja_apply_filter(run, (capp_str){name->text, name->size}, item, &rest);
        }
        capp_jinja_list_append(run, out, item);
    }
    return out;
}

/* select and reject check the item, selectattr and rejectattr an attribute. They use a test, or the truth of the value.
 */
static capp_jinja_value choose(capp_jinja_run *run, capp_jinja_value input, const capp_jinja_arguments *args,
                               bool wanted, bool attribute) {
    if (!capp_jinja_is_true(input)) return stream(run);
    capp_jinja_value items = capp_jinja_iterate(run, input), out = stream(run);
    size_t at = attribute ? 1 : 0;
    if (run->status != CAPP_OK) return nothing;
    if (args->n < at || (args->n > at && args->values[at].kind != CAPP_JINJA_STRING))
        return capp_jinja_fail(run, CAPP_EINVAL,
                               "select, reject, selectattr and rejectattr need names of attributes and tests as text");
    const capp_jinja_arguments rest = args->n > at ? rest_of(args, at + 1) : (capp_jinja_arguments){0};
    for (size_t i = 0; i < items.list->n && run->status == CAPP_OK; i++) {
        capp_jinja_value item = items.list->items[i], looked = attribute ? part_of(run, item, args->values[0]) : item;
        const capp_jinja_string *name = args->n > at ? args->values[at].string : NULL;
        bool holds = run->status == CAPP_OK &&
                     (name ? capp_jinja_apply_test(run, (capp_str){name->text, name->size}, looked, &rest)
                           : capp_jinja_is_true(looked));
        if (holds == wanted) capp_jinja_list_append(run, out, item);
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

capp_jinja_value capp_jinja_apply_filter(capp_jinja_run *run, capp_str name, capp_jinja_value input,
                                         const capp_jinja_arguments *arguments) {
    capp_jinja_value bound[CAPP_JINJA_MAX_PARAMETERS] = {nothing};
    if (!capp_jinja_enter(run)) return nothing;
    capp_jinja_value out = nothing;
    size_t row = 0, n = sizeof filters / sizeof filters[0];
    while (row < n && !capp_jinja_name_is(name, filters[row].name)) row++;
    if (row < n && arguments->n + arguments->n_named < filters[row].least)
        out = capp_jinja_fail(run, CAPP_EINVAL, "%s needs at least %zu argument(s)", filters[row].name,
                              filters[row].least);
    else if (row < n)
        out = capp_jinja_bind_arguments(run, filters[row].name, filters[row].parameters, arguments, bound)
                  ? filters[row].fn(run, input, bound)
                  : nothing;
    else if (capp_jinja_name_is(name, "map"))
        out = map(run, input, arguments);
    else if (capp_jinja_name_is(name, "select") || capp_jinja_name_is(name, "selectattr"))
        out = choose(run, input, arguments, true, name.size > 6);
    else if (capp_jinja_name_is(name, "reject") || capp_jinja_name_is(name, "rejectattr"))
        out = choose(run, input, arguments, false, name.size > 6);
    else
        out = capp_jinja_fail(run, CAPP_EUNSUPPORTED, "the filter '%.*s' is not supported",
                              capp_jinja_shown_bytes(name, 60), name.data);
    capp_jinja_leave(run);
    return out;
}
