/* Lists of token ids. */
#ifndef CAPP_TOKEN_IDS_H
#define CAPP_TOKEN_IDS_H

#include "capp.h"

enum { CAPP_NO_TOKEN = -1 };

/* A growing list of ids; owned by whoever declared it, {0} to begin with, ended by capp_ids_free. */
typedef struct capp_ids {
    int32_t *data;
    size_t n, capacity;
} capp_ids;

void capp_ids_free(capp_ids *ids);
bool capp_ids_push(capp_ids *ids, int32_t id); /* false: out of memory */

#endif
