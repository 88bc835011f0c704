#include "counted.h"

#include <stdlib.h>
#include <string.h>

#include "capp.h"

enum { BEFORE = 16 }; /* bytes before a block that hold its size */

counted_memory counted = {.cap = SIZE_MAX, .until_failure = COUNTED_NEVER};

/* block: a block of old bytes from stdlib, or NULL. */
static void *take(void *block, size_t old, size_t n) {
    if (!counted.until_failure--) {
        counted.failed = true;
        return NULL;
    }
    if (n > counted.cap || counted.live - old > counted.cap - n) {
        if (counted.excess) counted.excess();
        return NULL;
    }
    unsigned char *p = realloc(block, n + BEFORE);
    if (!p) return NULL;
    memcpy(p, &n, sizeof n);
    counted.live += n - old;
    return p + BEFORE;
}

static size_t size_of(void *p) {
    size_t n;
    memcpy(&n, (unsigned char *)p - BEFORE, sizeof n);
    return n;
}

static void *counted_malloc(size_t n) {
    return take(NULL, 0, n);
}

static void *counted_realloc(void *p, size_t n) {
    return p ? take((unsigned char *)p - BEFORE, size_of(p), n) : take(NULL, 0, n);
}

static void counted_free(void *p) {
    if (!p) return;
    counted.live -= size_of(p);
    free((unsigned char *)p - BEFORE);
}

void counted_install(void) {
    (void)capp_set_allocator(counted_malloc, counted_realloc, counted_free);
}

void counted_fail_after(uint64_t n) {
    counted.until_failure = n;
    counted.failed = false;
}
