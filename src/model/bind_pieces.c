/* The steps of binding a layer: checks of tensors, numbers that stay float32, matrices made of the rows of tensors. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "model/binder.h"

bool capp_in_folder(const binder *b) {
    return !b->s->gguf;
}

const char *capp_weight_suffix(const binder *b, capp_part part) {
    bool expert = part == CAPP_PART_EXPERT_GATE || part == CAPP_PART_EXPERT_UP || part == CAPP_PART_EXPERT_DOWN;
    bool bare = part == CAPP_PART_SINKS || part == CAPP_PART_LAYER_SCALE || part == CAPP_PART_ALTUP_SCALE ||
                (b->w->arch->bare_experts && expert);
    if (capp_in_folder(b)) return bare ? "" : ".weight";
    const capp_part *list = b->w->arch->bare_parts;
    for (bare = false; list && *list != CAPP_PARTS && !bare; list++) bare = *list == part;
    return bare ? "" : ".weight";
}

/* ---- Checks -------------------------------------------------------------------------------------------------------
 */

capp_status capp_bind_type(binder *b, const char *name, const capp_tensor *t) {
    if (!t)
        return capp_fail(b->err, CAPP_EFORMAT,
                         "%s: tensor %s is missing: the file is incomplete; download or convert it again",
                         capp_source_path(b->s), name);
    if (!capp_dequant(t->type))
        return capp_fail(b->err, CAPP_EUNSUPPORTED, "%s: tensor %s has type %s, which capp does not support; %s",
                         capp_source_path(b->s), name, capp_type_get(t->type).name,
                         capp_in_folder(b) ? "save the model in another type" : "quantize the model to another type");
    return CAPP_OK;
}

capp_status capp_bind_wrong_shape(binder *b, const char *name, const capp_tensor *t, uint64_t k, uint64_t n) {
    return capp_fail(
        b->err, CAPP_EFORMAT,
        "%s: tensor %s is %llu x %llu, but the hyperparameters say %llu x %llu; download or convert the model again",
        capp_source_path(b->s), name, (unsigned long long)t->dims[0], (unsigned long long)t->dims[1],
        (unsigned long long)k, (unsigned long long)n);
}

capp_status capp_bind_shape(binder *b, const char *name, const capp_tensor *t, uint64_t k, uint64_t n) {
    capp_status st = capp_bind_type(b, name, t);
    if (st != CAPP_OK) return st;
    if (t->dims[0] != k || t->dims[1] != n || t->dims[2] != 1 || t->dims[3] != 1)
        return capp_bind_wrong_shape(b, name, t, k, n);
    return CAPP_OK;
}

capp_status capp_bind_memory(binder *b) {
    return capp_fail_memory(b->err, "the weights");
}

/* ---- Numbers that stay float32 --------------------------------------------------------------------------------------
 */

/* Allocates [n] floats that live as long as the weights; NULL if there is not enough memory. */
float *capp_bind_new_floats(binder *b, size_t n) {
    capp_weights *w = b->w;
    if (!capp_grow(&w->floats, &w->floats_capacity, w->n_floats + 1, sizeof *w->floats)) return NULL;
    float *floats = capp_new(n, sizeof *floats);
    if (floats) w->floats[w->n_floats++] = floats;
    return floats;
}

/* Reads a tensor of n numbers, with any number of dimensions, into out. */
capp_status capp_bind_read(binder *b, place p, const char *suffix, size_t n, float *out) {
    char name[MOST_NAME];
    const capp_tensor *t = capp_find(b, p, suffix, name);
    capp_status st = capp_bind_type(b, name, t);
    if (st != CAPP_OK) return st;
    if (t->elements != n) return capp_bind_wrong_shape(b, name, t, n, 1);
    capp_dequant(t->type)(out, t->data, n);
    return CAPP_OK;
}

capp_status capp_bind_floats(binder *b, place p, const char *suffix, size_t n, const float **out) {
    float *floats = capp_bind_new_floats(b, n);
    if (!floats) return capp_bind_memory(b);
    capp_status st = capp_bind_read(b, p, suffix, n, floats);
    if (st == CAPP_OK) *out = floats;
    return st;
}

/* Binds a norm of n numbers. rows > 1: one norm for each head. */
capp_status capp_bind_norm(binder *b, place p, size_t rows, size_t n, bool bias, capp_norm *norm) {
    const capp_arch *arch = b->w->arch;
    char buffer[MOST_NAME];
    const char *template = capp_place_template(b->w->arch, b->s->gguf, p.part, buffer),
               *number = template ? strstr(template, "%u") : NULL;
    bool each_head = number && strstr(number + 1, "%u");
    capp_status st = CAPP_OK;
    float *weight = capp_bind_new_floats(b, rows * n);
    if (!weight) return capp_bind_memory(b);
    if (b->w->hparams.bare_norms)
        for (size_t i = 0; i < n; i++) weight[i] = 1;
    else if (rows > 1 && each_head) /* one tensor for each head */
        for (p.index = 0; p.index < rows && st == CAPP_OK; p.index++)
            st = capp_bind_read(b, p, ".weight", n, weight + p.index * n);
    else
        st = capp_bind_read(b, p, capp_weight_suffix(b, p.part), rows * n, weight);
    bool plain = arch->plain_output_norm && p.part == CAPP_PART_OUTPUT_NORM;
    if (arch->norm_plus_one && capp_in_folder(b) && !plain)
        for (size_t i = 0; i < rows * n && st == CAPP_OK; i++) weight[i] += 1;
    norm->weight = weight;
    if (st != CAPP_OK || !bias || !arch->norm_bias || b->w->hparams.bare_norms) return st;
    return capp_bind_floats(b, p, ".bias", n, &norm->bias);
}

capp_status capp_bind_ones(binder *b, size_t n, capp_norm *norm) {
    float *ones = capp_bind_new_floats(b, n);
    if (!ones) return capp_bind_memory(b);
    for (size_t i = 0; i < n; i++) ones[i] = 1;
    norm->weight = ones;
    return CAPP_OK;
}

void capp_bind_ignore(binder *b, place p, const char *suffix) {
    char name[MOST_NAME];
    uint64_t before = b->w->parameters;
    (void)capp_find(b, p, suffix, name);
    b->w->parameters = before;
}

/* ---- Matrices ------------------------------------------------------------------------------------------------------
 */

static capp_order_fn order_of(const binder *b, capp_part part) {
    return capp_order_of(b->w->arch, &b->w->hparams, b->s->gguf, part);
}

/* llama.cpp stores an additional factor beside an NVFP4 tensor: one for the tensor, or n for n experts. (It also stores
 * a factor for the values by which the tensor is multiplied. capp does not use it, because it does not round them to 4
 * bits.) */
capp_status capp_bind_scale(binder *b, place p, size_t n, const capp_tensor **t) {
    char name[MOST_NAME];
    if ((*t)->type != CAPP_TYPE_NVFP4) return CAPP_OK;
    (void)capp_find(b, p, ".input_scale", name);
    const capp_tensor *scales = capp_find(b, p, ".scale", name);
    if (!scales) return CAPP_OK;
    if (scales->elements != n || scales->type != CAPP_TYPE_F32)
        return capp_fail(b->err, CAPP_EFORMAT,
                         "%s: tensor %s must have %zu element(s) of type F32; convert the model again",
                         capp_source_path(b->s), name, n);
    *t = capp_derive_scaled(b, *t, (const char *)scales->data + p.index * sizeof(float));
    return *t ? CAPP_OK : capp_bind_memory(b);
}

capp_status capp_bind_rows(binder *b, const capp_piece *x, size_t k, const capp_tensor **out) {
    char name[MOST_NAME];
    capp_order_fn order = order_of(b, x->place.part);
    capp_status st = capp_bind_quantized(b, x->place, x->rows, k, order, &b->w->hparams, out);
    if (st != CAPP_OK || *out) return st;
    bool ends = x->place.part < CAPP_FIRST_LAYER_PART;
    const capp_tensor *t = capp_find(b, x->place, capp_weight_suffix(b, x->place.part), name);
    bool turned = capp_in_folder(b) && b->w->arch->transposed && !ends;
    if ((st = capp_bind_shape(b, name, t, turned ? x->rows : k, turned ? k : x->rows)) != CAPP_OK) return st;
    if (turned) t = capp_derive_transposed(b, t);
    if (t && order) t = capp_derive_rows(b, t, x->rows, order, &b->w->hparams);
    *out = t;
    return t ? capp_bind_scale(b, x->place, 1, out) : capp_bind_memory(b);
}

static capp_status bind_bias(binder *b, const capp_piece *pieces, size_t n, capp_matrix *m) {
    float *bias = capp_bind_new_floats(b, m->n), *stored = capp_bind_new_floats(b, m->n), *at = bias;
    capp_status st;
    if (!bias || !stored) return capp_bind_memory(b);
    for (size_t i = 0; i < n; at += pieces[i++].rows) {
        capp_order_fn order = order_of(b, pieces[i].place.part);
        if ((st = capp_bind_read(b, pieces[i].place, ".bias", pieces[i].rows, stored)) != CAPP_OK) return st;
        for (size_t j = 0; j < pieces[i].rows; j++) at[j] = stored[order ? order(&b->w->hparams, j) : j];
    }
    m->bias = bias;
    return CAPP_OK;
}

/* Adds a job for a matrix of n rows of k elements, in `parts` parts of equal size, without sources yet. */
void capp_bind_job(binder *b, capp_matrix *m, size_t n, size_t parts, size_t k) {
    b->jobs[b->n_jobs++] = m;
    m->n = n;
    m->k = k;
    m->parts = parts;
    m->columns = n / parts;
}

/* The number of floats that its quantized sources need. */
static size_t most_scratch(const capp_matrix *m) {
    size_t most = 0;
    for (size_t i = 0; i < m->n_sources; i++) {
        size_t n = capp_tensor_scratch(m->source[i]);
        if (n > most) most = n;
    }
    return most;
}

/* The factor of row i of a piece. */
static float factor_of(const capp_hparams *h, capp_part part, size_t i) {
    size_t outputs = capp_mix_outputs(h), shared = (size_t)h->mix.groups * h->mix.keys;
    const size_t ends[] = {outputs, 2 * outputs, 2 * outputs + shared, 2 * outputs + 2 * shared, SIZE_MAX};
    size_t section = 0;
    while (i >= ends[section]) section++;
    float factor = part == CAPP_PART_MIX_IN ? h->mix_factors[section] : h->factors[part];
    return factor == 0 ? 1 : factor;
}

static capp_status bind_factors(binder *b, const capp_piece *pieces, size_t n, capp_matrix *m) {
    float *factors = capp_bind_new_floats(b, m->n), *at = factors;
    if (!factors) return capp_bind_memory(b);
    for (size_t i = 0; i < n; at += pieces[i++].rows)
        for (size_t j = 0; j < pieces[i].rows; j++) at[j] = factor_of(&b->w->hparams, pieces[i].place.part, j);
    for (size_t i = 0; i < m->n && m->bias; i++) ((float *)(uintptr_t)m->bias)[i] *= factors[i];
    m->factors = factors;
    return CAPP_OK;
}

capp_status capp_bind_matrix(binder *b, const capp_piece *pieces, size_t n, size_t parts, size_t k, bool bias,
                             capp_matrix *m) {
    capp_status st;
    size_t rows = 0;
    for (size_t i = 0; i < n; i++) rows += pieces[i].rows;
    capp_bind_job(b, m, rows, parts, k);
    for (size_t i = 0; i < n; i++)
        if ((st = capp_bind_rows(b, &pieces[i], k, &m->source[m->n_sources++])) != CAPP_OK) return st;
    m->extra = most_scratch(m);
    if (bias && (st = bind_bias(b, pieces, n, m)) != CAPP_OK) return st;
    return b->w->arch->multipliers && capp_in_folder(b) ? bind_factors(b, pieces, n, m) : CAPP_OK;
}
