/* Quantized products of folders. A method makes several tensors of one weight. capp finds and checks them and makes one
 * tensor of them. When this tensor is packed, it is read row by row like the others. */
#include <stdio.h>

#include "model/binder.h"

enum { MOST_DIM = 1 << 30 };

/* A weight that is being bound: n rows of k elements. Row i is stored row order(user, i). */
typedef struct product {
    binder *b;
    place place;
    size_t n, k;
    capp_order_fn order;
    const void *user;
} product;

static const char *method_name(capp_quant_method method) {
    static const char *const names[] = {"no method", "GPTQ", "AWQ", "float8"};
    return names[method];
}

static capp_status fail_tensor(const product *p, capp_status st, const char *name, const char *what) {
    return capp_fail(p->b->err, st, "%s: tensor %s, of %s, %s", capp_source_path(p->b->s), name,
                     method_name(p->b->w->hparams.quantization.method), what);
}

static bool is_scale(uint32_t type) {
    return type == CAPP_TYPE_F32 || type == CAPP_TYPE_F16 || type == CAPP_TYPE_BF16;
}

/* Finds the tensor with a suffix; name [MOST_NAME] receives its name. Fails if there is none. */
static capp_status need(const product *p, const char *suffix, const capp_tensor **t, char *name) {
    *t = capp_find(p->b, p->place, suffix, name);
    return *t ? CAPP_OK : fail_tensor(p, CAPP_EFORMAT, name, "is missing: the folder is incomplete; download it again");
}

/* Checks that t is columns x rows, of integers (whole) or of floats. */
static capp_status check(const product *p, const char *name, const capp_tensor *t, bool whole, size_t columns,
                         size_t rows) {
    char text[200];
    if (t->dims[0] == columns && t->dims[1] == rows && t->dims[2] == 1 && t->dims[3] == 1 &&
        (whole ? t->type == CAPP_TYPE_I32 || t->type == CAPP_TYPE_U32 : is_scale(t->type)))
        return CAPP_OK;
    snprintf(text, sizeof text, "is %llu x %llu of type %s, but a matrix of %zu x %zu needs %zu x %zu of type %s",
             (unsigned long long)t->dims[0], (unsigned long long)t->dims[1], capp_type_get(t->type).name, p->k, p->n,
             columns, rows, whole ? "I32" : "F16, BF16 or F32");
    return fail_tensor(p, CAPP_EFORMAT, name, text);
}

/* Makes the tensor that represents q. *group: [k] for the groups of inputs. */
static capp_status finish(const product *p, const capp_tensor *t, const capp_quant *q, uint32_t **group,
                          const capp_tensor **out) {
    *out = capp_derive_quantized(p->b, t, q, p->order, p->user, group);
    return *out ? CAPP_OK : capp_fail_memory(p->b->err, "the weights");
}

/* ---- GPTQ and AWQ --------------------------------------------------------------------------------------------------
 */

/* Reads GPTQ's groups of inputs from g_idx. If there is no g_idx, the groups are consecutive inputs. */
static capp_status read_groups(const product *p, const capp_quant *q, uint32_t *group) {
    char name[MOST_NAME];
    uint32_t size = p->b->w->hparams.quantization.group;
    const capp_tensor *t = q->layout == CAPP_QUANT_GPTQ ? capp_find(p->b, p->place, ".g_idx", name) : NULL;
    if (t) {
        if (t->elements != p->k || (t->type != CAPP_TYPE_I32 && t->type != CAPP_TYPE_U32))
            return fail_tensor(p, CAPP_EFORMAT, name, "must have one number of type I32 for each input");
        memcpy(group, t->data, p->k * sizeof *group);
        for (size_t i = 0; i < p->k; i++)
            if (group[i] >= q->groups)
                return fail_tensor(p, CAPP_EFORMAT, name,
                                   "contains a group without scales: the file is damaged; download it again");
        return CAPP_OK;
    }
    if (!size || size > p->k) size = (uint32_t)p->k;
    (void)capp_find(p->b, p->place, ".scales", name);
    if ((p->k + size - 1) / size != q->groups)
        return fail_tensor(
            p, CAPP_EFORMAT, name,
            "does not have the number of rows that quantization_config.group_size in config.json requires");
    for (size_t i = 0; i < p->k; i++) group[i] = (uint32_t)(i / size);
    return CAPP_OK;
}

/* The bits of a weight: from config.json or, if products differ, from the number of words that its inputs take. */
static capp_status read_bits(const product *p, const capp_tensor *t, const char *name, unsigned *bits) {
    const capp_quantization *c = &p->b->w->hparams.quantization;
    uint64_t rows = t->dims[1] < MOST_DIM ? t->dims[1] : 0;
    *bits = c->bits ? c->bits : (unsigned)(rows * 32 / p->k < 9 ? rows * 32 / p->k : 0);
    if (c->method == CAPP_AWQ)
        return p->n % 8 ? fail_tensor(p, CAPP_EFORMAT, name, "must have a multiple of 8 outputs") : CAPP_OK;
    if ((*bits == 2 || *bits == 3 || *bits == 4 || *bits == 8) && p->k * *bits % 32 == 0) return CAPP_OK;
    return fail_tensor(p, CAPP_EUNSUPPORTED, name, "must have 2, 3, 4 or 8 bits for each input, in whole words");
}

static capp_status bind_integers(const product *p, const capp_tensor *weights, char *name, const capp_tensor **out) {
    const capp_quantization *c = &p->b->w->hparams.quantization;
    const capp_tensor *zeros, *scales;
    bool awq = c->method == CAPP_AWQ;
    char zeros_name[MOST_NAME], scales_name[MOST_NAME];
    unsigned bits;
    capp_status st;
    if ((st = read_bits(p, weights, name, &bits)) != CAPP_OK) return st;
    st = awq ? check(p, name, weights, true, p->n / 8, p->k) : check(p, name, weights, true, p->n, p->k * bits / 32);
    if (st != CAPP_OK) return st;
    if ((st = need(p, ".qzeros", &zeros, zeros_name)) != CAPP_OK) return st;
    if ((st = need(p, ".scales", &scales, scales_name)) != CAPP_OK) return st;
    size_t groups = scales->dims[1] <= p->k ? (size_t)scales->dims[1] : p->k;
    if ((st = check(p, scales_name, scales, false, p->n, groups)) != CAPP_OK) return st;
    if ((st = check(p, zeros_name, zeros, true, (p->n * bits + 31) / 32, groups)) != CAPP_OK) return st;
    capp_quant q = {.layout = awq ? CAPP_QUANT_AWQ : CAPP_QUANT_GPTQ,
                    .n = p->n,
                    .k = p->k,
                    .groups = groups,
                    .bits = bits,
                    .zeros_less_one = c->zeros_less_one,
                    .weights = weights->data,
                    .zeros = zeros->data,
                    .scales = scales->data,
                    .scale_type = scales->type};
    uint32_t *group;
    if ((st = finish(p, weights, &q, &group, out)) != CAPP_OK) return st;
    return read_groups(p, &q, group);
}

/* ---- Float8 --------------------------------------------------------------------------------------------------------
 */

/* Finds out from the shape of the scales what they belong to: the whole weight, each row, groups of a row's inputs, or
 * blocks. */
static bool read_strategy(const product *p, const capp_tensor *scales, capp_quant *q) {
    const capp_quantization *c = &p->b->w->hparams.quantization;
    size_t columns = (size_t)scales->dims[0], rows = (size_t)scales->dims[1];
    bool flat = scales->dims[2] == 1 && scales->dims[3] == 1;
    *q = (capp_quant){.n = p->n, .k = p->k, .groups = 1, .block_rows = p->n, .block_columns = p->k};
    if (scales->elements == 1) return true;
    q->block_rows = 1;
    if (flat && (columns == 1 || rows == 1) && scales->elements == p->n) return true;
    q->groups = columns;
    if (flat && c->block_rows && rows == (p->n + c->block_rows - 1) / c->block_rows &&
        columns == (p->k + c->block_columns - 1) / c->block_columns) {
        q->block_rows = c->block_rows;
        q->block_columns = c->block_columns;
        return true;
    }
    q->block_columns = p->k / columns;
    return flat && !c->block_rows && rows == p->n && p->k % columns == 0;
}

static capp_status bind_float8(const product *p, const capp_tensor *weights, char *name, const capp_tensor **out) {
    const capp_arch *arch = p->b->w->arch;
    const capp_tensor *scales;
    char scales_name[MOST_NAME], text[200];
    capp_quant q;
    capp_status st;
    if (arch->transposed && p->place.part >= CAPP_FIRST_LAYER_PART)
        return fail_tensor(p, CAPP_EUNSUPPORTED, name,
                           "stores inputs by rows, which capp does not support; save the model without quantization");
    if (weights->dims[0] != p->k || weights->dims[1] != p->n || weights->elements != (uint64_t)p->k * p->n) {
        snprintf(text, sizeof text, "is %llu x %llu, but the hyperparameters say %zu x %zu",
                 (unsigned long long)weights->dims[0], (unsigned long long)weights->dims[1], p->k, p->n);
        return fail_tensor(p, CAPP_EFORMAT, name, text);
    }
    scales = capp_find(p->b, p->place, ".weight_scale_inv", scales_name);
    if (!scales && (st = need(p, ".weight_scale", &scales, scales_name)) != CAPP_OK) return st;
    if (!is_scale(scales->type) || !read_strategy(p, scales, &q)) {
        snprintf(text, sizeof text,
                 "is %llu x %llu of type %s, but a matrix of %zu x %zu must have one scale, one per row, or one per "
                 "block of quantization_config in config.json, of type F16, BF16 or F32",
                 (unsigned long long)scales->dims[0], (unsigned long long)scales->dims[1],
                 capp_type_get(scales->type).name, p->k, p->n);
        return fail_tensor(p, CAPP_EUNSUPPORTED, scales_name, text);
    }
    q.layout = weights->type == CAPP_TYPE_F8_E5M2 ? CAPP_QUANT_E5M2 : CAPP_QUANT_E4M3;
    q.weights = weights->data;
    q.scales = scales->data;
    q.scale_type = scales->type;
    return finish(p, weights, &q, NULL, out);
}

/* ---- All -----------------------------------------------------------------------------------------------------------
 */

capp_status capp_bind_quantized(binder *b, place where, size_t n, size_t k, capp_order_fn order, const void *user,
                                const capp_tensor **out) {
    const product p = {b, where, n, k, order, user};
    capp_quant_method method = b->w->hparams.quantization.method;
    char name[MOST_NAME];
    *out = NULL;
    if (method == CAPP_NOT_QUANTIZED) return CAPP_OK;
    uint64_t before = b->w->parameters;
    const capp_tensor *t = capp_find(b, where, method == CAPP_FLOAT8 ? ".weight" : ".qweight", name);
    bool float8 = t && (t->type == CAPP_TYPE_F8_E4M3 || t->type == CAPP_TYPE_F8_E5M2);
    if (!t || (method == CAPP_FLOAT8 && !float8)) return CAPP_OK;
    capp_status st = float8 ? bind_float8(&p, t, name, out) : bind_integers(&p, t, name, out);
    b->w->parameters = before + (uint64_t)n * k;
    return st;
}

static bool ends_with(const capp_tensor *t, const char *end) {
    size_t n = strlen(end);
    return t->name.size > n && !memcmp(t->name.data + t->name.size - n, end, n);
}

/* Float8: scales of activations, keys and values. GPTQ: some programs write a bias for every product; it is zeros if
 * the model has none. */
bool capp_quant_idle(const capp_hparams *h, const capp_tensor *t) {
    static const char *const ends[] = {".input_scale", ".activation_scale", ".output_scale",
                                       ".k_scale",     ".v_scale",          ".q_scale"};
    for (size_t i = 0; i < sizeof ends / sizeof *ends && h->quantization.method == CAPP_FLOAT8; i++)
        if (ends_with(t, ends[i])) return true;
    if (h->quantization.method != CAPP_GPTQ || !ends_with(t, ".bias") || !is_scale(t->type)) return false;
    const unsigned char *bytes = t->data;
    for (uint64_t i = 0; i < t->bytes; i++)
        if (bytes[i]) return false;
    return true;
}

/* ---- Description ---------------------------------------------------------------------------------------------------
 */

const char *capp_quant_name(const capp_hparams *h, char *buffer, size_t size) {
    const capp_quantization *c = &h->quantization;
    char bits[32] = "bits by product", group[48] = "a scale for all inputs";
    if (h->mxfp4) return "MXFP4 in the experts";
    if (c->method == CAPP_NOT_QUANTIZED) return NULL;
    if (c->bits) snprintf(bits, sizeof bits, "%u bits", c->bits);
    if (c->group) snprintf(group, sizeof group, "a scale for %u inputs", c->group);
    if (c->method != CAPP_FLOAT8)
        snprintf(buffer, size, "%s, %s, %s", method_name(c->method), bits, group);
    else if (c->block_rows)
        snprintf(buffer, size, "float8, scales of blocks of %u x %u", c->block_rows, c->block_columns);
    else
        snprintf(buffer, size, "float8, scales of tensors or rows");
    return buffer;
}

uint64_t capp_quant_weights(const capp_hparams *h, const capp_tensor *t, bool *readable) {
    static const char *const beside[] = {".qzeros", ".scales", ".g_idx"}, *const scales[] = {".weight_scale",
                                                                                             ".weight_scale_inv"};
    const capp_quantization *c = &h->quantization;
    *readable = true;
    for (size_t i = 0; i < 3 && (c->method == CAPP_GPTQ || c->method == CAPP_AWQ); i++)
        if (ends_with(t, beside[i])) return 0;
    for (size_t i = 0; i < 2 && c->method == CAPP_FLOAT8; i++)
        if (ends_with(t, scales[i])) return 0;
    if ((c->method == CAPP_GPTQ || c->method == CAPP_AWQ) && ends_with(t, ".qweight"))
        return t->elements * 32 / (c->bits ? c->bits : 4);
    if (h->mxfp4 && ends_with(t, "_blocks")) return t->elements * 2;
    if (h->mxfp4 && ends_with(t, "_scales")) return 0;
    *readable = capp_dequant(t->type) ||
                (c->method == CAPP_FLOAT8 && (t->type == CAPP_TYPE_F8_E4M3 || t->type == CAPP_TYPE_F8_E5M2)) ||
                capp_quant_idle(h, t);
    return t->elements;
}
