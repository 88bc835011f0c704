/* What the parts of a vocabulary share: its tables, and the scratch memory of one call of capp_vocab_encode. */
#ifndef CAPP_TOKEN_VOCAB_IMPL_H
#define CAPP_TOKEN_VOCAB_IMPL_H

#include "token/pretokenizer.h"
#include "token/vocab.h"

#define CAPP_NO_TOKEN (-1)
#define CAPP_NO_MERGE UINT32_MAX

enum { CAPP_INDEX_BATCH = 48 };
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
    CAPP_VOCAB_HF       /* tokenizer.json */
} capp_vocab_kind;

/* ---- Index: text to id, by open addressing ------------------------------------------------------------------- */

typedef struct capp_text_slot {
    uint32_t tag; /* upper half of the hash: most texts that differ are told apart without looking at them */
    int32_t id;   /* CAPP_NO_TOKEN: free */
} capp_text_slot;

typedef struct capp_text_index {
    capp_text_slot *slots; /* [mask + 1], at most half full */
    size_t mask;
    const capp_str *texts; /* borrowed */
} capp_text_index;

/* Indexes texts[0 .. n - 1] but the empty ones; of equal texts the lowest id counts. */
capp_status capp_text_index_make(capp_text_index *index, const capp_str *texts, size_t n, capp_error *err);
int32_t capp_text_index_find(const capp_text_index *index, capp_str text);
/* The ids of n texts, at most CAPP_INDEX_BATCH: faster than one by one, for its waits for memory overlap. */
void capp_text_index_find_batch(const capp_text_index *index, const capp_str *texts, size_t n, int32_t *ids);

/* ---- Trie: the longest of some texts at a place ---------------------------------------------------------------- */

typedef struct capp_trie_node {
    int32_t id;     /* of the text that ends here, or CAPP_NO_TOKEN */
    uint32_t child; /* first child; 0: none */
    uint32_t next;  /* next child of the same parent; 0: none */
    unsigned char byte;
} capp_trie_node;

typedef struct capp_trie {
    capp_trie_node *nodes; /* a text's first byte has no node: see first */
    size_t n, capacity;
    uint32_t first[256]; /* node of a first byte; 0: no text begins with it */
} capp_trie;

capp_status capp_trie_add(capp_trie *trie, capp_str text, int32_t id, capp_error *err); /* the first of equals counts */
/* The longest text of the trie at the beginning of text; its bytes in *size. CAPP_NO_TOKEN: none. */
int32_t capp_trie_longest(const capp_trie *trie, capp_str text, size_t *size);

/* ---- Merges of byte-level BPE: pair of ids to rank and id ---------------------------------------------------------
 */

typedef struct capp_merge_slot {
    int32_t left, right; /* left CAPP_NO_TOKEN: free */
    uint32_t rank;       /* its place in the file's list: lower ones go first */
    int32_t merged;
} capp_merge_slot;

/* ---- The vocabulary ---------------------------------------------------------------------------------------------- */

struct capp_hf;
typedef struct capp_ugm capp_ugm;

struct capp_vocab {
    capp_vocab_kind kind;
    capp_vocab_info info;
    const char *path;      /* borrowed, as the texts, from the capp_gguf, or from hf */
    const capp_str *texts; /* [n_tokens] as the file has them */
    uint8_t *types;        /* [n_tokens] capp_token_type */
    capp_text_index index;
    char *pieces;       /* what ids stand for, end to end */
    uint32_t *piece_at; /* [n_tokens + 1] */
    int32_t byte_id[256];
    capp_trie always;  /* user-defined tokens: match in any text (SentencePiece: in normalised text) */
    capp_trie special; /* control and unknown tokens, for CAPP_TOKENIZE_SPECIAL; byte-level: user-defined ones too */
    int32_t *ends;     /* [n_ends] */
    size_t n_ends;
    size_t longest;    /* bytes of the longest text */
    bool strips_after; /* a special token takes the white space behind it with it: see capp_special_strips */

    /* Byte-level BPE. */
    capp_pretokenizer *pre;
    capp_merge_slot *merges; /* [merge_mask + 1], at most half full */
    size_t merge_mask;
    int16_t byte_of[CAPP_BYTE_CHARACTERS]; /* the byte that a character stands for, or -1 */

    /* SentencePiece BPE. */
    uint32_t *priority;    /* [n_tokens]: lower ones are merged first */
    bool joins_space[256]; /* some piece has U+2581 after a character that ends with this byte */
    int32_t ascii_id[128]; /* id of a one-byte character */

    struct capp_hf *hf; /* tokenizer.json */
    capp_ugm *ugm;      /* Unigram in GGUF */
};

/* One symbol of a word that is being merged. */
typedef struct capp_part {
    uint32_t at;    /* its first byte in the word; it ends where the next one begins */
    int32_t id;     /* CAPP_NO_TOKEN: a character that is no token */
    uint32_t key;   /* priority of merging it with the next one, or CAPP_NO_MERGE */
    int32_t merged; /* what that would give */
} capp_part;

typedef struct capp_heap_item {
    uint64_t order; /* priority, then place: the smallest goes first */
    uint32_t end;   /* of the pair, in bytes: tells whether the pair is still there */
    int32_t merged;
} capp_heap_item;

typedef struct capp_link {
    int32_t next, prev; /* parts; -1: none. A part that was merged into another has next == itself. */
} capp_link;

/* Of one call of capp_vocab_encode. {0} to begin with. */
typedef struct capp_scratch {
    capp_part *parts;
    size_t n_parts, parts_capacity;
    capp_link *links;
    size_t links_capacity;
    capp_heap_item *heap;
    size_t n_heap, heap_capacity;
    char *text; /* normalised text, or a word as the vocabulary writes it */
    size_t text_capacity;
} capp_scratch;

/* Merges the neighbours among scratch->parts (ids and places filled in, of the word that is size bytes at text) of the
 * lowest priority, the leftmost of equals first, until no two can be. */
capp_status capp_merge_parts(const capp_vocab *vocab, capp_scratch *scratch, const char *text, uint32_t size,
                             capp_error *err);

uint64_t capp_merge_hash(int32_t left, int32_t right);

/* The character that stands for byte b, and itself in UTF-8, 1 or 2 bytes. */
unsigned capp_bytelevel_character(unsigned char b);
size_t capp_bytelevel_write(unsigned char b, char *out);

/* Priority and result of merging two neighbours: false where they do not merge. */
bool capp_bytelevel_pair(const capp_vocab *vocab, int32_t left, int32_t right, uint32_t *key, int32_t *merged);
bool capp_sentencepiece_pair(const capp_vocab *vocab, capp_str both, uint32_t *key, int32_t *merged);

/* Fill in what is theirs alone; common parts (texts, types, index) are there. */
capp_status capp_bytelevel_open(capp_vocab *vocab, const capp_gguf *g, capp_error *err);
capp_status capp_sentencepiece_open(capp_vocab *vocab, const capp_gguf *g, capp_error *err);

/* Writes what id stands for to out (room for texts[id].size bytes) and returns its size. */
size_t capp_bytelevel_piece(const capp_vocab *vocab, int32_t id, char *out);
size_t capp_sentencepiece_piece(const capp_vocab *vocab, int32_t id, char *out);

/* Append the ids of text (not empty, valid, without special tokens). */
capp_status capp_bytelevel_encode(const capp_vocab *vocab, capp_scratch *scratch, capp_str text, capp_ids *out,
                                  capp_error *err);
capp_status capp_sentencepiece_encode(const capp_vocab *vocab, capp_scratch *scratch, capp_str raw, capp_ids *out,
                                      capp_error *err);

/* Special tokens by key, by type and by text: info.bos and the like, ends, and the tries. */
capp_status capp_special_open(capp_vocab *vocab, const capp_gguf *g, capp_error *err);
/* Whether the special token takes the white space behind it with it. GGUF files do not say so. */
bool capp_special_strips(const capp_vocab *vocab, int32_t id);
/* vocab->ends and info.eot, from info.eos, the types and the texts. */
capp_status capp_special_find_ends(capp_vocab *vocab, capp_error *err);

/* Common to all kinds once their parts are open: the rule for completions. */
capp_status capp_vocab_find_rule(capp_vocab *vocab, capp_error *err);

/* ugm.c */
capp_status capp_ugm_open(capp_vocab *vocab, const capp_gguf *g, capp_error *err);
void capp_ugm_free(capp_ugm *ugm);
capp_status capp_ugm_encode(const capp_vocab *vocab, capp_scratch *scratch, capp_str raw, capp_ids *out,
                            capp_error *err);

/* hf.c */
capp_status capp_hf_encode(const capp_vocab *vocab, capp_scratch *scratch, capp_str text, const uint8_t *given,
                           unsigned flags, capp_ids *out, capp_error *err);
void capp_hf_free(struct capp_hf *hf);

#endif
