/* JSON (RFC 8259) in memory: checked once, then walked without building a tree. Files of tokenizers contain millions of
 * strings, and a tree of nodes would be several times larger than the file. Here a value is a pointer to its first
 * byte, and its members are found by reading on. capp_json_check has checked every byte, so walking cannot fail. If
 * members have equal names, the last one counts, as in most readers. */
#ifndef CAPP_BASE_JSON_H
#define CAPP_BASE_JSON_H

#include "base/error.h"

enum { CAPP_JSON_DEPTH = 64 }; /* maximum nesting of arrays and objects */

typedef enum capp_json_kind {
    CAPP_JSON_NONE, /* no such value */
    CAPP_JSON_NULL,
    CAPP_JSON_BOOL,
    CAPP_JSON_NUMBER,
    CAPP_JSON_STRING,
    CAPP_JSON_ARRAY,
    CAPP_JSON_OBJECT
} capp_json_kind;

/* The first byte of a value in checked text, or NULL for no value. Borrows the text. */
typedef const char *capp_json;

/* Checks that text is one JSON value: valid UTF-8, no lone surrogates in escapes, nested at most CAPP_JSON_DEPTH deep.
 * Sets *value to its root. On failure returns CAPP_EFORMAT with the line and column of the error. */
capp_status capp_json_check(capp_str text, capp_json *value, capp_error *err);

/* Reading a number, or moving past a value, is allowed only inside an array or object, because the text may not end
 * with NUL. */
capp_json_kind capp_json_kind_of(capp_json value);

/* Walks over the items of an array or object: `for (capp_json_walk w = capp_json_begin(value); capp_json_next(&w);)`.
 * Other kinds of values have no items. */
typedef struct capp_json_walk {
    capp_json value;   /* of the item */
    capp_json name;    /* a string; NULL in an array */
    const char *after; /* internal: where to continue; NULL: at the end */
    bool object;
} capp_json_walk;

capp_json_walk capp_json_begin(capp_json value);
bool capp_json_next(capp_json_walk *walk);
size_t capp_json_count(capp_json value);

/* Returns the member with this name, or NULL if there is none or the value is not an object. */
capp_json capp_json_get(capp_json object, const char *name);

/* The members of an object, found by reading it only once; for objects with long members. Names are in order. If two
 * are equal, the last one counts. */
enum { CAPP_JSON_MOST_FIELDS = 64 };

typedef struct capp_json_fields {
    size_t n;
    capp_json names[CAPP_JSON_MOST_FIELDS], values[CAPP_JSON_MOST_FIELDS];
} capp_json_fields;

bool capp_json_read_fields(capp_json object, capp_json_fields *fields); /* false: more than CAPP_JSON_MOST_FIELDS */
capp_json capp_json_field(const capp_json_fields *fields, const char *name); /* NULL: none */

/* Returns the text of a string between its quotes, or {NULL, 0} for another kind of value. Sets *escapes if it contains
 * escapes, which capp_json_decode decodes. */
capp_str capp_json_raw(capp_json string, bool *escapes);
/* Decodes the escapes of raw and writes the text to out, which has raw.size bytes (decoding never makes text longer).
 * Returns the size of the text. */
size_t capp_json_decode(capp_str raw, char *out);
/* Whether a string equals text after decoding. */
bool capp_json_is(capp_json string, const char *text);

bool capp_json_bool(capp_json value, bool *out); /* false: not a bool */
/* Reads an integer from 0 to most, written without fraction or exponent. */
bool capp_json_u32(capp_json value, uint32_t most, uint32_t *out);
/* Reads a number. Rounds like serde_json, which reads the same files for the tokenizers package: digits up to 64 bits,
 * then one multiplication or division by a power of ten. So scores are the same to the last bit. Returns false if it is
 * not a number or too large. */
bool capp_json_f64(capp_json value, double *out);

#endif
