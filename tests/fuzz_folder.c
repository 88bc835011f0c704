/* fuzz_folder MUTATIONS SEED FOLDER...: damages config.json and model.safetensors of small model folders at random, in
 * memory, and opens them, hyperparameters, weights and all. Built with sanitizers. Fails on a crash, on memory that is
 * not freed, on a failure without a message, on allocations out of proportion, and on hanging. Mutation number i draws
 * from SEED + i alone. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "counted.h"
#include "fuzz.h"
#include "model/model.h"

enum { MOST_SEEDS = 64, MOST_FILE = 1 << 20, SECONDS = 60, MOST_EDITS = 2 };

static bytes configs[MOST_SEEDS], tensors[MOST_SEEDS];
static size_t n_seeds;
static uint64_t current;

static _Noreturn void fail(const char *what) {
    fprintf(stderr, "fuzz_folder: %s; repeat with: fuzz_folder 1 %llu and the same folders\n", what,
            (unsigned long long)current);
    abort();
}

static void hang(int signal) {
    (void)signal;
    fail("no progress");
}

/* ---- Mutations -----------------------------------------------------------------------------------------------------
 */

/* A number of the text becomes another; elsewhere bytes are flipped, cut, doubled. within: where to begin. */
static void mutate(bytes *b, size_t within, uint64_t *r) {
    static const char *const numbers[] = {"0",
                                          "1",
                                          "2",
                                          "3",
                                          "-1",
                                          "7",
                                          "64",
                                          "1e30",
                                          "0.5",
                                          "4294967296",
                                          "1e-9",
                                          "9007199254740993",
                                          "18446744073709551615",
                                          "null",
                                          "true",
                                          "\"a\"",
                                          "[]",
                                          "{}",
                                          "false"};
    if (within > b->size) within = b->size;
    size_t at = up_to(r, within), left = b->size - at, n = up_to(r, left < 24 ? left : 24);
    unsigned char byte = (unsigned char)next(r);
    switch (next(r) % 6) {
    case 0:
    case 1:
    case 2: {
        while (at < b->size && (b->data[at] < '0' || b->data[at] > '9')) at++;
        size_t end = at;
        while (end < b->size && b->data[end] >= '0' && b->data[end] <= '9') end++;
        const char *with = numbers[up_to(r, sizeof numbers / sizeof *numbers - 1)];
        splice(b, at, end - at, with, strlen(with));
        break;
    }
    case 3:
        if (left) b->data[at] = byte;
        break;
    case 4: splice(b, at, n, "", 0); break;
    default: {
        unsigned char copy[24];
        memcpy(copy, b->data + at, n);
        splice(b, up_to(r, within), 0, copy, n);
    }
    }
}

/* Words that, put in each other's place, leave a file whole but for what it means: element types of one size, methods,
 * what a tensor is of a quantised weight. */
static const char *const words[][2] = {
    {"\"I32\"", "\"F32\""},
    {"\"F32\"", "\"U32\""},
    {"\"F16\"", "\"BF16\""},
    {"\"BF16\"", "\"I16\""},
    {"\"F8_E4M3\"", "\"F8_E5M2\""},
    {"\"F8_E5M2\"", "\"U8\""},
    {"\"F8_E4M3\"", "\"I8\""},
    {"\"gptq\"", "\"gptq_v2\""},
    {"\"gptq\"", "\"awq\""},
    {"\"awq\"", "\"gptq\""},
    {"\"fp8\"", "\"compressed-tensors\""},
    {"\"fp8\"", "\"gptq\""},
    {"_proj.qweight", "_proj.weight"},
    {"_proj.qzeros", "_proj.scales"},
    {"_proj.scales", "_proj.weight_scale"},
    {"_proj.g_idx", "_proj.bias"},
    {".weight_scale\"", ".weight_scale_inv\""},
    {".weight_scale_inv\"", ".weight_scale\""},
};

/* Where text stands from `at` on, or else from the beginning on; b->size: nowhere. */
static size_t find(const bytes *b, size_t at, const char *text) {
    const unsigned char *p = memmem(b->data + at, b->size - at, text, strlen(text));
    if (!p) p = memmem(b->data, b->size, text, strlen(text));
    return p ? (size_t)(p - b->data) : b->size;
}

static void exchange(bytes *b, size_t within, uint64_t *r) {
    const char *const *pair = words[up_to(r, sizeof words / sizeof *words - 1)];
    size_t at = find(b, up_to(r, within < b->size ? within : b->size), pair[0]);
    if (at < b->size) splice(b, at, strlen(pair[0]), pair[1], strlen(pair[1]));
}

/* A shape of two dimensions becomes another one of as many elements. */
static void reshape(bytes *b, size_t within, uint64_t *r) {
    static const char start[] = "\"shape\":";
    char made[96], old[64] = "";
    unsigned rows, columns;
    size_t at = find(b, up_to(r, within < b->size ? within : b->size), start);
    if (at == b->size) return;
    at += sizeof start - 1;
    while (at < b->size && (b->data[at] == ' ' || b->data[at] == '[')) at++;
    memcpy(old, b->data + at, b->size - at < sizeof old - 1 ? b->size - at : sizeof old - 1);
    size_t n = strcspn(old, "]");
    if (sscanf(old, "%u, %u]", &rows, &columns) != 2) return;
    switch (next(r) % 4) {
    case 0: snprintf(made, sizeof made, "%u, %u", columns, rows); break;
    case 1: snprintf(made, sizeof made, "%u, %u", rows / 2, columns * 2); break;
    case 2: snprintf(made, sizeof made, "%u, %u", rows * 2, columns / 2); break;
    default: snprintf(made, sizeof made, "1, %u, %u", rows, columns); break;
    }
    splice(b, at, n, made, strlen(made));
}

/* Numbers of tensors: indices of groups, exponents of scales. */
static void disturb(bytes *b, size_t header, uint64_t *r) {
    for (size_t n = 1 + up_to(r, 64); n && header < b->size; n--)
        b->data[header + up_to(r, b->size - header - 1)] = (unsigned char)next(r);
}

static void mutate_tensors(bytes *b, uint64_t header, uint64_t *r) {
    switch (next(r) % 8) {
    case 0: exchange(b, header, r); break;
    case 1: reshape(b, header, r); break;
    case 2: disturb(b, header, r); break;
    default: mutate(b, header, r);
    }
}

static void mutate_config(bytes *b, uint64_t *r) {
    if (next(r) % 8)
        mutate(b, b->size, r);
    else
        exchange(b, b->size, r);
}

static bytes copy_of(const bytes *from) {
    bytes b = {malloc(from->size + 1), from->size};
    if (!b.data) abort();
    memcpy(b.data, from->data, from->size);
    return b;
}

/* Exactly as many bytes as there are, so that AddressSanitizer sees a read past the end. */
static bytes exact(bytes b) {
    bytes made = {malloc(b.size ? b.size : 1), b.size};
    if (!made.data) abort();
    memcpy(made.data, b.data, b.size);
    free(b.data);
    return made;
}

/* ---- Use -----------------------------------------------------------------------------------------------------------
 */

static uint64_t folders, models; /* that open */

static void try_one(bytes config, bytes data, capp_pool *pool) {
    capp_source s = {NULL, NULL};
    capp_weights *weights = NULL;
    capp_error err = {0};
    size_t before = counted.live;
    const capp_kernels *kernels = capp_kernels_named("ref");
    capp_status st = capp_folder_parse(&s.folder, config.data, config.size, data.data, data.size, "fuzz", &err);
    if ((st != CAPP_OK) != !s.folder) fail("capp_folder_parse: status and pointer disagree");
    if (st == CAPP_OK) {
        folders++;
        st = capp_weights_open(&weights, &s, kernels, kernels->f32, pool, &err);
        if ((st != CAPP_OK) != !weights) fail("capp_weights_open: status and pointer disagree");
        models += st == CAPP_OK;
    }
    if (st != CAPP_OK && (err.status != st || !err.message[0])) fail("a failure without a message");
    capp_weights_free(weights);
    if (s.folder) capp_source_close(&s);
    if (counted.live != before) fail("memory is not freed");
}

static bytes read_file(const char *folder, const char *name) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "rb");
    bytes b = {malloc(MOST_FILE), 0};
    if (f && b.data) b.size = fread(b.data, 1, MOST_FILE, f);
    if (f) fclose(f);
    return b;
}

int main(int argc, char **argv) {
    if (argc < 4) {
        fprintf(stderr, "usage: fuzz_folder MUTATIONS SEED FOLDER...\n");
        return 2;
    }
    uint64_t mutations = strtoull(argv[1], NULL, 10), seed = strtoull(argv[2], NULL, 10);
    capp_pool *pool;
    capp_error err;
    counted_install();
    counted.cap = (size_t)256 << 20; /* without `excess`: a model may be as large as it says, that is no damage */
    if (capp_pool_open(&pool, 1, &err) != CAPP_OK) return 2;
    for (int i = 3; i < argc && n_seeds < MOST_SEEDS; i++) {
        configs[n_seeds] = read_file(argv[i], "config.json");
        tensors[n_seeds] = read_file(argv[i], "model.safetensors");
        if (configs[n_seeds].size && tensors[n_seeds].size) try_one(configs[n_seeds], tensors[n_seeds], pool);
        n_seeds++;
        if (models != n_seeds) fail(argv[i]);
    }
    signal(SIGALRM, hang);
    for (uint64_t i = 0; i < mutations; i++) {
        if (i % 64 == 0) alarm(SECONDS);
        current = seed + i;
        uint64_t r = current, which = next(&r) % n_seeds, kind = next(&r) % 3;
        bytes config = copy_of(&configs[which]), data = copy_of(&tensors[which]);
        uint64_t header;
        memcpy(&header, data.data, sizeof header);
        for (size_t n = 1 + up_to(&r, MOST_EDITS); n && kind != 1; n--) mutate_config(&config, &r);
        for (size_t n = 1 + up_to(&r, MOST_EDITS); n && kind != 0; n--) mutate_tensors(&data, header + 8, &r);
        /* A header whose length still fits, so that more than the length is tried. */
        if (kind != 0 && next(&r) % 2 && data.size > 8 + tensors[which].size - header - 8) {
            header = data.size - (tensors[which].size - header);
            header = header + 8 > data.size ? 0 : header;
            memcpy(data.data, &header, sizeof header);
        }
        config = exact(config);
        data = exact(data);
        counted_fail_after(next(&r) % 16 ? COUNTED_NEVER : next(&r) % 64);
        try_one(config, data, pool);
        counted_fail_after(COUNTED_NEVER);
        free(config.data);
        free(data.data);
    }
    capp_pool_free(pool);
    for (size_t i = 0; i < n_seeds; i++) free(configs[i].data), free(tensors[i].data);
    printf("%llu mutations: %llu folders and %llu models open; no failures\n", (unsigned long long)mutations,
           (unsigned long long)folders, (unsigned long long)models);
    return 0;
}
