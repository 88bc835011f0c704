/* JSON (RFC 8259) as it stands in memory: checked once, then walked without a tree.
 *
 * Files of tokenizers hold millions of strings. Where a tree of nodes would be several times the file, a value here is
 * the place where it begins, and its members are found by reading on. capp_json_check has seen every byte before, so
 * that walking cannot fail. Of members with equal names the last one counts, as with most readers. */
#ifndef CAPP_BASE_JSON_H
#define CAPP_BASE_JSON_H

#include "base/error.h"

enum { CAPP_JSON_DEPTH = 64 }; /* most arrays and objects inside each other */

typedef enum capp_json_kind {
    CAPP_JSON_NONE, /* there is no such value */
    CAPP_JSON_NULL,
    CAPP_JSON_BOOL,
    CAPP_JSON_NUMBER,
    CAPP_JSON_STRING,
    CAPP_JSON_ARRAY,
    CAPP_JSON_OBJECT
} capp_json_kind;

/* The first byte of a value inside checked text; NULL: none. Borrows the text. */
typedef const char *capp_json;

/* Whether text is one JSON value: valid UTF-8, no lone surrogates in escapes, at most CAPP_JSON_DEPTH deep.
 * CAPP_EFORMAT with the line and column of what is wrong. *value is then its root. */
capp_status capp_json_check(capp_str text, capp_json *value, capp_error *err);

/* Numbers may be read, and any value passed, only inside an array or object: the text need not end with a NUL. */
capp_json_kind capp_json_kind_of(capp_json value);

/* What follows an object's or array's first byte, item by item: `for (capp_json_walk w = capp_json_begin(value);
 * capp_json_next(&w);)`. Any other kind of value has no items. */
typedef struct capp_json_walk {
    capp_json value;   /* of the item */
    capp_json name;    /* a string; NULL in an array */
    const char *after; /* internal: where to go on; NULL: at the value's end */
    bool object;
} capp_json_walk;

capp_json_walk capp_json_begin(capp_json value);
bool capp_json_next(capp_json_walk *walk);
size_t capp_json_count(capp_json value);

/* The member of this name; NULL: none, or no object. */
capp_json capp_json_get(capp_json object, const char *name);

/* The members of an object, found by reading it once: for objects whose members are long. Names in order; where two are
 * equal the last one counts. */
enum { CAPP_JSON_MOST_FIELDS = 64 };

typedef struct capp_json_fields {
    size_t n;
    capp_json names[CAPP_JSON_MOST_FIELDS], values[CAPP_JSON_MOST_FIELDS];
} capp_json_fields;

bool capp_json_read_fields(capp_json object, capp_json_fields *fields); /* false: more than CAPP_JSON_MOST_FIELDS */
capp_json capp_json_field(const capp_json_fields *fields, const char *name); /* NULL: none */

/* The text of a string between its quotes: whether it has escapes, in which case capp_json_decode is needed. {NULL, 0}
 * for another kind. */
capp_str capp_json_raw(capp_json string, bool *escapes);
/* Writes the raw text without escapes to out (room for raw.size bytes: it can only shrink) and returns its size. */
size_t capp_json_decode(capp_str raw, char *out);
/* Whether a string, escapes decoded, is text. */
bool capp_json_is(capp_json string, const char *text);

bool capp_json_bool(capp_json value, bool *out); /* false: not a bool */
/* A whole number from 0 to most, written without a fraction or exponent. */
bool capp_json_u32(capp_json value, uint32_t most, uint32_t *out);
/* Rounds as serde_json, which reads the same files for the tokenizers package, does: digits up to 64 bits, then one
 * multiplication or division by a power of ten. So that scores are the same to the last bit. False: no number or too
 * large. */
bool capp_json_f64(capp_json value, double *out);

#endif
