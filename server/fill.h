/* Templates of prompts: text with fields in braces, as the command's -t. */
#ifndef SERVER_FILL_H
#define SERVER_FILL_H

#include "fields.h"
#include "text.h"

/* A text of a request. */
typedef struct fill_item {
    const json_t *json; /* a string is the field "text", an object has its own fields */
    size_t index;       /* for errors */
} fill_item;

/* Appends the template with the fields of item, which are strings, numbers, true or false; null is a missing field.
 * {{ and }} are braces. template.data NULL: the item's text is the prompt. The text may have at most `most` bytes. A
 * template without fields is an error. */
bool fill_template(text *t, capp_str pattern, const fill_item *item, size_t most, failure *f);

#endif
