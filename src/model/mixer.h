/* The parts of layers that have a state from token to token. Other rooms include model.h, which includes this header.
 */
#ifndef CAPP_MODEL_MIXER_H
#define CAPP_MODEL_MIXER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CAPP_MOST_KEYS = 1024, CAPP_MOST_INNER = 10 };

/* What a layer computes instead of attention, from a state that goes from token to token along a path. The
 * inputs of a row are the rows of capp_layer's mix_in and mix_rates:
 *   SHORT   b, c, x [width each]: the convolution of b * x over tokens, times c (LFM2)
 *   DELTA   q and k [groups * keys each], v [heads * values], all three convolved; gate [heads * values];
 *           beta, alpha [heads each]: gated DeltaNet (Yang et al., arXiv 2412.06464)
 *   SCAN    gate [heads * values]; x [heads * values], b and c [groups * keys each], all three convolved; step [heads]:
 *           Mamba-2 (Dao and Gu, arXiv 2405.21060)
 *   SELECT  x, gate [values each]: Mamba-1 (Gu and Dao, arXiv 2312.00752). There is one head, each of whose values
 *           decays at its own rate for each key. mix_inner[0] makes a latent step [rank], b and c [keys each] of x,
 *           which is convolved; mix_inner[1] makes the steps [values] of the latent step. They follow the inputs.
 *   PLAMO   x, gate [heads * values each] (PLaMo 2): the states of Mamba-2; steps, b and c are made as in Mamba-1.
 *           mix_inner[1] makes the steps [heads]. What the row keeps of the states follows them.
 *   KIMI    q, k, v [heads * values each], all three convolved; latent decay, latent gate [values each]; beta [heads]:
 *           Kimi Delta Attention (arXiv 2510.26692), DeltaNet whose keys decay each at a rate of its own. mix_inner
 *           makes the decays and the gates [heads * values each] of the latent ones. They follow the inputs.
 *   WKV     RWKV-7 (Peng et al., arXiv 2503.14456), a delta rule that forgets by key and removes by other keys than it
 *           writes. Its inputs are mixed with those of the token before; see forward/wkv.c. It has no convolution: taps
 *           is 2, and the channels are those that the next token reads. */
typedef enum capp_mixer {
    CAPP_MIX_NONE,
    CAPP_MIX_SHORT,
    CAPP_MIX_DELTA,
    CAPP_MIX_SCAN,
    CAPP_MIX_SELECT,
    CAPP_MIX_PLAMO,
    CAPP_MIX_KIMI,
    CAPP_MIX_WKV
} capp_mixer;

/* WKV: products of low rank, each of two matrices: of the decay, the rate of learning, how much of the first layer's
 * value comes in, and the gate of the output. */
typedef enum capp_low_rank {
    CAPP_WKV_DECAY,
    CAPP_WKV_RATE,
    CAPP_WKV_VALUE,
    CAPP_WKV_GATE,
    CAPP_WKV_LOW_RANKS
} capp_low_rank;

/* WKV: where mix_inner has k, v and the first matrix of a product of low rank, which its second one follows. */
enum { CAPP_WKV_K, CAPP_WKV_V, CAPP_WKV_FIRST };
static inline size_t capp_wkv_pair(size_t low_rank) {
    return CAPP_WKV_FIRST + 2 * low_rank;
}

typedef struct capp_mix {
    capp_mixer kind;
    uint32_t taps;          /* inputs of the convolution: the token's own and those of the taps - 1 tokens before it */
    uint32_t heads, groups; /* heads with a state; heads of q and k, or of b and c */
    uint32_t keys, values;  /* the state of a head has keys x values numbers */
    uint32_t rank;          /* SELECT, PLAMO; WKV: the largest */
    uint32_t ranks[CAPP_WKV_LOW_RANKS]; /* WKV; gate 0: the output has none */
    bool feed_shift;                    /* WKV: the feed-forward part also reads the token before */
    bool bare_norms;                    /* SELECT: latent step, b and c are normalized, without weights */
    float eps;                          /* SELECT: of these norms; 0: as in other norms */
    bool in_turn;                       /* head i reads group i % groups; else i / (heads / groups) */
    bool norm_first; /* SCAN: the output is normalized before it is multiplied by its gate, not after */
} capp_mix;

struct capp_hparams;

/* Whether b, c and the steps are made of the convolved x. */
static inline bool capp_mix_selects(const capp_mix *m) {
    return m->kind == CAPP_MIX_SELECT || m->kind == CAPP_MIX_PLAMO;
}

/* Sets the kinds of layers of a model whose every layer has its capp_mix and no attention; bare: nor a feed-forward
 * part. What depends on the size of heads gets the least size. */
void capp_mix_only(struct capp_hparams *h, bool bare);

/* The number of layers that have a state. */
size_t capp_count_states(const struct capp_hparams *h);

/* Floats of a state in one layer: the last inputs of the convolution, then the matrices. */
size_t capp_mix_floats(const struct capp_hparams *h);

/* The sizes of a layer's capp_mix: floats of a row's inputs, rows of mix_in (and mix_rates), channels of the
 * convolution, inputs of mix_out. */
size_t capp_mix_inputs(const struct capp_hparams *h);
size_t capp_mix_rows_in(const struct capp_hparams *h);
size_t capp_mix_channels(const struct capp_hparams *h);
size_t capp_mix_outputs(const struct capp_hparams *h);

#endif
