/* For the files of this room that turn tensors into packed matrices: places, derived tensors, jobs. inspect/ uses
 * capp_place_find. */
#ifndef CAPP_MODEL_BINDER_H
#define CAPP_MODEL_BINDER_H

#include "model/arch.h"

enum { MOST_NAME = 256 };

/* A tensor by its purpose; index: the expert or the head, if the name has one. */
typedef struct place {
    capp_part part;
    uint32_t layer, index;
} place;

/* Expands a template, up to its end or '|': the layer and the index replace its first and second "%u", then suffix
 * follows, in out [MOST_NAME]. */
void capp_place_expand(const char *template, const place *p, const char *suffix, char *out);

/* The names of a part in GGUF files or folders ("a|b": one or the other); NULL: it has none. buffer [MOST_NAME]. */
const char *capp_place_template(const capp_arch *arch, bool gguf, capp_part part, char *buffer);

/* The template after the next '|', or NULL. */
const char *capp_place_next(const char *template);

/* Whether the names of a folder are those of a model, or of one inside a multimodal model. */
enum { CAPP_ALONE = 1, CAPP_INSIDE = 2 };

/* The next of the names that folders use for what the row calls name, in out [MOST_NAME]; false after the last. *at is
 * 0 before the first. */
bool capp_next_spelling(const capp_arch *arch, const char *name, unsigned where, size_t *at, char *out);

/* The tensor of a place in s, or NULL. name [MOST_NAME]: its name, or the name that it would have. */
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

/* Sets the fields that depend on the products. */
void capp_set_panels(capp_matrix *m, const capp_products *products);

/* A tensor in a form that the file does not have: rows in another order, columns as rows, a part of another tensor. */
typedef struct capp_derived {
    struct capp_derived *next;
    capp_tensor tensor;
    _Alignas(8) char own[]; /* data that the file does not have: an order, a scale, a capp_quant */
} capp_derived;

typedef struct binder {
    capp_weights *w;
    const capp_source *s;
    capp_error *err;
    job *jobs;
    size_t n_jobs;
    bool *bound; /* [tensors of s] */
} binder;

/* Chooses what is cached, sets the sizes of b->w, and allocates the memory for packing. Takes ownership of b->jobs. */
capp_status capp_packer_make(capp_packer **packer, binder *b, capp_cache cache, int threads);

/* Number of floats for the rows of a panel of m and for reading them. */
size_t capp_row_floats(const capp_weights *w, const capp_matrix *m);

/* Dequantizes the rows of a panel into rows [capp_row_floats] and packs them. */
void capp_pack_panel(const capp_weights *w, const capp_matrix *m, size_t panel, void *packed, float *rows);

/* Prefetches the data from which panels from .. to - 1 of a matrix are read: their rows or, if rows are scattered over
 * a tensor, the whole tensor with the first panel. */
void capp_prefetch_panels(const capp_matrix *m, size_t nr, size_t from, size_t to);

/* The tensor of a place, marked as bound, or NULL. name [MOST_NAME]: its name, or the name that it would have. */
const capp_tensor *capp_find(binder *b, place p, const char *suffix, char *name);

/* The rows of one tensor that go into a matrix. */
typedef struct capp_piece {
    place place;
    size_t rows;
} capp_piece;

/* What binding a layer is made of. Errors name the file and the tensor.
 *
 * Whether the source is a folder; the end of the name of a place's weight; whether its type can be read; an error of
 * its shape, which should be k x n; both checks; an error of memory. */
bool capp_in_folder(const binder *b);
const char *capp_weight_suffix(const binder *b, capp_part part);
capp_status capp_bind_type(binder *b, const char *name, const capp_tensor *t);
capp_status capp_bind_wrong_shape(binder *b, const char *name, const capp_tensor *t, uint64_t k, uint64_t n);
capp_status capp_bind_shape(binder *b, const char *name, const capp_tensor *t, uint64_t k, uint64_t n);
capp_status capp_bind_memory(binder *b);

/* [n] floats that live as long as the weights; NULL where memory is short. */
float *capp_bind_new_floats(binder *b, size_t n);

/* A tensor of n numbers in out, whatever its number of dimensions; the same in floats of its own. */
capp_status capp_bind_read(binder *b, place p, const char *suffix, size_t n, float *out);
capp_status capp_bind_floats(binder *b, place p, const char *suffix, size_t n, const float **out);

/* A norm of n numbers. rows > 1: one for each head. */
capp_status capp_bind_norm(binder *b, place p, size_t rows, size_t n, bool bias, capp_norm *norm);

/* A matrix of n rows of k in `parts` parts of as many, without sources yet. */
void capp_bind_job(binder *b, capp_matrix *m, size_t n, size_t parts, size_t k);

/* A matrix of the rows of n pieces. */
capp_status capp_bind_matrix(binder *b, const capp_piece *pieces, size_t n, size_t parts, size_t k, bool bias,
                             capp_matrix *m);

/* *t with the factor that stands beside NVFP4: one, or that of p.index of n. */
capp_status capp_bind_scale(binder *b, place p, size_t n, const capp_tensor **t);

/* The router and the experts of a layer, with the expert of all rows. */
capp_status capp_bind_experts(binder *b, uint32_t index);

/* Jobs that the model of h needs. */
size_t capp_bind_jobs(const capp_hparams *h);

/* Fills the layers and the input and output parts of b->w, and b->jobs. */
capp_status capp_bind(binder *b);

/* A tensor with n rows of t from row `first` on; further dimensions of t count as rows. NULL if there is not enough
 * memory. */
const capp_tensor *capp_derive_slice(binder *b, const capp_tensor *t, uint64_t first, uint64_t n);

/* Row i of the result is row order(user, i) of t, read from its place. t has no order yet. */
typedef uint64_t (*capp_order_fn)(const void *user, uint64_t i);
const capp_tensor *capp_derive_rows(binder *b, const capp_tensor *t, uint64_t n, capp_order_fn order, const void *user);

/* A matrix t [rows][columns] of whole elements as [columns][rows], read where it stands. */
const capp_tensor *capp_derive_transposed(binder *b, const capp_tensor *t);

/* A tensor that represents q, of which it keeps a copy, with the weights of t. Row i of it is row order(user, i) of q,
 * or row i if order is NULL. *numbers: [k] the groups of q, which the caller fills in; NULL if q has none. NULL if
 * there is not enough memory. */
const capp_tensor *capp_derive_quantized(binder *b, const capp_tensor *t, const capp_quant *q, capp_order_fn order,
                                         const void *user, uint32_t **numbers);

/* The same rows, multiplied by the float32 at scale (unaligned). NULL if there is not enough memory. */
const capp_tensor *capp_derive_scaled(binder *b, const capp_tensor *t, const void *scale);

void capp_derived_free(capp_weights *w);

/* The n rows of k of a place of a folder whose weight is quantized; *out is NULL if it is not. Row i of *out is row
 * order(user, i) of the stored rows; order may be NULL. */
capp_status capp_bind_quantized(binder *b, place p, size_t n, size_t k, capp_order_fn order, const void *user,
                                const capp_tensor **out);

/* Whether a quantized folder may have this tensor without a place for it: it describes how activations are quantized,
 * or is a bias of zeros. */
bool capp_quant_idle(const capp_hparams *h, const capp_tensor *t);

#endif
