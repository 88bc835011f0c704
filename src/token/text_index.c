#include "token/text_index.h"

#include <string.h>

#include "base/mem.h"

static uint64_t mix(uint64_t h, uint64_t word) {
    h = (h ^ word) * 0x9e3779b97f4a7c15u;
    return h ^ h >> 32;
}

static uint64_t hash(capp_str text) {
    uint64_t h = text.size, word = 0;
    const char *p = text.data;
    size_t left = text.size;
    for (; left >= sizeof word; left -= sizeof word, p += sizeof word) {
        memcpy(&word, p, sizeof word);
        h = mix(h, word);
    }
    word = 0;
    for (size_t i = 0; i < left; i++) word = word << 8 | (unsigned char)p[i];
    h = mix(h, word);
    return mix(h, 0x2545f4914f6cdd1du);
}

/* The slot of text, or the free slot where it would be. */
static size_t slot_of(const capp_text_index *index, capp_str text, uint64_t h) {
    uint32_t tag = (uint32_t)(h >> 32);
    size_t i = h & index->mask;
    for (; index->slots[i].id != CAPP_NO_TOKEN; i = (i + 1) & index->mask) {
        if (index->slots[i].tag != tag) continue;
        capp_str other = index->texts[index->slots[i].id];
        if (other.size == text.size && !memcmp(other.data, text.data, text.size)) break;
    }
    return i;
}

capp_status capp_text_index_make(capp_text_index *index, const capp_str *texts, size_t n, capp_error *err) {
    size_t size = 16;
    while (size < 2 * n) size *= 2;
    index->texts = texts;
    index->mask = size - 1;
    index->slots = capp_new(size, sizeof *index->slots);
    if (!index->slots) return capp_fail_memory(err, "a vocabulary's index");
    memset(index->slots, 0xff, size * sizeof *index->slots); /* every id CAPP_NO_TOKEN */
    uint64_t ahead[CAPP_INDEX_BATCH];
    for (size_t i = 0; i < n + CAPP_INDEX_BATCH; i++) {
        if (i >= CAPP_INDEX_BATCH && texts[i - CAPP_INDEX_BATCH].size) {
            size_t id = i - CAPP_INDEX_BATCH;
            uint64_t h = ahead[i % CAPP_INDEX_BATCH];
            capp_text_slot *slot = &index->slots[slot_of(index, texts[id], h)];
            if (slot->id == CAPP_NO_TOKEN) *slot = (capp_text_slot){(uint32_t)(h >> 32), (int32_t)id};
        }
        if (i >= n) continue;
        ahead[i % CAPP_INDEX_BATCH] = hash(texts[i]);
        __builtin_prefetch(&index->slots[ahead[i % CAPP_INDEX_BATCH] & index->mask], 1);
    }
    return CAPP_OK;
}

int32_t capp_text_index_find(const capp_text_index *index, capp_str text) {
    return index->slots[slot_of(index, text, hash(text))].id;
}

/* Each step reads memory that the previous step has prefetched. A single look-up waits three times: for its slot, for
 * the text that the slot names, and for the bytes of that text. */
void capp_text_index_find_batch(const capp_text_index *index, const capp_str *texts, size_t n, int32_t *ids) {
    uint64_t h[CAPP_INDEX_BATCH];
    for (size_t i = 0; i < n; i++) {
        h[i] = hash(texts[i]);
        __builtin_prefetch(&index->slots[h[i] & index->mask]);
    }
    for (size_t i = 0; i < n; i++) {
        const capp_text_slot *slot = &index->slots[h[i] & index->mask];
        if (slot->id != CAPP_NO_TOKEN) __builtin_prefetch(&index->texts[slot->id]);
    }
    for (size_t i = 0; i < n; i++) {
        const capp_text_slot *slot = &index->slots[h[i] & index->mask];
        if (slot->id != CAPP_NO_TOKEN) __builtin_prefetch(index->texts[slot->id].data);
    }
    for (size_t i = 0; i < n; i++) ids[i] = index->slots[slot_of(index, texts[i], h[i])].id;
}
