/* LoRA adapters inside the library: the panels that the float32 twin packs when it is used, and failing allocations.
 * tests/test_lora.py compares the results with merged models. */
#include <unistd.h>

#include "base/mem.h"
#include "counted.h"
#include "emulated.h"
#include "engine/handles.h"
#include "model/adapter.h"
#include "test.h"
#include "tiny.h"

enum { RANK = 3 };

/* ---- Adapters for a tiny model -------------------------------------------------------------------------------------
 */

typedef struct numbers {
    float *data;
    size_t n;
} numbers;

static numbers random_numbers(test_random *r, size_t n) {
    numbers x = {malloc(n * sizeof *x.data), n};
    if (!x.data) FAIL("out of memory");
    for (size_t i = 0; i < n; i++) x.data[i] = (float)(0.2 * test_random_normal(r));
    return x;
}

static void add_half(gguf_writer *w, const char *base, const char *end, uint64_t k, uint64_t n, test_random *r) {
    char name[128];
    numbers x = random_numbers(r, (size_t)(k * n));
    snprintf(name, sizeof name, "%s.%s", base, end);
    gguf_writer_tensor(w, name, CAPP_TYPE_F32, 2, (uint64_t[]){k, n}, x.data, x.n * sizeof *x.data);
    free(x.data);
}

/* Pairs for these tensors of the model; the pair of the embedding is transposed. */
static gguf_writer *new_adapter(const capp_gguf *model, const char *const *names, size_t n) {
    test_random random = {5};
    gguf_writer *w = gguf_writer_new();
    gguf_writer_str(w, "general.type", "adapter");
    gguf_writer_str(w, "general.architecture", "llama");
    gguf_writer_str(w, "adapter.type", "lora");
    gguf_writer_f32(w, "adapter.lora.alpha", 2 * RANK);
    for (size_t i = 0; i < n; i++) {
        const capp_tensor *t = capp_gguf_find_tensor(model, names[i]);
        CHECK(t);
        bool table = !strcmp(names[i], "token_embd.weight");
        add_half(w, names[i], table ? "lora_b" : "lora_a", table ? RANK : t->dims[0], table ? t->dims[0] : RANK,
                 &random);
        add_half(w, names[i], table ? "lora_a" : "lora_b", RANK, t->dims[1], &random);
    }
    return w;
}

static const char *const changed[] = {"blk.0.attn_q.weight", "blk.0.attn_v.weight",   "blk.1.attn_output.weight",
                                      "blk.1.ffn_up.weight", "blk.2.ffn_gate.weight", "blk.2.ffn_down.weight",
                                      "token_embd.weight",   "output.weight"};
enum { CHANGED = sizeof changed / sizeof *changed };

/* ---- The twin ------------------------------------------------------------------------------------------------------
 */

typedef struct fixture {
    void *bytes, *adapter_bytes;
    capp_source source;
    capp_adapter *adapter;
    capp_error err;
} fixture;

static void open_fixture(fixture *f) {
    size_t size;
    capp_source adapter = {NULL, NULL};
    f->bytes = tiny_model("llama", 3, &size);
    f->source.folder = NULL;
    CHECK_OK(capp_gguf_parse(&f->source.gguf, f->bytes, size, "model", &f->err), f->err);
    f->adapter_bytes = gguf_writer_finish(new_adapter(f->source.gguf, changed, CHANGED), &size);
    CHECK_OK(capp_gguf_parse(&adapter.gguf, f->adapter_bytes, size, "adapter", &f->err), f->err);
    CHECK_OK(capp_adapter_read(&f->adapter, &adapter, 0.7, &f->err), f->err);
}

static void close_fixture(fixture *f) {
    capp_adapter_free(f->adapter);
    capp_source_close(&f->source);
    free(f->bytes);
    free(f->adapter_bytes);
}

static capp_weights *open_weights(fixture *f, const capp_kernels *kernels, const capp_products *products,
                                  bool adapted) {
    capp_weights *w;
    CHECK_OK(capp_weights_open_adapted(&w, &f->source, kernels, products, &f->adapter, adapted, &f->err), f->err);
    return w;
}

/* Whether all panels of two matrices have the same bytes. */
static bool same_panels(const capp_weights *a, const capp_matrix *x, const capp_weights *b, const capp_matrix *y) {
    size_t first = capp_matrix_scratch(a, x, x->panels), second = capp_matrix_scratch(b, y, y->panels);
    float *scratch_x = capp_aligned_new(first + 1, sizeof *scratch_x);
    float *scratch_y = capp_aligned_new(second + 1, sizeof *scratch_y);
    CHECK(scratch_x && scratch_y);
    CHECK(x->panels == y->panels && x->panel_bytes == y->panel_bytes);
    const char *p = capp_matrix_panels(a, x, 0, x->panels, scratch_x);
    const char *q = capp_matrix_panels(b, y, 0, y->panels, scratch_y);
    bool same = !memcmp(p, q, x->panels * x->panel_bytes);
    capp_aligned_delete(scratch_x);
    capp_aligned_delete(scratch_y);
    return same;
}

static size_t different_matrices(const capp_weights *a, const capp_weights *b) {
    size_t different = !same_panels(a, &a->head, b, &b->head);
    for (size_t i = 0; i < a->hparams.layers; i++) {
        const capp_layer *x = &a->layers[i], *y = &b->layers[i];
        different += !same_panels(a, &x->qkv, b, &y->qkv);
        different += !same_panels(a, &x->out, b, &y->out);
        different += !same_panels(a, &x->up, b, &y->up);
        different += !same_panels(a, &x->down, b, &y->down);
    }
    return different;
}

/* The matrices with tensors in `changed`: qkv, out, up twice, down and the head. */
enum { MATRICES = 6 };

static void check_twin(const capp_products *narrow) {
    fixture f;
    open_fixture(&f);
    capp_kernels kernels = capp_kernels_ref;
    kernels.bf16 = narrow;
    capp_weights *plain = open_weights(&f, &kernels, kernels.f32, false), *twin;
    capp_weights *wide = open_weights(&f, &kernels, kernels.f32, true),
                 *fast = open_weights(&f, &kernels, narrow, true);
    CHECK_OK(capp_weights_twin(&twin, fast, &(capp_arithmetic){.floats = kernels.f32}, &f.err), f.err);
    CHECK_INT(different_matrices(twin, wide), 0);
    CHECK_INT(different_matrices(plain, wide), MATRICES);
    CHECK_INT(different_matrices(twin, plain), MATRICES);
    CHECK(twin->tokens_delta && !plain->tokens_delta);
    capp_weights_free(twin);
    capp_weights_free(fast);
    capp_weights_free(wide);
    capp_weights_free(plain);
    close_fixture(&f);
}

TEST(the_twin_of_a_unit_of_pairs_has_the_adapter) {
    check_twin(&emulated_dpbf16);
}
TEST(the_twin_of_a_unit_of_quads_has_the_adapter) {
    check_twin(&emulated_bfmmla);
}
TEST(the_twin_of_a_unit_of_tiles_has_the_adapter) {
    check_twin(&emulated_tiles);
}

/* ---- Allocations that fail -----------------------------------------------------------------------------------------
 */

typedef struct folder {
    char model[64], path[64], config[96], tensors[96], gguf[96];
} folder;

static void save(const char *path, const void *data, size_t size) {
    FILE *file = fopen(path, "wb");
    CHECK(file && fwrite(data, 1, size, file) == size);
    CHECK_INT(fclose(file), 0);
}

/* An adapter as PEFT saves it, for q of the first layer. */
static void save_peft(const folder *f, const capp_gguf *model) {
    static const char config[] = "{\"peft_type\": \"LORA\", \"r\": 3, \"lora_alpha\": 6, \"rank_pattern\": {\"v\": 2}, "
                                 "\"alpha_pattern\": {\"layers.\\\\d+.self_attn.q_proj\": 4, \"k_proj\": 1}}";
    const capp_tensor *t = capp_gguf_find_tensor(model, "blk.0.attn_q.weight");
    size_t k = (size_t)t->dims[0], n = (size_t)t->dims[1], middle = RANK * k * 4, end = middle + RANK * n * 4;
    char header[512];
    int size = snprintf(header, sizeof header,
                        "{\"base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight\": {\"dtype\": \"F32\", "
                        "\"shape\": [%d, %zu], \"data_offsets\": [0, %zu]}, "
                        "\"base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight\": {\"dtype\": \"F32\", "
                        "\"shape\": [%zu, %d], \"data_offsets\": [%zu, %zu]}}",
                        RANK, k, middle, n, RANK, middle, end);
    uint64_t length = (uint64_t)size;
    char *file = calloc(1, 8 + (size_t)size + end);
    if (!file) FAIL("out of memory");
    memcpy(file, &length, 8);
    memcpy(file + 8, header, (size_t)size);
    save(f->tensors, file, 8 + (size_t)size + end);
    save(f->config, config, sizeof config - 1);
    free(file);
}

static void make_folder(folder *f, const char *arch) {
    capp_gguf *model;
    capp_error err;
    tiny_model_file(arch, 1, f->model);
    snprintf(f->path, sizeof f->path, "/tmp/capp-lora-XXXXXX");
    CHECK(mkdtemp(f->path));
    snprintf(f->config, sizeof f->config, "%s/adapter_config.json", f->path);
    snprintf(f->tensors, sizeof f->tensors, "%s/adapter_model.safetensors", f->path);
    snprintf(f->gguf, sizeof f->gguf, "%s/adapter.gguf", f->path);
    CHECK_OK(capp_gguf_open(&model, f->model, &err), err);
    save_peft(f, model);
    CHECK(gguf_writer_save(new_adapter(model, changed, CHANGED), f->gguf));
    capp_gguf_free(model);
}

static void remove_folder(const folder *f) {
    unlink(f->config);
    unlink(f->tensors);
    unlink(f->gguf);
    rmdir(f->path);
    unlink(f->model);
}

static bool take_fact(void *user, const char *section, const char *key, const char *value) {
    (void)user, (void)section;
    return key && value;
}

static capp_status whole_run(const folder *f, capp_precision precision, capp_error *err) {
    const capp_lora lora[] = {{f->path, 0.5}, {f->gguf, -1}};
    capp_model_options options;
    capp_model *model;
    capp_status st;
    capp_model_options_init(&options);
    options.threads = 1;
    options.isa = "ref";
    options.precision = precision;
    options.lora = lora;
    options.n_lora = 2;
    if ((st = capp_describe(f->path, take_fact, NULL, err)) != CAPP_OK) return st;
    if ((st = capp_describe_lora(f->model, lora, 2, take_fact, NULL, err)) != CAPP_OK) return st;
    if ((st = capp_model_open(&model, f->model, &options, err)) != CAPP_OK) return st;
    capp_model_free(model);
    return st;
}

static void check_failing_allocations(const char *arch, capp_precision precision) {
    folder f;
    capp_error err;
    make_folder(&f, arch);
    counted_install();
    CHECK_OK(whole_run(&f, precision, &err), err);
    CHECK_INT(counted.live, 0);
    size_t failures = 0;
    for (size_t n = 1;; n++) {
        counted_fail_after(n - 1);
        err.message[0] = 0;
        capp_status st = whole_run(&f, precision, &err);
        if (counted.live) FAIL("allocation %zu failing leaks %zu bytes", n, counted.live);
        if (!counted.failed) break;
        counted_fail_after(COUNTED_NEVER);
        if (st == CAPP_OK) continue; /* a fact that capp_describe states */
        failures++;
        if (st != CAPP_ENOMEM) FAIL("allocation %zu failing gives %s: %s", n, capp_status_name(st), err.message);
        CHECK_CONTAINS(err.message, "memory");
    }
    CHECK(failures > 50);
    remove_folder(&f);
}

TEST(allocations_fail_in_turn) {
    check_failing_allocations("llama", CAPP_PRECISION_F32);
}

TEST(allocations_for_integers_fail_in_turn) {
    check_failing_allocations("llama_integers", CAPP_PRECISION_I16);
}

/* Float32, and close rows in i16. */
TEST(allocations_for_the_twin_of_integers_fail_in_turn) {
    check_failing_allocations("llama_integers", CAPP_PRECISION_AUTO);
}

/* ---- Changes -------------------------------------------------------------------------------------------------------
 */

/* The lane of integers has a change for each matrix with deltas, whichever lane was opened first, and the adapter is
 * counted with it. */
TEST(lanes_of_integers_have_changes) {
    static const capp_precision precisions[] = {CAPP_PRECISION_F32, CAPP_PRECISION_I16, CAPP_PRECISION_AUTO};
    uint64_t bytes[3] = {0};
    folder f;
    capp_error err;
    make_folder(&f, "llama_integers");
    for (size_t i = 0; i < 3; i++) {
        const capp_lora lora = {f.gguf, 1};
        capp_model_options options;
        capp_model *model;
        capp_model_options_init(&options);
        options.threads = 1;
        options.isa = "ref";
        options.precision = precisions[i];
        options.weights_memory = CAPP_WEIGHTS_NONE;
        options.lora = &lora;
        options.n_lora = 1;
        CHECK_OK(capp_model_open(&model, f.model, &options, &err), err);
        const capp_weights *w = model->exact ? model->exact : model->weights;
        size_t changes = 0;
        for (const capp_delta_product *c = w->changes; c; c = c->owned) changes++;
        CHECK_INT(changes, i ? MATRICES : 0);
        CHECK(!model->exact == (i < 2) && (!model->exact || !model->weights->changes));
        bytes[i] = capp_model_forecast_weights(model);
        capp_model_free(model);
    }
    CHECK(bytes[1] > bytes[0] && bytes[2] == bytes[1]);
    remove_folder(&f);
}
