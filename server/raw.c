#include "raw.h"

#include <string.h>

static const char spaces[] = " \t\r\n";

static const char *skip_spaces(const char *at) {
    return at + strspn(at, spaces);
}

static const char *skip_string(const char *at) {
    for (at++; *at != '"'; at++) at += *at == '\\';
    return at + 1;
}

static const char *skip_value(const char *at) {
    size_t depth = 0;
    do {
        char c = *at;
        if (c == '"') {
            at = skip_string(at);
        } else if (c == '{' || c == '[') {
            depth++, at++;
        } else if (c == '}' || c == ']') {
            depth--, at++;
        } else if (c == ',' || c == ':' || strchr(spaces, c)) {
            at++;
        } else {
            at += strcspn(at, ",]} \t\r\n");
        }
    } while (depth);
    return at;
}

const char *raw_body(const text *body) {
    return skip_spaces(body->data);
}

const char *raw_first(const char *at) {
    return skip_spaces(skip_spaces(at) + 1);
}

/* Behind the value at `at` and the comma or colon after it. */
const char *raw_next(const char *at) {
    return skip_spaces(skip_spaces(skip_value(at)) + 1);
}

/* jansson keeps the order of fields, and no name occurs twice. */
const char *raw_member(const char *at, const json_t *object, capp_str name) {
    const char *key;
    size_t size;
    json_t *value;
    at = raw_next(raw_first(at));
    json_object_keylen_foreach((json_t *)object, key, size, value) {
        if (size == name.size && !memcmp(key, name.data, size)) break;
        at = raw_next(raw_next(at));
    }
    return at;
}

void raw_put(text *t, const char *at) {
    const char *end = skip_value(at);
    while (at < end) {
        const char *next = *at == '"' ? skip_string(at) : at + 1;
        if (!strchr(spaces, *at)) text_add(t, at, (size_t)(next - at));
        at = next;
    }
}

size_t raw_size(const char *at) {
    return (size_t)(skip_value(at) - at);
}
