/* Private to the files of this room that bring tensors into packed matrices: places, derived tensors, jobs. */
#ifndef CAPP_MODEL_BINDER_H
#define CAPP_MODEL_BINDER_H

#include "model/arch.h"

enum { MOST_NAME = 256 };

/* A tensor by what it is for; index: the expert or the head, where the name has one. */
typedef struct place {
    capp_part part;
    uint32_t layer, index;
} place;

/* Template, up to its end or '|', with the layer and the index for its first and second "%u", then suffix, in out
 * [MOST_NAME]. */
void capp_place_expand(const char *template, const place *p, const char *suffix, char *out);

/* The names of a part in GGUF files or folders, "a|b" for one or the other; NULL: it has none. buffer [MOST_NAME]. */
const char *capp_place_template(const capp_arch *arch, bool gguf, capp_part part, char *buffer);

/* The template after the next '|', or NULL. */
const char *capp_place_next(const char *template);

/* Where names of folders are from: a model, or one inside a multimodal model. */
enum { CAPP_ALONE = 1, CAPP_INSIDE = 2 };

/* The next of the names by which folders have what the row calls name, in out [MOST_NAME]; false past the last. *at is
 * 0 before the first. */
bool capp_next_spelling(const capp_arch *arch, const char *name, unsigned where, size_t *at, char *out);

/* The tensor of a place in s, or NULL; name [MOST_NAME]: what it is or would be called. */
const capp_tensor *capp_place_find(const capp_source *s, const capp_arch *arch, place p, const char *suffix,
                                   char *name);

/* Row of a folder's fused tensor, stored by key-value head (its q heads, its k, its v), for row i of q, k, v. user: the
 * capp_hparams. */
uint64_t capp_grouped_row(const void *user, uint64_t i);

/* Row of gate and up, which GPT-OSS's folders store in turn, for row i of gate, then up. user: feed, a uint32_t. */
uint64_t capp_row_in_turn(const void *user, uint64_t i);

/* A matrix to be packed. */
typedef struct job {
    capp_matrix *matrix;
    size_t first_task; /* of the cached ones: its panels are tasks first_task .. first_task + panels - 1 */
} job;

/* Sets what follows from the products. */
void capp_set_panels(const capp_weights *w, capp_matrix *m);

/* Whether every panel of m can be unpacked for products of integers, whatever the instruction set. */
bool capp_has_integers(const capp_matrix *m);

/* A tensor that no file has as it is wanted: rows in another order, columns for rows, a piece of another. */
typedef struct capp_derived {
    struct capp_derived *next;
    capp_tensor tensor;
    _Alignas(8) char own[]; /* what the file does not have: an order, a scale, a capp_quant */
} capp_derived;

typedef struct binder {
    capp_weights *w;
    const capp_source *s;
    capp_error *err;
    job *jobs;
    size_t n_jobs;
    bool *bound; /* [tensors of s] */
} binder;

/* Chooses what is cached, sets the sizes of b->w, allocates what packing takes. Takes b->jobs. */
capp_status capp_packer_make(capp_packer **packer, binder *b, capp_cache cache, int threads);

/* Floats that the rows of a panel of m take, with what reading them takes beside. */
size_t capp_row_floats(const capp_weights *w, const capp_matrix *m);

/* Dequantises the rows of a panel into rows [capp_row_floats] and packs them. */
void capp_pack_panel(const capp_weights *w, const capp_matrix *m, size_t panel, void *packed, float *rows);

/* Asks for what panels from .. to - 1 of a matrix are read from: their rows or, where rows lie all over a tensor, all
 * of that with the first. */
void capp_prefetch_panels(const capp_matrix *m, size_t nr, size_t from, size_t to);

/* The tensor of a place, marked as bound, or NULL; name [MOST_NAME]: what it is or would be called. */
const capp_tensor *capp_find(binder *b, place p, const char *suffix, char *name);

/* Jobs that the model of h needs. */
size_t capp_bind_jobs(const capp_hparams *h);

/* Fills the layers and ends of b->w and b->jobs. */
capp_status capp_bind(binder *b);

/* The tensor of n rows of t from row `first` on; t may have more dimensions, which count as rows. NULL where memory is
 * short. */
const capp_tensor *capp_derive_slice(binder *b, const capp_tensor *t, uint64_t first, uint64_t n);

/* Row i of the result is row order(user, i) of t, read where it stands. t has no order yet. */
typedef uint64_t (*capp_order_fn)(const void *user, uint64_t i);
const capp_tensor *capp_derive_rows(binder *b, const capp_tensor *t, uint64_t n, capp_order_fn order, const void *user);

/* A matrix t [rows][columns] of whole elements as [columns][rows], read where it stands. */
const capp_tensor *capp_derive_transposed(binder *b, const capp_tensor *t);

/* The tensor that stands for q, of which it keeps a copy, and whose weights are t's; row i of it is row order(user, i)
 * of q, or row i where order is NULL. *numbers: [k], q's groups, to be filled in; NULL where it has none. NULL where
 * memory is short. */
const capp_tensor *capp_derive_quantised(binder *b, const capp_tensor *t, const capp_quant *q, capp_order_fn order,
                                         const void *user, uint32_t **numbers);

/* The same rows, whose numbers are to be multiplied by the float32 at scale (unaligned). NULL where memory is
 * short. */
const capp_tensor *capp_derive_scaled(binder *b, const capp_tensor *t, const void *scale);

void capp_derived_free(capp_weights *w);

/* The n rows of k of a place of a folder whose weight is quantised; *out is NULL where it is not. Row i of *out is row
 * order(user, i) of what is stored; order may be NULL. */
capp_status capp_bind_quantised(binder *b, place p, size_t n, size_t k, capp_order_fn order, const void *user,
                                const capp_tensor **out);

/* Whether a quantised folder may have the tensor without a place for it: it says how activations are quantised, or is
 * a bias of zeros. */
bool capp_quant_idle(const capp_hparams *h, const capp_tensor *t);

#endif
