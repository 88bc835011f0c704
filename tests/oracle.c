#include "oracle.h"

#include "test.h"

typedef struct oracle {
    const capp_gguf *g;
    const capp_arch *arch;
    capp_hparams h;
    size_t n; /* positions */
} oracle;

static void *get(size_t n, size_t size) {
    void *p = calloc(n ? n : 1, size);
    if (!p) FAIL("out of memory");
    return p;
}

/* All numbers of a tensor; NULL if it is missing. */
static double *tensor(const oracle *o, const char *name) {
    const capp_gguf_tensor *t = capp_gguf_find_tensor(o->g, name);
    if (!t) return NULL;
    float *f = get(t->elements, sizeof *f);
    double *d = get(t->elements, sizeof *d);
    capp_dequant(t->type)(f, t->data, t->elements);
    for (size_t i = 0; i < t->elements; i++) d[i] = f[i];
    free(f);
    return d;
}

static double *layer_tensor(const oracle *o, size_t layer, const char *name) {
    char full[96];
    snprintf(full, sizeof full, "blk.%zu.%s", layer, name);
    return tensor(o, full);
}

/* y [n][out] = x [n][in] times the transpose of w [out][in], plus b. */
static double *product(size_t n, size_t in, size_t out, const double *x, const double *w, const double *b) {
    double *y = get(n * out, sizeof *y);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < out; j++) {
            double sum = 0;
            for (size_t k = 0; k < in; k++) sum += x[i * in + k] * w[j * in + k];
            y[i * out + j] = sum + (b ? b[j] : 0);
        }
    return y;
}

static double *layer_product(const oracle *o, size_t layer, const char *name, size_t in, size_t out, const double *x) {
    char full[64];
    snprintf(full, sizeof full, "%s.weight", name);
    double *w = layer_tensor(o, layer, full);
    snprintf(full, sizeof full, "%s.bias", name);
    double *b = o->arch->learned_positions ? layer_tensor(o, layer, full) : NULL;
    CHECK(w);
    double *y = product(o->n, in, out, x, w, b);
    free(w);
    free(b);
    return y;
}

/* Normalizes rows of x, of `width` numbers each, in place. */
static void norm(const oracle *o, double *x, size_t rows, size_t width, const double *w, const double *b) {
    for (size_t r = 0; r < rows; r++, x += width) {
        double mean = 0, square = 0;
        for (size_t i = 0; i < width && o->arch->norm == CAPP_NORM_LAYER; i++) mean += x[i] / (double)width;
        for (size_t i = 0; i < width; i++) square += (x[i] - mean) * (x[i] - mean) / (double)width;
        for (size_t i = 0; i < width; i++)
            x[i] = (x[i] - mean) / sqrt(square + (double)o->h.norm_eps) * w[i] + (b ? b[i] : 0);
    }
}

static double *normed(const oracle *o, const char *prefix, const double *x, size_t rows, size_t width) {
    char full[96];
    snprintf(full, sizeof full, "%s.weight", prefix);
    double *w = tensor(o, full);
    snprintf(full, sizeof full, "%s.bias", prefix);
    double *b = tensor(o, full), *y = get(rows * width, sizeof *y);
    CHECK(w);
    memcpy(y, x, rows * width * sizeof *y);
    norm(o, y, rows, width, w, b);
    free(w);
    free(b);
    return y;
}

static double *layer_normed(const oracle *o, size_t layer, const char *name, const double *x, size_t rows,
                            size_t width) {
    char prefix[64];
    snprintf(prefix, sizeof prefix, "blk.%zu.%s", layer, name);
    return normed(o, prefix, x, rows, width);
}

static bool is_local(const oracle *o, size_t layer) {
    return o->h.kinds[layer] & CAPP_LOCAL;
}

/* x [n][heads][head_dim] */
static void rotate(const oracle *o, size_t layer, double *x, size_t heads) {
    size_t dims = o->h.rope_dims, half = dims / 2;
    double base = o->h.ropes[is_local(o, layer)].base;
    for (size_t p = 0; p < o->n; p++)
        for (size_t a = 0; a < heads; a++) {
            double *y = x + (p * heads + a) * o->h.head_dim;
            for (size_t i = 0; i < half; i++) {
                bool pairs = o->h.rope == CAPP_ROPE_PAIRS;
                double *first = y + (pairs ? 2 * i : i), *second = y + (pairs ? 2 * i + 1 : i + half);
                double angle = (double)p * pow(base, -2.0 * (double)i / (double)dims), c = cos(angle), s = sin(angle);
                double u = *first, v = *second;
                *first = u * c - v * s;
                *second = u * s + v * c;
            }
        }
}

/* out [n][heads][head_dim] */
static double *attend(const oracle *o, size_t layer, const double *q, const double *k, const double *v) {
    size_t heads = o->h.heads, kv_heads = o->h.kv_heads, d = o->h.head_dim, window = 0;
    double *out = get(o->n * heads * d, sizeof *out), *p = get(o->n, sizeof *p);
    char key[64];
    uint32_t value;
    snprintf(key, sizeof key, "%s.attention.sliding_window", o->arch->name);
    if (is_local(o, layer) && capp_gguf_u32(o->g, key, &value)) window = value;
    for (size_t i = 0; i < o->n; i++)
        for (size_t a = 0; a < heads; a++) {
            size_t kv = a / (heads / kv_heads), from = window && i + 1 > window ? i + 1 - window : 0;
            double max = -INFINITY, sum = 0;
            for (size_t j = from; j <= i; j++) {
                p[j] = 0;
                for (size_t x = 0; x < d; x++) p[j] += q[(i * heads + a) * d + x] * k[(j * kv_heads + kv) * d + x];
                p[j] /= sqrt((double)d);
                if (p[j] > max) max = p[j];
            }
            for (size_t j = from; j <= i; j++) sum += p[j] = exp(p[j] - max);
            for (size_t j = from; j <= i; j++)
                for (size_t x = 0; x < d; x++)
                    out[(i * heads + a) * d + x] += p[j] / sum * v[(j * kv_heads + kv) * d + x];
        }
    free(p);
    return out;
}

static double activation(const oracle *o, double x) {
    if (o->h.activation == CAPP_SILU_GATED) return x / (1 + exp(-x));
    return 0.5 * x * (1 + tanh(sqrt(2 / 3.14159265358979323846) * (x + 0.044715 * x * x * x)));
}

static double *columns(const double *x, size_t n, size_t width, size_t from, size_t count) {
    double *y = get(n * count, sizeof *y);
    for (size_t i = 0; i < n; i++) memcpy(y + i * count, x + i * width + from, count * sizeof *y);
    return y;
}

static void add_part(const oracle *o, size_t layer, const char *post, double *x, double *part) {
    size_t width = o->h.width;
    if (o->arch->post_norms) {
        double *y = layer_normed(o, layer, post, part, o->n, width);
        memcpy(part, y, o->n * width * sizeof *y);
        free(y);
    }
    for (size_t i = 0; i < o->n * width; i++) x[i] += part[i];
    free(part);
}

static void attention_part(const oracle *o, size_t layer, double *x) {
    size_t n = o->n, width = o->h.width, d = o->h.head_dim, qn = o->h.heads * d, kn = o->h.kv_heads * d;
    double *h = layer_normed(o, layer, "attn_norm", x, n, width), *q, *k, *v;
    if (o->arch->learned_positions) {
        double *all = layer_product(o, layer, "attn_qkv", width, qn + 2 * kn, h);
        q = columns(all, n, qn + 2 * kn, 0, qn);
        k = columns(all, n, qn + 2 * kn, qn, kn);
        v = columns(all, n, qn + 2 * kn, qn + kn, kn);
        free(all);
    } else {
        q = layer_product(o, layer, "attn_q", width, qn, h);
        k = layer_product(o, layer, "attn_k", width, kn, h);
        v = layer_product(o, layer, "attn_v", width, kn, h);
    }
    if (o->h.qk_norm != CAPP_QK_NONE) {
        double *wq = layer_tensor(o, layer, "attn_q_norm.weight"), *wk = layer_tensor(o, layer, "attn_k_norm.weight");
        norm(o, q, n * o->h.heads, d, wq, NULL);
        norm(o, k, n * o->h.kv_heads, d, wk, NULL);
        free(wq);
        free(wk);
    }
    if (o->h.rope != CAPP_ROPE_NONE) {
        rotate(o, layer, q, o->h.heads);
        rotate(o, layer, k, o->h.kv_heads);
    }
    double *mixed = attend(o, layer, q, k, v);
    add_part(o, layer, "post_attention_norm", x, layer_product(o, layer, "attn_output", qn, width, mixed));
    free(h), free(q), free(k), free(v), free(mixed);
}

static void feed_part(const oracle *o, size_t layer, double *x) {
    size_t n = o->n, width = o->h.width, feed = o->h.feed;
    double *h = layer_normed(o, layer, "ffn_norm", x, n, width),
           *up = layer_product(o, layer, "ffn_up", width, feed, h);
    if (o->h.activation == CAPP_GELU)
        for (size_t i = 0; i < n * feed; i++) up[i] = activation(o, up[i]);
    else {
        double *gate = layer_product(o, layer, "ffn_gate", width, feed, h);
        for (size_t i = 0; i < n * feed; i++) up[i] *= activation(o, gate[i]);
        free(gate);
    }
    add_part(o, layer, "post_ffw_norm", x, layer_product(o, layer, "ffn_down", feed, width, up));
    free(h), free(up);
}

void oracle_logprobs(const capp_gguf *g, const int32_t *ids, size_t n, double *logprobs) {
    oracle o = {.g = g, .n = n};
    capp_error err;
    capp_source source = {(capp_gguf *)(uintptr_t)g, NULL};
    CHECK_OK(capp_hparams_read(&o.h, &o.arch, &source, &err), err);
    size_t width = o.h.width, vocabulary = capp_gguf_find_tensor(g, "token_embd.weight")->dims[1];
    double *embeddings = tensor(&o, "token_embd.weight"), *positions = tensor(&o, "position_embd.weight");
    double *x = get(n * width, sizeof *x);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < width; j++) {
            x[i * width + j] =
                embeddings[(size_t)ids[i] * width + j] * (o.arch->scaled_embedding ? sqrt((double)width) : 1);
            if (positions) x[i * width + j] += positions[i * width + j];
        }
    for (size_t layer = 0; layer < o.h.layers; layer++) {
        attention_part(&o, layer, x);
        feed_part(&o, layer, x);
    }
    double *h = normed(&o, "output_norm", x, n, width), *head = tensor(&o, "output.weight");
    double *logits = product(n, width, vocabulary, h, head ? head : embeddings, NULL);
    logprobs[0] = NAN;
    for (size_t i = 0; i + 1 < n; i++) {
        double max = -INFINITY, sum = 0;
        for (size_t j = 0; j < vocabulary; j++) max = fmax(max, logits[i * vocabulary + j]);
        for (size_t j = 0; j < vocabulary; j++) sum += exp(logits[i * vocabulary + j] - max);
        logprobs[i + 1] = logits[i * vocabulary + (size_t)ids[i + 1]] - max - log(sum);
    }
    free(embeddings), free(positions), free(x), free(h), free(head), free(logits);
}
