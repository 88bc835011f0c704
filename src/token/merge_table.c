#include "token/merge_table.h"

#include <string.h>

#include "base/mem.h"

static size_t first_slot(const capp_merge_table *table, int32_t left, int32_t right) {
    uint64_t h = ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) * 0x9e3779b97f4a7c15u;
    return (h ^ h >> 29) & table->mask;
}

capp_status capp_merge_table_open(capp_merge_table *table, size_t n, capp_error *err) {
    size_t size = 16;
    while (size < 2 * n) size *= 2;
    table->mask = size - 1;
    table->slots = capp_new(size, sizeof *table->slots);
    if (!table->slots) return capp_fail_memory(err, "a vocabulary's merges");
    memset(table->slots, 0xff, size * sizeof *table->slots); /* every left is CAPP_NO_TOKEN */
    return CAPP_OK;
}

void capp_merge_table_prefetch(const capp_merge_table *table, int32_t left, int32_t right) {
    __builtin_prefetch(&table->slots[first_slot(table, left, right)], 1);
}

/* The slot of the pair, or the free slot where it would be. */
static capp_merge_slot *slot_of(const capp_merge_table *table, int32_t left, int32_t right) {
    for (size_t i = first_slot(table, left, right);; i = (i + 1) & table->mask) {
        capp_merge_slot *slot = &table->slots[i];
        if ((slot->left == left && slot->right == right) || slot->left == CAPP_NO_TOKEN) return slot;
    }
}

void capp_merge_table_set(capp_merge_table *table, capp_merge_slot merge, bool replace) {
    capp_merge_slot *slot = slot_of(table, merge.left, merge.right);
    if (slot->left == CAPP_NO_TOKEN || replace) *slot = merge;
}

const capp_merge_slot *capp_merge_table_find(const capp_merge_table *table, int32_t left, int32_t right) {
    const capp_merge_slot *slot = slot_of(table, left, right);
    return slot->left == left && slot->right == right ? slot : NULL;
}
