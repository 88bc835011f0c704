/* Small vocabularies in memory, for tests: the caller fills a writer; a made_vocab holds the result. */
#ifndef CAPP_VOCAB_MAKER_H
#define CAPP_VOCAB_MAKER_H

#include "gguf_writer.h"
#include "token/vocab.h"

enum { NORMAL = 1, UNKNOWN = 2, CONTROL = 3, USER = 4, UNUSED = 5 };

typedef struct made_vocab {
    void *file;
    capp_gguf *gguf;
    capp_vocab *vocab; /* NULL where opening failed */
    capp_status status;
    capp_error error;
} made_vocab;

/* Tokens to write: their texts are copied. */
typedef struct token_list {
    char *texts[2000];
    float scores[2000];
    int32_t types[2000];
    size_t n;
} token_list;

void token_list_add(token_list *list, const char *text, float score, int32_t type);
/* The 256 characters that represent bytes in byte-level vocabularies, in the order of the bytes: ids 0 to 255. */
void token_list_add_bytes(token_list *list);
/* "<0x00>" to "<0xFF>", of type byte. */
void token_list_add_byte_pieces(token_list *list);
void token_list_free(token_list *list);

/* Writes model, pre (may be NULL), tokens and types; scores where model is "llama" or "plamo2". */
gguf_writer *vocab_writer(const char *model, const char *pre, const token_list *list);
void write_merges(gguf_writer *w, const char *const *merges, size_t n);

/* A vocabulary of RWKV: tokens 0 to 255 are the bytes, escaped where a byte is not a printable character of ASCII.
 * further: the text of the last token, or NULL. */
gguf_writer *greedy_writer(const char *further);

/* Finishes and frees w. */
made_vocab make_vocab(gguf_writer *w);
void made_vocab_free(made_vocab *made);

/* The ids of text, separated by spaces; "ERROR: ..." on failure. Static memory, valid until the next call. */
const char *ids_of(const capp_vocab *vocab, const char *text, unsigned flags);

/* Checks that an id stands for these bytes. */
void check_piece(const capp_vocab *vocab, int32_t id, const char *bytes, size_t size);

/* Checks that the vocabulary does not open, and that the message contains part. Frees w. */
void check_refused(gguf_writer *w, capp_status status, const char *part);

/* Opens and encodes while the n-th allocation fails; counted_install comes before. False: there were fewer than n, and
 * all succeeded. Frees w. */
bool run_failing(gguf_writer *w, const char *text, size_t n);

#endif
