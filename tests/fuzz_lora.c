/* fuzz_lora MUTATIONS SEED MODEL ADAPTER [MODEL ADAPTER]...: damages LoRA adapters at random, in memory, and adds them
 * to their small models. The adapters are folders as PEFT saves them (config and tensors), and a GGUF adapter for the
 * first model, which is a Llama. See fuzz.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "gguf_writer.h"
#include "model/adapter.h"
#include "packed.h"

enum { RANK = 2 };
enum { READ, ADDED }; /* what fuzz_counts counts: adapters that are read, and added to a model */

/* An adapter and its model; a GGUF adapter has no config. */
typedef struct seed {
    capp_source model;
    bytes config, tensors;
} seed;

static seed seeds[FUZZ_MOST_SEEDS];
static size_t n_seeds;

/* ---- Mutations --------------------------------------------------------------------------------------------------- */

/* In JSON: replaces a number or a name by another value, or a word inside a string by another word. */
static void mutate_word(bytes *b, uint64_t *r) {
    static const char *const values[] = {"0",    "1",    "3",  "-1", "2.5",   "1e30",      "1e-30",  "4294967297",
                                         "null", "true", "[]", "{}", "false", "\"(.*)+\"", "\"(a\"", "\"pissa\""};
    static const char *const words[] = {"q_proj", "layers", "lora_A", "lora_B", "weight",
                                        "F16",    "I8",     "model",  "",       "(.*)+"};
    size_t at = fuzz_place(b, r), end, quotes = 0;
    while (at < b->size && !strchr("0123456789abcdefghijklmnopqrstuvwxyz", b->data[at] ? b->data[at] : '-')) at++;
    for (size_t i = 0; i < at; i++) quotes += b->data[i] == '"';
    for (end = at; end < b->size && b->data[end] && strchr("0123456789.abcdefghijklmnopqrstuvwxyz_", b->data[end]);)
        end++;
    const char *with = quotes % 2 ? words[up_to(r, sizeof words / sizeof *words - 1)]
                                  : values[up_to(r, sizeof values / sizeof *values - 1)];
    splice(b, at, end - at, with, strlen(with));
}

/* In GGUF: replaces a number of four or eight bytes by another. */
static void mutate_number(bytes *b, uint64_t *r) {
    static const uint64_t values[] = {0, 1, 2, 3, 31, 32, 255, 65536, 0x7fffffff, 0xffffffff, 1ull << 40, UINT64_MAX};
    uint64_t value = values[up_to(r, sizeof values / sizeof *values - 1)];
    size_t at = fuzz_place(b, r), n = next(r) % 2 ? 4 : 8;
    if (at + n <= b->size) memcpy(b->data + at, &value, n);
}

static void mutate_json(bytes *b, uint64_t *r) {
    next(r) % 6 ? mutate_word(b, r) : fuzz_bytes(b, r);
}

static void mutate_gguf(bytes *b, uint64_t *r) {
    next(r) % 6 ? mutate_number(b, r) : fuzz_bytes(b, r);
}

/* ---- Use --------------------------------------------------------------------------------------------------------- */

static void use(const seed *s, bytes config, bytes tensors, double weight) {
    capp_source source = {NULL, NULL};
    capp_adapter *adapter;
    capp_weights *weights;
    capp_error err = {0};
    const capp_kernels *kernels = capp_kernels_named("ref");
    capp_status st = config.size ? capp_folder_parse(&source.folder, config.data, config.size, tensors.data,
                                                     tensors.size, "fuzz", &err)
                                 : capp_gguf_parse(&source.gguf, tensors.data, tensors.size, "fuzz", &err);
    const void *file = config.size ? (const void *)source.folder : source.gguf;
    if (!fuzz_opened("parse", st, file, &err)) return;
    st = capp_adapter_read(&adapter, &source, weight, &err);
    if (source.gguf || source.folder) fuzz_fail("capp_adapter_read: leaves the source");
    if (!fuzz_opened("capp_adapter_read", st, adapter, &err)) return;
    fuzz_counts[READ]++;
    st = capp_weights_open_adapted(&weights, &s->model, kernels, kernels->f32, &adapter, 1, &err);
    fuzz_counts[ADDED] += fuzz_opened("capp_weights_open_adapted", st, weights, &err);
    if (weights) pack_all(weights);
    capp_weights_free(weights);
    capp_adapter_free(adapter);
}

/* Damages one file or both. */
static void try_one(uint64_t *r) {
    static const double some_weights[] = {1, 1, 1, 0, -2.5, 1e300};
    const seed *s = &seeds[up_to(r, n_seeds - 1)];
    double weight = some_weights[up_to(r, sizeof some_weights / sizeof *some_weights - 1)];
    bytes config = s->config, tensors = s->tensors;
    size_t kind = config.size ? up_to(r, 2) : 1;
    if (kind != 1) config = fuzz_mutant(&config, mutate_json, r);
    if (kind != 0) tensors = fuzz_mutant(&tensors, s->config.size ? mutate_json : mutate_gguf, r);
    if (kind != 0 && s->config.size && next(r) % 8) fuzz_fit_header(&tensors, &s->tensors);
    use(s, config, tensors, weight);
    if (kind != 1) free(config.data);
    if (kind != 0) free(tensors.data);
}

/* ---- Seeds ------------------------------------------------------------------------------------------------------- */

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
        fuzz_fail("the first model is no Llama");
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
    s->config = (bytes){NULL, 0, 0};
    s->tensors.data = gguf_writer_finish(w, &s->tensors.size);
    s->tensors.head = s->tensors.size;
}

static void begin(int n, char **paths) {
    capp_error err;
    for (int i = 0; i + 1 < n && n_seeds + 1 < FUZZ_MOST_SEEDS; i += 2) {
        seed *s = &seeds[n_seeds++];
        if (capp_source_open(&s->model, paths[i], &err) != CAPP_OK) fuzz_fail(err.message);
        s->config = fuzz_read(paths[i + 1], "adapter_config.json");
        s->tensors = fuzz_read(paths[i + 1], "adapter_model.safetensors");
        s->tensors.head = fuzz_header_end(&s->tensors);
    }
    add_gguf(&seeds[0].model);
    for (size_t i = 0; i < n_seeds; i++) use(&seeds[i], seeds[i].config, seeds[i].tensors, 1);
    if (fuzz_counts[ADDED] != n_seeds) fuzz_fail("a seed does not fit its model");
}

static void end(void) {
    for (size_t i = 0; i + 1 < n_seeds; i++) capp_source_close(&seeds[i].model); /* the last shares the first's model */
    for (size_t i = 0; i < n_seeds; i++) free(seeds[i].config.data), free(seeds[i].tensors.data);
}

int main(int argc, char **argv) {
    static const fuzzer f = {
        "fuzz_lora", "MODEL ADAPTER [MODEL ADAPTER]...", 2, 128, {"adapters read", "added"}, begin, try_one, end};
    return fuzz_main(&f, argc, argv);
}
