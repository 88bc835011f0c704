/* Viterbi's algorithm. If sums are equal, the one found first wins, as in the tokenizers package. Sums are doubles,
 * added in the same order as there. */
#include "token/unigram.h"

#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "token/ids.h"

/* How much worse an unknown character is than the worst piece. */
static const double UNKNOWN_PENALTY = 10.0;

enum { UNREACHED = -2 };

static uint32_t step_key(uint32_t node, unsigned char byte) {
    return node << 8 | byte;
}

/* The slot of a step, or the free slot where it would be. Node 0 is the root. A slot's key is its step plus 1. */
static capp_unigram_slot *slot_of(const capp_unigram *u, uint32_t key) {
    uint64_t h = (key + 1) * 0x9e3779b97f4a7c15u;
    size_t i = (size_t)(h >> 20) & u->mask;
    while (u->slots[i].node && u->slots[i].node != key + 1) i = (i + 1) & u->mask;
    return &u->slots[i];
}

uint32_t capp_unigram_step(const capp_unigram *unigram, uint32_t node, unsigned char byte) {
    return slot_of(unigram, step_key(node, byte))->next;
}

static void add(capp_unigram *u, capp_str text, int32_t id) {
    uint32_t node = 0;
    for (size_t i = 0; i < text.size; i++) {
        uint32_t key = step_key(node, (unsigned char)text.data[i]);
        capp_unigram_slot *slot = slot_of(u, key);
        if (!slot->node) {
            u->ids[u->n_nodes] = CAPP_NO_TOKEN;
            *slot = (capp_unigram_slot){key + 1, u->n_nodes++};
        }
        node = slot->next;
    }
    u->ids[node] = id;
}

capp_status capp_unigram_open(capp_unigram *unigram, const capp_str *texts, const double *scores, uint32_t n,
                              double least, capp_error *err) {
    uint64_t most_nodes = 1;
    for (uint32_t i = 0; i < n; i++) most_nodes += texts[i].size;
    if (most_nodes >= 1u << 24)
        return capp_fail(err, CAPP_EUNSUPPORTED, "the pieces have %llu bytes together; at most %u are supported",
                         (unsigned long long)most_nodes, 1u << 24);
    size_t size = 16;
    while (size < 2 * most_nodes) size *= 2;
    unigram->mask = size - 1;
    unigram->slots = capp_new0(size, sizeof *unigram->slots);
    unigram->ids = capp_new((size_t)most_nodes, sizeof *unigram->ids);
    unigram->scores = capp_new(n, sizeof *unigram->scores);
    if (!unigram->slots || !unigram->ids || !unigram->scores) return capp_fail_memory(err, "a vocabulary's pieces");
    unigram->n_nodes = 1;
    unigram->ids[0] = CAPP_NO_TOKEN;
    for (uint32_t i = 0; i < n; i++) {
        if (texts[i].size) add(unigram, texts[i], (int32_t)i);
        unigram->scores[i] = scores[i];
    }
    unigram->unknown_score = least - UNKNOWN_PENALTY;
    return CAPP_OK;
}

void capp_unigram_free(capp_unigram *unigram) {
    capp_free(unigram->slots);
    capp_free(unigram->ids);
    capp_free(unigram->scores);
}

int32_t capp_unigram_find(const capp_unigram *unigram, capp_str text) {
    uint32_t node = 0;
    for (size_t i = 0; i < text.size; i++)
        if (!(node = capp_unigram_step(unigram, node, (unsigned char)text.data[i]))) return CAPP_NO_TOKEN;
    return unigram->ids[node];
}

/* Keeps the path if it is better than the known one. False: it is not. */
static bool offer(capp_unigram_path *path, double score, size_t from, int32_t id) {
    if (path->id != UNREACHED && score <= path->score) return false;
    *path = (capp_unigram_path){score, (uint32_t)from, id};
    return true;
}

/* Fills paths[0 .. text.size] with the best path to each place. False: a path needs an unknown token, and there is
 * none. */
static bool find_ways(const capp_unigram *u, capp_str text, bool has_unknown, capp_unigram_path *paths) {
    for (size_t i = 0; i <= text.size; i++) paths[i].id = UNREACHED;
    paths[0].score = 0;
    for (size_t at = 0, size; at < text.size; at += size) {
        double here = paths[at].score;
        bool single = false;
        uint32_t node = 0;
        size = capp_utf8_size(text.data + at);
        for (size_t i = at; i < text.size && (node = capp_unigram_step(u, node, (unsigned char)text.data[i])); i++) {
            int32_t id = u->ids[node];
            if (id == CAPP_NO_TOKEN) continue;
            (void)offer(&paths[i + 1], u->scores[id] + here, at, id);
            single = single || i + 1 - at == size;
        }
        if (!single && offer(&paths[at + size], u->unknown_score + here, at, CAPP_NO_TOKEN) && !has_unknown)
            return false;
    }
    return true;
}

capp_status capp_unigram_cut(const capp_unigram *unigram, capp_str text, bool has_unknown, capp_unigram_path **room,
                             size_t *capacity, uint32_t *first, capp_error *err) {
    if (!capp_grow(room, capacity, text.size + 1, sizeof **room))
        return capp_fail_memory(err, "the ways to cut a text");
    capp_unigram_path *paths = *room;
    if (!find_ways(unigram, text, has_unknown, paths))
        return capp_fail(
            err, CAPP_EINVAL,
            "the text has a character that is not in the vocabulary, and the tokenizer has no unknown token");
    /* Walks back from the end: `from` of each piece becomes the end of the piece after it. */
    uint32_t next = (uint32_t)text.size;
    for (uint32_t end = next; end;) {
        uint32_t from = paths[end].from;
        paths[end].from = next;
        next = end;
        end = from;
    }
    *first = next;
    return CAPP_OK;
}
