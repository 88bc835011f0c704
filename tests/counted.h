/* An allocator for tests that counts what is live, stops at a cap and fails when told. For programs of one thread. */
#ifndef CAPP_COUNTED_H
#define CAPP_COUNTED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define COUNTED_NEVER UINT64_MAX

typedef struct counted_memory {
    size_t live;            /* bytes that are allocated and not freed */
    size_t cap;             /* no more than these are given at a time */
    void (*excess)(void);   /* called where more are asked for, unless NULL; should it return, that allocation fails */
    uint64_t until_failure; /* allocations that succeed before one fails; all after it succeed again */
    bool failed;            /* whether that one has been reached */
} counted_memory;

extern counted_memory counted;

/* Makes it the library's allocator, without a cap and failing never. */
void counted_install(void);

/* After n more allocations one fails; COUNTED_NEVER: none does. */
void counted_fail_after(uint64_t n);

#endif
