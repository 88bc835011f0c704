/* A file mapped for reading. */
#ifndef CAPP_FILE_MAP_H
#define CAPP_FILE_MAP_H

#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "base/error.h"

typedef struct capp_map {
    const void *data; /* page-aligned; NULL where nothing is mapped, and nothing below counts */
    size_t size;      /* above 0 */
    char *path;       /* absolute */
    int fd;
    dev_t device; /* what the path led to when it was mapped */
    ino_t inode;
    struct timespec modified;
    int guard; /* for file/guard.h */
} capp_map;

/* CAPP_EIO for a file that is missing, not readable, a folder or not a regular file; CAPP_EFORMAT for an empty one. The
 * message begins with the path. On failure data is NULL. To read what is past the end of a file that shrank, or
 * what its disk fails to give, is SIGBUS, unless the process is guarded. */
capp_status capp_map_open(capp_map *map, const char *path, capp_error *err);

/* What became of the file since it was mapped. */
typedef enum capp_change {
    CAPP_SAME,
    CAPP_UNREADABLE, /* a guarded read failed */
    CAPP_RESIZED,
    CAPP_REWRITTEN, /* by its time of modification */
    CAPP_REPLACED   /* another file has its path; a path that leads nowhere is no change */
} capp_change;

/* *size: the file's now, or of UNREADABLE, the offset that could not be read. */
capp_change capp_map_look(const capp_map *map, uint64_t *size);

/* Unmaps the pages, which stay in the system's cache as long as nobody else wants the memory. */
void capp_map_release(const capp_map *map);

/* Tells the system whether the next reads are small and scattered. Then it does not read ahead. */
void capp_map_scatter(const capp_map *map, bool scattered);

/* Asks the system to start reading bytes of a mapping that will be needed soon. This is a hint; the call does not wait.
 */
void capp_map_prefetch(const void *data, size_t bytes);

/* Unmaps bytes of the mapping and takes them out of the system's cache, so that they are read again from the disk. */
void capp_map_drop(const capp_map *map, const void *data, size_t bytes);

/* Bytes of the file that the system's cache holds. */
uint64_t capp_map_resident(const capp_map *map);

/* Unmaps; data is NULL after. */
void capp_map_close(capp_map *map);

#endif
