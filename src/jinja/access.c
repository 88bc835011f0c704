#include "jinja/access.h"

#include <string.h>

#include "base/utf8.h"
#include "jinja/characters.h"
#include "jinja/methods.h"

static const capp_jinja_value nothing = {.kind = CAPP_JINJA_UNDEFINED};

/* Attributes of the variable loop: index, first and so on. */
static capp_jinja_value loop_attribute(capp_jinja_run *run, capp_jinja_value object, capp_str name) {
    const capp_jinja_loop *loop = object.loop;
    size_t n = loop->list->n, i = loop->index;
    const struct {
        const char *name;
        capp_jinja_value value;
    } facts[] = {
        {"index", capp_jinja_integer((int64_t)i + 1)},
        {"index0", capp_jinja_integer((int64_t)i)},
        {"revindex", capp_jinja_integer((int64_t)(n - i))},
        {"revindex0", capp_jinja_integer((int64_t)(n - i) - 1)},
        {"first", capp_jinja_boolean(i == 0)},
        {"last", capp_jinja_boolean(i + 1 == n)},
        {"length", capp_jinja_integer((int64_t)n)},
        {"depth", capp_jinja_integer((int64_t)loop->depth)},
        {"depth0", capp_jinja_integer((int64_t)loop->depth - 1)},
        {"previtem", i ? loop->list->items[i - 1] : capp_jinja_undefined(run, capp_str_of("loop.previtem"))},
        {"nextitem", i + 1 < n ? loop->list->items[i + 1] : capp_jinja_undefined(run, capp_str_of("loop.nextitem"))},
    };
    for (size_t k = 0; k < sizeof facts / sizeof facts[0]; k++)
        if (name.size == strlen(facts[k].name) && !memcmp(name.data, facts[k].name, name.size)) return facts[k].value;
    return capp_jinja_find_method(run, object, name);
}

static capp_jinja_value found_or_undefined(capp_jinja_run *run, const capp_jinja_value *found, capp_str name) {
    return found ? *found : capp_jinja_undefined(run, name);
}

capp_jinja_value capp_jinja_get_attribute(capp_jinja_run *run, capp_jinja_value object, capp_str name) {
    if (run->status != CAPP_OK) return nothing;
    if (name.size > 1 && !memcmp(name.data, "__", 2))
        return capp_jinja_fail(run, CAPP_EINVAL, "the attribute '%.*s' is not allowed: it begins with \"__\"",
                               capp_jinja_shown_bytes(name, 60), name.data);
    switch (object.kind) {
    case CAPP_JINJA_UNDEFINED: return capp_jinja_fail_undefined(run, object);
    case CAPP_JINJA_NAMESPACE: return found_or_undefined(run, capp_jinja_dict_get_named(object.dict, name), name);
    case CAPP_JINJA_LOOP: return loop_attribute(run, object, name);
    case CAPP_JINJA_DICT: {
        capp_jinja_value method = capp_jinja_find_method(run, object, name);
        if (method.kind == CAPP_JINJA_METHOD) return method;
        return found_or_undefined(run, capp_jinja_dict_get_named(object.dict, name), name);
    }
    default: return capp_jinja_find_method(run, object, name);
    }
}

/* The place and size of character i, counted from the end if i is negative. False: there is no such character. */
static bool character_at(const capp_jinja_string *s, int64_t i, size_t *at, size_t *size) {
    if (i < 0) i += (int64_t)capp_jinja_count_characters(s);
    if (i < 0) return false;
    for (*at = 0; *at < s->size; *at += *size) {
        *size = capp_utf8_size(s->text + *at);
        if (!i--) return true;
    }
    return false;
}

capp_jinja_value capp_jinja_get_item(capp_jinja_run *run, capp_jinja_value object, capp_jinja_value key) {
    capp_str name =
        key.kind == CAPP_JINJA_STRING ? (capp_str){key.string->text, key.string->size} : capp_str_of("an item");
    int64_t i;
    size_t at, size;
    bool integer = capp_jinja_get_integer(key, &i);
    if (run->status != CAPP_OK) return nothing;
    if (object.kind == CAPP_JINJA_UNDEFINED) return capp_jinja_fail_undefined(run, object);
    if (object.kind == CAPP_JINJA_DICT) {
        const capp_jinja_value *found = capp_jinja_dict_get(run, object.dict, key);
        if (found) return *found;
        capp_jinja_value method = key.kind == CAPP_JINJA_STRING ? capp_jinja_find_method(run, object, name) : nothing;
        return method.kind == CAPP_JINJA_METHOD ? method : capp_jinja_undefined(run, name);
    }
    if (key.kind == CAPP_JINJA_STRING) return capp_jinja_get_attribute(run, object, name);
    if (object.kind == CAPP_JINJA_STRING && integer && capp_jinja_count_steps(run, object.string->size / 16) &&
        character_at(object.string, i, &at, &size))
        return capp_jinja_substring(run, object.string, at, size);
    if ((object.kind == CAPP_JINJA_LIST || object.kind == CAPP_JINJA_TUPLE) && integer) {
        int64_t n = (int64_t)object.list->n;
        if (i < 0) i += n;
        if (i >= 0 && i < n) return object.list->items[i];
    }
    return capp_jinja_undefined(run, name);
}

/* Like Python's slice.indices for n items. False: a bound is not an integer, or the step is 0. */
static bool slice_bounds(const capp_jinja_value bounds[3], int64_t n, int64_t *from, int64_t *to, int64_t *step) {
    int64_t value[3] = {0, 0, 1};
    bool given[3];
    for (int k = 0; k < 3; k++) {
        given[k] = bounds[k].kind != CAPP_JINJA_NONE;
        if (given[k] && !capp_jinja_get_integer(bounds[k], &value[k])) return false;
    }
    *step = value[2];
    if (!*step) return false;
    if (*step < -INT32_MAX) *step = -INT32_MAX;
    if (*step > INT32_MAX) *step = INT32_MAX;
    int64_t low = *step < 0 ? -1 : 0, high = *step < 0 ? n - 1 : n;
    for (int k = 0; k < 2; k++) {
        int64_t v = value[k] < 0 ? (value[k] < -n ? -1 - n : value[k]) + n : value[k];
        if (value[k] < 0 && v < low) v = low;
        if (v > high) v = high;
        if (v < low) v = low;
        if (!given[k]) v = (k == 0) == (*step > 0) ? low : high;
        *(k ? to : from) = v;
    }
    return true;
}

static capp_jinja_value slice_list(capp_jinja_run *run, capp_jinja_value object, const capp_jinja_value bounds[3]) {
    int64_t from, to, step;
    if (!slice_bounds(bounds, (int64_t)object.list->n, &from, &to, &step))
        return capp_jinja_fail(run, CAPP_EINVAL, "invalid slice: bounds must be integers, and the step must not be 0");
    capp_jinja_value out = capp_jinja_list_new(run, object.kind, 0);
    for (; run->status == CAPP_OK && (step > 0 ? from < to : from > to); from += step)
        capp_jinja_list_append(run, out, object.list->items[from]);
    return out;
}

capp_jinja_value capp_jinja_get_slice(capp_jinja_run *run, capp_jinja_value object, const capp_jinja_value bounds[3]) {
    if (run->status != CAPP_OK) return nothing;
    if (object.kind == CAPP_JINJA_LIST || object.kind == CAPP_JINJA_TUPLE) return slice_list(run, object, bounds);
    if (object.kind != CAPP_JINJA_STRING)
        return capp_jinja_fail_kind(run, "only strings, lists and tuples have slices, not", object);
    capp_jinja_value chosen = slice_list(run, capp_jinja_iterate(run, object), bounds);
    if (run->status != CAPP_OK || chosen.kind != CAPP_JINJA_LIST) return chosen;
    capp_jinja_buffer b = {0};
    for (size_t i = 0; i < chosen.list->n && run->status == CAPP_OK; i++)
        capp_jinja_append_string(run, &b, chosen.list->items[i].string);
    return capp_jinja_buffer_to_string(run, &b);
}
