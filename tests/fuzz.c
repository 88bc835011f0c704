#define _GNU_SOURCE
#include "fuzz.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include "counted.h"

enum { MOST_FILE = 1 << 20, SECONDS = 60 };

uint64_t fuzz_counts[FUZZ_COUNTS];
static const char *name = "fuzz";
static uint64_t current; /* SEED + i */

static void report(void) {
    fprintf(stderr, "%s: failed; repeat with: %s 1 %llu and the same files\n", name, name, (unsigned long long)current);
}

void fuzz_fail(const char *what) {
    fprintf(stderr, "%s: %s\n", name, what);
    report();
    abort();
}

static void hang(int signal) {
    (void)signal;
    fuzz_fail("no progress for a minute of processor time");
}

static void excess(void) {
    fuzz_fail("allocates out of proportion to the file");
}

bool fuzz_opened(const char *call, capp_status status, const void *object, const capp_error *err) {
    const char *wrong = (status == CAPP_OK) == !object ? "status and pointer disagree" : NULL;
    if (status != CAPP_OK && (err->status != status || !err->message[0])) wrong = "a failure without a message";
    if (!wrong) return status == CAPP_OK;
    fprintf(stderr, "%s: ", call);
    fuzz_fail(wrong);
}

void fuzz_touch(const void *data, size_t n) {
    static volatile unsigned sum; /* volatile, so that the compiler keeps the reads */
    const unsigned char *p = data;
    unsigned s = 0;
    for (size_t i = 0; i < n; i++) s += p[i];
    sum = sum + s;
}

/* ---- Seeds ------------------------------------------------------------------------------------------------------- */

static void *allocate(size_t n) {
    void *p = malloc(n ? n : 1);
    if (!p) abort();
    return p;
}

bytes fuzz_read(const char *folder, const char *file) {
    char path[4096];
    snprintf(path, sizeof path, "%s%s%s", folder ? folder : "", folder ? "/" : "", file);
    FILE *f = fopen(path, "rb");
    bytes b = {allocate(MOST_FILE + 1), 0, 0};
    if (f) b.size = fread(b.data, 1, MOST_FILE + 1, f);
    if (f) fclose(f);
    if (!b.size || b.size > MOST_FILE) {
        fprintf(stderr, "%s: ", path);
        fuzz_fail("cannot be read, is empty or is too large");
    }
    b.head = b.size;
    return b;
}

static bytes copy_of(const bytes *from) {
    bytes b = {allocate(from->size), from->size, from->head};
    memcpy(b.data, from->data, from->size);
    return b;
}

bytes fuzz_mutant(const bytes *seed, void (*mutate)(bytes *b, uint64_t *r), uint64_t *r) {
    bytes b = copy_of(seed);
    for (size_t n = 1 + up_to(r, up_to(r, 7) ? 1 : 12); n; n--) mutate(&b, r);
    bytes exact = copy_of(&b);
    free(b.data);
    return exact;
}

/* ---- Damages ----------------------------------------------------------------------------------------------------- */

void splice(bytes *b, size_t at, size_t cut, const void *with, size_t n) {
    unsigned char *made = allocate(b->size - cut + n);
    memcpy(made, b->data, at);
    if (n) memcpy(made + at, with, n);
    memcpy(made + at + n, b->data + at + cut, b->size - at - cut);
    free(b->data);
    *b = (bytes){made, b->size - cut + n, b->head};
}

void fuzz_bytes(bytes *b, uint64_t *r) {
    size_t at = fuzz_place(b, r), left = b->size - at, n = up_to(r, left < 24 ? left : 24);
    unsigned char copy[24];
    switch (next(r) % 3) {
    case 0:
        if (left) b->data[at] = (unsigned char)next(r);
        break;
    case 1: splice(b, at, n, "", 0); break;
    default: memcpy(copy, b->data + at, n); splice(b, fuzz_place(b, r), 0, copy, n);
    }
}

void fuzz_text(bytes *b, size_t at, size_t cut, const char *word, const bytes *other, uint64_t *r) {
    size_t left = b->size - at, n = up_to(r, left < 40 ? left : 40);
    size_t from = up_to(r, other->size), most = other->size - from < 200 ? other->size - from : 200;
    switch (up_to(r, 9)) {
    case 0:
        if (left) b->data[at] ^= (unsigned char)(1U << up_to(r, 7));
        break;
    case 1: splice(b, at, n, "", 0); break;
    case 2: splice(b, at, 0, other->data + from, up_to(r, most)); break;
    case 3: splice(b, at, n, other->data + from, up_to(r, most)); break;
    case 4: b->size = up_to(r, 20) ? b->size : at; break;
    default: splice(b, at, cut, word, strlen(word)); break;
    }
}

size_t fuzz_header_end(const bytes *b) {
    uint64_t length = 0;
    if (b->size >= sizeof length) memcpy(&length, b->data, sizeof length);
    return length < b->size ? (size_t)length + sizeof length : b->size;
}

void fuzz_fit_header(bytes *b, const bytes *seed) {
    size_t data = seed->size - fuzz_header_end(seed);
    uint64_t length = b->size - data - sizeof length;
    if (b->size >= data + sizeof length) memcpy(b->data, &length, sizeof length);
}

/* ---- The loop ---------------------------------------------------------------------------------------------------- */

static void mutate_all(const fuzzer *f, uint64_t mutations, uint64_t seed) {
    /* Measures processor time, so that a busy machine does not look like a hang. */
    const struct itimerval limit = {.it_value = {.tv_sec = SECONDS}};
    signal(SIGPROF, hang);
    for (uint64_t i = 0; i < mutations; i++) {
        setitimer(ITIMER_PROF, &limit, NULL);
        current = seed + i;
        uint64_t r = current;
        size_t before = counted.live;
        counted_fail_after(next(&r) % 16 ? COUNTED_NEVER : next(&r) % f->failing);
        f->try_one(&r);
        counted_fail_after(COUNTED_NEVER);
        if (counted.live != before) fuzz_fail("memory is not freed");
    }
}

/* Functions of the sanitizers, where they are linked. */
void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

int fuzz_main(const fuzzer *f, int argc, char **argv) {
    name = f->name;
    if (argc < 3 + f->least) {
        fprintf(stderr, "usage: %s MUTATIONS SEED %s\n", f->name, f->arguments);
        return 2;
    }
    uint64_t mutations = strtoull(argv[1], NULL, 10), seed = strtoull(argv[2], NULL, 10);
    if (__sanitizer_set_death_callback) __sanitizer_set_death_callback(report);
    counted_install();
    counted.cap = (size_t)64 << 20;
    counted.excess = excess;
    f->begin(argc - 3, argv + 3);
    memset(fuzz_counts, 0, sizeof fuzz_counts);
    mutate_all(f, mutations, seed);
    f->end();
    if (counted.live) fuzz_fail("memory is not freed at the end");
    printf("%llu mutations", (unsigned long long)mutations);
    for (size_t i = 0; i < FUZZ_COUNTS && f->counts[i]; i++)
        printf("%s %llu %s", i ? "," : ":", (unsigned long long)fuzz_counts[i], f->counts[i]);
    printf("; no failures\n");
    return 0;
}
