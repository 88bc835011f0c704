/* Unigram (sentencepiece, T5): cuts a text into pieces so that the sum of their scores is as large as possible. */
#ifndef CAPP_TOKEN_UNIGRAM_H
#define CAPP_TOKEN_UNIGRAM_H

#include "base/error.h"

typedef struct capp_unigram_slot {
    uint32_t node, next; /* node: node and byte of the step, plus 1; 0: free */
} capp_unigram_slot;

/* A trie of pieces, one byte per step. Initially {0}; immutable once open. */
typedef struct capp_unigram {
    capp_unigram_slot *slots; /* [mask + 1], at most half full */
    size_t mask;
    int32_t *ids; /* [n_nodes] id of the piece that ends at a node, or CAPP_NO_TOKEN */
    uint32_t n_nodes;
    double *scores; /* [n_pieces] */
    double unknown_score;
} capp_unigram;

/* The best path to a place in the text; once the text is cut, the piece that ends there. */
typedef struct capp_unigram_path {
    double score;
    uint32_t from; /* where its last piece begins; once cut, where the next piece ends */
    int32_t id;    /* id of the piece; CAPP_NO_TOKEN: an unknown character */
} capp_unigram_path;

/* If texts are equal, the last one counts; empty ones are not pieces. least: the lowest score, from which the score of
 * unknown characters is computed. */
capp_status capp_unigram_open(capp_unigram *unigram, const capp_str *texts, const double *scores, uint32_t n,
                              double least, capp_error *err);
void capp_unigram_free(capp_unigram *unigram);
/* The node of the trie after a byte; 0: no piece goes on so. Node 0 is the root. */
uint32_t capp_unigram_step(const capp_unigram *unigram, uint32_t node, unsigned char byte);
int32_t capp_unigram_find(const capp_unigram *unigram, capp_str text);

/* Cuts text (valid UTF-8, not empty). *room: [text.size + 1], grown as needed, owned by the caller. The first piece
 * ends at *first; (*room)[end] has its id and the end of the next piece. CAPP_EINVAL: the text needs an unknown token
 * and there is none. */
capp_status capp_unigram_cut(const capp_unigram *unigram, capp_str text, bool has_unknown, capp_unigram_path **room,
                             size_t *capacity, uint32_t *first, capp_error *err);

#endif
