#define _GNU_SOURCE
#include "file/map.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static capp_status fail_errno(capp_error *err, const char *path, const char *what, const char *cure) {
    char buffer[128];
    const char *why = strerror_r(errno, buffer, sizeof buffer); /* GNU's, which returns the text */
    return capp_fail(err, errno == ENOMEM ? CAPP_ENOMEM : CAPP_EIO, "%s: %s: %s%s", path, what, why, cure);
}

static capp_status map_descriptor(capp_map *map, int fd, const char *path, capp_error *err) {
    struct stat st;
    if (fstat(fd, &st)) return fail_errno(err, path, "cannot be read", "");
    if (S_ISDIR(st.st_mode)) return capp_fail(err, CAPP_EIO, "%s: is a folder; give the model file inside it", path);
    if (!S_ISREG(st.st_mode))
        return capp_fail(err, CAPP_EIO, "%s: is not a regular file, so it cannot be mapped; give a file on a disk",
                         path);
    if (!st.st_size) return capp_fail(err, CAPP_EFORMAT, "%s: is empty (0 bytes); fetch or convert it again", path);
    map->data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (map->data == MAP_FAILED) {
        map->data = NULL;
        return fail_errno(err, path, "cannot be mapped into memory", "");
    }
    map->size = (size_t)st.st_size;
    return CAPP_OK;
}

capp_status capp_map_open(capp_map *map, const char *path, capp_error *err) {
    *map = (capp_map){NULL, 0};
    /* O_NONBLOCK: a named pipe without a writer must not hang us; it has no effect on regular files. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        const char *cure = errno == ENOENT   ? "; check the path"
                           : errno == EACCES ? "; check the permissions of the file and its folders"
                                             : "";
        return fail_errno(err, path, "cannot be opened", cure);
    }
    capp_status st = map_descriptor(map, fd, path, err);
    close(fd);
    return st;
}

/* A hint: where it fails the pages just stay. */
void capp_map_release(const capp_map *map) {
    if (map->data) (void)madvise((void *)(uintptr_t)map->data, map->size, MADV_DONTNEED);
}

void capp_map_scatter(const capp_map *map, bool scattered) {
    if (map->data) (void)madvise((void *)(uintptr_t)map->data, map->size, scattered ? MADV_RANDOM : MADV_NORMAL);
}

/* In pieces: the system takes no more of a request than one of its transfers holds. */
void capp_map_prefetch(const void *data, size_t bytes) {
    enum { PAGE = 4096, PIECE = 1 << 20 };
    uintptr_t at = (uintptr_t)data / PAGE * PAGE, end = (uintptr_t)data + bytes;
    for (; at < end; at += PIECE) (void)madvise((void *)at, end - at < PIECE ? end - at : PIECE, MADV_WILLNEED);
}

void capp_map_close(capp_map *map) {
    if (map->data) munmap((void *)(uintptr_t)map->data, map->size);
    *map = (capp_map){NULL, 0};
}
