/* Chat templates: a documented subset of Jinja (docs/chat.md), rendered as transformers renders it, by jinja2 in a
 * sandbox with trim_blocks and lstrip_blocks, tojson of json.dumps, raise_exception and strftime_now.
 *
 * A rendered text remembers of each byte whether the template wrote it or the conversation: what people say must never
 * turn into special tokens. Templates are other people's programs: nesting, steps and memory are bounded. */
#ifndef CAPP_CHAT_JINJA_H
#define CAPP_CHAT_JINJA_H

#include "file/json.h"

typedef struct capp_jinja capp_jinja;

/* Parses source, UTF-8, which is copied. Errors begin with the template's line: CAPP_EFORMAT for what is no Jinja,
 * CAPP_EUNSUPPORTED for what capp does not know. Immutable once open: any number of threads may render it. */
capp_status capp_jinja_open(capp_jinja **out, capp_str source, capp_error *err);

/* May be NULL. */
void capp_jinja_free(capp_jinja *t);

typedef struct capp_jinja_token {
    const char *name; /* "bos_token" */
    capp_str text;
} capp_jinja_token;

/* What a template sees. All borrowed for the call. Besides these: tools and documents, which are none. */
typedef struct capp_jinja_input {
    const capp_message *messages; /* [n_messages] */
    size_t n_messages;
    const capp_message *last;       /* behind them, or NULL */
    const capp_jinja_token *tokens; /* [n_tokens] variables whose text counts as the template's own */
    size_t n_tokens;
    capp_json variables; /* an object, or NULL: more variables, whose texts count as the conversation's */
    int64_t now;         /* for strftime_now, in seconds since 1970 */
    bool generation_prompt;
} capp_jinja_input;

/* A text and who wrote it. */
typedef struct capp_marked {
    char *text;     /* [size] */
    uint8_t *given; /* [size]: 1 where the byte stems from messages or variables, 0 where from the template */
    size_t size;
} capp_marked;

/* On success the caller ends *out with capp_marked_free; on failure it is empty. CAPP_EUNSUPPORTED for what capp does
 * not know or will not do (limits), CAPP_EINVAL for what the template refuses. */
capp_status capp_jinja_render(const capp_jinja *t, const capp_jinja_input *input, capp_marked *out, capp_error *err);

void capp_marked_free(capp_marked *text);

#endif
