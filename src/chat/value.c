#define _GNU_SOURCE
#include "chat/value.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "token/unicode.h"

/* ---- Memory ------------------------------------------------------------------------------------------------------ */

enum { BLOCK = 1 << 14, ALIGNMENT = 8 };

struct capp_jblock {
    struct capp_jblock *next;
    size_t used, size;
    _Alignas(ALIGNMENT) char data[];
};

void *capp_jheap_take(capp_jheap *heap, size_t n, size_t size) {
    size_t bytes;
    if (!capp_mul(n, size, &bytes) || bytes > heap->most || heap->used > heap->most - bytes) return NULL;
    bytes = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    struct capp_jblock *block = heap->blocks;
    if (!block || block->size - block->used < bytes) {
        size_t room = bytes > BLOCK ? bytes : BLOCK;
        block = capp_new(sizeof *block + room, 1);
        if (!block) return NULL;
        *block = (struct capp_jblock){.next = heap->blocks, .size = room};
        heap->blocks = block;
    }
    void *p = block->data + block->used;
    block->used += bytes;
    heap->used += bytes;
    return memset(p, 0, bytes);
}

void capp_jheap_free(capp_jheap *heap) {
    while (heap->blocks) {
        struct capp_jblock *next = heap->blocks->next;
        capp_free(heap->blocks);
        heap->blocks = next;
    }
    heap->used = 0;
}

/* ---- The run ----------------------------------------------------------------------------------------------------- */

capp_jval capp_jfail(capp_jrun *r, capp_status status, const char *format, ...) {
    const capp_jval nothing = {.kind = CAPP_J_UNDEFINED};
    if (r->status != CAPP_OK) return nothing;
    r->status = status;
    char message[sizeof r->err->message - 32];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    for (char *c = message; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f) *c = ' ';
    capp_error_fill(r->err, status, "line %d: %s", r->line, message);
    return nothing;
}

int capp_jshown(capp_str text, size_t most) {
    if (text.size <= most) return (int)text.size;
    while (most && ((unsigned char)text.data[most] & 0xc0) == 0x80) most--;
    return (int)most;
}

bool capp_jwork(capp_jrun *r, size_t amount) {
    r->steps += amount;
    if (r->steps > r->most_steps)
        capp_jfail(r, CAPP_EUNSUPPORTED, "the template works for too long: more than %llu steps",
                   (unsigned long long)r->most_steps);
    return r->status == CAPP_OK;
}

void *capp_jtake(capp_jrun *r, size_t n, size_t size) {
    if (r->status != CAPP_OK || !capp_jwork(r, 1 + n / 16)) return NULL;
    void *p = capp_jheap_take(&r->heap, n, size);
    if (p) return p;
    if (n > r->heap.most / (size ? size : 1) || r->heap.used > r->heap.most - n * size)
        capp_jfail(r, CAPP_EUNSUPPORTED, "the template takes more than %zu MiB of memory", r->heap.most >> 20);
    else
        capp_jfail(r, CAPP_ENOMEM, "out of memory for rendering a chat template");
    return NULL;
}

bool capp_jenter(capp_jrun *r) {
    if (r->status != CAPP_OK || !capp_jwork(r, 1)) return false;
    if (r->depth >= CAPP_J_MOST_DEPTH) {
        capp_jfail(r, CAPP_EUNSUPPORTED, "more than %d things inside each other", CAPP_J_MOST_DEPTH);
        return false;
    }
    r->depth++;
    return true;
}

void capp_jleave(capp_jrun *r) {
    r->depth--;
}

/* ---- Making ------------------------------------------------------------------------------------------------------ */

capp_jval capp_jundefined(capp_jrun *r, capp_str name) {
    capp_jval v = {.kind = CAPP_J_UNDEFINED};
    capp_str *copy = capp_jtake(r, 1, sizeof *copy);
    if (copy) *copy = name;
    v.of.name = copy;
    return v;
}

static capp_jval str_value(capp_jrun *r, const char *text, const uint8_t *given, size_t size) {
    capp_jval v = {.kind = CAPP_J_STR};
    capp_jstr *s = capp_jtake(r, 1, sizeof *s);
    if (!s) return (capp_jval){.kind = CAPP_J_UNDEFINED};
    *s = (capp_jstr){text, given, size};
    v.of.str = s;
    return v;
}

static capp_jval copy_text(capp_jrun *r, capp_str text, uint8_t given) {
    char *copy = capp_jtake(r, text.size, 1);
    uint8_t *marks = capp_jtake(r, text.size, 1);
    if (!copy || !marks) return (capp_jval){.kind = CAPP_J_UNDEFINED};
    if (text.size) memcpy(copy, text.data, text.size);
    memset(marks, given, text.size);
    return str_value(r, copy, marks, text.size);
}

capp_jval capp_jstr_of(capp_jrun *r, const char *text) {
    return copy_text(r, capp_str_of(text), 0);
}

capp_jval capp_jstr_own(capp_jrun *r, capp_str text) {
    return copy_text(r, text, 0);
}

capp_jval capp_jstr_given(capp_jrun *r, capp_str text) {
    return copy_text(r, text, 1);
}

capp_jval capp_jpart(capp_jrun *r, const capp_jstr *s, size_t at, size_t size) {
    return str_value(r, s->text + at, s->given + at, size);
}

capp_jval capp_jbuffer_str(capp_jrun *r, const capp_jbuffer *b) {
    return b->text ? str_value(r, b->text, b->given, b->size) : capp_jstr_of(r, "");
}

static bool make_room(capp_jrun *r, capp_jbuffer *b, size_t more) {
    if (b->capacity - b->size >= more) return true;
    size_t wanted = b->capacity + b->capacity / 2;
    if (wanted - b->size < more) wanted = b->size + more;
    if (wanted < 64) wanted = 64;
    char *text = capp_jtake(r, wanted, 1);
    uint8_t *given = capp_jtake(r, wanted, 1);
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

void capp_jput(capp_jrun *r, capp_jbuffer *b, const capp_jstr *s) {
    if (!s->size || !capp_jwork(r, 1 + s->size / 16) || !make_room(r, b, s->size)) return;
    memcpy(b->text + b->size, s->text, s->size);
    memcpy(b->given + b->size, s->given, s->size);
    b->size += s->size;
}

void capp_jput_bytes(capp_jrun *r, capp_jbuffer *b, const char *text, size_t size, uint8_t given) {
    if (!size || !capp_jwork(r, 1 + size / 16) || !make_room(r, b, size)) return;
    memcpy(b->text + b->size, text, size);
    memset(b->given + b->size, given, size);
    b->size += size;
}

void capp_jput_text(capp_jrun *r, capp_jbuffer *b, const char *text) {
    capp_jput_bytes(r, b, text, strlen(text), 0);
}

static bool grow_array(capp_jrun *r, capp_jval **array, size_t n, size_t capacity) {
    capp_jval *wider = capp_jtake(r, capacity, sizeof *wider);
    if (!wider) return false;
    if (n) memcpy(wider, *array, n * sizeof *wider);
    *array = wider;
    return true;
}

capp_jval capp_jlist_new(capp_jrun *r, capp_jkind kind, size_t room) {
    capp_jlist *list = capp_jtake(r, 1, sizeof *list);
    if (!list) return (capp_jval){.kind = CAPP_J_UNDEFINED};
    if (room && !grow_array(r, &list->at, 0, room)) return (capp_jval){.kind = CAPP_J_UNDEFINED};
    list->capacity = room;
    return (capp_jval){.kind = kind, .of.list = list};
}

void capp_jlist_push(capp_jrun *r, capp_jval list, capp_jval item) {
    if (r->status != CAPP_OK || !capp_jwork(r, 1)) return;
    capp_jlist *l = list.of.list;
    size_t wanted = l->capacity ? 2 * l->capacity : 8;
    if (l->n == l->capacity) {
        if (!grow_array(r, &l->at, l->n, wanted)) return;
        l->capacity = wanted;
    }
    l->at[l->n++] = item;
}

capp_jval capp_jdict_new(capp_jrun *r, capp_jkind kind) {
    capp_jdict *dict = capp_jtake(r, 1, sizeof *dict);
    if (!dict) return (capp_jval){.kind = CAPP_J_UNDEFINED};
    return (capp_jval){.kind = kind, .of.dict = dict};
}

bool capp_jhashable(capp_jrun *r, capp_jval v) {
    if (v.kind == CAPP_J_LIST || v.kind == CAPP_J_DICT) {
        capp_jfail_kind(r, "no key of a dict, nor item of a set, can be", v);
        return false;
    }
    bool good = capp_jenter(r);
    if (!good) return false;
    for (size_t i = 0; good && v.kind == CAPP_J_TUPLE && i < v.of.list->n; i++)
        good = capp_jhashable(r, v.of.list->at[i]);
    capp_jleave(r);
    return good;
}

capp_jval *capp_jdict_get(capp_jrun *r, const capp_jdict *dict, capp_jval key) {
    if (!capp_jwork(r, 1 + dict->n / 4)) return NULL;
    for (size_t i = 0; i < dict->n; i++)
        if (capp_jequal(r, dict->keys[i], key)) return &dict->values[i];
    return NULL;
}

capp_jval *capp_jdict_named(const capp_jdict *dict, capp_str key) {
    for (size_t i = 0; i < dict->n; i++) {
        const capp_jval *k = &dict->keys[i];
        if (k->kind == CAPP_J_STR && k->of.str->size == key.size && !memcmp(k->of.str->text, key.data, key.size))
            return &dict->values[i];
    }
    return NULL;
}

void capp_jdict_put(capp_jrun *r, capp_jval dict, capp_jval key, capp_jval value) {
    if (r->status != CAPP_OK || !capp_jhashable(r, key)) return;
    if (key.kind > CAPP_J_STR && key.kind != CAPP_J_TUPLE) {
        capp_jfail(r, CAPP_EUNSUPPORTED, "a %s as the key of a dict is not supported", capp_jkind_name(key));
        return;
    }
    capp_jdict *d = dict.of.dict;
    capp_jval *known = capp_jdict_get(r, d, key);
    if (r->status != CAPP_OK) return;
    if (known) {
        *known = value;
        return;
    }
    if (d->n == d->capacity) {
        size_t wanted = d->capacity ? 2 * d->capacity : 8;
        if (!grow_array(r, &d->keys, d->n, wanted) || !grow_array(r, &d->values, d->n, wanted)) return;
        d->capacity = wanted;
    }
    d->keys[d->n] = key;
    d->values[d->n++] = value;
}

static capp_jval from_string(capp_jrun *r, capp_json value) {
    bool escapes;
    capp_str raw = capp_json_raw(value, &escapes);
    char *text = capp_jtake(r, raw.size, 1);
    if (!text) return (capp_jval){.kind = CAPP_J_UNDEFINED};
    return capp_jstr_given(r, (capp_str){text, capp_json_decode(raw, text)});
}

static capp_jval from_number(capp_jrun *r, capp_json value) {
    const char *p = value + (*value == '-');
    int64_t whole = 0;
    bool fits = true;
    for (; *p >= '0' && *p <= '9'; p++) {
        fits = fits && !__builtin_mul_overflow(whole, 10, &whole) && !__builtin_add_overflow(whole, *p - '0', &whole);
    }
    bool fraction = *p == '.' || (*p | 0x20) == 'e';
    double number;
    if (!fraction && fits) return capp_jint(*value == '-' ? -whole : whole);
    if (!fraction || !capp_json_f64(value, &number))
        return capp_jfail(r, CAPP_EUNSUPPORTED, "a number of the variables is too large");
    return capp_jfloat(number);
}

/* Depth: at most CAPP_JSON_DEPTH. */
capp_jval capp_jfrom_json(capp_jrun *r, capp_json value) {
    bool truth = false;
    capp_jval out;
    if (!capp_jwork(r, 1)) return (capp_jval){.kind = CAPP_J_UNDEFINED};
    switch (capp_json_kind_of(value)) {
    case CAPP_JSON_STRING: return from_string(r, value);
    case CAPP_JSON_NUMBER: return from_number(r, value);
    case CAPP_JSON_BOOL: (void)capp_json_bool(value, &truth); return capp_jbool(truth);
    case CAPP_JSON_ARRAY:
        out = capp_jlist_new(r, CAPP_J_LIST, 0);
        for (capp_json_walk w = capp_json_begin(value); r->status == CAPP_OK && capp_json_next(&w);)
            capp_jlist_push(r, out, capp_jfrom_json(r, w.value));
        return out;
    case CAPP_JSON_OBJECT:
        out = capp_jdict_new(r, CAPP_J_DICT);
        for (capp_json_walk w = capp_json_begin(value); r->status == CAPP_OK && capp_json_next(&w);)
            capp_jdict_put(r, out, from_string(r, w.name), capp_jfrom_json(r, w.value));
        return out;
    default: return capp_jnone();
    }
}

/* ---- Looking ----------------------------------------------------------------------------------------------------- */

const char *capp_jkind_name(capp_jval v) {
    static const char *const names[] = {"undefined", "NoneType", "bool",      "int",    "float", "str",
                                        "list",      "tuple",    "dict view", "stream", "dict",  "namespace",
                                        "loop",      "macro",    "function",  "method"};
    return names[v.kind];
}

bool capp_jinteger(capp_jval v, int64_t *out) {
    if (v.kind == CAPP_J_INT)
        *out = v.of.integer;
    else if (v.kind == CAPP_J_BOOL)
        *out = v.of.truth;
    else
        return false;
    return true;
}

double capp_jnumber(capp_jval v) {
    int64_t integer;
    return capp_jinteger(v, &integer) ? (double)integer : v.of.number;
}

bool capp_jstr_is(capp_jval v, const char *text) {
    size_t n = strlen(text);
    return v.kind == CAPP_J_STR && v.of.str->size == n && !memcmp(v.of.str->text, text, n);
}

bool capp_jtruth(capp_jval v) {
    switch (v.kind) {
    case CAPP_J_UNDEFINED:
    case CAPP_J_NONE: return false;
    case CAPP_J_BOOL: return v.of.truth;
    case CAPP_J_INT: return v.of.integer != 0;
    case CAPP_J_FLOAT: return v.of.number != 0;
    case CAPP_J_STR: return v.of.str->size != 0;
    case CAPP_J_LIST:
    case CAPP_J_TUPLE:
    case CAPP_J_VIEW: return v.of.list->n != 0;
    case CAPP_J_DICT: return v.of.dict->n != 0;
    default: return true;
    }
}

static bool equal_lists(capp_jrun *r, const capp_jlist *a, const capp_jlist *b) {
    if (a->n != b->n || !capp_jenter(r)) return false;
    bool equal = true;
    for (size_t i = 0; equal && i < a->n; i++) equal = capp_jequal(r, a->at[i], b->at[i]);
    capp_jleave(r);
    return equal;
}

static bool equal_dicts(capp_jrun *r, const capp_jdict *a, const capp_jdict *b) {
    if (a->n != b->n || !capp_jenter(r)) return false;
    bool equal = true;
    for (size_t i = 0; equal && i < a->n; i++) {
        const capp_jval *other = capp_jdict_get(r, b, a->keys[i]);
        equal = other && capp_jequal(r, a->values[i], *other);
    }
    capp_jleave(r);
    return equal;
}

bool capp_jequal(capp_jrun *r, capp_jval a, capp_jval b) {
    int64_t x, y;
    if (!capp_jwork(r, 1)) return false;
    if (capp_jis_number(a) && capp_jis_number(b))
        return capp_jinteger(a, &x) && capp_jinteger(b, &y) ? x == y : capp_jnumber(a) == capp_jnumber(b);
    if (a.kind != b.kind) return false;
    switch (a.kind) {
    case CAPP_J_UNDEFINED:
    case CAPP_J_NONE: return true;
    case CAPP_J_STR:
        return a.of.str->size == b.of.str->size && capp_jwork(r, a.of.str->size / 16) &&
               !memcmp(a.of.str->text, b.of.str->text, a.of.str->size);
    case CAPP_J_LIST:
    case CAPP_J_TUPLE: return equal_lists(r, a.of.list, b.of.list);
    case CAPP_J_DICT: return equal_dicts(r, a.of.dict, b.of.dict);
    default: return a.of.list == b.of.list && a.function == b.function;
    }
}

static int compare_strs(const capp_jstr *a, const capp_jstr *b) {
    size_t n = a->size < b->size ? a->size : b->size;
    int order = n ? memcmp(a->text, b->text, n) : 0; /* UTF-8: in the order of characters */
    if (!order) return (a->size > b->size) - (a->size < b->size);
    return order < 0 ? -1 : 1;
}

int capp_jcompare(capp_jrun *r, capp_jval a, capp_jval b, const char *op) {
    int64_t i, j;
    if (capp_jinteger(a, &i) && capp_jinteger(b, &j)) return (i > j) - (i < j);
    if (capp_jis_number(a) && capp_jis_number(b)) {
        double x = capp_jnumber(a), y = capp_jnumber(b);
        if (!isnan(x) && !isnan(y)) return (x > y) - (x < y);
    }
    if (a.kind == CAPP_J_STR && b.kind == CAPP_J_STR && capp_jwork(r, a.of.str->size / 16))
        return compare_strs(a.of.str, b.of.str);
    bool lists = a.kind == b.kind && (a.kind == CAPP_J_LIST || a.kind == CAPP_J_TUPLE);
    if (a.kind == CAPP_J_UNDEFINED || b.kind == CAPP_J_UNDEFINED)
        capp_jfail_undefined(r, a.kind == CAPP_J_UNDEFINED ? a : b);
    else
        capp_jfail(r, lists ? CAPP_EUNSUPPORTED : CAPP_EINVAL, "'%s' is not supported between %s and %s", op,
                   capp_jkind_name(a), capp_jkind_name(b));
    return 0;
}

bool capp_jcontains(capp_jrun *r, capp_jval in, capp_jval item) {
    if (in.kind == CAPP_J_STR) {
        if (item.kind != CAPP_J_STR) {
            capp_jfail_kind(r, "'in' a text needs a text, not", item);
            return false;
        }
        const capp_jstr *a = in.of.str, *b = item.of.str;
        if (!capp_jwork(r, a->size / 16)) return false;
        return !b->size || (a->size && memmem(a->text, a->size, b->text, b->size));
    }
    if (in.kind == CAPP_J_DICT) return capp_jhashable(r, item) && capp_jdict_get(r, in.of.dict, item) != NULL;
    capp_jval walked = capp_jwalk(r, in);
    bool found = false;
    for (size_t i = 0; r->status == CAPP_OK && !found && i < walked.of.list->n; i++)
        found = capp_jequal(r, walked.of.list->at[i], item);
    return found && r->status == CAPP_OK;
}

static capp_jval characters_of(capp_jrun *r, const capp_jstr *s) {
    capp_jval out = capp_jlist_new(r, CAPP_J_LIST, 0);
    for (size_t at = 0; at < s->size && r->status == CAPP_OK;) {
        size_t size = capp_utf8_size(s->text + at);
        capp_jlist_push(r, out, capp_jpart(r, s, at, size));
        at += size;
    }
    return out;
}

capp_jval capp_jwalk(capp_jrun *r, capp_jval v) {
    capp_jval out;
    if (r->status != CAPP_OK) return (capp_jval){.kind = CAPP_J_UNDEFINED};
    switch (v.kind) {
    case CAPP_J_UNDEFINED: return capp_jlist_new(r, CAPP_J_LIST, 0);
    case CAPP_J_STR: return characters_of(r, v.of.str);
    case CAPP_J_LIST:
    case CAPP_J_TUPLE:
    case CAPP_J_VIEW: return v;
    case CAPP_J_STREAM:
        out = capp_jlist_new(r, CAPP_J_LIST, 0);
        while (r->status == CAPP_OK && v.of.list->taken < v.of.list->n)
            capp_jlist_push(r, out, v.of.list->at[v.of.list->taken++]);
        return out;
    case CAPP_J_DICT:
        out = capp_jlist_new(r, CAPP_J_LIST, v.of.dict->n);
        for (size_t i = 0; r->status == CAPP_OK && i < v.of.dict->n; i++) capp_jlist_push(r, out, v.of.dict->keys[i]);
        return out;
    case CAPP_J_LOOP: return capp_jfail(r, CAPP_EUNSUPPORTED, "walking a loop is not supported");
    default: return capp_jfail(r, CAPP_EINVAL, "a %s cannot be walked", capp_jkind_name(v));
    }
}

size_t capp_jcharacters(const capp_jstr *s) {
    size_t n = 0;
    for (size_t i = 0; i < s->size; i++) n += ((unsigned char)s->text[i] & 0xc0) != 0x80;
    return n;
}

bool capp_jis_space(int32_t c) {
    return (c >= 9 && c <= 13) || (c >= 28 && c <= 32) || c == 0x85 || c == 0xa0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}
