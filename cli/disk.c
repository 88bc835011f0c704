#include "disk.h"
#include "platform.h"
#include "util.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MIB = 1 << 20, PIECE = MIB, MOST_PIECES = 64 };

/* The largest file of weights in an open folder, or -1. */
static int open_largest(int folder) {
    DIR *entries = fdopendir(folder);
    int found = -1;
    off_t size = 0;
    for (const struct dirent *entry; entries && (entry = readdir(entries)) != NULL;) {
        struct stat facts;
        if (!ends_with(entry->d_name, ".safetensors") || fstatat(folder, entry->d_name, &facts, 0) ||
            facts.st_size <= size)
            continue;
        int file = openat(folder, entry->d_name, O_RDONLY | O_CLOEXEC);
        if (file < 0) continue;
        if (found >= 0) close(found);
        found = file;
        size = facts.st_size;
    }
    if (entries)
        closedir(entries);
    else
        close(folder);
    return found;
}

/* Seconds to read `pieces` pieces in order, starting at `at`; below 0 if reading fails. */
static double read_pieces(int file, off_t at, size_t pieces) {
    char *room = allocate(PIECE, 1);
    double start = seconds_now(), seconds = -1;
    size_t i = 0;
    while (i < pieces && pread(file, room, PIECE, at + (off_t)i * PIECE) == PIECE) i++;
    if (i == pieces) seconds = seconds_now() - start;
    free(room);
    return seconds;
}

/* If another program is reading the file, its last part was read the longest time ago, or never. */
double disk_rate(const char *path) {
    struct stat facts;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file >= 0 && !fstat(file, &facts) && S_ISDIR(facts.st_mode)) file = open_largest(file);
    if (file < 0) return 0;
    double rate = 0;
    size_t pieces = fstat(file, &facts) ? 0 : (size_t)(facts.st_size / PIECE);
    if (pieces > MOST_PIECES) pieces = MOST_PIECES;
    off_t at = pieces ? facts.st_size - (off_t)(pieces * PIECE) : 0;
    if (pieces && forget_pages(file, (uint64_t)at, pieces * PIECE)) {
        double seconds = read_pieces(file, at, pieces);
        if (seconds > 0) rate = (double)pieces * PIECE / seconds;
    }
    close(file);
    return rate;
}
