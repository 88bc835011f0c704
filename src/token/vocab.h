/* Vocabularies: text to ids and back. A vocabulary does not change once open: any number of threads may use it. */
#ifndef CAPP_TOKEN_VOCAB_H
#define CAPP_TOKEN_VOCAB_H

#include "base/error.h"
#include "file/gguf.h"
#include "token/vocab_info.h"

/* Opens the vocabulary in tokenizer.ggml.* of a file, which must outlive it. Errors name the file and the key.
 * CAPP_EUNSUPPORTED: tokenizer.ggml.model or tokenizer.ggml.pre is not known; capp never guesses. If there is no
 * tokenizer.ggml.pre, it is "default", as in llama.cpp. CAPP_EFORMAT: data is missing or inconsistent. */
capp_status capp_vocab_open_gguf(capp_vocab **out, const capp_gguf *gguf, capp_error *err);

/* Opens a tokenizer.json or tokenizer.model, or the one in a folder (tokenizer.json, if it has both). If there is a
 * tokenizer_config.json beside it, that file says which tokens are BOS and EOS, and which are added to tokenizer.model.
 * Errors name the file and the member. CAPP_EUNSUPPORTED: capp does not know something; it never guesses. */
capp_status capp_vocab_open_folder(capp_vocab **out, const char *folder_or_file, capp_error *err);

/* The same from memory, which must outlive the vocabulary; config.data may be NULL. Errors begin with name. */
capp_status capp_vocab_parse_json(capp_vocab **out, capp_str tokenizer, capp_str config, const char *name,
                                  capp_error *err);

/* vocab may be NULL. */
void capp_vocab_free(capp_vocab *vocab);

/* Appends the ids of text to *out. flags: CAPP_TOKENIZE_BOS, CAPP_TOKENIZE_SPECIAL. CAPP_EINVAL, with the byte's
 * offset: the text is not valid UTF-8. On failure *out is unchanged. */
capp_status capp_vocab_encode(const capp_vocab *vocab, capp_str text, unsigned flags, capp_ids *out, capp_error *err);

/* The same for the text that a chat template renders. Bytes whose `given` [text.size] is 1 come from the conversation:
 * they never become part of a special token, whatever the flags. `given` does not change how words are cut. NULL: all
 * bytes are the template's. CAPP_EINVAL: the tokenizer finds special tokens in normalized text, where the origin of
 * bytes is lost. */
capp_status capp_vocab_encode_marked(const capp_vocab *vocab, capp_str text, const uint8_t *given, unsigned flags,
                                     capp_ids *out, capp_error *err);

/* The bytes that an id stands for in running text, borrowed from the vocabulary. Special tokens give their text; in
 * SentencePiece, U+2581 gives a space and byte pieces give their byte. {NULL, 0}: the id is out of range. */
capp_str capp_vocab_piece(const capp_vocab *vocab, int32_t id);

void capp_vocab_get_info(const capp_vocab *vocab, capp_vocab_info *info);

/* Whether id ends a generation: EOS, EOT and the model's other end-of-generation tokens. */
bool capp_vocab_is_end(const capp_vocab *vocab, int32_t id);

#endif
