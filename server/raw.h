/* Values of a body as their client wrote them: jansson keeps numbers, but not their digits. */
#ifndef SERVER_RAW_H
#define SERVER_RAW_H

#include <jansson.h>

#include "text.h"

/* These walk through JSON that fields_read has read: it is valid, and a NUL follows it. They borrow from it. */

/* Where the object of a body begins. */
const char *raw_body(const text *body);

/* Where the value of an object's field begins. at: where `object` begins; the object has the field. */
const char *raw_member(const char *at, const json_t *object, capp_str name);

/* The first element of the array at `at`, and the one after the element at `at`; there must be one. */
const char *raw_first(const char *at);
const char *raw_next(const char *at);

/* Appends the value at `at` as it was written, without spaces between its parts. */
void raw_put(text *t, const char *at);

/* Bytes from `at` to the end of the value: raw_put does not append more. */
size_t raw_size(const char *at);

#endif
