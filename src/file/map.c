#define _POSIX_C_SOURCE 200809L
#include "file/map.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/platform.h"
#include "file/guard.h"

static capp_status fail_errno(capp_error *err, const char *path, const char *what, const char *cure) {
    const int number = errno;
    char why[128];
    if (strerror_r(number, why, sizeof why)) snprintf(why, sizeof why, "error %d", number);
    return capp_fail(err, number == ENOMEM ? CAPP_ENOMEM : CAPP_EIO, "%s: %s: %s%s", path, what, why, cure);
}

static capp_status map_descriptor(capp_map *map, int fd, const char *path, capp_error *err) {
    struct stat st;
    if (fstat(fd, &st)) return fail_errno(err, path, "cannot read the file", "");
    if (S_ISDIR(st.st_mode)) return capp_fail(err, CAPP_EIO, "%s: this is a folder; use the model file in it", path);
    if (!S_ISREG(st.st_mode))
        return capp_fail(err, CAPP_EIO, "%s: not a regular file, so capp cannot map it; use a file on a disk", path);
    if (!st.st_size)
        return capp_fail(err, CAPP_EFORMAT, "%s: empty file (0 bytes); download or convert it again", path);
    map->data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (map->data == MAP_FAILED) {
        map->data = NULL;
        return fail_errno(err, path, "cannot map the file into memory", "");
    }
    map->size = (size_t)st.st_size;
    map->fd = fd;
    map->modified = capp_modified(&st);
    map->guard = capp_guard_enter(map->data, map->size);
    return CAPP_OK;
}

/* The absolute path, which leads to the file even if the process changes its working directory. NULL if there is not
 * enough memory. */
static char *absolute(const char *path) {
    char folder[PATH_MAX] = "";
    if (*path != '/' && !getcwd(folder, sizeof folder)) folder[0] = 0;
    size_t size = strlen(folder) + strlen(path) + 2;
    char *whole = capp_new(size, 1);
    if (whole) snprintf(whole, size, "%s%s%s", folder, *folder ? "/" : "", path);
    return whole;
}

/* These come from stat, not fstat: on some file systems the two differ. */
static void note_identity(capp_map *map) {
    struct stat st;
    if (stat(map->path, &st)) memset(&st, 0, sizeof st);
    map->device = st.st_dev;
    map->inode = st.st_ino;
}

capp_status capp_map_open(capp_map *map, const char *path, capp_error *err) {
    *map = (capp_map){.data = NULL};
    /* O_NONBLOCK: a named pipe without a writer must not hang us; it has no effect on regular files. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        const char *cure = errno == ENOENT   ? "; check the path"
                           : errno == EACCES ? "; check the permissions of the file and its folders"
                                             : "";
        return fail_errno(err, path, "cannot open the file", cure);
    }
    capp_status st = map_descriptor(map, fd, path, err);
    if (st != CAPP_OK) {
        close(fd);
        return st;
    }
    map->path = absolute(path);
    if (!map->path) {
        capp_map_close(map);
        return capp_fail(err, CAPP_ENOMEM, "%s: out of memory", path);
    }
    note_identity(map);
    return CAPP_OK;
}

capp_change capp_map_look(const capp_map *map, uint64_t *size) {
    struct stat st;
    const void *fault = capp_guard_fault(map->guard);
    *size = fault ? (uint64_t)((const char *)fault - (const char *)map->data) : map->size;
    if (fault) return CAPP_UNREADABLE;
    if (fstat(map->fd, &st)) return CAPP_SAME;
    *size = (uint64_t)st.st_size;
    if (*size != map->size) return CAPP_RESIZED;
    const struct timespec modified = capp_modified(&st);
    if (memcmp(&modified, &map->modified, sizeof modified)) return CAPP_REWRITTEN;
    if (stat(map->path, &st)) return CAPP_SAME;
    return st.st_dev == map->device && st.st_ino == map->inode ? CAPP_SAME : CAPP_REPLACED;
}

/* This is a hint. If it fails, the pages stay. */
void capp_map_release(const capp_map *map) {
    if (map->data) capp_advise(map->data, map->size, CAPP_PAGES_DROP);
}

void capp_map_scatter(const capp_map *map, bool scattered) {
    if (map->data) capp_advise(map->data, map->size, scattered ? CAPP_PAGES_SCATTERED : CAPP_PAGES_NORMAL);
}

/* Requests pieces, because the system handles at most one transfer per request. */
void capp_map_prefetch(const void *data, size_t bytes) {
    enum { PIECE = 1 << 20 };
    for (size_t at = 0; at < bytes; at += PIECE)
        capp_advise((const char *)data + at, bytes - at < PIECE ? bytes - at : PIECE, CAPP_PAGES_SOON);
}

/* False: the bytes are not part of the mapping. */
static bool unmap(const capp_map *map, const void *data, size_t bytes) {
    uintptr_t begin = (uintptr_t)map->data, first = (uintptr_t)data;
    if (!map->data || first < begin || first + bytes > begin + map->size) return false;
    capp_advise(data, bytes, CAPP_PAGES_DROP);
    return true;
}

void capp_map_unmap(const capp_map *map, const void *data, size_t bytes) {
    (void)unmap(map, data, bytes);
}

void capp_map_drop(const capp_map *map, const void *data, size_t bytes) {
    if (!unmap(map, data, bytes)) return;
    uintptr_t begin = (uintptr_t)map->data, end = (uintptr_t)data + bytes;
    uintptr_t first = (uintptr_t)data / capp_page_size() * capp_page_size();
    capp_forget_file(map->fd, first - begin, end - first);
}

uint64_t capp_map_resident(const capp_map *map) {
    return map->data ? capp_resident_bytes(map->data, map->size) : 0;
}

void capp_map_close(capp_map *map) {
    if (map->data) {
        capp_guard_leave(map->guard);
        munmap((void *)(uintptr_t)map->data, map->size);
        close(map->fd);
        capp_free(map->path);
    }
    *map = (capp_map){.data = NULL};
}
