/* Vocabularies: text to ids and back. Immutable once made: any number of threads may use one. */
#ifndef CAPP_TOKEN_VOCAB_H
#define CAPP_TOKEN_VOCAB_H

#include "base/error.h"
#include "file/gguf.h"
#include "token/vocab_info.h"

/* From tokenizer.ggml.* of g, which must outlive the vocabulary. Errors name the file and the key:
 * CAPP_EUNSUPPORTED for an unknown tokenizer.ggml.model or tokenizer.ggml.pre (with the name, never a guess),
 * CAPP_EFORMAT for missing or inconsistent data. */
capp_status capp_vocab_open_gguf(capp_vocab **out, const capp_gguf *gguf, capp_error *err);

/* From a tokenizer.json, or the one in a folder; tokenizer_config.json beside it says which tokens are BOS and EOS,
 * where there is one. Errors name the file and what in it: CAPP_EUNSUPPORTED for what is unknown (never a guess). */
capp_status capp_vocab_open_json(capp_vocab **out, const char *folder_or_file, capp_error *err);

/* The same from memory, which must outlive the vocabulary; config.data may be NULL. Errors begin with name. */
capp_status capp_vocab_parse_json(capp_vocab **out, capp_str tokenizer, capp_str config, const char *name,
                                  capp_error *err);

/* vocab may be NULL. */
void capp_vocab_free(capp_vocab *vocab);

/* Appends the ids of text to *out. flags: CAPP_TOKENIZE_BOS, CAPP_TOKENIZE_SPECIAL. Invalid UTF-8 is CAPP_EINVAL with
 * the byte's offset. On failure *out is as it was. */
capp_status capp_vocab_encode(const capp_vocab *vocab, capp_str text, unsigned flags, capp_ids *out, capp_error *err);

/* The same for a text of two hands, as a chat template makes it: of bytes whose `given` [text.size] is 1 no special
 * token is made, whatever the flags, while the words between special tokens are cut as if the text were one's. given
 * may be NULL: none is. CAPP_EINVAL where a tokenizer finds special tokens in normalised text and it cannot be told
 * whose they are. */
capp_status capp_vocab_encode_marked(const capp_vocab *vocab, capp_str text, const uint8_t *given, unsigned flags,
                                     capp_ids *out, capp_error *err);

/* Bytes that one id stands for in running text, borrowed from the vocabulary; special tokens give their text.
 * SentencePiece: spaces as spaces (U+2581 replaced), byte pieces as their byte. {NULL, 0} for an id out of range. */
capp_str capp_vocab_piece(const capp_vocab *vocab, int32_t id);

void capp_vocab_get_info(const capp_vocab *vocab, capp_vocab_info *info);

/* Whether id ends a generation: EOS, EOT and the model's other end-of-generation tokens. */
bool capp_vocab_is_end(const capp_vocab *vocab, int32_t id);

#endif
