/* A model: hyperparameters, and weights bound, shape-checked and packed for the kernels. Immutable once open, except
 * that its cache of packed weights fills. */
#ifndef CAPP_MODEL_MODEL_H
#define CAPP_MODEL_MODEL_H

#include "base/error.h"
#include "file/source.h"
#include "kernel/dequant.h"
#include "kernel/kernel.h"
#include "kernel/quant.h"
#include "model/matrix.h"
#include "model/mixer.h"
#include "model/parts.h"

enum { CAPP_MOST_LAYERS = 1024, CAPP_ALL_LOCAL = 1 << 30, CAPP_MOST_STREAMS = 8 };

typedef enum capp_norm_kind { CAPP_NORM_RMS, CAPP_NORM_LAYER } capp_norm_kind;
typedef enum capp_rope_kind { CAPP_ROPE_NONE, CAPP_ROPE_PAIRS, CAPP_ROPE_HALVES } capp_rope_kind;

/* Gated activations multiply by a second product. ERF is the exact form of GELU, QUICK is x / (1 + exp(-1.702 x)), the
 * other GELUs are its tanh form. RELU2 is the square of ReLU. XIELU has its own numbers in each layer, see capp_curve.
 * CLAMPED is GPT-OSS's (min(g, 7) / (1 + exp(-1.702 g))) (clamp(u, -7, 7) + 1). */
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

/* The norms of q and k: HEAD normalizes each head, with one weight for all heads; OWN normalizes each head with its own
 * weight; ROW normalizes the whole row. */
typedef enum capp_qk_norm { CAPP_QK_NONE, CAPP_QK_HEAD, CAPP_QK_OWN, CAPP_QK_ROW } capp_qk_norm;

/* PARALLEL: the feed-forward part reads the stream before attention is added, through the attention's norm (SHARED) or
 * through its own norm (OWN). */
typedef enum capp_parallel { CAPP_SEQUENTIAL, CAPP_PARALLEL_SHARED, CAPP_PARALLEL_OWN } capp_parallel;

/* Whether products have a bias. GGUF: if key is not NULL, they have one if the tensor exists. Folders: config.json's
 * key decides; if it is missing or key is NULL, by_default decides. */
typedef struct capp_has {
    bool by_default;
    const char *key;
} capp_has;

/* The value (JSON) that config.json may have for a key if the row describes the model. */
typedef struct capp_rule {
    const char *key, *only; /* only NULL: any value; the row's own readers check it */
} capp_rule;

/* The default of the family's configuration class for a field that config.json does not have. (A field that is null
 * counts as present.) */
typedef struct capp_default {
    const char *key;
    double value;
} capp_default;

/* What differs between architectures: a row of a table. One layer computes
 *   h = embed(token) [+ position]
 *   h += [post_norm](out(attention([norm](h)))); h += [post_norm](down(activation(up([norm](h)))))
 *   logits = head(norm(h))
 * The numbers come from the file and go into capp_hparams. If the file may say something else, the file counts and the
 * row is the default. */
typedef struct capp_arch {
    const char *models;  /* what people call them */
    const char *name;    /* used in messages, and in the key "NAME.key" of GGUF metadata */
    const char *gguf;    /* general.architecture, or NULL if no GGUF file uses a name of its own for it */
    const char *hf;      /* model_type of config.json, or NULL */
    const char *gguf_as; /* if gguf is NULL: the architecture that GGUF files name for this model, or NULL */
    capp_norm_kind norm; /* */
    bool norm_bias;
    bool bare_norms;        /* norms have no weights; OPT: only if config.json says so */
    bool norm_plus_one;     /* folders store a norm's weight minus 1 */
    bool plain_output_norm; /* except that of the last norm */
    double post_eps;        /* the epsilon of norms after a part; 0: that of the others */
    capp_rope_kind rope; /* in GGUF files. Pairs: q and k rows are stored for (2i, 2i + 1); halves: for (i, i + half) */
    capp_rope_kind hf_rope;
    double rotary;        /* the share of a head's dimensions that rotate; 0: all */
    uint32_t nope_period; /* layer i does not rotate if (i + 1) % period == 0; 0: all layers rotate */
    bool nope_global;     /* layers without a window do not rotate */
    capp_activation activation;
    capp_has qkv_bias, out_bias, feed_bias;
    bool head_bias;            /* */
    const char *head_bias_key; /* the field of config.json that decides; GGUF: the tensor exists or not */
    capp_qk_norm qk_norm;
    const char *qk_norm_key; /* the field of config.json that decides; GGUF: the tensor exists or not */
    bool qk_norm_bias;
    bool qk_norm_rotated; /* q and k are normalized after they rotate */
    bool qk_norm_bare;    /* these norms have no weight, and only layers that rotate have them */
    bool chunks;          /* as in Llama 4: windows are chunks, q grows on layers that do not rotate */
    bool latent;          /* multi-head latent attention, see capp_latent */
    bool groups_by_best;  /* a group of experts is chosen by its best expert; else by its two best */
    bool near_best;       /* two experts: see capp_route_near */
    bool early_router;    /* the router reads the layer's input, without a norm */
    bool value_norm;      /* values are normalized, without a weight */
    bool unit_scores;     /* scores have the factor 1 */
    bool local_heads;     /* heads of layers with a window have their own size; the last layers may share their keys */
    bool side;            /* layers may have an embedding of their own for each token, see capp_side */
    bool streams;         /* several streams, see capp_altup; the last layers may share keys, gates may be sparse */
    bool layer_scale;     /* the stream is multiplied after each layer, by a number of the layer */
    bool cap_logits;      /* a soft cap of logits alone */
    bool dense_beside;    /* a layer with experts has a feed-forward part beside them; each part has its own norms */
    bool bare_experts;    /* folders: names of the experts' tensors have no suffix */
    bool turned_experts;  /* folders: their products are stored as [inputs][outputs] */
    bool maybe_turned_experts; /* the same, unless their shapes say [outputs][inputs] */
    bool listed_experts;       /* folders: [experts * feed][width] of gate, up and the transpose of down */
    bool scaled_inputs;        /* shares are factors of the experts' inputs, not of their outputs */
    bool no_pre_norms;
    bool post_norms;          /* after attention and after the feed-forward part */
    capp_parallel parallel;   /* */
    bool maybe_parallel;      /* CAPP_PARALLEL_SHARED, if the file says so */
    double theta;             /* rope base if config.json does not have it; 0: 10000 */
    bool learned_positions;   /* a row of the table of positions is added to the embedding */
    uint32_t position_offset; /* the first position's row in folders */
    bool tokens_norm;         /* a norm of the embedding */
    bool bare_tokens_norm;    /* it has no weight */
    bool scaled_embedding;    /* times sqrt(width) */
    bool alibi;               /* linear biases of scores */
    uint32_t alibi_layers;    /* GGUF files with this many layers have alibi instead of rotations; 0: none */
    bool sinks;               /* each head has an additional attention logit without a value */
    bool caps;                /* soft caps of scores and logits */
    bool scales;              /* Granite's */
    bool logit_scale;         /* Cohere's */
    bool clamps;              /* of q, k and v */
    bool query_growth;        /* as in Llama 4; rope_parameters has it */
    bool rope_yarn;           /* GGUF: the scaling is YaRN if the file does not say */
    bool rope_required;       /* the class has its own default scaling, so config.json must have one */
    bool rope_axes;           /* folders divide dimensions among axes of positions, which are the same for text */
    bool rope_mscales;        /* LongRoPE has its own factor of cosines and sines */
    bool rope_alpha;          /* Hunyuan's rope scaling "dynamic" has an alpha, which changes the base */
    uint32_t window_period;   /* layer i is global if (i + 1) % period == 0, else it has a window; 0: all are global */
    bool maybe_windows;       /* a file may have no window; then all layers are global and all rotate */
    bool global_first;        /* layer i is global if i % period == 0 */
    bool global_last;         /* the layers are counted from the last one: that is global */
    bool varied;              /* GGUF: 0 heads or a width of 0 stand for a layer without this part, see kinds */
    double local_rope_base;   /* base of the layers with a window, if they have their own */
    bool local_rope_unscaled; /* layers with a window rotate without the scaling of the others */
    bool experts;             /* the model may have experts */
    bool router_norm;         /* the shares of the chosen experts are divided by their sum */
    bool router_sigmoid;      /* shares are sigmoids, unless the file says otherwise */
    bool router_wide;         /* the file may set a factor of shares, groups of experts, first layers without experts */
    bool choice_bias;         /* added to shares only to choose experts; GGUF: if the tensor exists */
    bool rope_untruncated;    /* YaRN's bounds are not rounded */
    bool tied;                /* the embedding is the head, if config.json does not say */
    bool transposed;          /* folders store products as [inputs][outputs] */
    bool grouped_qkv;         /* folders store fused rows by key-value head: its q heads, its k, its v */
    bool fused_gate;          /* gate and up are one tensor */
    double eps;               /* if config.json does not say */
    capp_mixer mixer;         /* of the layers that have a state from token to token */
    bool part_alone;          /* a layer has one norm and one part: its capp_mix, attention or the feed-forward part */
    bool mixes_only;          /* every layer has its capp_mix, and none has attention */
    bool feed_shift;          /* the feed-forward part also reads the token before */
    bool mixes_beside;        /* every layer has attention and a capp_mix, which read the same norm */
    bool multipliers;         /* folders have factors of products and of their parts */
    bool experts_in_turn;     /* GGUF: a tensor of gate and up has their rows in turn */
    bool joint_experts;       /* folders may store all experts, gate before up, in tensors without ".weight" */
    bool mixer_in_turn;       /* GGUF: see capp_mix */
    bool attention_gate;      /* the rows of q's tensor are by head: q, then the gate of attention's output */
    const char *further;      /* folders: the beginning of the names of layers that predict further tokens */
    const char *names[CAPP_PARTS]; /* in folders; first "%u": layer, second: expert; "a|b": the first that exists */
    const char *gguf_names[CAPP_PARTS]; /* if they differ from the list above */
    const char *prefix;                 /* of names; some folders leave it out */
    const capp_part *bare_parts;        /* GGUF: parts whose names have no suffix; ends with CAPP_PARTS; or NULL */
    const capp_rule *rules;             /* ends with a NULL key; or NULL */
    const capp_default *defaults;       /* ends likewise; for heads, windows, caps, but nothing that tensors show */
} capp_arch;

/* The row with this name in GGUF files or in config.json; NULL for an architecture that capp does not know. */
const capp_arch *capp_arch_find(capp_str name, bool gguf);

/* The name of a source's architecture, for capp_arch_find: general.architecture, or model_type. */
capp_found capp_model_type(const capp_source *s, capp_str *out);

/* Whether a source is the folder of a multimodal model. capp runs only its text model. */
bool capp_is_multimodal(const capp_source *s);

/* Whether a tensor or module of a multimodal model belongs to its image part. */
bool capp_is_vision(capp_str name);

/* Row i of all architectures; NULL after the last one. */
const capp_arch *capp_arch_at(size_t i);

/* The row whose name in that format is nearest to name: the fewest letters differ. */
const capp_arch *capp_arch_nearest(capp_str name, bool gguf);

/* The attention heads of a layer, and the width of its feed-forward part. */
typedef struct capp_shape {
    uint16_t heads, kv_heads; /* heads of q; heads of keys and values */
    uint16_t key, value;      /* dimensions of a head of q and keys; of a head of values, at most as many */
    uint32_t feed;            /* not of experts */
    bool keys_as_values;      /* values are the keys, before these are normalized and rotated */
    uint16_t back;            /* it reads keys and values of the layer so many layers before it; 0: its own */
    bool sparse;              /* the activation takes max(gate - (mean + cutoff * deviation), 0) instead of the gate */
    float cutoff;             /* mean and deviation are those of the row of gates */
} capp_shape;

/* A second embedding of the token, of `side` numbers for each layer, and what a layer does with it at its end:
 *   x += norm(out(gelu(gate(x)) * side)), side = (norm(context(embedding) / sqrt(width)) + row * sqrt(side)) / sqrt(2)
 * where embedding is the input of the first layer and row a part of the token's row in side_tokens (Gemma 3n). */
typedef struct capp_side {
    capp_matrix gate, context; /* side rows each; no parts if the model has no side embeddings */
    capp_matrix out;           /* width rows */
    capp_norm norm;
} capp_side;

/* AltUp (Baykal et al., arXiv 2301.13310): several streams. Before a layer each stream s_j becomes its prediction,
 *   s_j += sum over i of predict[j][i](m) s_i, m = tanh(router(norm(s_0)) / width)
 * The layer runs on s_0 and turns it into y. After it,
 *   s_j += (1 + correct[j](m)) (y - s_0), m = tanh(router(norm(y)) / width)
 * The side embedding reads scale * s_0 and is added to the other streams. LAuReL (Menghani et al., arXiv 2411.07501):
 * with n, the normed input of attention, the stream after attention is (s_0 + attention + n + norm(right(left(n)))) /
 * sqrt(2). */
typedef struct capp_altup {
    capp_norm norm;       /* its weight is divided by width */
    const float *router;  /* [streams][width] */
    const float *predict; /* [streams][streams][streams]: j, i, input */
    const float *correct; /* [streams][streams]: j, input */
    const float *scale;   /* [width], or NULL */
    capp_matrix left, right;
    capp_norm laurel_norm;
} capp_altup;

/* Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434). qkv has rows of q (or of its latent vector) and those of
 * the latent vector of keys and values, which all heads share, with a part that rotates. See forward/latent.c. */
typedef struct capp_latent {
    capp_matrix q_b;        /* heads * (still + rotating) rows, from the latent vector of q; or no parts */
    capp_matrix *k_b, *v_b; /* [heads] latent rows of `still` elements; latent_value rows of latent elements; or NULL */
    capp_norm q_norm, kv_norm;
} capp_latent;

/* The numbers of CAPP_MIX_WKV, [width] each. */
typedef struct capp_wkv {
    const float *shift;      /* [6][width]: how much r, w, k, v, a and g take from the token before; or 5, without g */
    const float *bias[3];    /* of decay, rate and value */
    const float *removal;    /* factor of the key that is removed */
    const float *renewal;    /* how much the rate changes the key that is written */
    const float *bonus;      /* of the token's own value in its output */
    capp_norm norm;          /* of each head of the output, or no weight */
    const float *feed_shift; /* how much the feed-forward part takes from the token before; or NULL */
} capp_wkv;

typedef struct capp_layer {
    capp_shape shape;
    size_t keys,
        values; /* in the KV store, elements of a slot that belong to the layers before the one that it reads */
    capp_norm attention_norm, q_norm, k_norm, v_norm, attention_post_norm, feed_norm, feed_post_norm;
    capp_norm router_norm, expert_norm, expert_post_norm, shared_post_norm; /* if the parts have norms of their own */
    float scale;    /* the stream is multiplied by it after the layer */
    capp_side side; /* */
    capp_altup altup;
    capp_latent latent;
    /* Rows: those of q; as many of the gate of attention's output, if the model has one; then, if the layer keeps its
     * own keys and values, those of k and of v. No parts if the layer has no attention. */
    capp_matrix qkv;
    capp_matrix out;       /* width rows */
    capp_matrix mix_in;    /* no parts if the layer has no capp_mix */
    capp_matrix mix_rates; /* DELTA: beta and alpha, the last inputs; always of floats, as the router is */
    capp_matrix mix_inner[CAPP_MOST_INNER]; /* further products, see capp_mixer; or no parts */
    capp_matrix mix_out;                    /* width rows */
    const float *mix_taps, *mix_taps_bias;  /* [taps][channels]; [channels] or NULL */
    const float *mix_decay, *mix_step;      /* [heads] each: the factor of the step in the decay's exponent; the bias of
                                               the step. SELECT: [keys][values]; NULL. KIMI: the step has a bias for
                                              each value */
    const float *mix_skip;                  /* [heads]: SCAN: how much of x is added to the output; SELECT: [values] */
    capp_norm mix_norms[3];                 /* SELECT, PLAMO: of the latent step, b and c; no weights: no norms */
    const float *mix_norm;                  /* [values] or [heads * values], or NULL */
    capp_wkv wkv;
    size_t state;     /* its place among the layers that have a state */
    capp_matrix up;   /* gated: two parts, gate and up, of feed rows each; else one part */
    capp_matrix down; /* width rows */
    float score_scale;
    uint32_t window;           /* a row sees its own position and the window - 1 before it, or its chunk; 0: all */
    unsigned rope;             /* index of its rotation, less than n_ropes */
    bool still;                /* q and k do not rotate */
    const float *sinks;        /* [heads], or NULL */
    capp_matrix router;        /* experts rows */
    const float *choice_bias;  /* [experts], or NULL */
    const float *expert_scale; /* [experts] factors of the shares, or NULL */
    capp_matrix shared_router; /* one row; its sigmoid is the factor of the shared expert's output; or no parts */
    capp_matrix expert_in, expert_out; /* to and from latent vectors of experts; no parts if there are none */
    /* [experts], each like up; NULL: no experts. If there are experts, up and down are the shared expert, or have no
     * parts. */
    capp_matrix *expert_up;
    capp_matrix *expert_down; /* [experts] */
} capp_layer;

/* How the frequencies are stretched for long contexts. */
typedef enum capp_scaling {
    CAPP_SCALING_NONE,
    CAPP_SCALING_LINEAR,
    CAPP_SCALING_LLAMA3,
    CAPP_SCALING_YARN,
    CAPP_SCALING_FACTORS,     /* a divisor for each frequency */
    CAPP_SCALING_PROPORTIONAL /* the frequencies after the first `moving` are 0; the others are divided by factor */
} capp_scaling;

typedef struct capp_rope {
    double base;
    capp_scaling scaling;
    double factor, original; /* original: the context that the model was first trained with */
    double low, high;        /* LLAMA3: factors; YARN: beta_slow, beta_fast */
    bool untruncated;        /* YARN */
    double magnitude;        /* factor of cosines and sines */
    uint32_t dims;           /* dimensions of a head that rotate */
    double share;            /* PROPORTIONAL: of frequencies that are not 0 */
    uint32_t moving;         /* PROPORTIONAL */
} capp_rope;

/* Kinds of a layer, as bits. CAPP_LOCAL: it has a window. CAPP_STILL: q and k do not rotate. CAPP_DENSE: it has no
 * experts, although other layers have some. CAPP_MIXES: it has the model's capp_mix, and no attention, except with
 * CAPP_BESIDE. CAPP_FEEDS: it has no attention. CAPP_BARE: it has no feed-forward part. CAPP_STRAIGHT: attention is
 * only its last product, of the normed stream. */
enum {
    CAPP_LOCAL = 1,
    CAPP_STILL = 2,
    CAPP_DENSE = 4,
    CAPP_MIXES = 8,
    CAPP_FEEDS = 16,
    CAPP_BARE = 32,
    CAPP_BESIDE = 64,
    CAPP_STRAIGHT = 128
};

/* How a folder stores its products, if they are not float32, float16 or bfloat16. */
typedef enum capp_quant_method {
    CAPP_NOT_QUANTIZED,
    CAPP_GPTQ,
    CAPP_AWQ,
    CAPP_FLOAT8,
    CAPP_COMPRESSED, /* compressed-tensors: integers, float8 and float4; the tensors say which */
    CAPP_MODELOPT,   /* NVFP4 and float8 */
    CAPP_BITSANDBYTES
} capp_quant_method;

typedef struct capp_quantization {
    capp_quant_method method;
    const char *format;                 /* compressed-tensors, ModelOpt: the name of the format, for people */
    uint32_t bits;                      /* integers, bitsandbytes; 0: not the same for all products */
    uint32_t group;                     /* GPTQ, AWQ: inputs that share a scale; 0: all */
    bool zeros_less_one;                /* GPTQ */
    uint32_t block_rows, block_columns; /* FLOAT8: the block that shares a scale, if they are a table; 0: unknown */
} capp_quantization;

typedef struct capp_hparams {
    uint32_t vocabulary, context, width, layers;
    uint32_t heads, kv_heads, head_dim, feed; /* of most layers; feed: of experts, if there are any */
    capp_shape shapes[CAPP_MOST_LAYERS];      /* of each layer */
    capp_activation activation;
    capp_qk_norm qk_norm;
    bool qk_norm_rotated;
    bool attention_gate; /* attention's output is multiplied by the sigmoid of a gate, which q's tensor has, too */
    capp_parallel parallel;
    bool qkv_bias, out_bias, feed_bias; /* see capp_has */
    bool tied, head_bias;
    capp_rope_kind rope;
    uint32_t rope_dims; /* the most dimensions of any rotation */
    uint32_t n_ropes;   /* rotations in use: 1, or 2 if layers with a window have their own base */
    capp_rope ropes[2];
    uint32_t short_context; /* LongRoPE: contexts up to this length have their own factors; 0: no such factors */
    uint32_t window;
    bool chunks; /* a row sees the rows of its own chunk of `window` positions, instead of the last ones */
    uint32_t experts, experts_used; /* experts is 0 if there are none */
    uint32_t dense_feed;            /* feed of the layers that are CAPP_DENSE */
    uint32_t expert_latent;         /* length of the latent vectors that experts read and write; 0: none */
    uint32_t side;                  /* width of a layer's side embedding; 0: none */
    uint32_t streams, laurel;       /* number of streams if there are several, else 0; rows of LAuReL's first matrix */
    bool altup_scale;               /* the side embedding reads a scaled stream */
    uint32_t embedded;            /* width of embedding and head; projections convert to and from the stream's width */
    uint32_t latent, q_latent;    /* length of latent vectors; 0: none */
    uint32_t still, latent_value; /* dimensions of a head's q that do not rotate; of its output */
    bool groups_by_best;          /* see capp_arch */
    bool layer_scale;             /* layers have the factor that arch's layer_scale allows */
    bool norm_after;              /* norms apply to the stream after a part is added to it */
    bool bare_norms, no_output_norm;
    bool router_norm, router_sigmoid;
    uint32_t expert_groups, expert_groups_used; /* experts are chosen from the best groups; 0: no groups */
    float router_scale;                         /* factor of the shares */
    uint32_t shared_feed;                       /* feed of the shared expert, which all rows use; 0: none */
    uint32_t skipped_layers;                    /* number of layers after the others; capp does not read them */
    bool mxfp4;                                 /* folders: the experts' products are MXFP4 blocks */
    capp_quantization quantization;
    float near;       /* see capp_route_near; 0: not so */
    float query_norm; /* the weight of the norm of q, if folders have none */
    float norm_eps, post_eps, embedding_scale, score_scale, residual_scale, logit_scale;
    float score_cap, logit_cap; /* 0: none */
    float clamp;                /* limit of q, k and v; 0: none */
    float alibi;                /* exponent of the largest slope; 0: no biases */
    float growth;        /* q at position p is times 1 + growth log(1 + floor(p / span)), where p counts from 0 */
    double growth_span;  /* */
    bool growth_still;   /* only on layers that do not rotate, and p counts from 1 */
    bool alibi_rounded;  /* Falcon: biases are bfloat16, and are scaled like scores */
    bool scale_by_layer; /* scores of layer i are divided by i + 1 */
    capp_mix mix;
    float factors[CAPP_PARTS];             /* of the rows of a part's products; 0: none */
    float mix_factors[5];                  /* the same for mix_in, by section: gate, x, b, c, step */
    unsigned char kinds[CAPP_MOST_LAYERS]; /* of each layer, the sum of its kinds */
} capp_hparams;

/* Rows of q, k, v of a layer, and of the gate of attention's output, if the model has one. */
size_t capp_attention_rows(const capp_hparams *h, uint32_t layer);

static inline bool capp_has_attention(const capp_hparams *h, uint32_t layer) {
    return h->kinds[layer] & CAPP_BESIDE || !(h->kinds[layer] & (CAPP_MIXES | CAPP_FEEDS | CAPP_STRAIGHT));
}

/* The length of the vectors that experts read and write. */
static inline uint32_t capp_expert_width(const capp_hparams *h) {
    return h->expert_latent ? h->expert_latent : h->width;
}

static inline bool capp_has_experts(const capp_hparams *h, uint32_t layer) {
    return h->experts && !(h->kinds[layer] & CAPP_DENSE);
}

typedef struct capp_weights {
    const capp_arch *arch;
    const capp_kernels *kernels;
    const capp_products *products; /* products: floats; integers may be NULL. capp_products_of chooses one */
    const capp_products *integers;
    float share;                      /* as in capp_arithmetic */
    size_t n_integers, n_floats_only; /* matrices that are stored as integers; others except routers, and floats
                                         that are usual beside integers */
    double wide;                      /* the share of the integers' weights whose numbers have more than 6 bits */
    const capp_source *source;        /* borrowed: the file */
    capp_hparams hparams;
    capp_layer *layers;           /* [hparams.layers] */
    capp_norm output_norm;        /* */
    capp_matrix project_in;       /* project_in: embedding to stream; project_out: stream to head; */
    capp_matrix project_out;      /* no parts if the model has none */
    capp_matrix head;             /* vocabulary rows */
    const capp_tensor *tokens;    /* embeddings [vocabulary][width], read row by row in their stored form */
    const capp_tensor *positions; /* [context + position_offset][width], or NULL */
    uint32_t position_offset;     /* row of the first position */
    capp_norm tokens_norm;        /* of the embedding; weight is NULL if there is none */
    capp_matrix spread[CAPP_MOST_STREAMS - 1]; /* from the embedding to the other streams, width x width */
    capp_matrix merge[CAPP_MOST_STREAMS - 1];  /* back; no parts if there are no other streams */
    const capp_tensor *side_tokens;            /* [vocabulary, or the first tokens][layers * side], or NULL */
    capp_norm side_norm;                       /* [side] */
    size_t key_elements, value_elements;       /* in a slot of the KV store, of all layers */
    double *frequencies;                       /* [n_ropes][rope_dims / 2] in use, then as many for long contexts */
    const float *alibi;                        /* [heads] slopes, or NULL */
    capp_matrix *expert_matrices;              /* [layers][2 experts] */
    capp_matrix *head_matrices;                /* [layers][2 heads] for latent attention */
    capp_dequant_fn tokens_dequant, positions_dequant, side_dequant;
    uint64_t parameters, adapter_bytes;
    size_t packed_bytes, whole_bytes; /* size of the cache when it is full; size of a cache of all matrices */
    char *block;                      /* the cache [packed_bytes] */
    capp_kept *kept;                  /* [n_kept] the matrices that have a place in it, in the order of the file */
    size_t n_kept;
    atomic_uchar *states;   /* of all their panels */
    bool reserved;          /* the cache has its memory */
    size_t resident_layers; /* layers whose pages of the file stay in memory; the head is layer hparams.layers */
    float **floats;         /* norms and biases as float32 */
    size_t n_floats, floats_capacity;
    struct capp_derived *derived; /* list of derived tensors: those in a form that the file does not have */
    capp_delta *tokens_delta, *positions_delta; /* changes to the tables, applied when a row is read */
    capp_delta *deltas;                         /* all deltas, a list linked by `owned` */
    capp_delta_product *changes;                /* the same for those that were made for these weights */
    bool borrows;                               /* this is a twin, which owns only layers and expert_matrices */
} capp_weights;

/* The products for which a matrix is packed and which multiply it. */
static inline const capp_products *capp_products_of(const capp_weights *w, const capp_matrix *m) {
    return m->integers && w->integers ? w->integers : w->products;
}

/* Reads and checks only the hyperparameters. Errors name the file and the key. */
capp_status capp_hparams_read(capp_hparams *hparams, const capp_arch **arch, const capp_source *source,
                              capp_error *err);

/* Writes a description like "GPTQ, 4 bits, a scale for 128 inputs" to buffer and returns it; NULL if nothing is
 * quantized. */
const char *capp_quant_name(const capp_hparams *hparams, char *buffer, size_t size);

/* The number of weights in a tensor of the source. This is the number of its elements, except for quantized tensors and
 * the tensors that belong to them. *readable: whether capp can convert them to float32. */
uint64_t capp_quant_weights(const capp_hparams *hparams, const capp_tensor *t, bool *readable);

/* Binds every tensor of the source, which must outlive *weights. Checks types and shapes. Matrices are packed when they
 * are used, for products, which are kernels->f32 or kernels->bf16. Errors name the file and the tensor. On failure
 * *weights is NULL. */
capp_status capp_weights_open(capp_weights **weights, const capp_source *source, const capp_kernels *kernels,
                              const capp_products *products, capp_error *err);

/* A LoRA adapter: a folder that PEFT saved, or a GGUF file. adapter.h has the formats. */
typedef struct capp_adapter capp_adapter;

/* Opens path. weight is a factor of what the adapter adds. Checks everything that does not need the model. On success
 * the caller owns *adapter; on failure it is NULL. Errors name the file and the field or tensor. */
capp_status capp_adapter_open(capp_adapter **adapter, const char *path, double weight, capp_error *err);

/* adapter may be NULL. */
void capp_adapter_free(capp_adapter *adapter);

/* Like capp_weights_open, but adds n adapters to the weights, in float32, when they are packed for products of floats,
 * and keeps them apart for products of integers. The caller may free the adapters afterwards: the weights keep float32
 * copies of the adapters' tensors, never float32 copies of the weights. */
capp_status capp_weights_open_adapted(capp_weights **weights, const capp_source *source, const capp_kernels *kernels,
                                      const capp_products *products, capp_adapter *const *adapters, size_t n,
                                      capp_error *err);

/* The budget for packed weights. All have a place in the cache if they fit. Otherwise parts decides: true gives one to
 * as many as fit, false to none. Without memory for them, true is an error, false gives none a place. */
typedef struct capp_cache {
    uint64_t bytes;
    bool parts;
} capp_cache;

/* What capp_weights_open_adapted does, with any products and cache. whole: the arithmetic for a model that stores all
 * its matrices (except routers) as integers; other: for any other model. */
capp_status capp_weights_bind(capp_weights **weights, const capp_source *source, const capp_kernels *kernels,
                              const capp_arithmetic *whole, const capp_arithmetic *other, capp_adapter *const *adapters,
                              size_t n, capp_cache cache, capp_error *err);

/* The bytes that the cache holds now, of the packed_bytes that it may hold. */
size_t capp_cache_bytes(const capp_weights *w);

/* The bytes that all caches of this process have reserved and do not use yet. */
size_t capp_cache_unused(void);

/* Adds the changes in a list to rows [n][k], which are rows row .. row + n - 1 of their matrix. */
void capp_delta_add(const capp_weights *w, const capp_delta *deltas, size_t row, size_t n, float *rows, size_t k);

/* Sets the length of the context with which the model runs. LongRoPE uses it to choose its factors: the short ones up
 * to hparams.short_context (if the file says so), otherwise the long ones. After capp_weights_open the short ones are
 * in use. */
void capp_weights_set_context(capp_weights *weights, uint32_t context);

/* The same weights for other products. Matrices with the same products share the cache. The others are packed panel by
 * panel each time they are used, so that the twin needs no memory for them. The twin borrows from weights, which must
 * outlive *twin. */
capp_status capp_weights_twin(capp_weights **twin, const capp_weights *weights, const capp_arithmetic *arithmetic,
                              capp_error *err);

/* Prefetches the weights of a layer that the cache does not hold, for a wave of rows; layer hparams.layers is the head.
 * Prefetches the experts of the layer only if the wave will choose most of them. */
void capp_weights_ahead(const capp_weights *w, size_t layer, size_t rows);

/* Gives the layer's pages back to the system, unless they are to stay. */
void capp_weights_behind(const capp_weights *w, size_t layer);

/* Call this after a wave. If all weights have a place in the cache, unmaps the pages that were read; otherwise they
 * would grow to the whole file. */
void capp_weights_release(const capp_weights *w);

/* Limits the memory for pages of the file to `room` bytes: sets resident_layers. */
void capp_weights_keep(capp_weights *w, uint64_t room);

/* The number of bytes that each wave reads from the disk; 0 if the file fits in memory. */
uint64_t capp_weights_streamed(const capp_weights *w);

/* Prefetches a matrix, unless the cache holds it. */
void capp_matrix_prefetch(const capp_matrix *m);

/* The offset in a panel of the part of k that begins at `from`; from k: the size of the panel. */
size_t capp_panel_offset(const capp_weights *w, const capp_matrix *m, size_t panel, size_t from);

/* Call this before each product that uses m. */
void capp_matrix_use(const capp_matrix *m);

/* Returns panels first .. first + n - 1 of m, which is not mixed, one after another, 64-byte aligned. In each panel its
 * parts along k follow one another, each at its capp_panel_offset. The panels are in the cache, or this packs them:
 * into the cache if m has a place there and is used often, else into scratch, which has capp_matrix_scratch(w, m, n)
 * floats and is 64-byte aligned. */
const char *capp_matrix_panels(const capp_weights *w, const capp_matrix *m, size_t first, size_t n, float *scratch);

/* The length of the part of k that begins at `from`: one block of the products, or the rest of k. */
size_t capp_part_of(const capp_products *products, size_t k, size_t from);

/* Sets parts [n] to one part of each of these panels; each part is a panel of its own. The caller must go from the
 * first part to the last with the same scratch, and must not use scratch for anything else: a panel that cannot be
 * packed in parts is packed completely with the first. */
void capp_matrix_parts(const capp_weights *w, const capp_matrix *m, size_t first, size_t n, size_t from, float *scratch,
                       const char **parts);

/* c [rows][ldc] = x [rows][ldx] times the columns of a panel, without making it, for at most CAPP_FEW_ROWS rows.
 * Returns false, and has done nothing, where the panel must be made, or is to be kept. */
bool capp_matrix_few(const capp_weights *w, const capp_matrix *m, size_t panel, float *c, size_t ldc, const float *x,
                     size_t ldx, size_t rows);

/* The number of floats of scratch, in whole vectors. */
size_t capp_matrix_scratch(const capp_weights *w, const capp_matrix *m, size_t n);

/* weights may be NULL. */
void capp_weights_free(capp_weights *weights);

#endif
