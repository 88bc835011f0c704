/* What the command needs from the operating system beyond C17 and POSIX.1-2008. The other files of cli/ use those two
 * and what all kinds of Unix have (tests/test_house.py lists the headers). To port the command, change platform.c; the
 * library has base/platform.h. */
#ifndef CLI_PLATFORM_H
#define CLI_PLATFORM_H

#include <stdbool.h>
#include <stdint.h>

/* Bytes of the process that were in memory at its peak; 0 if the system does not tell. */
uint64_t peak_memory(void);

/* Removes a part of a file from the system's cache. False: the system does not. */
bool forget_pages(int file, uint64_t at, uint64_t size);

#endif
