/* The merging step of BPE: parts of a word become larger parts; the pair with the lowest priority merges first. */
#ifndef CAPP_TOKEN_MERGE_H
#define CAPP_TOKEN_MERGE_H

#include "base/error.h"
#include "token/vocab_info.h"

#define CAPP_NO_MERGE UINT32_MAX

/* One symbol of a word that is being merged. */
typedef struct capp_merge_part {
    uint32_t at;       /* its first byte in the word; it ends where the next one begins */
    int32_t id;        /* CAPP_NO_TOKEN: a character without a token */
    uint32_t priority; /* priority of merging it with the next one, or CAPP_NO_MERGE */
    int32_t merged;    /* the id of the merged pair */
} capp_merge_part;

typedef struct capp_merge_candidate {
    uint64_t order; /* priority, then place; the smallest is merged first */
    uint32_t end;   /* where the pair ends, in bytes: shows whether the pair still exists */
    int32_t merged;
} capp_merge_candidate;

typedef struct capp_merge_link {
    int32_t next, prev; /* parts; -1: none. A part that was merged into another has next == itself. */
} capp_merge_link;

/* Memory of one call of capp_vocab_encode. {0} to begin with. */
typedef struct capp_encode_scratch {
    capp_merge_part *parts;
    size_t n_parts, parts_capacity;
    capp_merge_link *links;
    size_t links_capacity;
    capp_merge_candidate *heap;
    size_t n_heap, heap_capacity;
    char *text; /* normalized text, or a word as the vocabulary writes it */
    size_t text_capacity;
} capp_encode_scratch;

/* The priority and the result of merging two neighbors of the word at text; `end`: where the right one ends. False:
 * they do not merge. */
typedef bool (*capp_find_merge)(const capp_vocab *vocab, const char *text, const capp_merge_part *left,
                                const capp_merge_part *right, uint32_t end, uint32_t *priority, int32_t *merged);

/* Merges neighbors among scratch->parts (ids and places are set) of the word of size bytes at text, until no two merge.
 * The pair with the lowest priority merges first; if several are equal, the leftmost one. */
capp_status capp_merge_parts(const capp_vocab *vocab, capp_find_merge find, capp_encode_scratch *scratch,
                             const char *text, uint32_t size, capp_error *err);

#endif
