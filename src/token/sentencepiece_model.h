/* Vocabularies of folders that have tokenizer.model, the file of the sentencepiece library, and no tokenizer.json. */
#ifndef CAPP_TOKEN_SENTENCEPIECE_MODEL_H
#define CAPP_TOKEN_SENTENCEPIECE_MODEL_H

#include "file/gguf.h"

/* A vocabulary in the form that GGUF files have: tokenizer.ggml.*. */
typedef struct capp_sentencepiece_model {
    char *path;
    char *bytes; /* the GGUF file, in memory */
    capp_gguf *gguf;
    int32_t *added; /* [n_added] ids of the tokens that are not special and that tokenizer.model does not have */
    size_t n_added, added_capacity;
    bool prefix_once; /* the space in front is for the beginning of a text alone */
} capp_sentencepiece_model;

/* Whether path is a tokenizer.model, or a folder that has one and no tokenizer.json. */
bool capp_sentencepiece_model_is(const char *path);

/* Reads a tokenizer.model, or the one of a folder, and the added and special tokens of the tokenizer_config.json beside
 * it or, if that has none, of added_tokens.json and special_tokens_map.json. Errors name the file. CAPP_EUNSUPPORTED:
 * it normalizes or cuts texts in a way that capp does not know. The caller frees *model, also after an error. */
capp_status capp_sentencepiece_model_open(capp_sentencepiece_model *model, const char *path, capp_error *err);
void capp_sentencepiece_model_free(capp_sentencepiece_model *model);

#endif
