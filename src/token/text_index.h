/* An index from text to id, by open addressing. */
#ifndef CAPP_TOKEN_TEXT_INDEX_H
#define CAPP_TOKEN_TEXT_INDEX_H

#include "base/error.h"
#include "token/ids.h"

enum { CAPP_INDEX_BATCH = 48 };

typedef struct capp_text_slot {
    uint32_t tag; /* upper half of the hash: distinguishes most texts without reading them */
    int32_t id;   /* CAPP_NO_TOKEN: free */
} capp_text_slot;

typedef struct capp_text_index {
    capp_text_slot *slots; /* [mask + 1], at most half full */
    size_t mask;
    const capp_str *texts; /* borrowed */
} capp_text_index;

/* Indexes texts[0 .. n - 1]; empty ones are left out. If texts are equal, the lowest id counts. */
capp_status capp_text_index_make(capp_text_index *index, const capp_str *texts, size_t n, capp_error *err);
int32_t capp_text_index_find(const capp_text_index *index, capp_str text);
/* The ids of n texts, at most CAPP_INDEX_BATCH. Faster than one by one, because the waits for memory overlap. */
void capp_text_index_find_batch(const capp_text_index *index, const capp_str *texts, size_t n, int32_t *ids);

#endif
