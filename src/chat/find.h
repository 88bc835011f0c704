/* Where models keep their chat templates. In a GGUF file: tokenizer.chat_template and tokenizer.chat_template.NAME. In
 * a folder: chat_template.jinja and additional_chat_templates/NAME.jinja, chat_template of tokenizer_config.json (one
 * text or a list of named ones), chat_template.json. */
#ifndef CAPP_CHAT_FIND_H
#define CAPP_CHAT_FIND_H

#include "file/gguf.h"

typedef struct capp_template {
    char *name; /* "default": the template without a name, which is the first */
    char *text; /* [size] */
    size_t size;
} capp_template;

typedef struct capp_templates {
    capp_template *at; /* [n], names are unique */
    size_t n, capacity;
} capp_templates;

/* Reads the templates of g, or of a folder if g is NULL. It is not an error if there are none. On failure *t is empty,
 * and the message begins with the path of the file. The caller frees *t with capp_templates_free. */
capp_status capp_templates_read(capp_templates *templates, const capp_gguf *gguf, const char *folder, capp_error *err);
void capp_templates_free(capp_templates *templates);

/* NULL: there is no template of this name. */
const capp_template *capp_templates_named(const capp_templates *templates, const char *name);

#endif
