/* Private to the files that read config.json: its fields, and the defaults of the family's class for missing fields. */
#ifndef CAPP_MODEL_FIELDS_H
#define CAPP_MODEL_FIELDS_H

#include "kernel/plain.h"
#include "model/arch.h"

enum { CAPP_MOST_WIDTH = 1 << 20, CAPP_MOST_HEADS = 1 << 14, CAPP_MOST_CONTEXT = 1 << 28, CAPP_MOST_KEY = 128 };

typedef struct capp_fields {
    const capp_source *s;
    const capp_arch *arch;
    capp_error *err;
} capp_fields;

/* Fails with status st. The message names the field and says what is wrong with it. */
capp_status capp_field_fail(const capp_fields *r, capp_status st, const char *key, const char *what);

/* The row's default for a field, or NULL. */
const capp_default *capp_field_default(const capp_fields *r, const char *key);

/* names: alternatives like "hidden_size|n_embd"; the first one in the file counts. If the file has none of them and
 * there is no default, returns CAPP_OK and sets *found to false. A field that is null gets no default. */
capp_status capp_field_number(const capp_fields *r, const char *names, double *out, bool *found);

/* An integer from 1 to most. missing: the value if there is no such field; 0: the field is required. */
capp_status capp_field_count(const capp_fields *r, const char *names, uint32_t missing, uint32_t most, uint32_t *out);

/* A number greater than 0. missing: as above. */
capp_status capp_field_positive(const capp_fields *r, const char *names, double missing, double *out);
capp_status capp_field_single(const capp_fields *r, const char *names, double missing, float *out);

/* key may be NULL: then *out is missing. null counts as Python's None, which is false. */
capp_status capp_field_truth(const capp_fields *r, const char *key, bool missing, bool *out);

/* Reads the sizes of the layers' capp_mix, and which layers have one. */
capp_status capp_config_mix(const capp_fields *r, capp_hparams *h);

/* Reads a list with the width of each layer's feed-forward part. */
capp_status capp_config_widths(const capp_fields *r, capp_hparams *h);

/* Reads the rotations from config.json. */
capp_status capp_config_rope(const capp_fields *r, capp_hparams *h);

/* Whether a layer of a model whose layers have one part each has experts. */
bool capp_mix_has_experts(const capp_fields *r);

/* Reads what differs between layers. The kinds of layers and the rotations must be known. */
capp_status capp_config_layers(const capp_fields *r, capp_hparams *h);

#endif
