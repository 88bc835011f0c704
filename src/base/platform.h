/* What the library needs from the operating system and the processor beyond C17 and POSIX.1-2008. The other files of
 * src/ use only those two, and kernel/ the vector instructions of a processor. To port capp to another system or
 * processor, change platform*.c: platform.c and platform_memory.c call Linux, platform_x86_64.c and
 * platform_aarch64.c are for one processor each. base/cpu.h has the features of the processor. */
#ifndef CAPP_BASE_PLATFORM_H
#define CAPP_BASE_PLATFORM_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "capp needs a little-endian processor, because model files are little-endian; build it for x86-64 or AArch64"
#endif
#if defined(__SIZEOF_POINTER__) && __SIZEOF_POINTER__ != 8
#error "capp needs 64-bit addresses, because it maps whole model files; build it for x86-64 or AArch64"
#endif

/* Memory ---------------------------------------------------------------------------------------------------------- */

/* Bytes that the system can give to this process without swapping, but no more than the limits of its control group and
 * the ancestors of that group allow (cgroup 2: memory.max; cgroup 1: memory.limit_in_bytes). File pages count as free,
 * because the system drops them when memory is short. UINT64_MAX if the system does not tell. root: the folder that
 * contains /proc and /sys; "" except in tests. */
uint64_t capp_available_memory(const char *root);

/* Bytes of memory that nobody uses, even for file pages; UINT64_MAX if the system does not tell. */
uint64_t capp_unused_memory(void);

/* Bytes of a page: 4096 on x86-64; 4096, 16384 or 65536 on AArch64. Safe in signal handlers after the first call. */
size_t capp_page_size(void);

typedef enum capp_advice {
    CAPP_PAGES_NORMAL,    /* the system reads ahead */
    CAPP_PAGES_SCATTERED, /* the next reads are small and far apart: no reading ahead */
    CAPP_PAGES_SOON,      /* begin to read these pages of a file now */
    CAPP_PAGES_DROP,      /* unmap them; their contents come from the file again */
    CAPP_PAGES_HUGE       /* use large pages for this memory */
} capp_advice;

/* A hint about memory. address is rounded down to a page. If the system refuses, nothing changes. */
void capp_advise(const void *address, size_t bytes, capp_advice advice);

/* Removes bytes of a file from the system's cache; a hint. */
void capp_forget_file(int fd, uint64_t offset, uint64_t bytes);

/* Bytes of [address, address + size) that are in memory; address begins a page. */
uint64_t capp_resident_bytes(const void *address, size_t size);

/* Maps zeros, read-only, over [address, address + size); address begins a page. Safe in signal handlers on Linux, where
 * it is one system call. */
bool capp_map_zeros(void *address, size_t size);

/* Threads --------------------------------------------------------------------------------------------------------- */

/* Processors that this process may use, at least 1. */
int capp_processors(void);

/* Tells the processor that the thread waits in a loop. */
void capp_pause(void);

/* Arithmetic ------------------------------------------------------------------------------------------------------ */

/* Sets the thread's floating-point environment: rounds to nearest, keeps denormals, no traps. The result restores the
 * former one. New threads inherit it. */
unsigned capp_enter_arithmetic(void);
void capp_leave_arithmetic(unsigned saved);

/* Time ------------------------------------------------------------------------------------------------------------ */

struct stat;

/* When the contents of the file changed last. */
struct timespec capp_modified(const struct stat *file);

/* strftime with the English names of the C locale. 0: there is not enough room or memory. */
size_t capp_format_time(char *text, size_t size, const char *format, const struct tm *when);

/* Bytes ----------------------------------------------------------------------------------------------------------- */

/* The first place of `what` in `in`, or NULL. */
const char *capp_find_bytes(const char *in, size_t size, const char *what, size_t what_size);

#endif
