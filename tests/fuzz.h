/* What fuzzers share: bytes that they damage, and numbers drawn from a seed. */
#ifndef CAPP_FUZZ_H
#define CAPP_FUZZ_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct bytes {
    unsigned char *data;
    size_t size;
} bytes;

/* splitmix64 */
static inline uint64_t next(uint64_t *r) {
    uint64_t z = (*r += 0x9e3779b97f4a7c15u);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static inline size_t up_to(uint64_t *r, size_t most) {
    return (size_t)(next(r) % ((uint64_t)most + 1));
}

/* Replaces `cut` bytes at `at` by n others. */
static inline void splice(bytes *b, size_t at, size_t cut, const void *with, size_t n) {
    unsigned char *made = malloc(b->size - cut + n + 1);
    if (!made) abort();
    memcpy(made, b->data, at);
    memcpy(made + at, with, n);
    memcpy(made + at + n, b->data + at + cut, b->size - at - cut);
    free(b->data);
    *b = (bytes){made, b->size - cut + n};
}

#endif
