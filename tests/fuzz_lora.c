/* fuzz_lora MUTATIONS SEED MODEL ADAPTER [MODEL ADAPTER]...: damages LoRA adapters at random, in memory, and adds them
 * to their small models: folders as PEFT saves them (config and tensors), and a GGUF adapter for the first model, which
 * is a Llama. Built with sanitizers. Fails on a crash, on memory that is not freed, on a failure without a message, on
 * allocations out of proportion, and on hanging. Mutation number i draws from SEED + i alone. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "counted.h"
#include "fuzz.h"
#include "gguf_writer.h"
#include "model/adapter.h"

enum { MOST_SEEDS = 32, MOST_FILE = 1 << 20, SECONDS = 60, MOST_EDITS = 3, RANK = 2 };

/* An adapter and the model that it is for; a GGUF adapter has no config. */
typedef struct seed {
    capp_source model;
    bytes config, tensors;
} seed;

static seed seeds[MOST_SEEDS];
static size_t n_seeds, n_models;
static uint64_t current, opened, added; /* adapters that are read, and added to a model */
static capp_pool *pool;

static _Noreturn void fail(const char *what) {
    fprintf(stderr, "fuzz_lora: %s; repeat with: fuzz_lora 1 %llu and the same folders\n", what,
            (unsigned long long)current);
    abort();
}

static void hang(int signal) {
    (void)signal;
    fail("no progress");
}

static void excess(void) {
    fail("allocates out of proportion to the files");
}

/* ---- Mutations -----------------------------------------------------------------------------------------------------
 */

/* In JSON: a number or a name becomes another value, a word inside a string another word. */
static void mutate_word(bytes *b, size_t at, uint64_t *r) {
    static const char *const values[] = {"0",    "1",    "3",  "-1", "2.5",   "1e30",      "1e-30",  "4294967297",
                                         "null", "true", "[]", "{}", "false", "\"(.*)+\"", "\"(a\"", "\"pissa\""};
    static const char *const words[] = {"q_proj", "layers", "lora_A", "lora_B", "weight",
                                        "F16",    "I8",     "model",  "",       "(.*)+"};
    size_t end, quotes = 0;
    while (at < b->size && !strchr("0123456789abcdefghijklmnopqrstuvwxyz", b->data[at] ? b->data[at] : '-')) at++;
    for (size_t i = 0; i < at; i++) quotes += b->data[i] == '"';
    for (end = at; end < b->size && b->data[end] && strchr("0123456789.abcdefghijklmnopqrstuvwxyz_", b->data[end]);)
        end++;
    const char *with = quotes % 2 ? words[up_to(r, sizeof words / sizeof *words - 1)]
                                  : values[up_to(r, sizeof values / sizeof *values - 1)];
    splice(b, at, end - at, with, strlen(with));
}

/* In GGUF: a number of four or eight bytes becomes another. */
static void mutate_number(bytes *b, size_t at, uint64_t *r) {
    static const uint64_t values[] = {0, 1, 2, 3, 31, 32, 255, 65536, 0x7fffffff, 0xffffffff, 1ull << 40, UINT64_MAX};
    uint64_t value = values[up_to(r, sizeof values / sizeof *values - 1)];
    size_t n = next(r) % 2 ? 4 : 8;
    if (at + n <= b->size) memcpy(b->data + at, &value, n);
}

/* within: where to begin. */
static void mutate(bytes *b, size_t within, bool json, uint64_t *r) {
    if (within > b->size) within = b->size;
    size_t at = up_to(r, within), left = b->size - at, n = up_to(r, left < 24 ? left : 24);
    unsigned char copy[24];
    switch (next(r) % 20) {
    case 0:
        if (left) b->data[at] = (unsigned char)next(r);
        break;
    case 1: splice(b, at, n, "", 0); break;
    case 2:
        memcpy(copy, b->data + at, n);
        splice(b, up_to(r, within), 0, copy, n);
        break;
    default: json ? mutate_word(b, at, r) : mutate_number(b, at, r);
    }
}

/* Exactly as many bytes as there are, so that AddressSanitizer sees a read past the end. */
static bytes copy_of(const bytes *from) {
    bytes b = {malloc(from->size ? from->size : 1), from->size};
    if (!b.data) abort();
    if (from->size) memcpy(b.data, from->data, from->size);
    return b;
}

/* A header of safetensors whose length still fits, so that more than the length is tried. */
static void fit_header(bytes *b, size_t data_bytes) {
    if (b->size < 8 + data_bytes) return;
    uint64_t header = b->size - 8 - data_bytes;
    memcpy(b->data, &header, sizeof header);
}

static void mutant(const seed *s, bytes *config, bytes *tensors, uint64_t *r) {
    bytes a = copy_of(&s->config), b = copy_of(&s->tensors);
    uint64_t kind = next(r) % 3, header = b.size, edits = 1 + up_to(r, next(r) % 2 ? 0 : MOST_EDITS);
    bool json = a.size;
    if (json) memcpy(&header, b.data, sizeof header);
    for (size_t n = edits; json && n && kind != 1; n--) mutate(&a, a.size, true, r);
    for (size_t n = edits; n && (!json || kind != 0); n--) mutate(&b, json ? (size_t)header + 8 : b.size, json, r);
    if (json && kind != 0 && next(r) % 8) fit_header(&b, s->tensors.size - 8 - (size_t)header);
    *config = copy_of(&a);
    *tensors = copy_of(&b);
    free(a.data);
    free(b.data);
}

/* ---- Use -----------------------------------------------------------------------------------------------------------
 */

static void try_one(const seed *s, bytes config, bytes tensors, double weight) {
    capp_source source = {NULL, NULL};
    capp_adapter *adapter = NULL;
    capp_weights *weights = NULL;
    capp_error err = {0};
    size_t before = counted.live;
    const capp_kernels *kernels = capp_kernels_named("ref");
    capp_status st = config.size ? capp_folder_parse(&source.folder, config.data, config.size, tensors.data,
                                                     tensors.size, "fuzz", &err)
                                 : capp_gguf_parse(&source.gguf, tensors.data, tensors.size, "fuzz", &err);
    if (st == CAPP_OK) {
        st = capp_adapter_read(&adapter, &source, weight, &err);
        if ((st != CAPP_OK) != !adapter) fail("capp_adapter_read: status and pointer disagree");
        if (source.gguf || source.folder) fail("capp_adapter_read: leaves the source");
    }
    if (st == CAPP_OK) {
        opened++;
        st = capp_weights_open_adapted(&weights, &s->model, kernels, kernels->f32, &adapter, 1, pool, &err);
        if ((st != CAPP_OK) != !weights) fail("capp_weights_open_adapted: status and pointer disagree");
        added += st == CAPP_OK;
    }
    if (st != CAPP_OK && (err.status != st || !err.message[0])) fail("a failure without a message");
    capp_weights_free(weights);
    capp_adapter_free(adapter);
    if (counted.live != before) fail("memory is not freed");
}

/* ---- Seeds ---------------------------------------------------------------------------------------------------------
 */

static bytes read_file(const char *folder, const char *name) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "rb");
    bytes b = {malloc(MOST_FILE), 0};
    if (f && b.data) b.size = fread(b.data, 1, MOST_FILE, f);
    if (f) fclose(f);
    if (!b.size) fail(path);
    return b;
}

static void add_pair(gguf_writer *w, const char *name, uint64_t inputs, uint64_t outputs, bool table) {
    char full[64];
    uint64_t a[] = {table ? RANK : inputs, table ? outputs : RANK}, b[] = {RANK, table ? inputs : outputs};
    snprintf(full, sizeof full, "%s.weight.lora_a", name);
    gguf_writer_tensor(w, full, CAPP_TYPE_F32, 2, a, NULL, a[0] * a[1] * 4);
    snprintf(full, sizeof full, "%s.weight.lora_b", name);
    gguf_writer_tensor(w, full, CAPP_TYPE_F16, 2, b, NULL, b[0] * b[1] * 2);
}

/* A GGUF adapter for a folder of a Llama. */
static void add_gguf(const capp_source *model) {
    capp_hparams h;
    const capp_arch *arch;
    capp_error err;
    if (capp_hparams_read(&h, &arch, model, &err) != CAPP_OK || strcmp(arch->name, "llama") != 0)
        fail("the first model is no Llama");
    const capp_tensor *tokens = capp_source_find_tensor(model, "model.embed_tokens.weight");
    gguf_writer *w = gguf_writer_new();
    gguf_writer_str(w, "general.type", "adapter");
    gguf_writer_str(w, "general.architecture", "llama");
    gguf_writer_str(w, "adapter.type", "lora");
    gguf_writer_f32(w, "adapter.lora.alpha", 4);
    add_pair(w, "blk.0.attn_q", h.width, (uint64_t)h.heads * h.head_dim, false);
    add_pair(w, "blk.1.attn_k", h.width, (uint64_t)h.kv_heads * h.head_dim, false);
    add_pair(w, "blk.1.ffn_down", h.feed, h.width, false);
    add_pair(w, "token_embd", h.width, tokens->dims[1], true);
    seed *s = &seeds[n_seeds++];
    s->model = *model;
    s->config = (bytes){NULL, 0};
    s->tensors.data = gguf_writer_finish(w, &s->tensors.size);
}

static void add_seeds(int n, char **paths) {
    capp_error err;
    for (int i = 0; i + 1 < n && n_seeds + 1 < MOST_SEEDS; i += 2) {
        seed *s = &seeds[n_seeds++];
        if (capp_source_open(&s->model, paths[i], &err) != CAPP_OK) fail(err.message);
        s->config = read_file(paths[i + 1], "adapter_config.json");
        s->tensors = read_file(paths[i + 1], "adapter_model.safetensors");
    }
    n_models = n_seeds;
    add_gguf(&seeds[0].model);
    for (size_t i = 0; i < n_seeds; i++) try_one(&seeds[i], seeds[i].config, seeds[i].tensors, 1);
    if (added != n_seeds) fail("a seed does not fit its model");
    opened = added = 0;
}

static double weight_of(uint64_t *r) {
    static const double weights[] = {1, 1, 1, 0, -2.5, 1e300};
    return weights[up_to(r, sizeof weights / sizeof *weights - 1)];
}

int main(int argc, char **argv) {
    if (argc < 5) {
        fprintf(stderr, "usage: fuzz_lora MUTATIONS SEED MODEL ADAPTER [MODEL ADAPTER]...\n");
        return 2;
    }
    uint64_t mutations = strtoull(argv[1], NULL, 10), first = strtoull(argv[2], NULL, 10);
    capp_error err;
    counted_install();
    counted.excess = excess;
    counted.cap = (size_t)64 << 20;
    if (capp_pool_open(&pool, 1, &err) != CAPP_OK) return 2;
    signal(SIGALRM, hang);
    add_seeds(argc - 3, argv + 3);
    for (uint64_t i = 0; i < mutations; i++) {
        if (i % 64 == 0) alarm(SECONDS);
        current = first + i;
        uint64_t r = current;
        const seed *s = &seeds[next(&r) % n_seeds];
        bytes config, tensors;
        mutant(s, &config, &tensors, &r);
        counted_fail_after(next(&r) % 16 ? COUNTED_NEVER : next(&r) % 128);
        try_one(s, config, tensors, weight_of(&r));
        counted_fail_after(COUNTED_NEVER);
        free(config.data);
        free(tensors.data);
    }
    for (size_t i = 0; i < n_models; i++) capp_source_close(&seeds[i].model);
    for (size_t i = 0; i < n_seeds; i++) free(seeds[i].config.data), free(seeds[i].tensors.data);
    capp_pool_free(pool);
    printf("%llu mutations: %llu adapters are read and %llu added; no failures\n", (unsigned long long)mutations,
           (unsigned long long)opened, (unsigned long long)added);
    return 0;
}
