#include "tiny.h"

#include <unistd.h>

#include "base/tensor.h"
#include "gguf_writer.h"
#include "test.h"

enum { LAYERS = 3 };

typedef struct maker {
    gguf_writer *w;
    test_random random;
    const char *arch;
    size_t width, feed;
    bool integers;     /* matrices are stored in Q8_0 and Q4_1 in turn */
    size_t n_integers; /* matrices so far */
} maker;

/* A power of two as a half. */
static uint16_t half_of(int exponent, bool negative) {
    return (uint16_t)((negative ? 0x8000 : 0) | (exponent + 15) << 10);
}

enum { BLOCK = 32, LARGEST_BLOCK = 34 };

/* Writes a block of Q8_0 or Q4_1 and returns its size. Scales are powers of two. */
static size_t write_block(uint8_t *out, const float *x, bool q4) {
    float most = 0;
    int exponent, q[BLOCK];
    for (int i = 0; i < BLOCK; i++) most = fmaxf(most, fabsf(x[i]));
    (void)frexpf(most, &exponent); /* most < 2^exponent */
    exponent -= q4 ? 3 : 7;
    const uint16_t scale = half_of(exponent, false), minimum = half_of(exponent + 3, true); /* -8 times the scale */
    const int least = q4 ? -8 : -128, largest = q4 ? 7 : 127;
    for (int i = 0; i < BLOCK; i++) {
        q[i] = (int)lrintf(ldexpf(x[i], -exponent));
        q[i] = q[i] < least ? least : q[i] > largest ? largest : q[i];
    }
    memcpy(out, &scale, sizeof scale);
    if (!q4) {
        for (int i = 0; i < BLOCK; i++) out[2 + i] = (uint8_t)q[i];
        return 34;
    }
    memcpy(out + 2, &minimum, sizeof minimum);
    for (int i = 0; i < BLOCK / 2; i++) out[4 + i] = (uint8_t)((q[i] + 8) | (q[i + BLOCK / 2] + 8) << 4);
    return 20;
}

static void write_integers(maker *m, const char *name, const uint64_t *dims, const float *data) {
    const bool q4 = m->n_integers++ % 2;
    const size_t blocks = dims[0] * dims[1] / BLOCK;
    uint8_t *out = malloc(blocks * LARGEST_BLOCK);
    if (!out) FAIL("out of memory");
    size_t size = 0;
    for (size_t i = 0; i < blocks; i++) size += write_block(out + size, data + i * BLOCK, q4);
    gguf_writer_tensor(m->w, name, q4 ? CAPP_TYPE_Q4_1 : CAPP_TYPE_Q8_0, 2, dims, out, size);
    free(out);
}

static void add_tensor(maker *m, const char *name, size_t k, size_t n, double mean, double deviation) {
    float *data = malloc(k * n * sizeof *data);
    if (!data) FAIL("out of memory");
    for (size_t i = 0; i < k * n; i++) data[i] = (float)(mean + deviation * test_random_normal(&m->random));
    uint64_t dims[2] = {k, n};
    if (m->integers && n > 1)
        write_integers(m, name, dims, data);
    else
        gguf_writer_tensor(m->w, name, CAPP_TYPE_F32, n > 1 ? 2 : 1, dims, data, k * n * sizeof *data);
    free(data);
}

static void layer_tensor(maker *m, int layer, const char *name, size_t k, size_t n, double mean, double deviation) {
    char full[64];
    snprintf(full, sizeof full, "blk.%d.%s", layer, name);
    add_tensor(m, full, k, n, mean, deviation);
}

/* Products keep the variance of their input, times gain squared. */
static void product_tensor(maker *m, int layer, const char *name, size_t k, size_t n, double gain, bool bias) {
    char full[64];
    snprintf(full, sizeof full, "%s.weight", name);
    layer_tensor(m, layer, full, k, n, 0, gain / sqrt((double)k));
    snprintf(full, sizeof full, "%s.bias", name);
    if (bias) layer_tensor(m, layer, full, n, 1, 0, 0.5);
}

static void norm_tensor(maker *m, int layer, const char *name, size_t n, bool bias) {
    char full[64];
    snprintf(full, sizeof full, "%s.weight", name);
    layer_tensor(m, layer, full, n, 1, 1, 0.4);
    snprintf(full, sizeof full, "%s.bias", name);
    if (bias) layer_tensor(m, layer, full, n, 1, 0, 0.4);
}

static void key_u32(maker *m, const char *key, uint32_t value) {
    char full[96];
    snprintf(full, sizeof full, "%s.%s", m->arch, key);
    gguf_writer_u32(m->w, full, value);
}

static void key_f32(maker *m, const char *key, float value) {
    char full[96];
    snprintf(full, sizeof full, "%s.%s", m->arch, key);
    gguf_writer_f32(m->w, full, value);
}

/* A byte-level vocabulary: the 256 bytes as GPT-2 writes them, some pairs of letters, and two control tokens at the
 * end. */
static void add_vocabulary(maker *m) {
    static char text[TINY_VOCABULARY][8], merge[TINY_VOCABULARY][16];
    const char *tokens[TINY_VOCABULARY], *merges[TINY_VOCABULARY];
    int32_t types[TINY_VOCABULARY];
    size_t n = 0, n_merges = 0;
    unsigned next = 256;
    for (unsigned byte = 0; byte < 256; byte++) {
        bool printable = (byte > 32 && byte < 127) || (byte > 160 && byte != 173);
        unsigned c = printable ? byte : next++;
        if (c < 128)
            snprintf(text[n++], 8, "%c", (char)c);
        else
            snprintf(text[n++], 8, "%c%c", (char)(0xc0 | c >> 6), (char)(0x80 | (c & 63)));
    }
    for (char a = 'a'; n < TINY_VOCABULARY - 2; a++)
        for (const char *b = "eo"; *b && n < TINY_VOCABULARY - 2; b++) {
            snprintf(text[n++], 8, "%c%c", a, *b);
            snprintf(merge[n_merges++], 16, "%c %c", a, *b);
        }
    snprintf(text[n++], 8, "<s>");
    snprintf(text[n++], 8, "</s>");
    for (size_t i = 0; i < n; i++) {
        tokens[i] = text[i];
        types[i] = i < TINY_VOCABULARY - 2 ? 1 : 3;
    }
    for (size_t i = 0; i < n_merges; i++) merges[i] = merge[i];
    gguf_writer_str(m->w, "tokenizer.ggml.model", "gpt2");
    gguf_writer_str(m->w, "tokenizer.ggml.pre", "gpt-2");
    gguf_writer_str_array(m->w, "tokenizer.ggml.tokens", tokens, NULL, n);
    gguf_writer_i32_array(m->w, "tokenizer.ggml.token_type", types, n);
    gguf_writer_str_array(m->w, "tokenizer.ggml.merges", merges, NULL, n_merges);
    gguf_writer_u32(m->w, "tokenizer.ggml.bos_token_id", TINY_VOCABULARY - 2);
    gguf_writer_u32(m->w, "tokenizer.ggml.eos_token_id", TINY_VOCABULARY - 1);
    gguf_writer_bool(m->w, "tokenizer.ggml.add_bos_token", false);
}

static bool is(const maker *m, const char *arch) {
    return !strcmp(m->arch, arch);
}

/* Whether layers have attention and Mamba-2 side by side. */
static bool beside(const maker *m) {
    return is(m, "falcon-h1");
}

/* Whether the second layer alone has attention. */
static bool attends_once(const maker *m) {
    return is(m, "lfm2") || is(m, "plamo2") || is(m, "jamba") || is(m, "kimi-linear");
}

/* Whether a layer has attention. The others have a convolution (LFM2), DeltaNet (Qwen 3.5), Mamba (PLaMo 2, Jamba) or
 * Kimi's delta attention. */
static bool is_attention(const maker *m, int layer) {
    if (attends_once(m)) return layer == 1;
    return !is(m, "qwen35") || (layer + 1) % TINY_INTERVAL == 0;
}

static void add_convolution(maker *m, int layer) {
    product_tensor(m, layer, "shortconv.in_proj", m->width, 3 * m->width, 1.2, false);
    layer_tensor(m, layer, "shortconv.conv.weight", TINY_TAPS, m->width, 0, 0.7);
    product_tensor(m, layer, "shortconv.out_proj", m->width, m->width, 1.2, false);
}

/* Two heads of k, and of v three for each of them, wider than a block of columns. */
enum { DELTA_GROUPS = 2, DELTA_HEADS = 6, DELTA_KEYS = 12, DELTA_VALUES = 36 };

static void add_delta(maker *m, int layer) {
    size_t values = DELTA_HEADS * DELTA_VALUES, channels = 2 * DELTA_GROUPS * DELTA_KEYS + values;
    product_tensor(m, layer, "attn_qkv", m->width, channels, 1.5, false);
    product_tensor(m, layer, "attn_gate", m->width, values, 1.2, false);
    product_tensor(m, layer, "ssm_beta", m->width, DELTA_HEADS, 1.2, false);
    product_tensor(m, layer, "ssm_alpha", m->width, DELTA_HEADS, 1.2, false);
    layer_tensor(m, layer, "ssm_conv1d.weight", TINY_TAPS, channels, 0, 0.7);
    layer_tensor(m, layer, "ssm_a", DELTA_HEADS, 1, -0.3, 0.1);
    layer_tensor(m, layer, "ssm_dt.bias", DELTA_HEADS, 1, 0, 0.5);
    norm_tensor(m, layer, "ssm_norm", DELTA_VALUES, false);
    product_tensor(m, layer, "ssm_out", values, m->width, 1.2, false);
}

/* Kimi Linear: heads of attention read latent vectors; the other layers have as many heads, wider than a block of
 * columns. */
enum { KIMI_LATENT = 18, KIMI_STILL = 10, KIMI_ROPE = 6, KIMI_VALUE = 12, KIMI_DIM = 36 };

static void add_latent(maker *m, int layer, size_t heads) {
    product_tensor(m, layer, "attn_q", m->width, heads * (KIMI_STILL + KIMI_ROPE), 1.5, false);
    product_tensor(m, layer, "attn_kv_a_mqa", m->width, KIMI_LATENT + KIMI_ROPE, 1.5, false);
    norm_tensor(m, layer, "attn_kv_a_norm", KIMI_LATENT, false);
    product_tensor(m, layer, "attn_kv_b", KIMI_LATENT, heads * (KIMI_STILL + KIMI_VALUE), 1.5, false);
    product_tensor(m, layer, "attn_output", heads * KIMI_VALUE, m->width, 1.2, false);
}

static void add_kimi(maker *m, int layer, size_t heads) {
    static const char *const wide[] = {"q", "k", "v"}, *const latent[] = {"f", "g"};
    char name[64];
    size_t values = heads * KIMI_DIM;
    for (size_t i = 0; i < 3; i++) {
        snprintf(name, sizeof name, "attn_%s", wide[i]);
        product_tensor(m, layer, name, m->width, values, 1.5, false);
        snprintf(name, sizeof name, "ssm_conv1d_%s.weight", wide[i]);
        layer_tensor(m, layer, name, TINY_TAPS, values, 0, 0.7);
    }
    for (size_t i = 0; i < 2; i++) {
        snprintf(name, sizeof name, "ssm_%s_a", latent[i]);
        product_tensor(m, layer, name, m->width, KIMI_DIM, 1.2, false);
        snprintf(name, sizeof name, "ssm_%s_b", latent[i]);
        product_tensor(m, layer, name, KIMI_DIM, values, 1.2, false);
    }
    product_tensor(m, layer, "ssm_beta", m->width, heads, 1.2, false);
    layer_tensor(m, layer, "ssm_a", heads, 1, -0.3, 0.1);
    layer_tensor(m, layer, "ssm_dt.bias", values, 1, 0, 0.5);
    norm_tensor(m, layer, "ssm_norm", KIMI_DIM, false);
    product_tensor(m, layer, "attn_output", values, m->width, 1.2, false);
}

static void add_attention(maker *m, int layer, size_t heads, size_t kv_heads, size_t d) {
    size_t q = heads * d, kv = kv_heads * d;
    if (is(m, "gpt2") || is(m, "plamo2"))
        product_tensor(m, layer, "attn_qkv", m->width, q + 2 * kv, 1.5, is(m, "gpt2"));
    else {
        product_tensor(m, layer, "attn_q", m->width, is(m, "qwen35") ? 2 * q : q, 1.5, false);
        product_tensor(m, layer, "attn_k", m->width, kv, 1.5, false);
        product_tensor(m, layer, "attn_v", m->width, kv, 1.5, false);
    }
    product_tensor(m, layer, "attn_output", q, m->width, 1.2, is(m, "gpt2"));
    if (is(m, "gpt2") || is(m, "llama") || is(m, "nemotron_h") || is(m, "jamba") || beside(m)) return;
    bool own = is(m, "plamo2"); /* each head has a norm of its own */
    norm_tensor(m, layer, "attn_q_norm", own ? q : d, false);
    norm_tensor(m, layer, "attn_k_norm", own ? kv : d, false);
}

/* Mamba-2: two groups of b and c, and heads wider than a block of columns. */
enum { SCAN_GROUPS = 2, SCAN_HEADS = 4, SCAN_KEYS = 12, SCAN_VALUES = 36 };

static void add_scan(maker *m, int layer) {
    size_t values = SCAN_HEADS * SCAN_VALUES, channels = values + 2 * SCAN_GROUPS * SCAN_KEYS;
    product_tensor(m, layer, "ssm_in", m->width, values + channels + SCAN_HEADS, 1.5, false);
    layer_tensor(m, layer, "ssm_conv1d.weight", TINY_TAPS, channels, 0, 0.7);
    layer_tensor(m, layer, "ssm_conv1d.bias", channels, 1, 0, 0.5);
    layer_tensor(m, layer, "ssm_a", SCAN_HEADS, 1, -0.3, 0.1);
    layer_tensor(m, layer, "ssm_dt.bias", SCAN_HEADS, 1, 0, 0.5);
    layer_tensor(m, layer, "ssm_d", SCAN_HEADS, 1, 1, 0.3);
    layer_tensor(m, layer, "ssm_norm.weight", values, 1, 1, 0.4);
    product_tensor(m, layer, "ssm_out", values, m->width, 1.2, false);
}

/* Mamba-1: more values than a block of columns. */
enum { FADE_RANK = 3, FADE_KEYS = 12, FADE_VALUES = 76 };

static void add_fade(maker *m, int layer) {
    product_tensor(m, layer, "ssm_in", m->width, 2 * FADE_VALUES, 1.5, false);
    layer_tensor(m, layer, "ssm_conv1d.weight", TINY_TAPS, FADE_VALUES, 0, 0.7);
    layer_tensor(m, layer, "ssm_conv1d.bias", FADE_VALUES, 1, 0, 0.5);
    product_tensor(m, layer, "ssm_x", FADE_VALUES, FADE_RANK + 2 * FADE_KEYS, 1.2, false);
    product_tensor(m, layer, "ssm_dt", FADE_RANK, FADE_VALUES, 0.7, true);
    layer_tensor(m, layer, "ssm_a", FADE_KEYS, FADE_VALUES, -0.3, 0.1);
    layer_tensor(m, layer, "ssm_d", FADE_VALUES, 1, 1, 0.3);
    product_tensor(m, layer, "ssm_out", FADE_VALUES, m->width, 1.2, false);
    if (!is(m, "jamba")) return;
    layer_tensor(m, layer, "ssm_dt_norm.weight", FADE_RANK, 1, 1, 0.4);
    layer_tensor(m, layer, "ssm_b_norm.weight", FADE_KEYS, 1, 1, 0.4);
    layer_tensor(m, layer, "ssm_c_norm.weight", FADE_KEYS, 1, 1, 0.4);
}

/* RWKV-7: one head, which is wider than a block of columns. */
enum { WKV_RANK = 5 };

static void add_wkv(maker *m, int layer) {
    static const char *const wide[] = {"receptance", "key", "value", "output"};
    static const struct {
        const char *name;
        double mean, deviation;
    } numbers[] = {{"w0", -1, 1.5},   {"a0", 0, 1.5},    {"v0", 0, 1.5},
                   {"k_k", 0.8, 0.4}, {"k_a", 0.8, 0.4}, {"r_k", 0, 0.5}};
    char name[64];
    norm_tensor(m, layer, "attn_norm", m->width, true);
    norm_tensor(m, layer, "attn_norm_2", m->width, true);
    for (const char *letter = "wavg"; *letter; letter++) {
        snprintf(name, sizeof name, "time_mix_%c1", *letter);
        product_tensor(m, layer, name, m->width, WKV_RANK, 1.2, false);
        snprintf(name, sizeof name, "time_mix_%c2", *letter);
        product_tensor(m, layer, name, WKV_RANK, m->width, 1.2, false);
    }
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        snprintf(name, sizeof name, "time_mix_%s.weight", numbers[i].name);
        layer_tensor(m, layer, name, m->width, 1, numbers[i].mean, numbers[i].deviation);
    }
    for (size_t i = 0; i < sizeof wide / sizeof *wide; i++) {
        snprintf(name, sizeof name, "time_mix_%s", wide[i]);
        product_tensor(m, layer, name, m->width, m->width, 1.4, false);
    }
    layer_tensor(m, layer, "time_mix_lerp_fused.weight", 6 * m->width, 1, 0.5, 0.3);
    layer_tensor(m, layer, "channel_mix_lerp_k.weight", m->width, 1, 0.5, 0.3);
    norm_tensor(m, layer, "time_mix_ln", m->width, true);
    product_tensor(m, layer, "channel_mix_key", m->width, m->feed, 1.2, false);
    product_tensor(m, layer, "channel_mix_value", m->feed, m->width, 1.2, false);
}

/* Mamba of PLaMo 2: heads wider than a block of columns; the latent step is longer than the stream. */
enum { PLAMO_HEADS = 3, PLAMO_KEYS = 12, PLAMO_VALUES = 36, PLAMO_RANK = 64 };

static void add_plamo(maker *m, int layer) {
    size_t values = PLAMO_HEADS * PLAMO_VALUES;
    product_tensor(m, layer, "ssm_in", m->width, 2 * values, 1.5, false);
    layer_tensor(m, layer, "ssm_conv1d.weight", TINY_TAPS, values, 0, 0.7);
    product_tensor(m, layer, "ssm_x", values, PLAMO_RANK + 2 * PLAMO_KEYS, 1.2, false);
    product_tensor(m, layer, "ssm_dt", PLAMO_RANK, PLAMO_HEADS, 1.2, true);
    layer_tensor(m, layer, "ssm_dt_norm", PLAMO_RANK, 1, 1, 0.4);
    layer_tensor(m, layer, "ssm_b_norm", PLAMO_KEYS, 1, 1, 0.4);
    layer_tensor(m, layer, "ssm_c_norm", PLAMO_KEYS, 1, 1, 0.4);
    layer_tensor(m, layer, "ssm_a", PLAMO_HEADS, 1, -0.3, 0.1);
    layer_tensor(m, layer, "ssm_d", PLAMO_HEADS, 1, 1, 0.3);
    product_tensor(m, layer, "ssm_out", values, m->width, 1.2, false);
}

/* The part of a layer that has only one: M Mamba-2, S Mamba-1, * attention, - feed-forward; 0: the layer has two
 * parts. */
static char part_of(const maker *m, int layer) {
    if (is(m, "mamba")) return 'S';
    return is(m, "mamba2") ? 'M' : is(m, "nemotron_h") ? "M*-M"[layer] : 0;
}

static void add_part(maker *m, int layer, size_t heads, size_t kv_heads, size_t d) {
    norm_tensor(m, layer, "attn_norm", m->width, false);
    if (part_of(m, layer) == 'M') add_scan(m, layer);
    if (part_of(m, layer) == 'S') add_fade(m, layer);
    if (part_of(m, layer) == '*') add_attention(m, layer, heads, kv_heads, d);
    if (part_of(m, layer) != '-') return;
    product_tensor(m, layer, "ffn_up", m->width, m->feed, 1.2, false);
    product_tensor(m, layer, "ffn_down", m->feed, m->width, 1.2, false);
}

static void add_layer(maker *m, int layer, size_t heads, size_t kv_heads, size_t d) {
    bool gpt2 = is(m, "gpt2");
    if (is(m, "rwkv7")) {
        add_wkv(m, layer);
        return;
    }
    if (part_of(m, layer)) {
        add_part(m, layer, heads, kv_heads, d);
        return;
    }
    norm_tensor(m, layer, "attn_norm", m->width, gpt2);
    if (beside(m))
        layer_tensor(m, layer, "ffn_norm", m->width, 1, 1, 0.4);
    else
        norm_tensor(m, layer, is(m, "qwen35") ? "post_attention_norm" : "ffn_norm", m->width, gpt2);
    if (beside(m)) add_scan(m, layer);
    bool kimi = is(m, "kimi-linear");
    if (kimi && is_attention(m, layer))
        add_latent(m, layer, heads);
    else if (is_attention(m, layer))
        add_attention(m, layer, heads, kv_heads, d);
    else if (kimi)
        add_kimi(m, layer, heads);
    else if (is(m, "jamba"))
        add_fade(m, layer);
    else if (is(m, "lfm2"))
        add_convolution(m, layer);
    else if (is(m, "plamo2"))
        add_plamo(m, layer);
    else
        add_delta(m, layer);
    bool fused = is(m, "plamo2");
    if (!gpt2 && !fused) product_tensor(m, layer, "ffn_gate", m->width, m->feed, 1.2, false);
    product_tensor(m, layer, "ffn_up", m->width, fused ? 2 * m->feed : m->feed, 1.2, gpt2);
    product_tensor(m, layer, "ffn_down", m->feed, m->width, 1.2, gpt2);
    if (is(m, "gemma3")) {
        norm_tensor(m, layer, "post_attention_norm", m->width, false);
        norm_tensor(m, layer, "post_ffw_norm", m->width, false);
    }
    if (!fused) return;
    layer_tensor(m, layer, "post_attention_norm", m->width, 1, 1, 0.4);
    layer_tensor(m, layer, "post_ffw_norm", m->width, 1, 1, 0.4);
}

/* The keys of layers that have a state from token to token. */
static void add_mix_keys(maker *m, size_t kv_heads) {
    const int32_t heads_of_layers[] = {0, (int32_t)kv_heads, 0, 0}, feeds[] = {0, 0, (int32_t)m->feed, 0};
    if (is(m, "nemotron_h")) {
        gguf_writer_i32_array(m->w, "nemotron_h.attention.head_count_kv", heads_of_layers, 4);
        gguf_writer_i32_array(m->w, "nemotron_h.feed_forward_length", feeds, 4);
    }
    if (is(m, "rwkv7")) {
        key_u32(m, "wkv.head_size", (uint32_t)m->width);
        key_u32(m, "attention.decay_lora_rank", WKV_RANK);
        key_u32(m, "attention.iclr_lora_rank", WKV_RANK);
        key_u32(m, "attention.value_residual_mix_lora_rank", WKV_RANK);
        key_u32(m, "attention.gate_lora_rank", WKV_RANK);
        return;
    }
    if (is(m, "kimi-linear")) {
        const int32_t once[] = {0, 1, 0, 0};
        gguf_writer_i32_array(m->w, "kimi-linear.attention.head_count_kv", once, 4);
        key_u32(m, "attention.kv_lora_rank", KIMI_LATENT);
        key_u32(m, "attention.key_length_mla", KIMI_STILL + KIMI_ROPE);
        key_u32(m, "attention.value_length_mla", KIMI_VALUE);
        key_u32(m, "rope.dimension_count", KIMI_ROPE);
        key_u32(m, "ssm.conv_kernel", TINY_TAPS);
        key_u32(m, "kda.head_dim", KIMI_DIM);
        return;
    }
    if (is(m, "jamba")) gguf_writer_i32_array(m->w, "jamba.attention.head_count_kv", heads_of_layers, 4);
    if (is(m, "mamba") || is(m, "jamba")) {
        key_u32(m, "ssm.conv_kernel", TINY_TAPS);
        key_u32(m, "ssm.state_size", FADE_KEYS);
        key_u32(m, "ssm.time_step_rank", FADE_RANK);
        key_u32(m, "ssm.inner_size", FADE_VALUES);
        return;
    }
    if (is(m, "plamo2")) {
        gguf_writer_i32_array(m->w, "plamo2.attention.head_count_kv", heads_of_layers, 4);
        key_u32(m, "ssm.conv_kernel", TINY_TAPS);
        key_u32(m, "ssm.state_size", PLAMO_KEYS);
        key_u32(m, "ssm.group_count", 0);
        key_u32(m, "ssm.time_step_rank", PLAMO_HEADS);
        key_u32(m, "ssm.inner_size", PLAMO_HEADS * PLAMO_VALUES);
        return;
    }
    if (beside(m)) key_u32(m, "attention.head_count_kv", (uint32_t)kv_heads);
    if (part_of(m, 0) || beside(m)) {
        key_u32(m, "ssm.conv_kernel", TINY_TAPS);
        key_u32(m, "ssm.state_size", SCAN_KEYS);
        key_u32(m, "ssm.group_count", SCAN_GROUPS);
        key_u32(m, "ssm.time_step_rank", SCAN_HEADS);
        key_u32(m, "ssm.inner_size", SCAN_HEADS * SCAN_VALUES);
        return;
    }
    if (is(m, "lfm2")) {
        gguf_writer_i32_array(m->w, "lfm2.attention.head_count_kv", heads_of_layers, 4);
        key_u32(m, "shortconv.l_cache", TINY_TAPS);
        return;
    }
    key_u32(m, "attention.head_count_kv", (uint32_t)kv_heads);
    if (!is(m, "qwen35")) return;
    key_u32(m, "full_attention_interval", TINY_INTERVAL);
    key_u32(m, "ssm.conv_kernel", TINY_TAPS);
    key_u32(m, "ssm.state_size", DELTA_KEYS);
    key_u32(m, "ssm.group_count", DELTA_GROUPS);
    key_u32(m, "ssm.time_step_rank", DELTA_HEADS);
    key_u32(m, "ssm.inner_size", DELTA_HEADS * DELTA_VALUES);
}

void *tiny_model_with(const char *arch, uint64_t seed, tiny_extra extra, size_t *size) {
    static const char *const archs[] = {"llama", "gemma3", "gpt2"};
    maker m = {.w = gguf_writer_new(), .random = {seed}, .arch = arch, .integers = strstr(arch, "_integers") != NULL};
    for (size_t i = 0; i < sizeof archs / sizeof *archs; i++)
        if (m.integers && !strncmp(arch, archs[i], strlen(archs[i]))) m.arch = arch = archs[i];
    m.width = m.integers ? 2 * BLOCK : 52;
    m.feed = m.integers ? 3 * BLOCK : 76;
    bool gpt2 = !strcmp(arch, "gpt2"), gemma3 = !strcmp(arch, "gemma3");
    size_t heads = gpt2 || m.integers      ? 4
                   : is(&m, "kimi-linear") ? 2
                                           : 6,
           kv_heads = gpt2                    ? 4
                      : gemma3 && !m.integers ? 1
                                              : 2;
    size_t d = gpt2 || m.integers ? m.width / 4 : 10;
    bool rwkv7 = !strcmp(arch, "rwkv7"), lfm2 = !strcmp(arch, "lfm2");
    bool mixes = attends_once(&m) || !strcmp(arch, "qwen35") || part_of(&m, 0) || beside(&m);
    int layers = gemma3 ? 7 : mixes ? 4 : LAYERS; /* the sixth attends to all positions */
    gguf_writer_str(m.w, "general.architecture", arch);
    key_u32(&m, "context_length", TINY_CONTEXT);
    key_u32(&m, "embedding_length", (uint32_t)m.width);
    key_u32(&m, "block_count", (uint32_t)layers);
    if (!part_of(&m, 0)) key_u32(&m, "feed_forward_length", (uint32_t)m.feed);
    key_u32(&m, "attention.head_count", (uint32_t)heads);
    add_mix_keys(&m, kv_heads);
    if (!gpt2) {
        key_u32(&m, "attention.key_length", (uint32_t)d);
        key_u32(&m, "attention.value_length", (uint32_t)d);
        key_f32(&m, "rope.freq_base", 5000);
    }
    if (gemma3) key_u32(&m, "attention.sliding_window", TINY_WINDOW);
    key_f32(&m, gpt2 ? "attention.layer_norm_epsilon" : "attention.layer_norm_rms_epsilon", 1e-5f);
    add_vocabulary(&m);
    add_tensor(&m, "token_embd.weight", m.width, TINY_VOCABULARY, 0, gemma3 ? 0.4 : 1);
    if (rwkv7) add_tensor(&m, "token_embd_norm.weight", m.width, 1, 1, 0.4);
    if (rwkv7) add_tensor(&m, "token_embd_norm.bias", m.width, 1, 0, 0.4);
    if (gpt2) add_tensor(&m, "position_embd.weight", m.width, TINY_CONTEXT, 0, 0.7);
    for (int i = 0; i < layers; i++) add_layer(&m, i, heads, kv_heads, d);
    add_tensor(&m, lfm2 ? "token_embd_norm.weight" : "output_norm.weight", m.width, 1, 1, 0.4);
    if (gpt2 || rwkv7) add_tensor(&m, "output_norm.bias", m.width, 1, 0, 0.4);
    if (!gemma3) add_tensor(&m, "output.weight", m.width, TINY_VOCABULARY, 0, 2.5 / sqrt((double)m.width));
    if (extra) extra(m.w);
    return gguf_writer_finish(m.w, size);
}

void *tiny_model(const char *arch, uint64_t seed, size_t *size) {
    return tiny_model_with(arch, seed, NULL, size);
}

void tiny_model_file_with(const char *arch, uint64_t seed, tiny_extra extra, char *path) {
    size_t size;
    void *data = tiny_model_with(arch, seed, extra, &size);
    strcpy(path, "/tmp/capp-tiny-XXXXXX");
    int fd = mkstemp(path);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size) FAIL("cannot write %s", path);
    close(fd);
    free(data);
}

void tiny_model_file(const char *arch, uint64_t seed, char *path) {
    tiny_model_file_with(arch, seed, NULL, path);
}
