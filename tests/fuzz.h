/* What fuzzers share: seeds that they damage, numbers drawn from a seed, and the loop, which fails on a crash (they are
 * built with sanitizers), on memory that is not freed, on allocations out of proportion and on hanging. */
#ifndef CAPP_FUZZ_H
#define CAPP_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum { FUZZ_MOST_SEEDS = 64, FUZZ_COUNTS = 3 };

/* A file in memory. Damage begins at head at the latest: what lies behind it cannot be wrong. */
typedef struct bytes {
    unsigned char *data;
    size_t size, head;
} bytes;

typedef struct fuzzer {
    const char *name, *arguments; /* of the program; the arguments after MUTATIONS and SEED, as its usage names them */
    int least;                    /* arguments that it needs there */
    uint64_t failing;             /* now and then one of so many allocations fails */
    const char *counts[FUZZ_COUNTS]; /* what fuzz_counts counts; unused ones NULL */
    /* Reads or builds the seeds, tries each as it is and fails where one does not open: that would make all idle. */
    void (*begin)(int n, char **paths);
    void (*try_one)(uint64_t *r); /* damages a seed and uses it; whatever it allocates is freed when it returns */
    void (*end)(void);            /* frees what begin made */
} fuzzer;

extern uint64_t fuzz_counts[FUZZ_COUNTS]; /* what opened since begin returned */

/* The whole program: PROGRAM MUTATIONS SEED ARGUMENTS. Mutation number i draws from SEED + i alone, so that
 * `PROGRAM 1 N ARGUMENTS` repeats the one that a failure names. Before begin, counted.cap is 64 MiB and more is a
 * failure. */
int fuzz_main(const fuzzer *f, int argc, char **argv);

/* Says so, and which mutation it was; aborts. */
_Noreturn void fuzz_fail(const char *what);

/* Whether the call, which should give an object, succeeded; fails where status, object and message disagree. */
bool fuzz_opened(const char *call, capp_status status, const void *object, const capp_error *err);

/* Reads all of them, so that sanitizers see it. */
void fuzz_touch(const void *data, size_t n);

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

/* ---- Seeds ------------------------------------------------------------------------------------------------------- */

/* folder may be NULL. Fails on a file that cannot be read, is empty or is larger than a MiB. The caller frees .data. */
bytes fuzz_read(const char *folder, const char *name);

/* A damaged copy, of exactly as many bytes as there are, so that AddressSanitizer sees a read past the end. The caller
 * frees .data. */
bytes fuzz_mutant(const bytes *seed, void (*mutate)(bytes *b, uint64_t *r), uint64_t *r);

/* ---- Damages ----------------------------------------------------------------------------------------------------- */

/* Where one begins. */
static inline size_t fuzz_place(const bytes *b, uint64_t *r) {
    return up_to(r, b->head < b->size ? b->head : b->size);
}

/* Replaces `cut` bytes at `at` by n others. */
void splice(bytes *b, size_t at, size_t cut, const void *with, size_t n);

/* A byte becomes another one; some are gone, or stand twice. */
void fuzz_bytes(bytes *b, uint64_t *r);

/* At `at` a bit is flipped, bytes are gone, a piece of another text comes in, or word for the next `cut` bytes. */
void fuzz_text(bytes *b, size_t at, size_t cut, const char *word, const bytes *other, uint64_t *r);

/* Of a safetensors file: where its data begin. */
size_t fuzz_header_end(const bytes *b);

/* Gives a damaged safetensors file a header's length that leaves the seed's data, so that more than it is tried. */
void fuzz_fit_header(bytes *b, const bytes *seed);

#endif
