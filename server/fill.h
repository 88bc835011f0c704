/* Templates of prompts: text with fields in braces, as the command's -t. */
#ifndef SERVER_FILL_H
#define SERVER_FILL_H

#include "fields.h"
#include "text.h"

/* Appends the template with the fields of item: a string is the field "text", an object has its own. {{ and }} are
 * braces. template.data NULL: the item's text is the prompt. The text may have at most `most` bytes. */
bool fill_template(text *t, capp_str pattern, const json_t *item, size_t most, failure *f);

#endif
