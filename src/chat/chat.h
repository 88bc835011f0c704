/* Chat templates of models: found, compiled, and rendered to tokens. */
#ifndef CAPP_CHAT_CHAT_H
#define CAPP_CHAT_CHAT_H

#include "chat/find.h"
#include "engine/engine.h"

/* The templates of what was opened as path: of its GGUF file, of the folder, or of that which a tokenizer.json is in.
 */
capp_status capp_chat_templates(capp_templates *t, const capp_source *source, const char *path, capp_error *err);

/* Renders a user's turn by a template, and a system's turn with it, to see whether capp can. CAPP_OK: both;
 * CAPP_EINVAL: the former alone. */
capp_status capp_chat_try(const capp_template *t, const capp_vocab *vocab, capp_error *err);

/* Appends the ids of a user's turn as the prompt: no BOS but the template's. flags: CAPP_TOKENIZE_SPECIAL. */
capp_status capp_chat_encode(const capp_chat *chat, const capp_model *model, capp_str prompt, unsigned flags,
                             capp_ids *out, capp_error *err);

#endif
