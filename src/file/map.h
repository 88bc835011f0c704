/* A file mapped for reading. */
#ifndef CAPP_FILE_MAP_H
#define CAPP_FILE_MAP_H

#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "base/error.h"

typedef struct capp_map {
    const void *data; /* page-aligned; NULL if nothing is mapped: then the members below are not valid */
    size_t size;      /* above 0 */
    char *path;       /* absolute */
    int fd;
    dev_t device; /* identity of the file when it was mapped */
    ino_t inode;
    struct timespec modified;
    int guard; /* for file/guard.h */
} capp_map;

/* Errors: CAPP_EIO for a file that is missing, not readable, a folder or not a regular file; CAPP_EFORMAT for an empty
 * file. The message begins with the path. On failure data is NULL. If the file shrinks or its disk fails, reads of the
 * missing bytes cause SIGBUS, unless the mapping is guarded. */
capp_status capp_map_open(capp_map *map, const char *path, capp_error *err);

/* What happened to the file since it was mapped. */
typedef enum capp_change {
    CAPP_SAME,
    CAPP_UNREADABLE, /* a guarded read failed */
    CAPP_RESIZED,
    CAPP_REWRITTEN, /* written to, by its time of modification */
    CAPP_REPLACED   /* another file now has its path; a path without a file does not count as a change */
} capp_change;

/* *size: the current size of the file; for UNREADABLE, the offset that could not be read. */
capp_change capp_map_look(const capp_map *map, uint64_t *size);

/* Unmaps the pages. They stay in the system's cache until other programs need the memory. */
void capp_map_release(const capp_map *map);

/* Tells the system whether the next reads are small and scattered. Then it does not read ahead. */
void capp_map_scatter(const capp_map *map, bool scattered);

/* Asks the system to start reading bytes of a mapping that will be needed soon. This is a hint; the call does not wait.
 */
void capp_map_prefetch(const void *data, size_t bytes);

/* Unmaps the pages of some bytes of the mapping. They stay in the system's cache. */
void capp_map_unmap(const capp_map *map, const void *data, size_t bytes);

/* Unmaps bytes of the mapping and removes them from the system's cache, so that the next read comes from the disk. */
void capp_map_drop(const capp_map *map, const void *data, size_t bytes);

/* Number of bytes of the file that are in the system's cache. */
uint64_t capp_map_resident(const capp_map *map);

/* Unmaps the file; data is NULL afterwards. */
void capp_map_close(capp_map *map);

#endif
