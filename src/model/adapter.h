/* LoRA adapters (arXiv 2106.09685): for a product W a pair of small matrices, so that W + scale B A takes its place.
 *
 *   PEFT's folder   adapter_config.json (r, lora_alpha, ...), adapter_model.safetensors
 *                   base_model.model.MODULE.lora_A.weight [r][inputs], MODULE.lora_B.weight [outputs][r]
 *                   embeddings: MODULE.lora_embedding_A [r][tokens], MODULE.lora_embedding_B [width][r]
 *                   experts in one parameter: lora_A.weight [experts r][inputs], lora_B.weight [outputs][r experts]
 *   GGUF            general.type = adapter, adapter.type = lora, adapter.lora.alpha
 *                   NAME.weight.lora_a [r][inputs], NAME.weight.lora_b [outputs][r], rows as llama.cpp has them
 *                   embeddings: token_embd.weight.lora_a [tokens][r], token_embd.weight.lora_b [width][r]
 *                   experts: [experts][r][inputs], [experts][outputs][r]
 */
#ifndef CAPP_MODEL_ADAPTER_H
#define CAPP_MODEL_ADAPTER_H

#include "file/names.h"
#include "model/model.h"
#include "model/pattern.h"

/* The two tensors of a module. */
typedef struct capp_pair {
    capp_str name; /* PEFT: module without "base_model.model."; GGUF: tensor without ".weight"; ends with NUL */
    const capp_tensor *a, *b;
    bool table; /* lora_embedding_A and _B */
    bool copy;  /* not a pair: a is PEFT's copy of an embedding that it did not train; name ends in ".base_layer" */
    bool used;  /* it has found a place in the model */
} capp_pair;

struct capp_adapter {
    capp_source source;
    double weight;
    capp_pair *pairs; /* [n_pairs] */
    size_t n_pairs;
    capp_names names; /* of pairs */
    char *text;       /* the memory that the names point into */
    double rank, alpha;
    bool rank_stabilized;          /* the scale is alpha / sqrt(rank) */
    bool tied;                     /* the head shares the embedding's pair */
    capp_patterns *ranks, *alphas; /* the fields that give some modules other values; or NULL */
};

/* Reads the adapter in source. The adapter becomes the owner of source, also on failure. */
capp_status capp_adapter_read(capp_adapter **adapter, capp_source *source, double weight, capp_error *err);

/* Reads the numbers and rules of adapter_config.json. */
capp_status capp_adapter_config(capp_adapter *a, capp_error *err);

/* Reads the numbers and rules of GGUF metadata. */
capp_status capp_adapter_metadata(capp_adapter *a, capp_error *err);

/* The factor of B A, including the adapter's weight. Fails if the config gives the module another rank. */
capp_status capp_adapter_scale(const capp_adapter *a, const char *module, size_t rank, double *scale, capp_error *err);

/* Finds the place of every pair in the model that arch and h describe, and adds the pairs to the lists of w's matrices
 * and tables. If w is NULL, only checks whether the adapter fits. Errors name the adapter and the tensor. */
capp_status capp_adapter_fit(capp_adapter *a, const capp_source *s, const capp_arch *arch, const capp_hparams *h,
                             capp_weights *w, capp_error *err);

void capp_deltas_free(capp_weights *w);

/* Makes the change of m, which has the order of its inputs and outputs, unless m has no deltas or w computes it in
 * floats. */
capp_status capp_change_make(capp_weights *w, capp_matrix *m, capp_error *err);

/* Frees the changes that were made for w. */
void capp_changes_free(capp_weights *w);

#endif
