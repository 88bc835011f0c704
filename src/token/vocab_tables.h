/* The tables of a vocabulary, which its kinds share, and the functions of each kind. */
#ifndef CAPP_TOKEN_VOCAB_TABLES_H
#define CAPP_TOKEN_VOCAB_TABLES_H

#include "file/gguf.h"
#include "token/merge.h"
#include "token/merge_table.h"
#include "token/pretokenizer.h"
#include "token/sentencepiece_model.h"
#include "token/text_index.h"
#include "token/trie.h"
#include "token/unicode.h"
#include "token/vocab_info.h"

enum { CAPP_BYTE_CHARACTERS = 0x144 }; /* byte-level BPE writes bytes as characters below this one */

/* tokenizer.ggml.token_type (sentencepiece's ModelProto.SentencePiece.Type). */
typedef enum capp_token_type {
    CAPP_TOKEN_UNDEFINED = 0,
    CAPP_TOKEN_NORMAL = 1,
    CAPP_TOKEN_UNKNOWN = 2,
    CAPP_TOKEN_CONTROL = 3,
    CAPP_TOKEN_USER_DEFINED = 4,
    CAPP_TOKEN_UNUSED = 5,
    CAPP_TOKEN_BYTE = 6
} capp_token_type;

typedef enum capp_vocab_kind {
    CAPP_VOCAB_BYTE_LEVEL,
    CAPP_VOCAB_SENTENCEPIECE,
    CAPP_VOCAB_UNIGRAM, /* GGUF's t5 */
    CAPP_VOCAB_GREEDY,  /* GGUF's rwkv */
    CAPP_VOCAB_PLAMO,   /* PLaMo 2 */
    CAPP_VOCAB_PIPELINE /* tokenizer.json */
} capp_vocab_kind;

/* ---- The vocabulary ---------------------------------------------------------------------------------------------- */

struct capp_pipeline;
typedef struct capp_gguf_unigram capp_gguf_unigram;
typedef struct capp_plamo capp_plamo;

/* Whether user-defined tokens are found in the text as it is, not in a text with other spaces. */
static inline bool capp_is_plain(capp_vocab_kind kind) {
    return kind == CAPP_VOCAB_BYTE_LEVEL || kind == CAPP_VOCAB_GREEDY || kind == CAPP_VOCAB_PLAMO;
}

struct capp_vocab {
    capp_vocab_kind kind;
    capp_vocab_info info;
    const char *path;      /* borrowed, like the texts, from the capp_gguf or the pipeline */
    const capp_str *texts; /* [n_tokens] as in the file */
    uint8_t *types;        /* [n_tokens] capp_token_type */
    capp_text_index index;
    char *pieces;       /* the bytes that ids stand for, joined */
    uint32_t *piece_at; /* [n_tokens + 1] */
    int32_t byte_id[256];
    capp_trie always;  /* user-defined tokens: found in any text (SentencePiece: in normalized text) */
    capp_trie greedy;  /* GREEDY: the tokens that texts contain */
    capp_trie special; /* control and unknown tokens, for CAPP_TOKENIZE_SPECIAL; capp_is_plain: user-defined ones too */
    int32_t *ends;     /* [n_ends] */
    size_t n_ends;
    size_t longest;    /* bytes of the longest text */
    bool strips_after; /* some special tokens strip the white space after them: see capp_special_token_strips */

    /* Byte-level BPE. */
    capp_pretokenizer *pre;
    capp_merge_table merges;
    int16_t byte_of[CAPP_BYTE_CHARACTERS]; /* the byte that a character stands for, or -1 */

    /* SentencePiece BPE. */
    uint32_t *priority;    /* [n_tokens]: lower ones are merged first */
    bool joins_space[256]; /* some piece has U+2581 after a character that ends with this byte */
    int32_t ascii_id[128]; /* id of a one-byte character */

    /* SentencePiece and Unigram. */
    struct capp_charsmap *chars; /* NULL: characters stay as they are */
    bool merge_spaces;           /* a run of spaces becomes one */
    bool prefix_once; /* add_space_prefix is for the beginning of a text, not for what follows a token in it */
    capp_trie added;  /* tokens that tokenizer.model does not have: found in any text, before it is changed */

    struct capp_pipeline *pipeline;  /* tokenizer.json */
    capp_gguf_unigram *gguf_unigram; /* for Unigram in GGUF */
    capp_plamo *plamo;
    capp_sentencepiece_model model; /* tokenizer.model; its kinds are those of GGUF */
};

/* The character that stands for a byte; write: that character in UTF-8, 1 or 2 bytes. */
unsigned capp_byte_level_character(unsigned char b);
size_t capp_byte_level_write(unsigned char b, char *out);

/* Like capp_find_merge; uses vocab->merges. */
bool capp_find_ranked_merge(const capp_vocab *vocab, const char *text, const capp_merge_part *left,
                            const capp_merge_part *right, uint32_t end, uint32_t *priority, int32_t *merged);

/* Open the parts of one kind; the common ones (texts, types, index) are already open. */
capp_status capp_byte_level_open(capp_vocab *vocab, const capp_gguf *gguf, capp_error *err);
capp_status capp_sentencepiece_open(capp_vocab *vocab, const capp_gguf *gguf, capp_error *err);

/* Sets byte_id from the texts of the tokens of type byte. */
void capp_sentencepiece_find_bytes(capp_vocab *vocab);

/* Writes the bytes that id stands for to out (which has room for texts[id].size bytes) and returns their number. */
size_t capp_byte_level_piece(const capp_vocab *vocab, int32_t id, char *out);
size_t capp_sentencepiece_piece(const capp_vocab *vocab, int32_t id, char *out);

/* Append the ids of text (not empty, valid, without special tokens). */
capp_status capp_byte_level_encode(const capp_vocab *vocab, capp_encode_scratch *scratch, capp_str text, capp_ids *out,
                                   capp_error *err);
capp_status capp_sentencepiece_encode(const capp_vocab *vocab, capp_encode_scratch *scratch, capp_str raw, bool prefix,
                                      capp_ids *out, capp_error *err);

/* sentencepiece_normalize.c: reads how texts are changed; appends the changed text. prefix: with a space in front. */
capp_status capp_sentencepiece_read_changes(capp_vocab *vocab, const capp_gguf *gguf, capp_error *err);
capp_status capp_sentencepiece_change(const capp_vocab *vocab, capp_str text, bool prefix, capp_text *out,
                                      capp_error *err);

/* Sets special tokens from keys, types and texts: info.bos and the like, ends, and the tries. */
capp_status capp_special_tokens_open(capp_vocab *vocab, const capp_gguf *gguf, capp_error *err);
/* Whether the special token strips the white space after it. GGUF files do not say so. */
bool capp_special_token_strips(const capp_vocab *vocab, int32_t id);
/* Sets vocab->ends and info.eot from info.eos, the types and the texts. */
capp_status capp_special_tokens_find_ends(capp_vocab *vocab, capp_error *err);

/* raw_bpe.c: BPE of raw UTF-8. Its vocabularies are byte-level ones whose pre-tokenizer has the flag CAPP_PRE_RAW.
 * capp_raw_mark replaces *text, with spaces as U+2581, in scratch. */
void capp_raw_open(capp_vocab *vocab);
size_t capp_raw_piece(const capp_vocab *vocab, int32_t id, char *out);
capp_status capp_raw_mark(capp_encode_scratch *scratch, capp_str *text, capp_error *err);
capp_status capp_raw_word(const capp_vocab *vocab, capp_encode_scratch *scratch, capp_str word, capp_ids *out,
                          capp_error *err);

/* gguf_unigram.c */
capp_status capp_gguf_unigram_open(capp_vocab *vocab, const capp_gguf *gguf, capp_error *err);
/* Unknown characters become their bytes if the vocabulary has all bytes. GGUF files have no such vocabularies. */
void capp_gguf_unigram_use_bytes(capp_vocab *vocab);
void capp_gguf_unigram_free(capp_gguf_unigram *tokenizer);
capp_status capp_gguf_unigram_encode(const capp_vocab *vocab, capp_str raw, bool prefix, capp_ids *out,
                                     capp_error *err);

/* greedy.c */
capp_status capp_greedy_open(capp_vocab *vocab, capp_error *err);
size_t capp_greedy_piece(const capp_vocab *vocab, int32_t id, char *out);
capp_status capp_greedy_encode(const capp_vocab *vocab, capp_str text, capp_ids *out, capp_error *err);
/* plamo.c */
capp_status capp_plamo_open(capp_vocab *vocab, const capp_gguf *gguf, capp_error *err);
void capp_plamo_free(capp_plamo *tokenizer);
size_t capp_plamo_piece(const capp_vocab *vocab, int32_t id, char *out);
capp_status capp_plamo_encode(const capp_vocab *vocab, capp_str text, capp_ids *out, capp_error *err);

/* pipeline_encode.c, pipeline.c */
capp_status capp_pipeline_encode(const capp_vocab *vocab, capp_encode_scratch *scratch, capp_str text,
                                 const uint8_t *given, unsigned flags, capp_ids *out, capp_error *err);
void capp_pipeline_free(struct capp_pipeline *pipeline);

#endif
