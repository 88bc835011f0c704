/* A chat is an open chat template of a model; it renders conversations to text and tokens. */
#ifndef CAPP_CHAT_CHAT_H
#define CAPP_CHAT_CHAT_H

#include "chat/find.h"
#include "engine/engine.h"

/* Finds the templates of a model: in its GGUF file, in its folder or, if path is a tokenizer.json, in the folder that
 * contains it. */
capp_status capp_chat_templates(capp_templates *t, const capp_source *source, const char *path, capp_error *err);

/* Tries a template: renders a user's turn, then a system's and a user's turn. CAPP_OK: it renders both; CAPP_EINVAL:
 * only the first. */
capp_status capp_chat_try(const capp_template *t, const capp_vocab *vocab, capp_error *err);

/* Appends the ids of a conversation whose last turn is prompt, by the user. BOS comes only from the template. flags:
 * CAPP_TOKENIZE_SPECIAL. */
capp_status capp_chat_encode(const capp_chat *chat, const capp_model *model, capp_str prompt, unsigned flags,
                             capp_ids *out, capp_error *err);

#endif
