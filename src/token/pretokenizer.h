/* Pre-tokenizers of GGUF files: the regular expressions with which a byte-level BPE vocabulary cuts text into words
 * before it merges. Their names are the values of tokenizer.ggml.pre (llama.cpp, src/llama-vocab.cpp). The expressions
 * come from each model's tokenizer.json if it is known. Some names are for BPE of raw UTF-8, see raw_bpe.c. */
#ifndef CAPP_TOKEN_PRETOKENIZER_H
#define CAPP_TOKEN_PRETOKENIZER_H

#include "base/error.h"

enum {
    CAPP_PRE_WHOLE_WORDS = 1, /* a word that is a token becomes that token; merges do not matter ("ignore_merges") */
    CAPP_PRE_ADD_BOS = 2,     /* texts begin with BOS if the file does not say */
    CAPP_PRE_RAW = 4,         /* the vocabulary has characters of raw UTF-8, not of bytes */
    CAPP_PRE_MARKS = 8,       /* RAW: spaces are written as U+2581 */
    CAPP_PRE_NEWLINES = 16,   /* RAW: a word of line ends that is a token becomes that token */
    CAPP_PRE_FORCE_BOS = 32   /* texts begin with BOS, whatever the file says */
};

/* Immutable once open: any number of threads may use one. */
typedef struct capp_pretokenizer capp_pretokenizer;

/* CAPP_EUNSUPPORTED for a name that is not in the table. The caller owns *out; NULL on failure. */
capp_status capp_pretokenizer_open(capp_pretokenizer **out, capp_str name, capp_error *err);

/* pre may be NULL. */
void capp_pretokenizer_free(capp_pretokenizer *pre);

const char *capp_pretokenizer_name(const capp_pretokenizer *pre); /* static */
unsigned capp_pretokenizer_flags(const capp_pretokenizer *pre);   /* CAPP_PRE_* */

/* Receives one word of at least one byte. If it fails, the split ends and returns its error. */
typedef capp_status (*capp_word_fn)(void *user, capp_str word, capp_error *err);

/* Calls fn with each word of text (valid UTF-8) in order. The joined words are the text. */
capp_status capp_pretokenizer_split(const capp_pretokenizer *pre, capp_str text, capp_word_fn fn, void *user,
                                    capp_error *err);

/* The i-th name of the table, NULL past its end: for documentation and tests. */
const char *capp_pretokenizer_name_at(size_t i);

#endif
