/* Linux, with either of its usual C libraries: glibc and musl. */
#define _GNU_SOURCE
#include "base/platform.h"

#include <fcntl.h>
#include <locale.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

size_t capp_page_size(void) {
    static atomic_size_t known;
    size_t size = atomic_load_explicit(&known, memory_order_relaxed);
    if (!size) atomic_store_explicit(&known, size = (size_t)sysconf(_SC_PAGESIZE), memory_order_relaxed);
    return size;
}

void capp_advise(const void *address, size_t bytes, capp_advice advice) {
    static const int names[] = {[CAPP_PAGES_NORMAL] = MADV_NORMAL,
                                [CAPP_PAGES_SCATTERED] = MADV_RANDOM,
                                [CAPP_PAGES_SOON] = MADV_WILLNEED,
                                [CAPP_PAGES_DROP] = MADV_DONTNEED,
                                [CAPP_PAGES_HUGE] = MADV_HUGEPAGE};
    const uintptr_t page = capp_page_size(), first = (uintptr_t)address / page * page;
    (void)madvise((void *)first, (uintptr_t)address + bytes - first, names[advice]);
}

void capp_forget_file(int fd, uint64_t offset, uint64_t bytes) {
    (void)posix_fadvise(fd, (off_t)offset, (off_t)bytes, POSIX_FADV_DONTNEED);
}

uint64_t capp_resident_bytes(const void *address, size_t size) {
    enum { PAGES = 1 << 14 };
    unsigned char there[PAGES];
    const size_t page = capp_page_size();
    uint64_t bytes = 0;
    for (size_t at = 0; at < size; at += PAGES * page) {
        size_t n = size - at < PAGES * page ? size - at : PAGES * page;
        if (mincore((char *)(uintptr_t)address + at, n, there)) return bytes;
        for (size_t i = 0; i < (n + page - 1) / page; i++) bytes += there[i] & 1 ? page : 0;
    }
    return bytes < size ? bytes : size; /* the last page has more than the rest of it */
}

bool capp_map_zeros(void *address, size_t size) {
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED;
    /* cppcheck-suppress leakReturnValNotUsed */
    return mmap(address, size, PROT_READ, flags, -1, 0) != MAP_FAILED;
}

int capp_processors(void) {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set)) return 1;
    int n = CPU_COUNT(&set);
    return n > 0 ? n : 1;
}

struct timespec capp_modified(const struct stat *file) {
    return file->st_mtim;
}

size_t capp_format_time(char *text, size_t size, const char *format, const struct tm *when) {
    locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    size_t n = plain ? strftime_l(text, size, format, when, plain) : 0;
    if (plain) freelocale(plain);
    return n;
}

const char *capp_find_bytes(const char *in, size_t size, const char *what, size_t what_size) {
    return memmem(in, size, what, what_size);
}
