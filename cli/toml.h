/* Reads the part of TOML 1.0 that project files need: `key = value` with bare or quoted keys, [table] and [[table]] of
 * one name, strings of all four kinds, decimal numbers, true and false, arrays of these. It refuses by name what it
 * lacks: dotted keys and tables in tables, inline tables, arrays in arrays, dates and times, hexadecimal, octal and
 * binary numbers, underscores in numbers, inf and nan. What it accepts means what it means in TOML. */
#ifndef CLI_TOML_H
#define CLI_TOML_H

#include "util.h"

typedef enum toml_kind { TOML_STRING, TOML_INTEGER, TOML_FLOAT, TOML_BOOL, TOML_ARRAY } toml_kind;

typedef struct toml_value {
    toml_kind kind;
    size_t line;              /* on which it begins, from 1 */
    capp_str text;            /* of a string: decoded; of a number, true or false: as written. NUL-terminated */
    struct toml_value *items; /* [n] of an array */
    size_t n;
} toml_value;

typedef struct toml_entry {
    capp_str name; /* NUL-terminated */
    size_t line;
    toml_value value;
} toml_entry;

typedef struct toml_table {
    capp_str name; /* empty: the entries before the first table */
    bool item;     /* [[name]]: one of several */
    size_t line;
    toml_entry *entries; /* [n] in their order */
    size_t n, capacity;
} toml_table;

typedef struct toml {
    toml_table *tables; /* [n]; the first one has no name */
    size_t n, capacity;
    arena memory;
} toml;

/* Reads a document. path is its name in messages. False: err says file, line and cure. Call toml_free in any case. */
bool toml_parse(toml *document, capp_str text, const char *path, capp_error *err);
void toml_free(toml *document);

#endif
