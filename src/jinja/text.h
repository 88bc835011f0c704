/* Values as text: str and repr as Python writes them, and JSON. */
#ifndef CAPP_JINJA_TEXT_H
#define CAPP_JINJA_TEXT_H

#include "jinja/value.h"

/* str(value): the text that {{ value }} prints. Never NULL: an empty text after a failure. */
const capp_jinja_string *capp_jinja_to_text(capp_jinja_run *run, capp_jinja_value value);

/* json.dumps(value, ...). indent: NULL, or the text for one level of indentation. */
typedef struct capp_jinja_json_style {
    bool ascii, sorted;
    const capp_jinja_string *indent, *comma, *colon; /* the latter two are never NULL */
} capp_jinja_json_style;

void capp_jinja_append_json(capp_jinja_run *run, capp_jinja_buffer *buffer, capp_jinja_value value,
                            const capp_jinja_json_style *style);

#endif
