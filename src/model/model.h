/* A model: hyperparameters, and weights bound, shape-checked and packed for the kernels. Immutable once open. */
#ifndef CAPP_MODEL_MODEL_H
#define CAPP_MODEL_MODEL_H

#include <stdatomic.h>

#include "base/error.h"
#include "base/pool.h"
#include "file/source.h"
#include "kernel/dequant.h"
#include "kernel/kernel.h"
#include "kernel/quant.h"

enum { CAPP_MOST_LAYERS = 1024, CAPP_ALL_LOCAL = 1 << 30 };

typedef enum capp_norm_kind { CAPP_NORM_RMS, CAPP_NORM_LAYER } capp_norm_kind;
typedef enum capp_rope_kind { CAPP_ROPE_NONE, CAPP_ROPE_PAIRS, CAPP_ROPE_HALVES } capp_rope_kind;

/* Gated ones multiply by a second product; ERF is the exact form of GELU, QUICK is x / (1 + exp(-1.702 x)), the others
 * its tanh form; RELU2 is the square of ReLU; XIELU has numbers of its own in each layer, see capp_curve; CLAMPED is
 * GPT-OSS's (min(g, 7) / (1 + exp(-1.702 g))) (clamp(u, -7, 7) + 1). */
typedef enum capp_activation {
    CAPP_SILU_GATED,
    CAPP_GELU_GATED,
    CAPP_GELU_ERF_GATED,
    CAPP_QUICK_GELU_GATED,
    CAPP_RELU_GATED,
    CAPP_RELU2_GATED,
    CAPP_CLAMPED_GATED,
    CAPP_SILU,
    CAPP_GELU,
    CAPP_GELU_ERF,
    CAPP_QUICK_GELU,
    CAPP_RELU,
    CAPP_RELU2,
    CAPP_XIELU
} capp_activation;

static inline bool capp_is_gated(capp_activation a) {
    return a <= CAPP_CLAMPED_GATED;
}

/* Numbers of xIELU in one layer (Huang and Schlag, arXiv 2411.13010): x > 0: positive x x + beta x; else
 * negative (expm1(min(x, eps)) - x) + beta x. */
typedef struct capp_curve {
    float positive, negative, beta, eps;
} capp_curve;

/* The norms of q and k: for each head with one weight for all, for each head with its own, or for the whole row. */
typedef enum capp_qk_norm { CAPP_QK_NONE, CAPP_QK_HEAD, CAPP_QK_OWN, CAPP_QK_ROW } capp_qk_norm;

/* Whether the feed-forward part reads the stream before attention was added: through the attention's norm or its own.
 */
typedef enum capp_parallel { CAPP_SEQUENTIAL, CAPP_PARALLEL_SHARED, CAPP_PARALLEL_OWN } capp_parallel;

/* Tensors by their purpose. X(part, name in GGUF files) */
#define CAPP_MODEL_PART_MAP(X)                                                                                         \
    X(TOKENS, "token_embd")                                                                                            \
    X(TOKENS_NORM, "token_embd_norm")                                                                                  \
    X(POSITIONS, "position_embd")                                                                                      \
    X(PROJECT_IN, "token_embd_in")                                                                                     \
    X(PROJECT_OUT, "token_embd_out")                                                                                   \
    X(OUTPUT_NORM, "output_norm")                                                                                      \
    X(HEAD, "output")                                                                                                  \
    X(ROPE_FACTORS, "rope_freqs")                                                                                      \
    X(ROPE_LONG, "rope_factors_long")                                                                                  \
    X(ROPE_SHORT, "rope_factors_short")
#define CAPP_LAYER_PART_MAP(X)                                                                                         \
    X(ATTENTION_NORM, "attn_norm")                                                                                     \
    X(QKV, "attn_qkv")                                                                                                 \
    X(Q, "attn_q")                                                                                                     \
    X(K, "attn_k")                                                                                                     \
    X(V, "attn_v")                                                                                                     \
    X(Q_NORM, "attn_q_norm")                                                                                           \
    X(K_NORM, "attn_k_norm")                                                                                           \
    X(SINKS, "attn_sinks")                                                                                             \
    X(OUT, "attn_output")                                                                                              \
    X(ATTENTION_POST_NORM, "post_attention_norm")                                                                      \
    X(FEED_NORM, "ffn_norm")                                                                                           \
    X(GATE, "ffn_gate")                                                                                                \
    X(CURVE, "ffn_act")                                                                                                \
    X(UP, "ffn_up")                                                                                                    \
    X(DOWN, "ffn_down")                                                                                                \
    X(FEED_POST_NORM, "post_ffw_norm")                                                                                 \
    X(ROUTER, "ffn_gate_inp")                                                                                          \
    X(EXPERT_GATE, "ffn_gate_exps")                                                                                    \
    X(EXPERT_UP, "ffn_up_exps")                                                                                        \
    X(EXPERT_DOWN, "ffn_down_exps")                                                                                    \
    X(CHOICE_BIAS, "exp_probs_b")                                                                                      \
    X(SHARED_ROUTER, "ffn_gate_inp_shexp")                                                                             \
    X(SHARED_GATE, "ffn_gate_shexp")                                                                                   \
    X(SHARED_UP, "ffn_up_shexp")                                                                                       \
    X(SHARED_DOWN, "ffn_down_shexp")

typedef enum capp_part {
#define X(part, name) CAPP_PART_##part,
    CAPP_MODEL_PART_MAP(X) CAPP_FIRST_LAYER_PART,
    CAPP_BEFORE_LAYER_PARTS = CAPP_FIRST_LAYER_PART - 1,
    CAPP_LAYER_PART_MAP(X)
#undef X
        CAPP_PARTS
} capp_part;

/* Whether products have a bias. GGUF: if key is not NULL, whether the tensor exists. Folders: as config.json's key
 * says, or by_default if it says nothing or key is NULL. */
typedef struct capp_has {
    bool by_default;
    const char *key;
} capp_has;

/* The values that config.json may have for a key if the model is what the row describes, as JSON. */
typedef struct capp_rule {
    const char *key, *only; /* only NULL: any value, which the row's own readers check */
} capp_rule;

/* The default of the family's configuration class for a field that config.json does not have. (null counts as present.)
 */
typedef struct capp_default {
    const char *key;
    double value;
} capp_default;

/* What differs between architectures: a row of a table over one layer,
 *   h = embed(token) [+ position]
 *   h += [post_norm](out(attention([norm](h)))); h += [post_norm](down(activation(up([norm](h)))))
 *   logits = head(norm(h))
 * The numbers are read from the file into capp_hparams; where the file may say otherwise, that counts and the row is
 * the default. */
typedef struct capp_arch {
    const char *models;  /* what people call them */
    const char *name;    /* in messages; the key "NAME.key" of GGUF metadata */
    const char *gguf;    /* general.architecture, or NULL: no GGUF file has it under its own name */
    const char *hf;      /* model_type of config.json, or NULL */
    const char *gguf_as; /* if gguf is NULL: the architecture that GGUF files give this model, or NULL */
    capp_norm_kind norm; /* */
    bool norm_bias;
    bool bare_norms;     /* without weights; OPT: where config.json says so */
    bool norm_plus_one;  /* folders store a norm's weight minus 1 */
    capp_rope_kind rope; /* in GGUF files. Pairs: q and k rows are stored for (2i, 2i + 1); halves: for (i, i + half) */
    capp_rope_kind hf_rope;
    double rotary;        /* the share of a head's dimensions that rotate, 0: all */
    uint32_t nope_period; /* layer i does not rotate where (i + 1) % period == 0; 0: all do */
    bool nope_global;     /* layers without a window do not rotate */
    capp_activation activation;
    capp_has qkv_bias, out_bias, feed_bias;
    bool head_bias;
    capp_qk_norm qk_norm;
    const char *qk_norm_key; /* which decides in config.json; GGUF: where the tensor is there */
    bool qk_norm_bias;
    bool qk_norm_rotated; /* q and k are normalized after they rotate */
    bool no_pre_norms;
    bool post_norms;          /* after attention and after the feed-forward part */
    capp_parallel parallel;   /* */
    bool maybe_parallel;      /* shared experts, if the file says so */
    double theta;             /* rope base if config.json does not say, 0: 10000 */
    bool learned_positions;   /* a row of the table of positions is added to the embedding */
    uint32_t position_offset; /* the first position's row in folders */
    bool tokens_norm;         /* a norm of the embedding */
    bool scaled_embedding;    /* times sqrt(width) */
    bool alibi;               /* linear biases of scores */
    uint32_t alibi_layers;    /* the same in GGUF files of as many layers, in place of rotations; 0: in none */
    bool sinks;               /* an attention logit of each head that no value belongs to */
    bool caps;                /* soft caps of scores and logits */
    bool scales;              /* Granite's */
    bool logit_scale;         /* Cohere's */
    bool clamps;              /* of q, k and v */
    bool query_growth;        /* Llama 4's, which rope_parameters has */
    bool rope_required;       /* the class has a scaling of its own: config.json must say which */
    bool rope_axes;           /* folders share out dimensions among axes of positions, which are one for text */
    bool rope_alpha;          /* Hunyuan's rope scaling "dynamic" has an alpha, which changes the base */
    uint32_t window_period; /* layer i is global where (i + 1) % period == 0, else looks back a window; 0: all global */
    bool maybe_windows;     /* a file may have none: then all layers are global, and all rotate */
    double local_rope_base; /* base of the layers with a window, where it is their own */
    bool local_rope_unscaled; /* layers with a window rotate without the scaling of the others */
    bool experts;             /* may have them */
    bool router_norm;         /* their shares are divided by the sum over the chosen */
    bool router_sigmoid;      /* shares are sigmoids, where the file does not say otherwise */
    bool router_wide;      /* the file may name a factor of the shares, groups of experts, dense layers before others */
    bool choice_bias;      /* added to shares when experts are chosen; GGUF: where the tensor is there */
    bool rope_untruncated; /* YaRN's bounds are not rounded */
    bool tied;             /* the embedding is the head where config.json does not say */
    bool transposed;       /* folders store products as [inputs][outputs] */
    bool grouped_qkv;      /* folders store fused rows by key-value head: its q heads, its k, its v */
    bool fused_gate;       /* gate and up are one tensor */
    double eps;            /* where config.json does not say */
    const char *names[CAPP_PARTS]; /* in folders; "%u" is the layer, then the expert; "a|b": the first that is there */
    const char *gguf_names[CAPP_PARTS]; /* where they differ from the list above */
    const char *prefix;                 /* of names, which some folders leave out */
    const capp_rule *rules;             /* ends with a NULL key; or NULL */
    const capp_default *defaults;       /* likewise; those of heads, windows, caps: nothing that tensors show */
} capp_arch;

/* The row with this name in GGUF files or in config.json; NULL for an architecture that capp does not know. */
const capp_arch *capp_arch_find(capp_str name, bool gguf);

/* The name of a source's architecture, for capp_arch_find: general.architecture, or model_type. */
capp_found capp_model_type(const capp_source *s, capp_str *out);

/* Whether a source is a multimodal folder, of which capp runs the text model. */
bool capp_is_multimodal(const capp_source *s);

/* Whether a tensor or module of a multimodal model belongs to its image part. */
bool capp_is_vision(capp_str name);

/* Row i of all architectures; NULL after the last one. */
const capp_arch *capp_arch_at(size_t i);

/* The row whose name in that format is nearest to name, by letters that differ. */
const capp_arch *capp_arch_nearest(capp_str name, bool gguf);

enum { CAPP_MOST_SOURCES = 3 };

/* The change that an adapter makes to rows first .. first + n - 1 of a matrix with k columns: b times a. */
typedef struct capp_delta {
    struct capp_delta *next;  /* of the matrix */
    struct capp_delta *owned; /* next of all */
    size_t first, n, rank;
    float *a; /* [rank][k] */
    float *b; /* [n][rank], times scale and weight */
    float numbers[];
} capp_delta;

/* The products of a lane. */
typedef struct capp_arithmetic {
    const capp_products *floats;   /* of kernels: f32 or bf16 */
    const capp_products *integers; /* i16, for the matrices that are stored as integers; NULL: floats for all */
    float share;                   /* how much of the low digits is left out: see coarsen in kernel.h; 0: nothing */
} capp_arithmetic;

/* y [rows][n] = x [rows][k] times the transpose of w [n][k], packed in panels of products->nr rows of w. n rows are
 * `parts` matrices of `columns` rows; their panels take turns: panel i is of part i % parts, from row i / parts * nr.
 */
typedef struct capp_matrix {
    size_t n, k;
    size_t parts, columns; /* 2 of gate and up side by side, else 1 */
    size_t panels;         /* parts * ceil(columns / nr) */
    size_t panel_bytes;    /* */
    size_t extra;          /* number of additional floats for reading rows of its sources */
    char *packed;          /* [panels][panel_bytes], 64-byte aligned, in the cache; NULL: packed when used */
    const float *bias;     /* [n], or NULL */
    capp_curve curve;      /* of the activation of what it gives, where that is CAPP_XIELU */
    const capp_tensor *source[CAPP_MOST_SOURCES]; /* [n_sources] the tensors with its rows, one after another */
    size_t n_sources;
    capp_delta *deltas; /* added to the rows when they are packed, a list */
    bool integers;      /* every panel can be unpacked for products of integers */
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
    float score_scale;
    uint32_t window;           /* a row sees its own and the window - 1 positions before it; 0: all */
    unsigned rope;             /* which of the n_ropes rotations */
    bool still;                /* q and k do not rotate */
    const float *sinks;        /* [heads], or NULL */
    capp_matrix router;        /* experts rows */
    const float *choice_bias;  /* [experts], or NULL */
    capp_matrix shared_router; /* one row: a factor of what up and down give beside experts, its sigmoid; or no parts */
    /* [experts] as up; or NULL: no experts. up and down are then an expert of all rows, or have no parts. */
    capp_matrix *expert_up;
    capp_matrix *expert_down; /* [experts] */
} capp_layer;

/* How the frequencies of a base are stretched for long contexts. */
typedef enum capp_scaling {
    CAPP_SCALING_NONE,
    CAPP_SCALING_LINEAR,
    CAPP_SCALING_LLAMA3,
    CAPP_SCALING_YARN,
    CAPP_SCALING_FACTORS /* a divisor for each frequency */
} capp_scaling;

typedef struct capp_rope {
    double base;
    capp_scaling scaling;
    double factor, original; /* context that the model was first trained with */
    double low, high;        /* LLAMA3: factors; YARN: beta_slow, beta_fast */
    bool untruncated;        /* YARN */
    double magnitude;        /* of cosines and sines */
} capp_rope;

/* CAPP_DENSE: without the experts that others have. */
enum { CAPP_LOCAL = 1, CAPP_STILL = 2, CAPP_DENSE = 4 };

/* How a folder stores its products, if not in float32, float16 or bfloat16. */
typedef enum capp_quant_method { CAPP_NOT_QUANTIZED, CAPP_GPTQ, CAPP_AWQ, CAPP_FLOAT8 } capp_quant_method;

typedef struct capp_quantization {
    capp_quant_method method;
    uint32_t bits;                      /* GPTQ, AWQ; 0: products differ */
    uint32_t group;                     /* GPTQ, AWQ: inputs that share a scale; 0: all */
    bool zeros_less_one;                /* GPTQ */
    uint32_t block_rows, block_columns; /* FLOAT8: the block that shares a scale, if scales are a table; 0: unknown */
} capp_quantization;

typedef struct capp_hparams {
    uint32_t vocabulary, context, width, layers, heads, kv_heads, head_dim, feed;
    capp_activation activation;
    capp_qk_norm qk_norm;
    bool qk_norm_rotated;
    capp_parallel parallel;
    bool qkv_bias, out_bias, feed_bias; /* folders */
    bool tied;
    capp_rope_kind rope;
    uint32_t rope_dims; /* dimensions of a head that rotate */
    uint32_t n_ropes;   /* kinds of rotation in use: 1, or 2 where windows have their own base */
    capp_rope ropes[2];
    uint32_t short_context; /* LongRoPE: contexts up to this have factors of their own; 0: no such thing */
    uint32_t window;
    uint32_t experts, experts_used; /* experts: 0 for none */
    uint32_t dense_feed;            /* of layers that are CAPP_DENSE */
    uint32_t embedded;              /* width of embedding and head; projections lead to and from it */
    bool norm_after;                /* the norms apply to the stream after a part was added to it */
    bool bare_norms, no_output_norm;
    bool router_norm, router_sigmoid;
    uint32_t expert_groups, expert_groups_used; /* of which experts are chosen; 0: no groups */
    float router_scale;                         /* of shares */
    uint32_t shared_feed;                       /* of the expert of all rows; 0: none */
    uint32_t skipped_layers;                    /* after the others, of which nothing is read */
    bool mxfp4;                                 /* folders: the experts' products are blocks of MXFP4 */
    capp_quantization quantization;
    float norm_eps, embedding_scale, score_scale, residual_scale, logit_scale;
    float score_cap, logit_cap;            /* 0: none */
    float clamp;                           /* of q, k and v; 0: none */
    float alibi;                           /* largest slope's exponent; 0: no biases */
    float growth;                          /* q of position p is times 1 + growth log(1 + floor(p / its original)) */
    bool alibi_rounded;                    /* Falcon: biases are of bfloat16, and scaled like scores */
    bool scale_by_layer;                   /* scores of layer i are divided by i + 1 */
    unsigned char kinds[CAPP_MOST_LAYERS]; /* CAPP_LOCAL, CAPP_STILL */
} capp_hparams;

static inline bool capp_has_experts(const capp_hparams *h, uint32_t layer) {
    return h->experts && !(h->kinds[layer] & CAPP_DENSE);
}

typedef struct capp_weights {
    const capp_arch *arch;
    const capp_kernels *kernels;
    const capp_products *products; /* of floats, and of integers or NULL: capp_products_of chooses for a matrix */
    const capp_products *integers;
    float share;                      /* as in capp_arithmetic */
    size_t n_integers, n_floats_only; /* matrices that are stored as integers, and the others but for routers */
    const capp_source *source;        /* borrowed: the file */
    capp_hparams hparams;
    capp_layer *layers;           /* [hparams.layers] */
    capp_norm output_norm;        /* */
    capp_matrix project_in;       /* of the embedding to the stream, of the stream to the head; where they */
    capp_matrix project_out;      /* have parts */
    capp_matrix head;             /* vocabulary rows */
    const capp_tensor *tokens;    /* embeddings [vocabulary][width], read row by row in their stored form */
    const capp_tensor *positions; /* [context + position_offset][width], or NULL */
    uint32_t position_offset;     /* row of the first position */
    capp_norm tokens_norm;        /* of the embedding, where weight is not NULL */
    double *frequencies;          /* [n_ropes][rope_dims / 2] in use; after them as many for long contexts */
    const float *alibi;           /* [heads] slopes, or NULL */
    capp_matrix *expert_matrices; /* [layers][2 experts] */
    capp_dequant_fn tokens_dequant, positions_dequant;
    uint64_t parameters, adapter_bytes;
    size_t packed_bytes, whole_bytes; /* size of the cache; size of a cache of all matrices */
    char *block;                      /* the cache [packed_bytes]; NULL: it is empty */
    size_t resident_layers; /* number of layers whose pages of the file stay in memory; layer hparams.layers has the
                               head */
    float **floats;         /* norms and biases as float32 */
    size_t n_floats, floats_capacity;
    struct capp_derived *derived; /* list of derived tensors: those in a form that the file does not have */
    capp_delta *tokens_delta, *positions_delta; /* changes to the tables, applied when a row is read */
    capp_delta *deltas;                         /* all, a list by `owned` */
    bool borrows;                               /* a twin: it owns only layers and expert_matrices of all this */
} capp_weights;

/* The products that a matrix is packed for and multiplied by. */
static inline const capp_products *capp_products_of(const capp_weights *w, const capp_matrix *m) {
    return m->integers && w->integers ? w->integers : w->products;
}

/* Reads and checks hyperparameters alone. Errors name the file and the key. */
capp_status capp_hparams_read(capp_hparams *hparams, const capp_arch **arch, const capp_source *source,
                              capp_error *err);

/* A description, "GPTQ, 4 bits, a scale for 128 inputs", in buffer; NULL if nothing is quantized. */
const char *capp_quant_name(const capp_hparams *hparams, char *buffer, size_t size);

/* The number of weights in a tensor of the source: the number of its elements, except for quantized tensors and those
 * that belong to them. *readable: whether they can become float32. */
uint64_t capp_quant_weights(const capp_hparams *hparams, const capp_tensor *t, bool *readable);

/* Binds every tensor of the source (which must outlive *weights), checks type and shape, packs matrices on the pool's
 * threads for products, which are kernels->f32 or kernels->bf16. Errors name the file and the tensor. *weights is NULL
 * on failure. */
capp_status capp_weights_open(capp_weights **weights, const capp_source *source, const capp_kernels *kernels,
                              const capp_products *products, capp_pool *pool, capp_error *err);

/* A LoRA adapter, a folder as PEFT saves it or a GGUF file; adapter.h has the formats. */
typedef struct capp_adapter capp_adapter;

/* Opens path; weight is a factor of what the adapter adds. Everything is checked that needs no model. On success the
 * caller owns *adapter; on failure it is NULL. Errors name the file and the field or tensor. */
capp_status capp_adapter_open(capp_adapter **adapter, const char *path, double weight, capp_error *err);

/* adapter may be NULL. */
void capp_adapter_free(capp_adapter *adapter);

/* As capp_weights_open, for weights to which n adapters are added, in float32, before they are packed. The adapters may
 * be freed afterwards: of each, float32 copies of its tensors are kept, never of the weights. */
capp_status capp_weights_open_adapted(capp_weights **weights, const capp_source *source, const capp_kernels *kernels,
                                      const capp_products *products, capp_adapter *const *adapters, size_t n,
                                      capp_pool *pool, capp_error *err);

/* Sets the budget for packed weights: all if they fit, otherwise as many as fit (parts) or none. */
typedef struct capp_cache {
    uint64_t bytes;
    bool parts;
} capp_cache;

/* The two halves of capp_weights_open_adapted: binding, after which all that can fail is done and all memory there, and
 * packing what is cached, which allocates nothing. On success the caller owns *packer too; on failure both are NULL.
 * threads: those of the pool that will pack. whole: the arithmetic of a model all of whose matrices (but for routers)
 * are stored as integers; other: of any other. */
typedef struct capp_packer capp_packer;
capp_status capp_weights_bind(capp_weights **weights, capp_packer **packer, const capp_source *source,
                              const capp_kernels *kernels, const capp_arithmetic *whole, const capp_arithmetic *other,
                              capp_adapter *const *adapters, size_t n, capp_cache cache, int threads, capp_error *err);

/* Packs the weights for which packer was made. If *stop becomes true, this ends early, within a panel, and the weights
 * can only be freed. stop may be NULL. It becomes the pool's. */
void capp_packer_run(capp_packer *packer, capp_pool *pool, const atomic_bool *stop);

/* The number of panels packed so far and of all panels; from any thread. */
void capp_packer_progress(const capp_packer *packer, size_t *done, size_t *total);

/* packer may be NULL; the weights stay. */
void capp_packer_free(capp_packer *packer);

/* Adds the changes of a list to rows row .. row + n - 1 [n][k] of their matrix. */
void capp_delta_add(const capp_weights *w, const capp_delta *deltas, size_t row, size_t n, float *rows, size_t k);

/* Sets the context with which the model runs. LongRoPE selects its factors by it: those for short contexts up to
 * hparams.short_context (if the file says so), which is what capp_weights_open leaves, otherwise the long ones. */
void capp_weights_set_context(capp_weights *weights, uint32_t context);

/* The same weights for other products. Matrices whose products are the same share the cache; the others are packed
 * panel by panel whenever they are used, so that the twin takes no memory. Borrows from weights, which must outlive
 * *twin. */
capp_status capp_weights_twin(capp_weights **twin, const capp_weights *weights, const capp_arithmetic *arithmetic,
                              capp_error *err);

/* Prefetches the weights of a layer that are not cached, for a wave of rows; layer hparams.layers is the head.
 * Prefetches the experts of the layer only if most of them will be chosen. */
void capp_weights_ahead(const capp_weights *w, size_t layer, size_t rows);

/* Gives the layer's pages back if they are not to stay. */
void capp_weights_behind(const capp_weights *w, size_t layer);

/* After a wave: if all weights are cached, unmaps the pages that were read, which would otherwise add up to the whole
 * file. */
void capp_weights_release(const capp_weights *w);

/* Limits the memory for pages of the file to `room` bytes: sets resident_layers. */
void capp_weights_keep(capp_weights *w, uint64_t room);

/* Number of bytes that each wave reads from the disk; 0 if the file fits memory. */
uint64_t capp_weights_streamed(const capp_weights *w);

/* Prefetches a matrix that is not cached. */
void capp_matrix_prefetch(const capp_matrix *m);

/* Panels first .. first + n - 1 of m, one after another, each of them its parts along k one after another (at
 * panel_bytes(from) bytes), 64-byte aligned: where they are packed, or packed into scratch, which has
 * capp_matrix_scratch(w, m, n) floats and is 64-byte aligned. */
const char *capp_matrix_panels(const capp_weights *w, const capp_matrix *m, size_t first, size_t n, float *scratch);

/* The length of the part of k that begins at `from`: a block of the products, or the rest. */
size_t capp_part_of(const capp_products *products, size_t k, size_t from);

/* One part of each of those panels, as a panel of its own: parts [n]. To be called from the first part to the last,
 * with the same scratch and nothing else in it, for a panel that cannot be packed in parts is packed with the first. */
void capp_matrix_parts(const capp_weights *w, const capp_matrix *m, size_t first, size_t n, size_t from, float *scratch,
                       const char **parts);

/* Whole vectors; 0 where m is packed. */
size_t capp_matrix_scratch(const capp_weights *w, const capp_matrix *m, size_t n);

/* weights may be NULL. */
void capp_weights_free(capp_weights *weights);

#endif
