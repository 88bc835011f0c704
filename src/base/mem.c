#include "base/mem.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "capp.h"

enum { ALIGNMENT = 64 };

static struct {
    void *(*malloc_fn)(size_t);
    void *(*realloc_fn)(void *, size_t);
    void (*free_fn)(void *);
} allocator = {malloc, realloc, free};

capp_status capp_set_allocator(void *(*malloc_fn)(size_t), void *(*realloc_fn)(void *, size_t),
                               void (*free_fn)(void *)) {
    if (!malloc_fn && !realloc_fn && !free_fn) {
        allocator.malloc_fn = malloc;
        allocator.realloc_fn = realloc;
        allocator.free_fn = free;
        return CAPP_OK;
    }
    if (!malloc_fn || !realloc_fn || !free_fn) return CAPP_EINVAL;
    allocator.malloc_fn = malloc_fn;
    allocator.realloc_fn = realloc_fn;
    allocator.free_fn = free_fn;
    return CAPP_OK;
}

bool capp_mul(size_t a, size_t b, size_t *product) {
    return !__builtin_mul_overflow(a, b, product);
}

void *capp_new(size_t n, size_t size) {
    size_t bytes;
    if (!capp_mul(n, size, &bytes)) return NULL;
    return allocator.malloc_fn(bytes ? bytes : 1);
}

void *capp_new0(size_t n, size_t size) {
    void *p = capp_new(n, size);
    if (p) memset(p, 0, n * size);
    return p;
}

void *capp_renew(void *p, size_t n, size_t size) {
    size_t bytes;
    if (!capp_mul(n, size, &bytes)) return NULL;
    return allocator.realloc_fn(p, bytes ? bytes : 1);
}

void capp_free(void *p) {
    if (p) allocator.free_fn(p);
}

void *capp_callback_new(size_t bytes, void *unused) {
    (void)unused;
    return capp_new(bytes, 1);
}

void capp_callback_free(void *p, void *unused) {
    (void)unused;
    capp_free(p);
}

/* The pointer that the allocator gave stands just before the aligned block. */
void *capp_aligned_new(size_t n, size_t size) {
    size_t bytes;
    if (!capp_mul(n, size, &bytes) || bytes > SIZE_MAX - ALIGNMENT - sizeof(void *)) return NULL;
    char *base = allocator.malloc_fn(bytes + ALIGNMENT + sizeof(void *));
    if (!base) return NULL;
    char *p = base + sizeof(void *);
    p += (ALIGNMENT - (uintptr_t)p % ALIGNMENT) % ALIGNMENT;
    memcpy(p - sizeof(void *), &base, sizeof base);
    return p;
}

void capp_aligned_delete(void *p) {
    if (!p) return;
    void *base;
    memcpy(&base, (char *)p - sizeof(void *), sizeof base);
    allocator.free_fn(base);
}

/* The pointer is read and written by memcpy: it may be of any type. */
bool capp_grow(void *array, size_t *capacity, size_t need, size_t size) {
    if (need <= *capacity) return true;
    size_t wanted = *capacity + *capacity / 2;
    if (wanted < need) wanted = need;
    if (wanted < 16) wanted = 16;
    void *p;
    memcpy(&p, array, sizeof p);
    p = capp_renew(p, wanted, size);
    if (!p) return false;
    memcpy(array, &p, sizeof p);
    *capacity = wanted;
    return true;
}
