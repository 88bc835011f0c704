/* A documented subset of Jinja (docs/chat.md). It renders as transformers renders chat templates: jinja2 in a sandbox
 * with trim_blocks and lstrip_blocks, tojson as json.dumps, raise_exception and strftime_now.
 *
 * A rendered text records for each byte whether it comes from the template or from the conversation: text from users
 * must never turn into special tokens. Templates are programs of other people, so nesting, steps and memory are
 * limited. */
#ifndef CAPP_JINJA_H
#define CAPP_JINJA_H

#include "base/json.h"

typedef struct capp_jinja capp_jinja;

/* Parses source, UTF-8, which is copied. Error messages begin with the template's line. CAPP_EFORMAT: the source is not
 * Jinja; CAPP_EUNSUPPORTED: capp does not know the construct. An open template does not change: any number of threads
 * may render it. */
capp_status capp_jinja_open(capp_jinja **out, capp_str source, capp_error *err);

/* May be NULL. */
void capp_jinja_free(capp_jinja *template);

typedef struct capp_jinja_constant {
    const char *name; /* such as "bos_token" */
    capp_str text;
} capp_jinja_constant;

/* What a template sees, borrowed for the call. It also sees tools and documents, which are none. */
typedef struct capp_jinja_input {
    const capp_message *messages; /* [n_messages] */
    size_t n_messages;
    const capp_message *last;             /* one additional message, or NULL */
    const capp_jinja_constant *constants; /* [n_constants] variables whose text counts as part of the template */
    size_t n_constants;
    capp_json variables; /* an object, or NULL: variables whose text counts as part of the conversation */
    int64_t now;         /* for strftime_now, in seconds since 1970 */
    bool generation_prompt;
} capp_jinja_input;

/* A text and the origin of each byte. */
typedef struct capp_marked {
    char *text;     /* [size], and a NUL */
    uint8_t *given; /* [size] 1: the byte comes from messages or variables, 0: from the template */
    size_t size;
} capp_marked;

/* On success the caller frees *out with capp_marked_free; on failure it is empty. CAPP_EUNSUPPORTED: capp does not know
 * a construct, or a limit is reached. CAPP_EINVAL: the template raises an error, or does something that is an error in
 * jinja2. */
capp_status capp_jinja_render(const capp_jinja *template, const capp_jinja_input *input, capp_marked *out,
                              capp_error *err);

void capp_marked_free(capp_marked *text);

#endif
