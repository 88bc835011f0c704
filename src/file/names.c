#include <string.h>

#include "base/mem.h"
#include "file/names.h"

/* FNV-1a (Fowler, Noll, Vo) with a final mix, since only the low bits choose the slot. */
static uint32_t hash_of(capp_str s) {
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < s.size; i++) h = (h ^ (unsigned char)s.data[i]) * 0x100000001b3u;
    return (uint32_t)(h ^ h >> 32);
}

static capp_str name_at(const capp_names *table, size_t i) {
    capp_str name;
    memcpy(&name, table->names + i * table->stride, sizeof name);
    return name;
}

/* The slot that contains name, or the free slot for it. */
static struct capp_name_slot *slot_of(const capp_names *table, capp_str name, uint32_t hash) {
    for (size_t at = hash & table->mask;; at = (at + 1) & table->mask) {
        struct capp_name_slot *slot = &table->slots[at];
        if (!slot->index) return slot;
        if (slot->hash != hash) continue;
        capp_str other = name_at(table, slot->index - 1);
        if (other.size == name.size && !memcmp(other.data, name.data, name.size)) return slot;
    }
}

bool capp_names_build(capp_names *table, const void *names, size_t stride, size_t n, int64_t *duplicate) {
    *duplicate = CAPP_NO_NAME;
    size_t slots = 16;
    while (slots / 2 < n) slots *= 2;
    *table = (capp_names){capp_new0(slots, sizeof *table->slots), slots - 1, names, stride};
    if (!table->slots) return false;
    for (size_t i = 0; i < n; i++) {
        capp_str name = name_at(table, i);
        uint32_t hash = hash_of(name);
        struct capp_name_slot *slot = slot_of(table, name, hash);
        if (!slot->index)
            *slot = (struct capp_name_slot){hash, (uint32_t)i + 1};
        else if (*duplicate == CAPP_NO_NAME)
            *duplicate = (int64_t)i;
    }
    return true;
}

void capp_names_free(capp_names *table) {
    capp_free(table->slots);
    *table = (capp_names){0};
}

int64_t capp_names_find(const capp_names *table, capp_str name) {
    if (!table->slots) return CAPP_NO_NAME;
    return (int64_t)slot_of(table, name, hash_of(name))->index - 1;
}
