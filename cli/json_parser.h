/* JSON (RFC 8259) in memory: checked once, then read without building a tree. A value is a piece of the text, so a
 * number keeps its digits. */
#ifndef CLI_JSON_PARSER_H
#define CLI_JSON_PARSER_H

#include "util.h"

enum { JSON_DEPTH = 200 }; /* maximum depth of arrays and objects */

typedef enum json_kind {
    JSON_KIND_NONE, /* there is no value */
    JSON_KIND_NULL,
    JSON_KIND_BOOL,
    JSON_KIND_NUMBER,
    JSON_KIND_STRING,
    JSON_KIND_ARRAY,
    JSON_KIND_OBJECT
} json_kind;

/* A value: its text without spaces around it. Size 0: no value. Borrows the text that was checked. */
typedef capp_str json_value;

/* Checks whether text is one JSON value with only spaces around it. If not, *at is the offset of the error and *reason
 * (static) describes it. */
bool json_check(capp_str text, json_value *value, size_t *at, const char **reason);

/* The functions below require values of a text that json_check accepted. */

json_kind json_kind_of(json_value value);

/* The items of an array or the members of an object: `for (json_walk w = json_begin(value); json_next(&w);)`. */
typedef struct json_walk {
    json_value name; /* a string; none in an array */
    json_value item;
    const char *next, *end; /* internal */
    bool object;
} json_walk;

json_walk json_begin(json_value value);
bool json_next(json_walk *walk);

/* Number of items of an array or members of an object. */
size_t json_size(json_value value);

/* Decodes a string and adds it to b, or copies it into a (with a NUL after it). */
void json_add_string(buffer *b, json_value string);
capp_str json_copy_string(arena *a, json_value string);

/* The value's text without spaces between its parts and without unneeded escapes. Digits do not change. */
capp_str json_compact(arena *a, json_value value);

double json_double(json_value number);
bool json_is_true(json_value value);

/* Finds the end of one value in a text that arrives in pieces, before the value is checked. At its first byte all
 * members are zero. */
typedef struct json_scan {
    size_t depth;
    bool begun, in_string, escaped, scalar;
} json_scan;

/* Reads more; *used is the number of bytes read. True: the value ends there (a number or word: before the next byte).
 */
bool json_scan_on(json_scan *scan, const char *data, size_t size, size_t *used);

#endif
