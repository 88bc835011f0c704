/* Lists of token ids. */
#ifndef CAPP_TOKEN_IDS_H
#define CAPP_TOKEN_IDS_H

#include "capp.h"

enum { CAPP_NO_TOKEN = -1 };

/* A list of ids that grows. {0} to begin with; its owner frees it with capp_ids_free. */
typedef struct capp_ids {
    int32_t *data;
    size_t n, capacity;
} capp_ids;

void capp_ids_free(capp_ids *ids);
bool capp_ids_push(capp_ids *ids, int32_t id); /* false: out of memory */

#endif
