#define _POSIX_C_SOURCE 200809L
#include "jinja/value.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/platform.h"
#include "base/utf8.h"
#include "jinja/characters.h"

/* ---- The run ----------------------------------------------------------------------------------------------------- */

capp_jinja_value capp_jinja_fail(capp_jinja_run *run, capp_status status, const char *format, ...) {
    const capp_jinja_value nothing = {.kind = CAPP_JINJA_UNDEFINED};
    if (run->status != CAPP_OK) return nothing;
    run->status = status;
    char message[sizeof run->err->message - 32];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    for (char *c = message; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f) *c = ' ';
    capp_error_fill(run->err, status, "line %d: %s", run->line, message);
    return nothing;
}

capp_jinja_value capp_jinja_fail_undefined(capp_jinja_run *run, capp_jinja_value value) {
    char text[120] = "";
    if (value.from_node)
        run->describe_node(value.node, text, sizeof text);
    else if (value.name)
        snprintf(text, sizeof text, "%.*s", capp_jinja_shown_bytes(*value.name, 100), value.name->data);
    size_t size = strlen(text);
    bool cut = size == sizeof text - 1;
    return capp_jinja_fail(run, CAPP_EINVAL, "'%.*s%s' is undefined",
                           capp_jinja_shown_bytes((capp_str){text, size}, sizeof text - 5), text, cut ? "..." : "");
}

capp_jinja_value capp_jinja_fail_kind(capp_jinja_run *run, const char *what, capp_jinja_value value) {
    if (value.kind == CAPP_JINJA_UNDEFINED && value.name) return capp_jinja_fail_undefined(run, value);
    return capp_jinja_fail(run, CAPP_EINVAL, "%s a value of type %s", what, capp_jinja_kind_name(value));
}

bool capp_jinja_count_steps(capp_jinja_run *run, size_t steps) {
    run->steps += steps;
    if (run->steps > run->max_steps)
        capp_jinja_fail(run, CAPP_EUNSUPPORTED, "the template takes too long: more than %llu steps",
                        (unsigned long long)run->max_steps);
    return run->status == CAPP_OK;
}

void *capp_jinja_allocate(capp_jinja_run *run, size_t n, size_t size) {
    if (run->status != CAPP_OK || !capp_jinja_count_steps(run, 1 + n / 16)) return NULL;
    void *p = capp_jinja_heap_allocate(&run->heap, n, size);
    if (p) return p;
    if (n > run->heap.limit / (size ? size : 1) || run->heap.used > run->heap.limit - n * size)
        capp_jinja_fail(run, CAPP_EUNSUPPORTED, "the template needs more than %zu MiB of memory",
                        run->heap.limit >> 20);
    else
        capp_jinja_fail(run, CAPP_ENOMEM, "out of memory for rendering a chat template");
    return NULL;
}

bool capp_jinja_enter(capp_jinja_run *run) {
    if (run->status != CAPP_OK || !capp_jinja_count_steps(run, 1)) return false;
    if (run->depth >= CAPP_JINJA_MAX_DEPTH) {
        capp_jinja_fail(run, CAPP_EUNSUPPORTED, "values or calls are nested too deeply: more than %d levels",
                        CAPP_JINJA_MAX_DEPTH);
        return false;
    }
    run->depth++;
    return true;
}

void capp_jinja_leave(capp_jinja_run *run) {
    run->depth--;
}

/* ---- Making ------------------------------------------------------------------------------------------------------ */

capp_jinja_value capp_jinja_undefined(capp_jinja_run *run, capp_str name) {
    capp_jinja_value value = {.kind = CAPP_JINJA_UNDEFINED};
    capp_str *copy = capp_jinja_allocate(run, 1, sizeof *copy);
    if (copy) *copy = name;
    value.name = copy;
    return value;
}

static capp_jinja_value str_value(capp_jinja_run *run, const char *text, const uint8_t *given, size_t size) {
    capp_jinja_value value = {.kind = CAPP_JINJA_STRING};
    capp_jinja_string *s = capp_jinja_allocate(run, 1, sizeof *s);
    if (!s) return (capp_jinja_value){.kind = CAPP_JINJA_UNDEFINED};
    *s = (capp_jinja_string){text, given, size};
    value.string = s;
    return value;
}

static capp_jinja_value copy_text(capp_jinja_run *run, capp_str text, uint8_t given) {
    char *copy = capp_jinja_allocate(run, text.size, 1);
    uint8_t *marks = capp_jinja_allocate(run, text.size, 1);
    if (!copy || !marks) return (capp_jinja_value){.kind = CAPP_JINJA_UNDEFINED};
    if (text.size) memcpy(copy, text.data, text.size);
    memset(marks, given, text.size);
    return str_value(run, copy, marks, text.size);
}

capp_jinja_value capp_jinja_string_from_c(capp_jinja_run *run, const char *text) {
    return copy_text(run, capp_str_of(text), 0);
}

capp_jinja_value capp_jinja_string_of_template(capp_jinja_run *run, capp_str text) {
    return copy_text(run, text, 0);
}

capp_jinja_value capp_jinja_string_of_conversation(capp_jinja_run *run, capp_str text) {
    return copy_text(run, text, 1);
}

capp_jinja_value capp_jinja_substring(capp_jinja_run *run, const capp_jinja_string *string, size_t at, size_t size) {
    return str_value(run, string->text + at, string->given + at, size);
}

capp_jinja_value capp_jinja_buffer_to_string(capp_jinja_run *run, const capp_jinja_buffer *buffer) {
    return buffer->text ? str_value(run, buffer->text, buffer->given, buffer->size) : capp_jinja_string_from_c(run, "");
}

static bool make_room(capp_jinja_run *run, capp_jinja_buffer *b, size_t more) {
    if (b->capacity - b->size >= more) return true;
    size_t wanted = b->capacity + b->capacity / 2;
    if (wanted - b->size < more) wanted = b->size + more;
    if (wanted < 64) wanted = 64;
    char *text = capp_jinja_allocate(run, wanted, 1);
    uint8_t *given = capp_jinja_allocate(run, wanted, 1);
    if (!text || !given) return false;
    if (b->size) {
        memcpy(text, b->text, b->size);
        memcpy(given, b->given, b->size);
    }
    b->text = text;
    b->given = given;
    b->capacity = wanted;
    return true;
}

void capp_jinja_append_string(capp_jinja_run *run, capp_jinja_buffer *buffer, const capp_jinja_string *string) {
    if (!string->size || !capp_jinja_count_steps(run, 1 + string->size / 16) || !make_room(run, buffer, string->size))
        return;
    memcpy(buffer->text + buffer->size, string->text, string->size);
    memcpy(buffer->given + buffer->size, string->given, string->size);
    buffer->size += string->size;
}

void capp_jinja_append_bytes(capp_jinja_run *run, capp_jinja_buffer *buffer, const char *text, size_t size,
                             uint8_t given) {
    if (!size || !capp_jinja_count_steps(run, 1 + size / 16) || !make_room(run, buffer, size)) return;
    memcpy(buffer->text + buffer->size, text, size);
    memset(buffer->given + buffer->size, given, size);
    buffer->size += size;
}

void capp_jinja_append_text(capp_jinja_run *run, capp_jinja_buffer *buffer, const char *text) {
    capp_jinja_append_bytes(run, buffer, text, strlen(text), 0);
}

static bool grow_array(capp_jinja_run *run, capp_jinja_value **array, size_t n, size_t capacity) {
    capp_jinja_value *wider = capp_jinja_allocate(run, capacity, sizeof *wider);
    if (!wider) return false;
    if (n) memcpy(wider, *array, n * sizeof *wider);
    *array = wider;
    return true;
}

capp_jinja_value capp_jinja_list_new(capp_jinja_run *run, capp_jinja_kind kind, size_t room) {
    capp_jinja_list *list = capp_jinja_allocate(run, 1, sizeof *list);
    if (!list) return (capp_jinja_value){.kind = CAPP_JINJA_UNDEFINED};
    if (room && !grow_array(run, &list->items, 0, room)) return (capp_jinja_value){.kind = CAPP_JINJA_UNDEFINED};
    list->capacity = room;
    return (capp_jinja_value){.kind = kind, .list = list};
}

void capp_jinja_list_append(capp_jinja_run *run, capp_jinja_value list, capp_jinja_value item) {
    if (run->status != CAPP_OK || !capp_jinja_count_steps(run, 1)) return;
    capp_jinja_list *l = list.list;
    size_t wanted = l->capacity ? 2 * l->capacity : 8;
    if (l->n == l->capacity) {
        if (!grow_array(run, &l->items, l->n, wanted)) return;
        l->capacity = wanted;
    }
    l->items[l->n++] = item;
}

capp_jinja_value capp_jinja_dict_new(capp_jinja_run *run, capp_jinja_kind kind) {
    capp_jinja_dict *dict = capp_jinja_allocate(run, 1, sizeof *dict);
    if (!dict) return (capp_jinja_value){.kind = CAPP_JINJA_UNDEFINED};
    return (capp_jinja_value){.kind = kind, .dict = dict};
}

bool capp_jinja_check_hashable(capp_jinja_run *run, capp_jinja_value value) {
    if (value.kind == CAPP_JINJA_LIST || value.kind == CAPP_JINJA_DICT) {
        capp_jinja_fail_kind(run, "a key of a dict, or an item of unique, cannot be", value);
        return false;
    }
    bool good = capp_jinja_enter(run);
    if (!good) return false;
    for (size_t i = 0; good && value.kind == CAPP_JINJA_TUPLE && i < value.list->n; i++)
        good = capp_jinja_check_hashable(run, value.list->items[i]);
    capp_jinja_leave(run);
    return good;
}

capp_jinja_value *capp_jinja_dict_get(capp_jinja_run *run, const capp_jinja_dict *dict, capp_jinja_value key) {
    if (!capp_jinja_count_steps(run, 1 + dict->n / 4)) return NULL;
    for (size_t i = 0; i < dict->n; i++)
        if (capp_jinja_equal(run, dict->keys[i], key)) return &dict->values[i];
    return NULL;
}

capp_jinja_value *capp_jinja_dict_get_named(const capp_jinja_dict *dict, capp_str key) {
    for (size_t i = 0; i < dict->n; i++) {
        const capp_jinja_value *k = &dict->keys[i];
        if (k->kind == CAPP_JINJA_STRING && k->string->size == key.size && !memcmp(k->string->text, key.data, key.size))
            return &dict->values[i];
    }
    return NULL;
}

void capp_jinja_dict_set(capp_jinja_run *run, capp_jinja_value dict, capp_jinja_value key, capp_jinja_value value) {
    if (run->status != CAPP_OK || !capp_jinja_check_hashable(run, key)) return;
    if (key.kind > CAPP_JINJA_STRING && key.kind != CAPP_JINJA_TUPLE) {
        capp_jinja_fail(run, CAPP_EUNSUPPORTED, "a value of type %s as the key of a dict is not supported",
                        capp_jinja_kind_name(key));
        return;
    }
    capp_jinja_dict *d = dict.dict;
    capp_jinja_value *known = capp_jinja_dict_get(run, d, key);
    if (run->status != CAPP_OK) return;
    if (known) {
        *known = value;
        return;
    }
    if (d->n == d->capacity) {
        size_t wanted = d->capacity ? 2 * d->capacity : 8;
        if (!grow_array(run, &d->keys, d->n, wanted) || !grow_array(run, &d->values, d->n, wanted)) return;
        d->capacity = wanted;
    }
    d->keys[d->n] = key;
    d->values[d->n++] = value;
}

/* ---- Looking ----------------------------------------------------------------------------------------------------- */

const char *capp_jinja_kind_name(capp_jinja_value value) {
    static const char *const names[] = {"undefined", "NoneType", "bool",      "int",    "float", "str",
                                        "list",      "tuple",    "dict view", "stream", "dict",  "namespace",
                                        "loop",      "macro",    "function",  "method"};
    return names[value.kind];
}

bool capp_jinja_get_integer(capp_jinja_value value, int64_t *out) {
    if (value.kind == CAPP_JINJA_INTEGER)
        *out = value.integer;
    else if (value.kind == CAPP_JINJA_BOOLEAN)
        *out = value.truth;
    else
        return false;
    return true;
}

double capp_jinja_get_number(capp_jinja_value value) {
    int64_t integer;
    return capp_jinja_get_integer(value, &integer) ? (double)integer : value.number;
}

bool capp_jinja_string_is(capp_jinja_value value, const char *text) {
    size_t n = strlen(text);
    return value.kind == CAPP_JINJA_STRING && value.string->size == n && !memcmp(value.string->text, text, n);
}

bool capp_jinja_is_true(capp_jinja_value value) {
    switch (value.kind) {
    case CAPP_JINJA_UNDEFINED:
    case CAPP_JINJA_NONE: return false;
    case CAPP_JINJA_BOOLEAN: return value.truth;
    case CAPP_JINJA_INTEGER: return value.integer != 0;
    case CAPP_JINJA_FLOAT: return value.number != 0;
    case CAPP_JINJA_STRING: return value.string->size != 0;
    case CAPP_JINJA_LIST:
    case CAPP_JINJA_TUPLE:
    case CAPP_JINJA_VIEW: return value.list->n != 0;
    case CAPP_JINJA_DICT: return value.dict->n != 0;
    default: return true;
    }
}

static bool equal_lists(capp_jinja_run *run, const capp_jinja_list *a, const capp_jinja_list *b) {
    if (a->n != b->n || !capp_jinja_enter(run)) return false;
    bool equal = true;
    for (size_t i = 0; equal && i < a->n; i++) equal = capp_jinja_equal(run, a->items[i], b->items[i]);
    capp_jinja_leave(run);
    return equal;
}

static bool equal_dicts(capp_jinja_run *run, const capp_jinja_dict *a, const capp_jinja_dict *b) {
    if (a->n != b->n || !capp_jinja_enter(run)) return false;
    bool equal = true;
    for (size_t i = 0; equal && i < a->n; i++) {
        const capp_jinja_value *other = capp_jinja_dict_get(run, b, a->keys[i]);
        equal = other && capp_jinja_equal(run, a->values[i], *other);
    }
    capp_jinja_leave(run);
    return equal;
}

bool capp_jinja_equal(capp_jinja_run *run, capp_jinja_value a, capp_jinja_value b) {
    int64_t x, y;
    if (!capp_jinja_count_steps(run, 1)) return false;
    if (capp_jinja_is_number(a) && capp_jinja_is_number(b))
        return capp_jinja_get_integer(a, &x) && capp_jinja_get_integer(b, &y)
                   ? x == y
                   : capp_jinja_get_number(a) == capp_jinja_get_number(b);
    if (a.kind != b.kind) return false;
    switch (a.kind) {
    case CAPP_JINJA_UNDEFINED:
    case CAPP_JINJA_NONE: return true;
    case CAPP_JINJA_STRING:
        return a.string->size == b.string->size && capp_jinja_count_steps(run, a.string->size / 16) &&
               !memcmp(a.string->text, b.string->text, a.string->size);
    case CAPP_JINJA_LIST:
    case CAPP_JINJA_TUPLE: return equal_lists(run, a.list, b.list);
    case CAPP_JINJA_DICT: return equal_dicts(run, a.dict, b.dict);
    default: return a.list == b.list && a.function == b.function;
    }
}

static int compare_strs(const capp_jinja_string *a, const capp_jinja_string *b) {
    size_t n = a->size < b->size ? a->size : b->size;
    int order = n ? memcmp(a->text, b->text, n) : 0; /* the order of UTF-8 is that of characters */
    if (!order) return (a->size > b->size) - (a->size < b->size);
    return order < 0 ? -1 : 1;
}

int capp_jinja_compare(capp_jinja_run *run, capp_jinja_value a, capp_jinja_value b, const char *op) {
    int64_t i, j;
    if (capp_jinja_get_integer(a, &i) && capp_jinja_get_integer(b, &j)) return (i > j) - (i < j);
    if (capp_jinja_is_number(a) && capp_jinja_is_number(b)) {
        double x = capp_jinja_get_number(a), y = capp_jinja_get_number(b);
        if (!isnan(x) && !isnan(y)) return (x > y) - (x < y);
    }
    if (a.kind == CAPP_JINJA_STRING && b.kind == CAPP_JINJA_STRING && capp_jinja_count_steps(run, a.string->size / 16))
        return compare_strs(a.string, b.string);
    bool lists = a.kind == b.kind && (a.kind == CAPP_JINJA_LIST || a.kind == CAPP_JINJA_TUPLE);
    if (a.kind == CAPP_JINJA_UNDEFINED || b.kind == CAPP_JINJA_UNDEFINED)
        capp_jinja_fail_undefined(run, a.kind == CAPP_JINJA_UNDEFINED ? a : b);
    else
        capp_jinja_fail(run, lists ? CAPP_EUNSUPPORTED : CAPP_EINVAL,
                        "operator '%s' is not supported between %s and %s", op, capp_jinja_kind_name(a),
                        capp_jinja_kind_name(b));
    return 0;
}

bool capp_jinja_contains(capp_jinja_run *run, capp_jinja_value container, capp_jinja_value item) {
    if (container.kind == CAPP_JINJA_STRING) {
        if (item.kind != CAPP_JINJA_STRING) {
            capp_jinja_fail_kind(run, "a text contains texts only, not", item);
            return false;
        }
        const capp_jinja_string *a = container.string, *b = item.string;
        if (!capp_jinja_count_steps(run, a->size / 16)) return false;
        return !b->size || (a->size && capp_find_bytes(a->text, a->size, b->text, b->size));
    }
    if (container.kind == CAPP_JINJA_DICT)
        return capp_jinja_check_hashable(run, item) && capp_jinja_dict_get(run, container.dict, item) != NULL;
    capp_jinja_value walked = capp_jinja_iterate(run, container);
    bool found = false;
    for (size_t i = 0; run->status == CAPP_OK && !found && i < walked.list->n; i++)
        found = capp_jinja_equal(run, walked.list->items[i], item);
    return found && run->status == CAPP_OK;
}

static capp_jinja_value characters_of(capp_jinja_run *run, const capp_jinja_string *s) {
    capp_jinja_value out = capp_jinja_list_new(run, CAPP_JINJA_LIST, 0);
    for (size_t at = 0; at < s->size && run->status == CAPP_OK;) {
        size_t size = capp_utf8_size(s->text + at);
        capp_jinja_list_append(run, out, capp_jinja_substring(run, s, at, size));
        at += size;
    }
    return out;
}

capp_jinja_value capp_jinja_iterate(capp_jinja_run *run, capp_jinja_value value) {
    capp_jinja_value out;
    if (run->status != CAPP_OK) return (capp_jinja_value){.kind = CAPP_JINJA_UNDEFINED};
    switch (value.kind) {
    case CAPP_JINJA_UNDEFINED: return capp_jinja_list_new(run, CAPP_JINJA_LIST, 0);
    case CAPP_JINJA_STRING: return characters_of(run, value.string);
    case CAPP_JINJA_LIST:
    case CAPP_JINJA_TUPLE:
    case CAPP_JINJA_VIEW: return value;
    case CAPP_JINJA_STREAM:
        out = capp_jinja_list_new(run, CAPP_JINJA_LIST, 0);
        while (run->status == CAPP_OK && value.list->taken < value.list->n)
            capp_jinja_list_append(run, out, value.list->items[value.list->taken++]);
        return out;
    case CAPP_JINJA_DICT:
        out = capp_jinja_list_new(run, CAPP_JINJA_LIST, value.dict->n);
        for (size_t i = 0; run->status == CAPP_OK && i < value.dict->n; i++)
            capp_jinja_list_append(run, out, value.dict->keys[i]);
        return out;
    case CAPP_JINJA_LOOP:
        return capp_jinja_fail(run, CAPP_EUNSUPPORTED, "iterating over the variable loop is not supported");
    default:
        return capp_jinja_fail(run, CAPP_EINVAL, "cannot iterate over a value of type %s", capp_jinja_kind_name(value));
    }
}

size_t capp_jinja_count_characters(const capp_jinja_string *string) {
    size_t n = 0;
    for (size_t i = 0; i < string->size; i++) n += ((unsigned char)string->text[i] & 0xc0) != 0x80;
    return n;
}
