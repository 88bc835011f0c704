/* Shared by the fuzzers: the seeds that they damage, random numbers, and the loop. The loop fails on a crash (the
 * fuzzers are built with sanitizers), on memory that is not freed, on allocations out of proportion and on a hang. */
#ifndef CAPP_FUZZ_H
#define CAPP_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum { FUZZ_MOST_SEEDS = 128, FUZZ_COUNTS = 3 };

/* A file in memory. Damage begins at head at the latest: the bytes behind it cannot be wrong. */
typedef struct bytes {
    unsigned char *data;
    size_t size, head;
} bytes;

typedef struct fuzzer {
    const char *name, *arguments;    /* of the program; its arguments after MUTATIONS and SEED, as in the usage text */
    int least;                       /* minimum number of these arguments */
    uint64_t failing;                /* sometimes one of so many allocations fails */
    const char *counts[FUZZ_COUNTS]; /* what fuzz_counts counts; unused ones NULL */
    /* Reads or builds the seeds and tries each undamaged. Fails where one does not open: fuzzing would be useless. */
    void (*begin)(int n, char **paths);
    void (*try_one)(uint64_t *r); /* damages a seed and uses it; it must free all that it allocates */
    void (*end)(void);            /* frees what begin made */
} fuzzer;

extern uint64_t fuzz_counts[FUZZ_COUNTS]; /* what opened since begin returned */

/* The whole program: PROGRAM MUTATIONS SEED ARGUMENTS. Mutation number i draws from SEED + i alone, so `PROGRAM 1 N
 * ARGUMENTS` repeats the mutation that a failure names. Before begin, counted.cap is 64 MiB; more is a failure. */
int fuzz_main(const fuzzer *f, int argc, char **argv);

/* Prints the message and the number of the mutation; aborts. */
_Noreturn void fuzz_fail(const char *what);

/* Whether the call, which should return an object, succeeded. Fails where status, object and message disagree. */
bool fuzz_opened(const char *call, capp_status status, const void *object, const capp_error *err);

/* Reads all bytes, so that sanitizers check them. */
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

/* A damaged copy in an allocation of exactly its size, so that AddressSanitizer detects a read past the end. The caller
 * frees .data. */
bytes fuzz_mutant(const bytes *seed, void (*mutate)(bytes *b, uint64_t *r), uint64_t *r);

/* ---- Damages ----------------------------------------------------------------------------------------------------- */

/* A position where damage begins. */
static inline size_t fuzz_place(const bytes *b, uint64_t *r) {
    return up_to(r, b->head < b->size ? b->head : b->size);
}

/* Replaces `cut` bytes at `at` by n others. */
void splice(bytes *b, size_t at, size_t cut, const void *with, size_t n);

/* Changes, removes or repeats bytes. */
void fuzz_bytes(bytes *b, uint64_t *r);

/* At `at`: flips a bit, removes bytes, inserts a piece of another text, or replaces the next `cut` bytes by word. */
void fuzz_text(bytes *b, size_t at, size_t cut, const char *word, const bytes *other, uint64_t *r);

/* The position in a safetensors file where its data begin. */
size_t fuzz_header_end(const bytes *b);

/* Sets the header length of a damaged safetensors file so that the data keep the seed's size. Otherwise only that check
 * would be tested. */
void fuzz_fit_header(bytes *b, const bytes *seed);

#endif
