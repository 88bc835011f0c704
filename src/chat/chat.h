/* Chats: a model's chat template, opened, and conversations rendered by it to text and tokens. */
#ifndef CAPP_CHAT_CHAT_H
#define CAPP_CHAT_CHAT_H

#include "chat/find.h"
#include "engine/engine.h"

/* Finds the templates of a model: those of its GGUF file, of its folder, or, where path is a tokenizer.json, of the
 * folder in which it is. */
capp_status capp_chat_templates(capp_templates *t, const capp_source *source, const char *path, capp_error *err);

/* Tries a template: renders a user's turn, then a system's and a user's turn. CAPP_OK: it renders both; CAPP_EINVAL:
 * only the first. */
capp_status capp_chat_try(const capp_template *t, const capp_vocab *vocab, capp_error *err);

/* Appends the ids of a conversation whose last turn is prompt, by the user. The only BOS is the template's. flags:
 * CAPP_TOKENIZE_SPECIAL. */
capp_status capp_chat_encode(const capp_chat *chat, const capp_model *model, capp_str prompt, unsigned flags,
                             capp_ids *out, capp_error *err);

#endif
