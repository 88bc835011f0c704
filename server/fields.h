/* JSON of requests: strict, with errors that name the field. */
#ifndef SERVER_FIELDS_H
#define SERVER_FIELDS_H

#include <jansson.h>

#include "capp_queue.h"

/* An error of a request: what its answer says. */
typedef struct failure {
    int status; /* of HTTP; 0: none */
    char message[1200];
    char field[100]; /* the field that caused it, or "" */
} failure;

/* Fills *f and returns false. */
bool refuse(failure *f, int status, const char *field, const char *format, ...) __attribute__((format(printf, 4, 5)));

/* About as many bytes as the values of a body take in memory. */
size_t fields_bytes(const char *body, size_t size);

/* Reads a body: one JSON object, valid UTF-8, without duplicate keys and deep nesting. NULL: *f says why. */
json_t *fields_read(const char *body, size_t size, failure *f);

/* Whether all fields of the object are in `known`, words separated by spaces. A field with the value null counts as
 * missing. prefix: for errors, such as "messages[0]."; or "". */
bool fields_known(const json_t *object, const char *known, const char *prefix, failure *f);

/* The value of a field; NULL if it is missing or null. */
json_t *field(const json_t *object, const char *name);

/* These leave *value if the field is missing. False: it has another type or is out of range. */
bool field_bool(const json_t *object, const char *name, bool *value, failure *f);
bool field_count(const json_t *object, const char *name, size_t least, size_t most, size_t *value, failure *f);
bool field_number(const json_t *object, const char *name, double least, double most, double *value, failure *f);
bool field_string(const json_t *object, const char *name, capp_str *value, failure *f);

/* A string or an array of strings, 1 to `most` of them, none empty. *values is freed with free. */
bool field_strings(const json_t *object, const char *name, size_t most, capp_str **values, size_t *n, failure *f);

capp_str string_of(const json_t *string);

#endif
