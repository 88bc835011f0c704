/* fuzz_gguf MUTATIONS SEED [FILE...]: damages small GGUF files at random, in memory, and opens them: the file itself,
 * then its vocabulary, with which some text is tokenised, and its weights. Built with sanitizers. Fails on a crash, on
 * memory that is not freed, on a failure without a message, on allocations out of proportion to the file, and on
 * hanging.
 *
 * Mutation number i draws from SEED + i alone: `fuzz_gguf 1 N` repeats the one that a failure names (with the same
 * files). Files of one's own are added to those built here. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "counted.h"
#include "file/gguf.h"
#include "gguf_writer.h"
#include "kernel/dequant.h"
#include "model/model.h"
#include "token/vocab.h"

enum { MOST_SEEDS = 64, MOST_FILE = 1 << 20, SECONDS = 60 };

typedef struct bytes {
    unsigned char *data;
    size_t size;
    size_t most; /* of a seed: where mutations begin at the latest */
} bytes;

static bytes seeds[MOST_SEEDS];
static size_t n_seeds;
static uint64_t current; /* SEED + i, for reports */

static void report(void) {
    fprintf(stderr, "fuzz_gguf: failed; repeat with: fuzz_gguf 1 %llu\n", (unsigned long long)current);
}

static void hang(int signal) {
    (void)signal;
    fprintf(stderr, "fuzz_gguf: no progress for %d s of processor time\n", SECONDS);
    report();
    _exit(1);
}

static _Noreturn void fail(const char *what) {
    fprintf(stderr, "fuzz_gguf: %s\n", what);
    report();
    abort();
}

static void excess(void) {
    fail("allocates out of proportion to the file");
}

/* ---- Seeds ------------------------------------------------------------------------------------------------------- */

static void add_seed(gguf_writer *w) {
    bytes *seed = &seeds[n_seeds++];
    seed->data = gguf_writer_finish(w, &seed->size);
    seed->most = seed->size;
}

static gguf_writer *every_kind(void) {
    gguf_writer *w = gguf_writer_new();
    gguf_writer_str(w, "general.architecture", "llama");
    gguf_writer_alignment(w, 32);
    gguf_writer_u8(w, "u8", 1);
    gguf_writer_i8(w, "i8", -1);
    gguf_writer_u16(w, "split.no", 0);
    gguf_writer_i16(w, "i16", -1);
    gguf_writer_i32(w, "i32", -1);
    gguf_writer_u64(w, "u64", 1);
    gguf_writer_i64(w, "i64", -1);
    gguf_writer_f32(w, "f32", 1);
    gguf_writer_f64(w, "f64", 1);
    gguf_writer_bool(w, "bool", true);
    gguf_writer_f32_array(w, "reals", (float[]){1, 2, 3}, 3);
    gguf_writer_i32_array(w, "integers", (int32_t[]){1, 2, 3}, 3);
    gguf_writer_str_array(w, "words", (const char *const[]){"a", "", "bc"}, NULL, 3);
    return w;
}

/* One of every type that capp reads. */
static gguf_writer *with_tensors(void) {
    gguf_writer *w = gguf_writer_new();
    gguf_writer_version(w, 2);
    for (uint32_t n = 0; n < CAPP_FIRST_FOREIGN_TYPE; n++) {
        capp_type_info type = capp_type_get(n);
        if (!capp_dequant(n)) continue;
        gguf_writer_tensor(w, type.name, n, 2, (uint64_t[]){256, 1}, NULL, 256 / type.block_elems * type.block_bytes);
    }
    return w;
}

static void add_matrix(gguf_writer *w, const char *name, uint32_t type, uint64_t k, uint64_t n) {
    capp_type_info info = capp_type_get(type);
    gguf_writer_tensor(w, name, type, n > 1 ? 2 : 1, (uint64_t[]){k, n}, NULL,
                       k * n / info.block_elems * info.block_bytes);
}

/* A Llama of one layer whose matrices are of as many types. */
static void add_model(void) {
    gguf_writer *w = gguf_writer_new();
    gguf_writer_str(w, "general.architecture", "llama");
    gguf_writer_u32(w, "llama.context_length", 16);
    gguf_writer_u32(w, "llama.embedding_length", 64);
    gguf_writer_u32(w, "llama.block_count", 1);
    gguf_writer_u32(w, "llama.feed_forward_length", 256);
    gguf_writer_u32(w, "llama.attention.head_count", 4);
    gguf_writer_u32(w, "llama.attention.head_count_kv", 1);
    gguf_writer_u32(w, "llama.attention.key_length", 64);
    gguf_writer_u32(w, "llama.attention.value_length", 64);
    gguf_writer_u32(w, "llama.rope.dimension_count", 64);
    gguf_writer_f32(w, "llama.attention.layer_norm_rms_epsilon", 1e-5F);
    add_matrix(w, "token_embd.weight", CAPP_TYPE_Q2_0, 64, 8);
    add_matrix(w, "output_norm.weight", CAPP_TYPE_F32, 64, 1);
    add_matrix(w, "blk.0.attn_norm.weight", CAPP_TYPE_F32, 64, 1);
    add_matrix(w, "blk.0.attn_q.weight", CAPP_TYPE_NVFP4, 64, 256);
    add_matrix(w, "blk.0.attn_q.scale", CAPP_TYPE_F32, 1, 1);
    add_matrix(w, "blk.0.attn_q.input_scale", CAPP_TYPE_F32, 1, 1);
    add_matrix(w, "blk.0.attn_k.weight", CAPP_TYPE_IQ4_NL, 64, 64);
    add_matrix(w, "blk.0.attn_v.weight", CAPP_TYPE_MXFP4, 64, 64);
    add_matrix(w, "blk.0.attn_output.weight", CAPP_TYPE_IQ3_S, 256, 64);
    add_matrix(w, "blk.0.ffn_norm.weight", CAPP_TYPE_F16, 64, 1);
    add_matrix(w, "blk.0.ffn_gate.weight", CAPP_TYPE_Q4_0, 64, 256);
    add_matrix(w, "blk.0.ffn_up.weight", CAPP_TYPE_Q5_1, 64, 256);
    add_matrix(w, "blk.0.ffn_down.weight", CAPP_TYPE_IQ1_M, 256, 64);
    add_seed(w);
    seeds[n_seeds - 1].most = 2048; /* about where the data begin, which cannot be wrong */
}

static gguf_writer *byte_level_vocabulary(void) {
    static const char *const tokens[] = {"a", "b", "c", "ab", "abc", "Ġ", "Ġa", "Ã©", "<|endoftext|>"};
    static const int32_t types[] = {1, 1, 1, 1, 1, 1, 1, 1, 3};
    gguf_writer *w = gguf_writer_new();
    gguf_writer_str(w, "tokenizer.ggml.model", "gpt2");
    gguf_writer_str(w, "tokenizer.ggml.pre", "gpt-2");
    gguf_writer_str_array(w, "tokenizer.ggml.tokens", tokens, NULL, 9);
    gguf_writer_i32_array(w, "tokenizer.ggml.token_type", types, 9);
    gguf_writer_str_array(w, "tokenizer.ggml.merges", (const char *const[]){"a b", "ab c", "Ġ a"}, NULL, 3);
    gguf_writer_u32(w, "tokenizer.ggml.bos_token_id", 8);
    gguf_writer_u32(w, "tokenizer.ggml.eos_token_id", 8);
    gguf_writer_bool(w, "tokenizer.ggml.add_bos_token", true);
    return w;
}

static gguf_writer *sentencepiece_vocabulary(void) {
    enum { WORDS = 8, TOKENS = WORDS + 256 };
    static const char *const words[WORDS] = {"<unk>", "<s>", "</s>", "▁", "a", "b", "ab", "▁a"};
    static char names[256][8];
    const char *tokens[TOKENS];
    float scores[TOKENS];
    int32_t types[TOKENS];
    for (int i = 0; i < TOKENS; i++) {
        if (i >= WORDS) snprintf(names[i - WORDS], sizeof names[0], "<0x%02X>", (unsigned)(i - WORDS) & 255);
        tokens[i] = i < WORDS ? words[i] : names[i - WORDS];
        scores[i] = (float)-i;
        types[i] = i >= WORDS ? 6 : i == 0 ? 2 : i < 3 ? 3 : 1;
    }
    gguf_writer *w = gguf_writer_new();
    gguf_writer_str(w, "tokenizer.ggml.model", "llama");
    gguf_writer_str(w, "tokenizer.ggml.pre", "default");
    gguf_writer_str_array(w, "tokenizer.ggml.tokens", tokens, NULL, TOKENS);
    gguf_writer_f32_array(w, "tokenizer.ggml.scores", scores, TOKENS);
    gguf_writer_i32_array(w, "tokenizer.ggml.token_type", types, TOKENS);
    gguf_writer_u32(w, "tokenizer.ggml.bos_token_id", 1);
    gguf_writer_u32(w, "tokenizer.ggml.eos_token_id", 2);
    gguf_writer_u32(w, "tokenizer.ggml.unknown_token_id", 0);
    gguf_writer_bool(w, "tokenizer.ggml.add_space_prefix", true);
    return w;
}

static bool add_file(const char *path) {
    FILE *f = fopen(path, "rb");
    unsigned char *data = malloc(MOST_FILE + 1);
    size_t size = f && data ? fread(data, 1, MOST_FILE + 1, f) : 0;
    if (f) fclose(f);
    if (!size || size > MOST_FILE || n_seeds == MOST_SEEDS) {
        fprintf(stderr, "fuzz_gguf: %s: cannot be read, is empty or is larger than %d bytes\n", path, MOST_FILE);
        free(data);
        return false;
    }
    seeds[n_seeds++] = (bytes){data, size, size};
    return true;
}

/* ---- Random numbers (splitmix64; test.h's would bring its main) -------------------------------------------------- */

static uint64_t next(uint64_t *r) {
    uint64_t z = (*r += 0x9e3779b97f4a7c15u);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static uint64_t below(uint64_t *r, uint64_t n) {
    return next(r) % n;
}

static size_t up_to(uint64_t *r, size_t most) {
    return (size_t)(next(r) % ((uint64_t)most + 1));
}

/* ---- Mutations --------------------------------------------------------------------------------------------------- */

static uint64_t interesting(uint64_t *r) {
    static const uint64_t values[] = {0, 1, 2, 7, 8, 13, 31, 32, 127, 128, 255, 256, 65535, 65536};
    uint64_t choice = below(r, 24);
    if (choice < 14) return values[choice];
    if (choice < 16) return next(r);
    uint64_t power = 1ull << below(r, 64);
    return choice < 20 ? power : choice < 22 ? power - 1 : 0 - power;
}

/* Replaces [at, at + cut) by n bytes. */
static void splice(bytes *b, size_t at, size_t cut, const unsigned char *with, size_t n) {
    unsigned char *made = malloc(b->size - cut + n + 1);
    if (!made) abort();
    memcpy(made, b->data, at);
    memcpy(made + at, with, n);
    memcpy(made + at + n, b->data + at + cut, b->size - at - cut);
    free(b->data);
    b->data = made;
    b->size = b->size - cut + n;
}

static void mutate(bytes *b, uint64_t *r) {
    size_t at = up_to(r, b->most < b->size ? b->most : b->size), left = b->size - at,
           n = up_to(r, left < 64 ? left : 64);
    const bytes *other = &seeds[below(r, n_seeds)];
    size_t from = up_to(r, other->size), take_n = up_to(r, other->size - from < 64 ? other->size - from : 64);
    uint64_t value = interesting(r);
    unsigned char inserted[8];
    memcpy(inserted, &value, 8);
    switch (below(r, 12)) {
    case 0:
    case 1:
        if (left) b->data[at] ^= (unsigned char)(1u << below(r, 8));
        break;
    case 2:
        if (left) b->data[at] = (unsigned char)value;
        break;
    case 3:
    case 4:
    case 5:
        if (left >= 4) memcpy(b->data + at, &value, 4);
        break;
    case 6:
    case 7:
    case 8:
        if (left >= 8) memcpy(b->data + at, &value, 8);
        break;
    case 9: splice(b, at, n, inserted, 0); break;
    case 10: splice(b, at, below(r, 2) ? n : 0, other->data + from, take_n); break;
    default:
        if (below(r, 4))
            splice(b, at, 0, inserted, 1 + up_to(r, 7));
        else
            b->size = at;
    }
}

/* Exactly as many bytes as there are, so that AddressSanitizer sees a read past the end. */
static bytes mutant(uint64_t *r) {
    const bytes *seed = &seeds[below(r, n_seeds)];
    bytes b = {malloc(seed->size + 1), seed->size, seed->most};
    if (!b.data) abort();
    memcpy(b.data, seed->data, seed->size);
    for (size_t n = 1 + up_to(r, below(r, 8) ? 1 : 12); n; n--) mutate(&b, r);
    bytes exact = {malloc(b.size ? b.size : 1), b.size, 0};
    if (!exact.data) abort();
    memcpy(exact.data, b.data, b.size);
    free(b.data);
    return exact;
}

/* ---- Use --------------------------------------------------------------------------------------------------------- */

static unsigned sum; /* of all that is read, so that the reads are not removed */

static void touch(const void *data, size_t n) {
    const unsigned char *p = data;
    for (size_t i = 0; i < n; i++) sum += p[i];
}

static void use_values(const capp_gguf *g) {
    for (size_t i = 0; i < capp_gguf_n_values(g); i++) {
        const capp_gguf_value *v = capp_gguf_value_at(g, i);
        touch(v->key.data, v->key.size);
        for (uint64_t k = 0; k < v->count; k++) {
            uint64_t u;
            int64_t s;
            double d;
            if (v->strings) touch(v->strings[k].data, v->strings[k].size);
            sum += capp_gguf_array_u64(v, k, &u);
            sum += capp_gguf_array_i64(v, k, &s);
            sum += capp_gguf_array_f64(v, k, &d);
        }
    }
}

static void use_tensors(const capp_gguf *g) {
    for (size_t i = 0; i < capp_gguf_n_tensors(g); i++) {
        const capp_gguf_tensor *t = capp_gguf_tensor_at(g, i);
        capp_type_info type = capp_type_get(t->type);
        capp_dequant_fn dequant = capp_dequant(t->type);
        float out[256];
        touch(t->name.data, t->name.size);
        touch(t->data, (size_t)t->bytes);
        if (!dequant || !t->bytes) continue;
        dequant(out, (const char *)t->data + t->bytes - type.block_bytes, type.block_elems);
        touch(out, type.block_elems * sizeof *out);
    }
}

/* Whether there is one. */
static bool use_vocabulary(const capp_gguf *g) {
    static const char text[] = "abc  abé a▁<|endoftext|><s>\n123 😀";
    capp_vocab *vocab;
    capp_error err = {0};
    capp_status st = capp_vocab_open_gguf(&vocab, g, &err);
    if ((st != CAPP_OK) != !vocab) fail("capp_vocab_open_gguf: status and pointer disagree");
    if (st != CAPP_OK && (err.status != st || !err.message[0])) fail("capp_vocab_open_gguf: failure without a message");
    if (st != CAPP_OK) return false;
    capp_ids ids = {0};
    st = capp_vocab_encode(vocab, capp_str_of(text), CAPP_TOKENIZE_BOS | CAPP_TOKENIZE_SPECIAL, &ids, &err);
    if (st == CAPP_OK) {
        for (size_t i = 0; i < ids.n; i++) {
            capp_str piece = capp_vocab_piece(vocab, ids.data[i]);
            touch(piece.data, piece.size);
        }
    }
    capp_ids_free(&ids);
    capp_vocab_free(vocab);
    return true;
}

static capp_pool *pool;

/* Whether they open. A model may be as large as it says: that it takes too much memory is no damage. */
static bool use_weights(capp_gguf *g) {
    capp_source s = {g, NULL};
    const capp_kernels *kernels = capp_kernels_named("ref");
    capp_weights *weights;
    capp_error err = {0};
    counted.excess = NULL;
    capp_status st = capp_weights_open(&weights, &s, kernels, kernels->f32, pool, &err);
    counted.excess = excess;
    if ((st != CAPP_OK) != !weights) fail("capp_weights_open: status and pointer disagree");
    if (st != CAPP_OK && (err.status != st || !err.message[0])) fail("capp_weights_open: failure without a message");
    capp_weights_free(weights);
    return st == CAPP_OK;
}

static uint64_t opened, vocabularies, models; /* files, vocabularies and weights that open */

static void try_one(bytes b) {
    size_t before = counted.live;
    capp_gguf *g;
    capp_error err = {0};
    capp_status st = capp_gguf_parse(&g, b.data, b.size, "fuzz", &err);
    if ((st != CAPP_OK) != !g) fail("capp_gguf_parse: status and pointer disagree");
    if (st != CAPP_OK && (err.status != st || strncmp(err.message, "fuzz: ", 6)))
        fail("capp_gguf_parse: failure without a message");
    if (st == CAPP_OK) {
        use_values(g);
        use_tensors(g);
        opened++;
        vocabularies += use_vocabulary(g);
        models += use_weights(g);
    }
    capp_gguf_free(g);
    if (counted.live != before) fail("memory is not freed");
}

/* Seeds that do not open would make all this idle. */
static void try_seeds(void) {
    for (size_t i = 0; i < n_seeds; i++) try_one(seeds[i]);
    if (opened < n_seeds || vocabularies < 2 || !models) fail("a seed, or a vocabulary or model in one, does not open");
    opened = vocabularies = models = 0;
}

static void build_seeds(void) {
    add_seed(every_kind());
    add_seed(with_tensors());
    add_model();
    add_seed(byte_level_vocabulary());
    add_seed(sentencepiece_vocabulary());
}

/* The sanitizers', where they are linked. */
void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

int main(int argc, char **argv) {
    if (argc < 3) {
        fprintf(stderr, "usage: fuzz_gguf MUTATIONS SEED [FILE...]\n");
        return 2;
    }
    uint64_t mutations = strtoull(argv[1], NULL, 10), seed = strtoull(argv[2], NULL, 10);
    build_seeds();
    for (int i = 3; i < argc; i++)
        if (!add_file(argv[i])) return 2;
    if (__sanitizer_set_death_callback) __sanitizer_set_death_callback(report);
    /* Of the processor's time: a busy machine is no hanging. */
    const struct itimerval limit = {.it_value = {.tv_sec = SECONDS}};
    signal(SIGPROF, hang);
    counted_install();
    capp_error err;
    if (capp_pool_open(&pool, 1, &err) != CAPP_OK) return 2;
    try_seeds();
    counted.excess = excess;
    for (uint64_t i = 0; i < mutations; i++) {
        if (i % 64 == 0) setitimer(ITIMER_PROF, &limit, NULL);
        current = seed + i;
        uint64_t r = current;
        bytes b = mutant(&r);
        counted.cap = ((size_t)64 << 20) + 64 * b.size;
        counted_fail_after(below(&r, 16) ? COUNTED_NEVER : below(&r, 24));
        try_one(b);
        free(b.data);
    }
    capp_pool_free(pool);
    for (size_t i = 0; i < n_seeds; i++) free(seeds[i].data);
    printf("%llu mutations: %llu files, %llu vocabularies and %llu models open (checksum %u); no failures\n",
           (unsigned long long)mutations, (unsigned long long)opened, (unsigned long long)vocabularies,
           (unsigned long long)models, sum);
    return 0;
}
