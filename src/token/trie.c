#include "token/trie.h"

#include "base/mem.h"

static capp_status new_node(capp_trie *trie, unsigned char byte, uint32_t *node, capp_error *err) {
    if (!trie->n) trie->n = 1; /* node 0 means none */
    if (trie->n == UINT32_MAX || !capp_grow(&trie->nodes, &trie->capacity, trie->n + 1, sizeof *trie->nodes))
        return capp_fail_memory(err, "a vocabulary's special tokens");
    *node = (uint32_t)trie->n++;
    trie->nodes[*node] = (capp_trie_node){CAPP_NO_TOKEN, 0, 0, byte};
    return CAPP_OK;
}

static uint32_t child_of(const capp_trie *trie, uint32_t node, unsigned char byte) {
    uint32_t child = trie->nodes[node].child;
    while (child && trie->nodes[child].byte != byte) child = trie->nodes[child].next;
    return child;
}

capp_status capp_trie_add(capp_trie *trie, capp_str text, int32_t id, capp_error *err) {
    if (!text.size) return CAPP_OK;
    const unsigned char *p = (const unsigned char *)text.data;
    uint32_t node = trie->first[p[0]];
    if (!node) {
        capp_status st = new_node(trie, p[0], &node, err);
        if (st != CAPP_OK) return st;
        trie->first[p[0]] = node;
    }
    for (size_t i = 1; i < text.size; i++) {
        uint32_t child = child_of(trie, node, p[i]);
        if (!child) {
            capp_status st = new_node(trie, p[i], &child, err);
            if (st != CAPP_OK) return st;
            trie->nodes[child].next = trie->nodes[node].child;
            trie->nodes[node].child = child;
        }
        node = child;
    }
    if (trie->nodes[node].id == CAPP_NO_TOKEN) trie->nodes[node].id = id;
    return CAPP_OK;
}

int32_t capp_trie_longest(const capp_trie *trie, capp_str text, size_t *size) {
    const unsigned char *p = (const unsigned char *)text.data;
    int32_t found = CAPP_NO_TOKEN;
    uint32_t node = text.size ? trie->first[p[0]] : 0;
    for (size_t i = 1; node; i++) {
        if (trie->nodes[node].id != CAPP_NO_TOKEN) {
            found = trie->nodes[node].id;
            *size = i;
        }
        node = i < text.size ? child_of(trie, node, p[i]) : 0;
    }
    return found;
}
