/* A documented subset of Jinja (docs/chat.md), rendered as transformers renders chat templates: by jinja2 in a sandbox
 * with trim_blocks and lstrip_blocks, with tojson as json.dumps, raise_exception and strftime_now.
 *
 * A rendered text says of each byte whether it comes from the template or from the conversation: what people write must
 * never turn into special tokens. Templates are programs of other people, so nesting, steps and memory are limited. */
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

/* What a template sees, borrowed for the call. Besides these it sees tools and documents, which are none. */
typedef struct capp_jinja_input {
    const capp_message *messages; /* [n_messages] */
    size_t n_messages;
    const capp_message *last;             /* one message more, or NULL */
    const capp_jinja_constant *constants; /* [n_constants] variables whose text counts as the template's own */
    size_t n_constants;
    capp_json variables; /* an object, or NULL: variables whose text counts as the conversation's */
    int64_t now;         /* for strftime_now, in seconds since 1970 */
    bool generation_prompt;
} capp_jinja_input;

/* A text and where each byte comes from. */
typedef struct capp_marked {
    char *text;     /* [size], and a NUL */
    uint8_t *given; /* [size] 1: the byte comes from messages or variables, 0: from the template */
    size_t size;
} capp_marked;

/* On success the caller frees *out with capp_marked_free; on failure it is empty. CAPP_EUNSUPPORTED: capp does not know
 * a construct, or a limit is reached; CAPP_EINVAL: the template refuses, or does what jinja2 takes for an error. */
capp_status capp_jinja_render(const capp_jinja *template, const capp_jinja_input *input, capp_marked *out,
                              capp_error *err);

void capp_marked_free(capp_marked *text);

#endif
