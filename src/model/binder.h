/* For the files of this directory that turn tensors into packed matrices: places, derived tensors, jobs. inspect/ uses
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

/* Expands a template up to its end or '|' into out [MOST_NAME]: the layer replaces the first "%u" and the index the
 * second, then suffix follows. */
void capp_place_expand(const char *template, const place *p, const char *suffix, char *out);

/* The names of a part in GGUF files or in folders ("a|b": a or b); NULL if it has none. buffer [MOST_NAME]. */
const char *capp_place_template(const capp_arch *arch, bool gguf, capp_part part, char *buffer);

/* The template after the next '|', or NULL. */
const char *capp_place_next(const char *template);

/* Finds the name of a part in this source that is nearest to this name, perhaps this name itself. Returns its place.
 * nearest [MOST_NAME]. */
place capp_place_nearest(const capp_source *s, const capp_arch *arch, capp_str name, char *nearest);

/* Whether a folder uses the names of a model on its own (ALONE) or of one inside a multimodal model (INSIDE); some use
 * either. */
enum { CAPP_ALONE = 1, CAPP_INSIDE = 2 };
unsigned capp_spellings(const capp_source *s);

/* Writes the next spelling of name, which is a name in the row, to out [MOST_NAME]. Folders use different spellings.
 * Returns false after the last one. *at must be 0 before the first call. */
bool capp_next_spelling(const capp_arch *arch, const char *name, unsigned where, size_t *at, char *out);

/* The tensor of a place in s, or NULL. name [MOST_NAME] receives its name, or the name that it would have. */
const capp_tensor *capp_place_find(const capp_source *s, const capp_arch *arch, place p, const char *suffix,
                                   char *name);

/* The stored row for row i of a part of a matrix. user: the capp_hparams. */
typedef uint64_t (*capp_order_fn)(const void *user, uint64_t i);

/* The order in which files of this format store the rows of a part; NULL: that of the matrix. */
capp_order_fn capp_order_of(const capp_arch *arch, const capp_hparams *h, bool gguf, capp_part part);

/* The stored row for row i of gate, then up. GPT-OSS's folders store the rows of the two alternately. user: feed, a
 * uint32_t. */
uint64_t capp_row_in_turn(const void *user, uint64_t i);

/* The type of a tensor's blocks for products of integers. */
uint32_t capp_integer_type(const capp_tensor *t);

/* Sets the fields of m that depend on the products. */
void capp_set_panels(const capp_weights *w, capp_matrix *m);

/* The place of a panel in the cache, after the matrix's first one; of panel m->panels: the size of all. */
size_t capp_panel_place(const capp_weights *w, const capp_matrix *m, size_t panel);

/* Whether every panel of m can be unpacked for products of integers, whatever the instruction set. */
bool capp_has_integers(const capp_matrix *m);

/* The order of inputs that the blocks of a matrix with integers need: see gather in model/matrix.h. */
const uint32_t *capp_integer_inputs(const capp_matrix *m);

/* Whether the rows of a matrix with integers can be computed in any order. */
bool capp_can_reorder(const capp_matrix *m);

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
    capp_matrix **jobs; /* [n_jobs] the matrices that are packed */
    size_t n_jobs;
    bool *bound; /* [tensors of s] */
} binder;

/* Chooses the matrices that get a place in the cache, and reserves its memory, which is used only as panels come. Sets
 * the sizes in b->w. */
capp_status capp_cache_plan(binder *b, capp_cache cache);

/* Count what capp_cache_unused returns: more; less, because it is used or freed. */
void capp_cache_reserve(size_t bytes);
void capp_cache_return(size_t bytes);

/* Frees the cache of w, which is empty then. */
void capp_cache_free(capp_weights *w);

/* Whether all panels are in the cache. */
static inline bool capp_is_kept(const capp_matrix *m) {
    return m->kept && atomic_load_explicit(&m->kept->bytes, memory_order_relaxed) == m->kept->whole;
}

/* Dequantizes the rows first .. first + n - 1 (k elements each) of a tensor. extra: capp_tensor_scratch floats. */
void capp_tensor_rows(const capp_tensor *t, size_t first, size_t n, size_t k, float *rows, float *extra);
size_t capp_tensor_scratch(const capp_tensor *t);

/* The index in data of row i of a tensor. */
size_t capp_tensor_row(const capp_tensor *t, size_t i);

/* Unmaps the data of a matrix that will not be read again. It stays in the system's cache. */
void capp_matrix_unmap(const capp_weights *w, const capp_matrix *m);

/* Finds the tensor of a place and marks it as bound; NULL if there is none. name [MOST_NAME] receives its name, or the
 * name that it would have. */
const capp_tensor *capp_find(binder *b, place p, const char *suffix, char *name);

/* The rows of one tensor that go into a matrix. */
typedef struct capp_piece {
    place place;
    size_t rows;
} capp_piece;

/* The steps of binding a layer. Errors name the file and the tensor.
 *
 * In this order: whether the source is a folder; the suffix of the name of a part's weight; a check that the type can
 * be read; the error for a wrong shape, which should be k x n; both checks; the error for too little memory. */
bool capp_in_folder(const binder *b);
const char *capp_weight_suffix(const binder *b, capp_part part);
capp_status capp_bind_type(binder *b, const char *name, const capp_tensor *t);
capp_status capp_bind_wrong_shape(binder *b, const char *name, const capp_tensor *t, uint64_t k, uint64_t n);
capp_status capp_bind_shape(binder *b, const char *name, const capp_tensor *t, uint64_t k, uint64_t n);
capp_status capp_bind_memory(binder *b);

/* Allocates [n] floats that live as long as the weights; NULL if there is not enough memory. */
float *capp_bind_new_floats(binder *b, size_t n);

/* Reads a tensor of n numbers, with any number of dimensions, into out. The second function reads it into new
 * floats. */
capp_status capp_bind_read(binder *b, place p, const char *suffix, size_t n, float *out);
capp_status capp_bind_floats(binder *b, place p, const char *suffix, size_t n, const float **out);

/* Binds a norm of n numbers. rows > 1: one norm for each head. */
capp_status capp_bind_norm(binder *b, place p, size_t rows, size_t n, bool bias, capp_norm *norm);

/* Makes a norm without a weight of the file. */
capp_status capp_bind_ones(binder *b, size_t n, capp_norm *norm);

/* Marks a tensor that has no effect as bound, if it is there. It does not count as weights. */
void capp_bind_ignore(binder *b, place p, const char *suffix);

/* Adds a job for a matrix of n rows of k elements, in `parts` parts of equal size, without sources yet. */
void capp_bind_job(binder *b, capp_matrix *m, size_t n, size_t parts, size_t k);

/* Binds a matrix that consists of the rows of n pieces. */
capp_status capp_bind_matrix(binder *b, const capp_piece *pieces, size_t n, size_t parts, size_t k, bool bias,
                             capp_matrix *m);

/* Finds the tensor of a piece, as rows of k elements. */
capp_status capp_bind_rows(binder *b, const capp_piece *piece, size_t k, const capp_tensor **out);

/* Replaces *t by the tensor times the factor that is stored beside an NVFP4 tensor: the only one, or number p.index of
 * n. */
capp_status capp_bind_scale(binder *b, place p, size_t n, const capp_tensor **t);

/* Binds the router and the experts of a layer, and its shared expert. */
capp_status capp_bind_experts(binder *b, uint32_t index);

/* Binds latent attention. */
capp_status capp_bind_latent(binder *b, uint32_t index, capp_layer *layer);

/* Binds the capp_mix of a layer. */
capp_status capp_bind_mix(binder *b, uint32_t index, capp_layer *layer);

/* Binds the table of side embeddings; what a layer does with its part of them. */
capp_status capp_bind_side_tokens(binder *b);
capp_status capp_bind_side(binder *b, uint32_t index, capp_side *side);

/* Binds what makes several streams of the embedding and one of them at the end; what a layer does with them. */
capp_status capp_bind_streams(binder *b);
capp_status capp_bind_altup(binder *b, uint32_t index, capp_altup *altup);

/* The number of jobs that a model with these hyperparameters needs. */
size_t capp_bind_jobs(const capp_hparams *h);

/* Fills the layers and the input and output parts of b->w, and b->jobs. */
capp_status capp_bind(binder *b);

/* A tensor with n rows of t from row `first` on; further dimensions of t count as rows. NULL if there is not enough
 * memory. */
const capp_tensor *capp_derive_slice(binder *b, const capp_tensor *t, uint64_t first, uint64_t n);

/* A tensor whose row i is row order(user, i) of t, read from its place. t must not have an order yet. */
const capp_tensor *capp_derive_rows(binder *b, const capp_tensor *t, uint64_t n, capp_order_fn order, const void *user);

/* The matrix t [rows][columns] as [columns][rows], read in place. The type of t must have no blocks. */
const capp_tensor *capp_derive_transposed(binder *b, const capp_tensor *t);

/* A tensor that represents q with the weights of t; it keeps a copy of q. Its row i is row order(user, i) of q, or row
 * i if order is NULL. *numbers: [k] the groups of q, which the caller fills in; NULL if q has none. Returns NULL if
 * there is not enough memory. */
const capp_tensor *capp_derive_quantized(binder *b, const capp_tensor *t, const capp_quant *q, capp_order_fn order,
                                         const void *user, uint32_t **numbers);

/* Finds the blocks for products of integers of a tensor that capp_derive_quantized has made, when its groups are known.
 */
void capp_derive_blocks(const capp_tensor *t);

/* The same rows, multiplied by the float32 at scale (unaligned). NULL if there is not enough memory. */
const capp_tensor *capp_derive_scaled(binder *b, const capp_tensor *t, const void *scale);

/* A tensor of n rows of k floats with its own memory, which the caller fills in. NULL if there is not enough memory. */
const capp_tensor *capp_derive_floats(binder *b, uint64_t n, uint64_t k, float **floats);

void capp_derived_free(capp_weights *w);

/* Sets *out to the n rows of k elements of a place in a folder, if its weight is quantized, else to NULL. Row i of *out
 * is row order(user, i) of the stored rows; order may be NULL. */
capp_status capp_bind_quantized(binder *b, place p, size_t n, size_t k, capp_order_fn order, const void *user,
                                const capp_tensor **out);

/* Whether a quantized folder may have this tensor although it has no place: it describes how activations are quantized,
 * or it is a bias of zeros. */
bool capp_quant_idle(const capp_hparams *h, const capp_tensor *t);

#endif
