/* Times the tokenizer alone: `bench_tokenizer MODEL TEXTS` opens a file that has a vocabulary and prints how long that
 * took. For each line of standard input it encodes all texts once and prints "SECONDS IDS CHECKSUM". TEXTS is a file:
 * each text is its size in bytes as a u32, then the bytes. This is not a test: bench/works/tokenizing.py runs it beside
 * the tokenizers package. */
#define _POSIX_C_SOURCE 200809L

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "capp.h"

typedef struct texts {
    capp_str *data;
    size_t n;
    char *bytes;
} texts;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int fail(const char *why) {
    fprintf(stderr, "bench_tokenizer: %s\n", why);
    return 1;
}

static char *read_all(const char *path, size_t *size) {
    FILE *f = fopen(path, "rb");
    if (!f || fseek(f, 0, SEEK_END)) return NULL;
    long end = ftell(f);
    char *bytes = end < 0 ? NULL : malloc((size_t)end + 1);
    rewind(f);
    *size = bytes ? fread(bytes, 1, (size_t)end, f) : 0;
    fclose(f);
    return bytes;
}

static bool split(texts *t, size_t size) {
    size_t capacity = 0;
    for (size_t at = 0; at + 4 <= size;) {
        uint32_t n;
        memcpy(&n, t->bytes + at, 4);
        at += 4;
        if (n > size - at) return false;
        if (t->n == capacity) {
            capacity = 2 * capacity + 16;
            capp_str *more = realloc(t->data, capacity * sizeof *more);
            if (!more) return false;
            t->data = more;
        }
        t->data[t->n++] = (capp_str){t->bytes + at, n};
        at += n;
    }
    return true;
}

static bool encode_all(const capp_model *model, const texts *t, size_t *n_ids, uint64_t *sum, capp_error *err) {
    for (size_t i = 0; i < t->n; i++) {
        int32_t *ids;
        size_t n;
        if (capp_tokenize(model, t->data[i], CAPP_TOKENIZE_SPECIAL, &ids, &n, err) != CAPP_OK) return false;
        for (size_t k = 0; k < n; k++) *sum = *sum * 31 + (uint64_t)ids[k];
        *n_ids += n;
        capp_free(ids);
    }
    return true;
}

int main(int argc, char **argv) {
    if (argc != 3) return fail("usage: bench_tokenizer MODEL TEXTS");
    size_t size;
    texts t = {.bytes = read_all(argv[2], &size)};
    if (!t.bytes || !split(&t, size)) return fail("the texts cannot be read");
    capp_model *model;
    capp_error err;
    double start = now();
    if (capp_model_open(&model, argv[1], &(capp_model_options){.vocab_only = true}, &err) != CAPP_OK)
        return fail(err.message);
    printf("%.6f\n", now() - start);
    fflush(stdout);
    for (int c; (c = getchar()) != EOF;) {
        if (c != '\n') continue;
        size_t n = 0;
        uint64_t sum = 0;
        start = now();
        if (!encode_all(model, &t, &n, &sum, &err)) return fail(err.message);
        printf("%.6f %zu %llx\n", now() - start, n, (unsigned long long)sum);
        fflush(stdout);
    }
    capp_model_free(model);
    free(t.data);
    free(t.bytes);
    return 0;
}
