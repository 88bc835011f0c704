/* fuzz_gguf MUTATIONS SEED [FILE...]: damages small GGUF files at random, in memory, and opens them: first the file
 * itself, then its vocabulary, with which it tokenizes some text, then its weights. The files given as arguments are
 * added to those built here. See fuzz.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "counted.h"
#include "file/gguf.h"
#include "fuzz.h"
#include "gguf_writer.h"
#include "kernel/dequant.h"
#include "model/model.h"
#include "packed.h"
#include "token/vocab.h"

enum { FILES, VOCABULARIES, MODELS }; /* what fuzz_counts counts */

static bytes seeds[FUZZ_MOST_SEEDS];
static size_t n_seeds;

/* ---- Seeds ------------------------------------------------------------------------------------------------------- */

static void add_seed(gguf_writer *w) {
    bytes *seed = &seeds[n_seeds++];
    seed->data = gguf_writer_finish(w, &seed->size);
    seed->head = seed->size;
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

/* One tensor of every type that capp reads. */
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

/* A Llama of one layer whose matrices all have different types. */
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
    seeds[n_seeds - 1].head = 2048; /* about where the data begin; data cannot be wrong */
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

static gguf_writer *greedy_vocabulary(void) {
    static const char *const tokens[] = {"<s>",        "a",     "b",     "ab",    "\\n",
                                         "\\xe6\\xbc", "\\xa2", "\\x00", "\\\\a", "<user>"};
    static const int32_t types[] = {3, 1, 1, 1, 1, 1, 1, 1, 1, 4};
    gguf_writer *w = gguf_writer_new();
    gguf_writer_str(w, "tokenizer.ggml.model", "rwkv");
    gguf_writer_str_array(w, "tokenizer.ggml.tokens", tokens, NULL, 10);
    gguf_writer_i32_array(w, "tokenizer.ggml.token_type", types, 10);
    gguf_writer_u32(w, "tokenizer.ggml.bos_token_id", 0);
    gguf_writer_u32(w, "tokenizer.ggml.eot_token_id", 4);
    gguf_writer_u32(w, "tokenizer.ggml.unknown_token_id", 0);
    return w;
}

static void build_seeds(void) {
    add_seed(every_kind());
    add_seed(with_tensors());
    add_model();
    add_seed(byte_level_vocabulary());
    add_seed(sentencepiece_vocabulary());
    add_seed(greedy_vocabulary());
}

/* ---- Mutations --------------------------------------------------------------------------------------------------- */

static uint64_t interesting(uint64_t *r) {
    static const uint64_t values[] = {0, 1, 2, 7, 8, 13, 31, 32, 127, 128, 255, 256, 65535, 65536};
    uint64_t choice = next(r) % 24;
    if (choice < 14) return values[choice];
    if (choice < 16) return next(r);
    uint64_t power = 1ull << next(r) % 64;
    return choice < 20 ? power : choice < 22 ? power - 1 : 0 - power;
}

static void mutate(bytes *b, uint64_t *r) {
    size_t at = fuzz_place(b, r), left = b->size - at, n = up_to(r, left < 64 ? left : 64);
    const bytes *other = &seeds[next(r) % n_seeds];
    size_t from = up_to(r, other->size), take_n = up_to(r, other->size - from < 64 ? other->size - from : 64);
    uint64_t value = interesting(r);
    unsigned char inserted[8];
    memcpy(inserted, &value, 8);
    switch (next(r) % 12) {
    case 0:
    case 1:
        if (left) b->data[at] ^= (unsigned char)(1u << next(r) % 8);
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
    case 10: splice(b, at, next(r) % 2 ? n : 0, other->data + from, take_n); break;
    default:
        if (next(r) % 4)
            splice(b, at, 0, inserted, 1 + up_to(r, 7));
        else
            b->size = at;
    }
}

/* ---- Use --------------------------------------------------------------------------------------------------------- */

static void use_values(const capp_gguf *g) {
    for (size_t i = 0; i < capp_gguf_n_values(g); i++) {
        const capp_gguf_value *v = capp_gguf_value_at(g, i);
        fuzz_touch(v->key.data, v->key.size);
        for (uint64_t k = 0; k < v->count; k++) {
            uint64_t u;
            int64_t s;
            double d;
            if (v->strings) fuzz_touch(v->strings[k].data, v->strings[k].size);
            bool read[] = {capp_gguf_array_u64(v, k, &u), capp_gguf_array_i64(v, k, &s), capp_gguf_array_f64(v, k, &d)};
            fuzz_touch(read, sizeof read);
        }
    }
}

static void use_tensors(const capp_gguf *g) {
    for (size_t i = 0; i < capp_gguf_n_tensors(g); i++) {
        const capp_gguf_tensor *t = capp_gguf_tensor_at(g, i);
        capp_type_info type = capp_type_get(t->type);
        capp_dequant_fn dequant = capp_dequant(t->type);
        float out[256];
        fuzz_touch(t->name.data, t->name.size);
        fuzz_touch(t->data, (size_t)t->bytes);
        if (!dequant || !t->bytes) continue;
        dequant(out, (const char *)t->data + t->bytes - type.block_bytes, type.block_elems);
        fuzz_touch(out, type.block_elems * sizeof *out);
    }
}

static void use_vocabulary(const capp_gguf *g) {
    static const char text[] = "abc  abé a▁<|endoftext|><s>\n123 😀";
    capp_vocab *vocab;
    capp_error err = {0};
    capp_status st = capp_vocab_open_gguf(&vocab, g, &err);
    if (!fuzz_opened("capp_vocab_open_gguf", st, vocab, &err)) return;
    fuzz_counts[VOCABULARIES]++;
    capp_ids ids = {0};
    st = capp_vocab_encode(vocab, capp_str_of(text), CAPP_TOKENIZE_BOS | CAPP_TOKENIZE_SPECIAL, &ids, &err);
    for (size_t i = 0; st == CAPP_OK && i < ids.n; i++) {
        capp_str piece = capp_vocab_piece(vocab, ids.data[i]);
        fuzz_touch(piece.data, piece.size);
    }
    capp_ids_free(&ids);
    capp_vocab_free(vocab);
}

/* A model may be as large as it says: needing too much memory is not a failure. */
static void use_weights(capp_gguf *g) {
    capp_source s = {g, NULL};
    const capp_kernels *kernels = capp_kernels_named("ref");
    capp_weights *weights;
    capp_error err = {0};
    void (*excess)(void) = counted.excess;
    counted.excess = NULL;
    capp_status st = capp_weights_open(&weights, &s, kernels, kernels->f32, &err);
    if (weights) pack_all(weights);
    counted.excess = excess;
    fuzz_counts[MODELS] += fuzz_opened("capp_weights_open", st, weights, &err);
    capp_weights_free(weights);
}

static void use(bytes b) {
    capp_gguf *g;
    capp_error err = {0};
    capp_status st = capp_gguf_parse(&g, b.data, b.size, "fuzz", &err);
    if (!fuzz_opened("capp_gguf_parse", st, g, &err)) {
        if (strncmp(err.message, "fuzz: ", 6) != 0) fuzz_fail("capp_gguf_parse: a message that names no file");
        return;
    }
    fuzz_counts[FILES]++;
    use_values(g);
    use_tensors(g);
    use_vocabulary(g);
    use_weights(g);
    capp_gguf_free(g);
}

static void try_one(uint64_t *r) {
    bytes b = fuzz_mutant(&seeds[up_to(r, n_seeds - 1)], mutate, r);
    counted.cap = ((size_t)64 << 20) + 64 * b.size;
    use(b);
    free(b.data);
}

/* Where the data of a file begin. */
static size_t head_of(const bytes *b) {
    capp_gguf *g;
    capp_error err = {0};
    size_t head = b->size;
    if (capp_gguf_parse(&g, b->data, b->size, "fuzz", &err) != CAPP_OK) return head;
    for (size_t i = 0; i < capp_gguf_n_tensors(g); i++) {
        const size_t at = (size_t)((const char *)capp_gguf_tensor_at(g, i)->data - (const char *)b->data);
        if (at < head) head = at;
    }
    capp_gguf_free(g);
    return head;
}

static void begin(int n, char **paths) {
    build_seeds();
    for (int i = 0; i < n && n_seeds < FUZZ_MOST_SEEDS; i++) {
        seeds[n_seeds] = fuzz_read(NULL, paths[i]);
        seeds[n_seeds].head = head_of(&seeds[n_seeds]);
        n_seeds++;
    }
    for (size_t i = 0; i < n_seeds; i++) use(seeds[i]);
    if (fuzz_counts[FILES] < n_seeds || fuzz_counts[VOCABULARIES] < 2 || !fuzz_counts[MODELS])
        fuzz_fail("a seed, or a vocabulary or model in one, does not open");
}

static void end(void) {
    for (size_t i = 0; i < n_seeds; i++) free(seeds[i].data);
}

int main(int argc, char **argv) {
    static const fuzzer f = {"fuzz_gguf", "[FILE...]", 0,  24, {"files", "vocabularies", "models open"},
                             begin,       try_one,     end};
    return fuzz_main(&f, argc, argv);
}
