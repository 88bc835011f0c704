/* A trie of texts. It finds the longest text that begins at a place. */
#ifndef CAPP_TOKEN_TRIE_H
#define CAPP_TOKEN_TRIE_H

#include "base/error.h"
#include "token/ids.h"

typedef struct capp_trie_node {
    int32_t id;     /* id of the text that ends here, or CAPP_NO_TOKEN */
    uint32_t child; /* first child; 0: none */
    uint32_t next;  /* next child of the same parent; 0: none */
    unsigned char byte;
} capp_trie_node;

typedef struct capp_trie {
    capp_trie_node *nodes; /* a text's first byte has no node: see first */
    size_t n, capacity;
    uint32_t first[256]; /* node of a first byte; 0: no text begins with it */
} capp_trie;

capp_status capp_trie_add(capp_trie *trie, capp_str text, int32_t id,
                          capp_error *err); /* if texts are equal, the first one counts */
/* Returns the id of the longest text of the trie that begins text, and its bytes in *size. CAPP_NO_TOKEN: there is
 * none. */
int32_t capp_trie_longest(const capp_trie *trie, capp_str text, size_t *size);

#endif
