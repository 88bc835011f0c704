#include "fields.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH = 32 };

bool refuse(failure *f, int status, const char *name, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(f->message, sizeof f->message, format, arguments);
    va_end(arguments);
    f->status = status;
    snprintf(f->field, sizeof f->field, "%s", name);
    return false;
}

/* Whether arrays and objects are nested at most DEPTH deep. Brackets in strings do not count. */
static bool is_flat(const char *body, size_t size) {
    size_t depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < size; i++) {
        char c = body[i];
        if (in_string && c == '\\')
            i++;
        else if (c == '"')
            in_string = !in_string;
        else if (!in_string && (c == '{' || c == '[') && ++depth > DEPTH)
            return false;
        else if (!in_string && (c == '}' || c == ']') && depth)
            depth--;
    }
    return true;
}

enum { VALUE_BYTES = 64 }; /* of a number with its place in an array; a member takes twice as much */

/* Commas and colons in strings count, too: this is only a bound. */
size_t fields_bytes(const char *body, size_t size) {
    size_t values = 1;
    for (size_t i = 0; i < size; i++) values += body[i] == ',' || body[i] == ':' || body[i] == '[' || body[i] == '{';
    return size + VALUE_BYTES * values;
}

json_t *fields_read(const char *body, size_t size, failure *f) {
    json_error_t error;
    if (!size) {
        refuse(f, 400, "", "the body is empty; send a JSON object");
        return NULL;
    }
    if (!is_flat(body, size)) {
        refuse(f, 400, "", "the body has more than %d levels of arrays and objects", DEPTH);
        return NULL;
    }
    json_t *object = json_loadb(body, size, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    if (!object) {
        refuse(f, 400, "", "the body is not valid JSON: line %d, column %d: %s", error.line, error.column, error.text);
        return NULL;
    }
    if (json_is_object(object)) return object;
    json_decref(object);
    refuse(f, 400, "", "the body is not a JSON object");
    return NULL;
}

static bool is_listed(const char *name, const char *known) {
    size_t n = strlen(name);
    if (strchr(name, ' ')) return false;
    for (const char *at = known; n && (at = strstr(at, name)); at += n)
        if ((at == known || at[-1] == ' ') && (!at[n] || at[n] == ' ')) return true;
    return false;
}

bool fields_known(const json_t *object, const char *known, const char *prefix, failure *f) {
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)object, name, value) {
        char whole[100];
        if (json_is_null(value) || is_listed(name, known)) continue;
        snprintf(whole, sizeof whole, "%s%s", prefix, name);
        return refuse(f, 400, whole, "the field '%s' is not supported; supported are: %s", whole, known);
    }
    return true;
}

json_t *field(const json_t *object, const char *name) {
    json_t *value = json_object_get(object, name);
    return json_is_null(value) ? NULL : value;
}

bool field_bool(const json_t *object, const char *name, bool *value, failure *f) {
    const json_t *given = field(object, name);
    if (!given) return true;
    if (!json_is_boolean(given)) return refuse(f, 400, name, "'%s' must be true or false", name);
    *value = json_is_true(given);
    return true;
}

bool field_count(const json_t *object, const char *name, size_t least, size_t most, size_t *value, failure *f) {
    const json_t *given = field(object, name);
    if (!given) return true;
    json_int_t number = json_is_integer(given) ? json_integer_value(given) : -1;
    if (!json_is_integer(given) || number < (json_int_t)least || (uint64_t)number > most)
        return refuse(f, 400, name, "'%s' must be a whole number from %zu to %zu", name, least, most);
    *value = (size_t)number;
    return true;
}

bool field_number(const json_t *object, const char *name, double least, double most, double *value, failure *f) {
    const json_t *given = field(object, name);
    if (!given) return true;
    double number = json_is_number(given) ? json_number_value(given) : NAN;
    if (!(number >= least && number <= most))
        return refuse(f, 400, name, "'%s' must be a number from %g to %g", name, least, most);
    *value = number;
    return true;
}

capp_str string_of(const json_t *string) {
    return (capp_str){json_string_value(string), json_string_length(string)};
}

bool field_string(const json_t *object, const char *name, capp_str *value, failure *f) {
    const json_t *given = field(object, name);
    if (!given) return true;
    if (!json_is_string(given)) return refuse(f, 400, name, "'%s' must be a string", name);
    *value = string_of(given);
    return true;
}

bool field_strings(const json_t *object, const char *name, size_t most, capp_str **values, size_t *n, failure *f) {
    const json_t *given = field(object, name);
    *values = NULL;
    *n = 0;
    if (!given) return true;
    size_t count = json_is_array(given) ? json_array_size(given) : 1;
    if (!count || count > most)
        return refuse(f, 400, name, "'%s' must have 1 to %zu strings; it has %zu", name, most, count);
    *values = calloc(count, sizeof **values);
    if (!*values) return refuse(f, 503, name, "out of memory");
    for (size_t i = 0; i < count; i++) {
        const json_t *item = json_is_array(given) ? json_array_get(given, i) : given;
        if (!json_is_string(item) || !json_string_length(item)) {
            free(*values);
            *values = NULL;
            return refuse(f, 400, name, "'%s' must be a string or an array of strings, none of them empty", name);
        }
        (*values)[i] = string_of(item);
    }
    *n = count;
    return true;
}
