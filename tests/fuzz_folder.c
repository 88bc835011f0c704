/* fuzz_folder MUTATIONS SEED FOLDER...: damages config.json and model.safetensors of small model folders at random, in
 * memory, and opens them completely, with hyperparameters and weights. See fuzz.h. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "counted.h"
#include "fuzz.h"
#include "model/model.h"
#include "packed.h"

enum { FOLDERS, MODELS }; /* what fuzz_counts counts */

static bytes configs[FUZZ_MOST_SEEDS], tensors[FUZZ_MOST_SEEDS];
static size_t n_seeds;

/* ---- Mutations --------------------------------------------------------------------------------------------------- */

/* Replaces a number in the text by another, or damages bytes. */
static void mutate(bytes *b, uint64_t *r) {
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
    if (next(r) % 2) {
        fuzz_bytes(b, r);
        return;
    }
    size_t at = fuzz_place(b, r), end;
    while (at < b->size && (b->data[at] < '0' || b->data[at] > '9')) at++;
    for (end = at; end < b->size && b->data[end] >= '0' && b->data[end] <= '9';) end++;
    const char *with = numbers[up_to(r, sizeof numbers / sizeof *numbers - 1)];
    splice(b, at, end - at, with, strlen(with));
}

/* Groups of words: replacing one by another leaves the file well formed but changes its meaning. They are element types
 * of one size, methods, and the roles of a tensor in a quantized weight. */
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
    {"\"U8\"", "\"F8_E4M3\""},
    {"\"I8\"", "\"U8\""},
    {"\"compressed-tensors\"", "\"modelopt\""},
    {"\"modelopt\"", "\"compressed-tensors\""},
    {"\"bitsandbytes\"", "\"compressed-tensors\""},
    {"_proj.weight_packed", "_proj.weight"},
    {"_proj.weight_scale\"", "_proj.weight_zero_point\""},
    {"_proj.weight_global_scale", "_proj.weight_scale_2"},
    {"_proj.weight_g_idx", "_proj.weight_shape"},
    {"_proj.weight.absmax", "_proj.weight.nested_absmax"},
    {"_proj.weight.nested_quant_map", "_proj.weight.quant_map"},
    {"blocksize", "blockSize"},
    {".weight_scale\"", ".weight_scale_inv\""},
    {".weight_scale_inv\"", ".weight_scale\""},
};

/* The position of text from `at` on, or else from the beginning; b->size: not found. */
static size_t find(const bytes *b, size_t at, const char *text) {
    const unsigned char *p = memmem(b->data + at, b->size - at, text, strlen(text));
    if (!p) p = memmem(b->data, b->size, text, strlen(text));
    return p ? (size_t)(p - b->data) : b->size;
}

static void exchange(bytes *b, uint64_t *r) {
    const char *const *pair = words[up_to(r, sizeof words / sizeof *words - 1)];
    size_t at = find(b, fuzz_place(b, r), pair[0]);
    if (at < b->size) splice(b, at, strlen(pair[0]), pair[1], strlen(pair[1]));
}

/* Changes a two-dimensional shape to another one with the same number of elements. */
static void reshape(bytes *b, uint64_t *r) {
    static const char start[] = "\"shape\":";
    char made[96], old[64] = "";
    unsigned rows, columns;
    size_t at = find(b, fuzz_place(b, r), start);
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

/* Changes numbers in tensors: indices of groups, exponents of scales. */
static void disturb(bytes *b, uint64_t *r) {
    for (size_t n = 1 + up_to(r, 64); n && b->head < b->size; n--)
        b->data[b->head + up_to(r, b->size - b->head - 1)] = (unsigned char)next(r);
}

static void mutate_tensors(bytes *b, uint64_t *r) {
    switch (next(r) % 8) {
    case 0: exchange(b, r); break;
    case 1: reshape(b, r); break;
    case 2: disturb(b, r); break;
    default: mutate(b, r);
    }
}

static void mutate_config(bytes *b, uint64_t *r) {
    if (next(r) % 8)
        mutate(b, r);
    else
        exchange(b, r);
}

/* ---- Use --------------------------------------------------------------------------------------------------------- */

static void use(bytes config, bytes data) {
    capp_source s = {NULL, NULL};
    capp_weights *weights;
    capp_error err = {0};
    const capp_kernels *kernels = capp_kernels_named("ref");
    capp_status st = capp_folder_parse(&s.folder, config.data, config.size, data.data, data.size, "fuzz", &err);
    if (!fuzz_opened("capp_folder_parse", st, s.folder, &err)) return;
    fuzz_counts[FOLDERS]++;
    st = capp_weights_open(&weights, &s, kernels, kernels->f32, &err);
    fuzz_counts[MODELS] += fuzz_opened("capp_weights_open", st, weights, &err);
    if (weights) pack_all(weights);
    capp_weights_free(weights);
    capp_source_close(&s);
}

/* Damages one file or both. */
static void try_one(uint64_t *r) {
    size_t which = up_to(r, n_seeds - 1), kind = up_to(r, 2);
    bytes config = configs[which], data = tensors[which];
    if (kind != 0) config = fuzz_mutant(&config, mutate_config, r);
    if (kind != 1) data = fuzz_mutant(&data, mutate_tensors, r);
    if (kind != 1 && next(r) % 2) fuzz_fit_header(&data, &tensors[which]);
    use(config, data);
    if (kind != 0) free(config.data);
    if (kind != 1) free(data.data);
}

static void begin(int n, char **paths) {
    counted.cap = (size_t)256 << 20;
    counted.excess = NULL; /* a model may be as large as it says; that is not a failure */
    for (int i = 0; i < n && n_seeds < FUZZ_MOST_SEEDS; i++, n_seeds++) {
        configs[n_seeds] = fuzz_read(paths[i], "config.json");
        tensors[n_seeds] = fuzz_read(paths[i], "model.safetensors");
        tensors[n_seeds].head = fuzz_header_end(&tensors[n_seeds]);
        use(configs[n_seeds], tensors[n_seeds]);
        if (fuzz_counts[MODELS] == n_seeds) fuzz_fail(paths[i]);
    }
}

static void end(void) {
    for (size_t i = 0; i < n_seeds; i++) free(configs[i].data), free(tensors[i].data);
}

int main(int argc, char **argv) {
    static const fuzzer f = {"fuzz_folder", "FOLDER...", 1, 64, {"folders", "models open"}, begin, try_one, end};
    return fuzz_main(&f, argc, argv);
}
