/* A model: hyperparameters, and weights bound, shape-checked and packed for the kernels. Immutable once open. */
#ifndef CAPP_MODEL_MODEL_H
#define CAPP_MODEL_MODEL_H

#include "base/error.h"
#include "base/pool.h"
#include "file/gguf.h"
#include "kernel/dequant.h"
#include "kernel/kernel.h"

typedef enum capp_norm_kind { CAPP_NORM_RMS, CAPP_NORM_LAYER } capp_norm_kind;
typedef enum capp_rope_kind { CAPP_ROPE_NONE, CAPP_ROPE_PAIRS, CAPP_ROPE_HALVES } capp_rope_kind;
typedef enum capp_activation { CAPP_SILU_GATED, CAPP_GELU_GATED, CAPP_GELU } capp_activation;

/* What differs between architectures: a row of a table over one layer,
 *   h = embed(token) [+ position]
 *   h += [post_norm](out(attention(norm(h)))); h += [post_norm](down(activation(up(norm(h)))))
 *   logits = head(norm(h))
 * Metadata keys are "NAME.key" of the architecture's name, as gguf.md lists them. */
typedef struct capp_arch {
    const char *name;    /* general.architecture */
    capp_norm_kind norm; /* its epsilon is attention.layer_norm_rms_epsilon or .layer_norm_epsilon */
    capp_rope_kind rope; /* pairs: q and k rows are stored for (2i, 2i + 1); halves: for (i, i + half) */
    capp_activation activation;
    bool fused_qkv;         /* attn_qkv instead of attn_q, attn_k, attn_v */
    bool biases;            /* of every product */
    bool qk_norms;          /* an RMS norm of each head of q and k */
    bool post_norms;        /* after attention and after the feed-forward part */
    bool learned_positions; /* position_embd is added to the embedding */
    bool scaled_embedding;  /* times sqrt(width) */
    unsigned window_period; /* layer i is global where (i + 1) % period == 0, else looks back attention.sliding_window
                               positions; 0: all are global */
    double local_rope_base; /* base of the layers with a window; global ones have rope.freq_base */
} capp_arch;

/* The row of that name; NULL for an architecture that capp does not know. */
const capp_arch *capp_arch_find(capp_str name);

/* Names of all architectures, "gemma3, gpt2, llama", for messages. */
const char *capp_arch_names(void);

enum { CAPP_MOST_SOURCES = 3 };

/* y [rows][n] = x [rows][k] times the transpose of w [n][k], packed in panels of products->nr rows of w. n rows are
 * `parts` matrices of `columns` rows; their panels take turns: panel i is of part i % parts, from row i / parts * nr.
 */
typedef struct capp_matrix {
    size_t n, k;
    size_t parts, columns; /* 2 of gate and up side by side, else 1 */
    size_t panels;         /* parts * ceil(columns / nr) */
    size_t panel_bytes;    /* */
    char *packed;      /* [panels][panel_bytes], 64-byte aligned, inside the model's block; NULL: packed when used */
    const float *bias; /* [n], or NULL */
    const capp_gguf_tensor *source[CAPP_MOST_SOURCES]; /* [n_sources] its rows, one tensor's after another's */
    size_t n_sources;
} capp_matrix;

typedef struct capp_norm {
    const float *weight; /* [width of the row]; NULL: no such norm here */
    const float *bias;   /* or NULL */
} capp_norm;

typedef struct capp_layer {
    capp_norm attention_norm, q_norm, k_norm, attention_post_norm, feed_norm, feed_post_norm;
    capp_matrix qkv;  /* rows: heads * head_dim of q, kv_heads * head_dim of k, the same of v */
    capp_matrix out;  /* width rows */
    capp_matrix up;   /* gated: two parts, gate and up, of feed rows each; else one */
    capp_matrix down; /* width rows */
    uint32_t window;  /* a row sees its own and the window - 1 positions before it; 0: all */
    unsigned rope;    /* index into capp_weights.rope_base */
} capp_layer;

typedef struct capp_hparams {
    uint32_t vocabulary, context, width, layers, heads, kv_heads, head_dim, feed;
    uint32_t rope_dims; /* dimensions of a head that rotate */
    uint32_t n_ropes;   /* kinds of rotation in use: 1, or 2 where windows have their own base */
    double rope_base[2];
    float norm_eps, embedding_scale, score_scale;
} capp_hparams;

typedef struct capp_weights {
    const capp_arch *arch;
    const capp_kernels *kernels;
    const capp_products *products; /* of kernels, of the precision of the packed matrices */
    capp_hparams hparams;
    capp_layer *layers;                /* [hparams.layers] */
    capp_norm output_norm;             /* */
    capp_matrix head;                  /* vocabulary rows */
    const capp_gguf_tensor *tokens;    /* embeddings [vocabulary][width], read row by row as stored */
    const capp_gguf_tensor *positions; /* [context][width], or NULL */
    capp_dequant_fn tokens_dequant, positions_dequant;
    uint64_t parameters, packed_bytes;
    char *block;    /* all packed matrices; NULL: they are packed when used */
    float **floats; /* norms and biases as float32; NULL in a twin */
    size_t n_floats, floats_capacity;
} capp_weights;

/* Reads and checks hyperparameters alone. Errors name the file and the key. */
capp_status capp_hparams_read(capp_hparams *hparams, const capp_arch **arch, const capp_gguf *g, capp_error *err);

/* Binds every tensor of g (which must outlive *weights), checks type and shape, packs matrices on the pool's threads
 * for products, which are kernels->f32 or kernels->bf16. Errors name the file and the tensor. *weights is NULL on
 * failure. */
capp_status capp_weights_open(capp_weights **weights, const capp_gguf *g, const capp_kernels *kernels,
                              const capp_products *products, capp_pool *pool, capp_error *err);

/* The same weights for other products, packed panel by panel whenever they are used: it takes no memory, and a wave
 * takes a dequantisation longer. Borrows from weights, which must outlive *twin. */
capp_status capp_weights_twin(capp_weights **twin, const capp_weights *weights, const capp_products *products,
                              capp_error *err);

/* Panels first .. first + n - 1 of m, one after another, 64-byte aligned: where they are packed, or packed into
 * scratch, which has capp_matrix_scratch(w, m, n) floats and is 64-byte aligned. */
const char *capp_matrix_panels(const capp_weights *w, const capp_matrix *m, size_t first, size_t n, float *scratch);

/* Whole vectors; 0 where m is packed. */
size_t capp_matrix_scratch(const capp_weights *w, const capp_matrix *m, size_t n);

/* weights may be NULL. */
void capp_weights_free(capp_weights *weights);

#endif
