/* For Linux. */
#define _GNU_SOURCE
#include "platform.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint64_t peak_memory(void) {
    /* Not from getrusage, which also counts the process before it became this program: a copy of its parent. */
    unsigned long long kib = 0;
    char line[128];
    FILE *file = fopen("/proc/self/status", "r");
    while (file && !kib && fgets(line, sizeof line, file))
        if (!strncmp(line, "VmHWM:", 6)) kib = strtoull(line + 6, NULL, 10);
    if (file) fclose(file);
    return kib * 1024;
}

bool forget_pages(int file, uint64_t at, uint64_t size) {
    return !posix_fadvise(file, (off_t)at, (off_t)size, POSIX_FADV_DONTNEED);
}
