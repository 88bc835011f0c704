/* An allocator for tests that counts live memory, stops at a cap and fails on request. For programs with one thread. */
#ifndef CAPP_COUNTED_H
#define CAPP_COUNTED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define COUNTED_NEVER UINT64_MAX

typedef struct counted_memory {
    size_t live;            /* bytes that are allocated and not freed */
    size_t cap;             /* never more live bytes than this */
    void (*excess)(void);   /* called where more is requested, unless NULL; if it returns, that allocation fails */
    uint64_t until_failure; /* allocations that succeed before one fails; all after it succeed again */
    bool failed;            /* whether that one was reached */
} counted_memory;

extern counted_memory counted;

/* Makes it the library's allocator, without a cap and without failures. */
void counted_install(void);

/* After n more allocations one fails; with COUNTED_NEVER none fails. */
void counted_fail_after(uint64_t n);

#endif
