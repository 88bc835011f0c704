/* Lookup by name, for tensors and metadata keys. */
#ifndef CAPP_FILE_NAMES_H
#define CAPP_FILE_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "capp.h"

/* Maps names to indices of an array. Each element of the array begins with its name, a capp_str. Open addressing; the
 * table is at most half full, so each search ends. */
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

/* Builds *table for n elements of stride bytes at names. Sets *duplicate to the index of the first element whose name
 * occurs before, or CAPP_NO_NAME. Returns false and leaves *table empty if there is not enough memory. */
bool capp_names_build(capp_names *table, const void *names, size_t stride, size_t n, int64_t *duplicate);
void capp_names_free(capp_names *table);

/* Returns the index of the element with this name, or CAPP_NO_NAME. */
int64_t capp_names_find(const capp_names *table, capp_str name);

#endif
