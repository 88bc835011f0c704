/* A file mapped for reading. */
#ifndef CAPP_FILE_MAP_H
#define CAPP_FILE_MAP_H

#include "base/error.h"

typedef struct capp_map {
    const void *data; /* page-aligned; NULL where nothing is mapped */
    size_t size;      /* above 0 where data is not NULL */
} capp_map;

/* CAPP_EIO for a file that is missing, not readable, a folder or not a regular file; CAPP_EFORMAT for an empty one. The
 * message begins with the path. On failure *map is {NULL, 0}. The file must not shrink while it is mapped. */
capp_status capp_map_open(capp_map *map, const char *path, capp_error *err);

/* Gives the pages back to the system, which reads them again from the file where they are wanted. */
void capp_map_release(const capp_map *map);

/* Whether what is read next is a little here and there: the system then reads no more than that. */
void capp_map_scatter(const capp_map *map, bool scattered);

/* Asks the system to begin to read bytes of a mapping that will be wanted soon. A hint: it does not wait. */
void capp_map_prefetch(const void *data, size_t bytes);

/* Unmaps; *map is {NULL, 0} after. */
void capp_map_close(capp_map *map);

#endif
