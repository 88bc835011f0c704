/* Merges of byte-level BPE: a hash table (open addressing) from a pair of ids to its rank and the merged id. */
#ifndef CAPP_TOKEN_MERGE_TABLE_H
#define CAPP_TOKEN_MERGE_TABLE_H

#include "base/error.h"
#include "token/ids.h"

typedef struct capp_merge_slot {
    int32_t left, right; /* left CAPP_NO_TOKEN: free */
    uint32_t rank;       /* its place in the file's list; lower ranks are merged first */
    int32_t merged;
} capp_merge_slot;

typedef struct capp_merge_table {
    capp_merge_slot *slots; /* [mask + 1], at most half full */
    size_t mask;
} capp_merge_table;

/* Makes room for n merges; the caller frees table->slots with capp_free. */
capp_status capp_merge_table_open(capp_merge_table *table, size_t n, capp_error *err);

/* Prefetches the memory of a pair's slot, so that a later set or find does not wait for it. */
void capp_merge_table_prefetch(const capp_merge_table *table, int32_t left, int32_t right);

/* Adds a merge. If a pair has two merges, the last one counts if `replace`, else the first one. */
void capp_merge_table_set(capp_merge_table *table, capp_merge_slot merge, bool replace);

/* NULL: the two do not merge. */
const capp_merge_slot *capp_merge_table_find(const capp_merge_table *table, int32_t left, int32_t right);

#endif
