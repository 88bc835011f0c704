/* Lookup by name, for what files list: tensors, metadata keys. */
#ifndef CAPP_FILE_NAMES_H
#define CAPP_FILE_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "capp.h"

/* Names to indices of an array whose elements begin with a capp_str, their name. Open addressing; at most half full, so
 * that every search ends. */
typedef struct capp_names {
    struct capp_name_slot {
        uint32_t hash;
        uint32_t index; /* 1 + index in the array; 0: free */
    } * slots;          /* [mask + 1], or NULL: an empty table */
    size_t mask;
    const char *names; /* first element; borrowed */
    size_t stride;     /* bytes of an element */
} capp_names;

enum { CAPP_NO_NAME = -1 };

/* Makes *table over n elements of stride bytes at names. *duplicate: index of the first element whose name came before,
 * or CAPP_NO_NAME. False: out of memory, and *table is empty. */
bool capp_names_build(capp_names *table, const void *names, size_t stride, size_t n, int64_t *duplicate);
void capp_names_free(capp_names *table);

/* Index of the element of that name, or CAPP_NO_NAME. */
int64_t capp_names_find(const capp_names *table, capp_str name);

#endif
