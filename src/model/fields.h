/* Private to the files that read config.json: its fields, with what the family's class takes where they are missing. */
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

/* Fails with st: the field, and what is wrong with it. */
capp_status capp_field_fail(const capp_fields *r, capp_status st, const char *key, const char *what);

/* The row's default of a field, or NULL. */
const capp_default *capp_field_default(const capp_fields *r, const char *key);

/* names: "hidden_size|n_embd", the first that is there counts. CAPP_OK and *found false where there is none. A field
 * that says null has no default. */
capp_status capp_field_number(const capp_fields *r, const char *names, double *out, bool *found);

/* An integer from 1 to most. missing: what counts where there is none; 0: it is required. */
capp_status capp_field_count(const capp_fields *r, const char *names, uint32_t missing, uint32_t most, uint32_t *out);

/* A number greater than 0. */
capp_status capp_field_positive(const capp_fields *r, const char *names, double missing, double *out);
capp_status capp_field_single(const capp_fields *r, const char *names, double missing, float *out);

/* key may be NULL: *out is missing. null is Python's None, which is false. */
capp_status capp_field_truth(const capp_fields *r, const char *key, bool missing, bool *out);

/* What config.json says of rotations. */
capp_status capp_config_rope(const capp_fields *r, capp_hparams *h);

#endif
