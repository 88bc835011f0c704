/* Float8, float4 and integers that are stored row by row: folders of compressed-tensors, ModelOpt and transformers'
 * float8. */
#include <stdio.h>

#include "model/quantized_check.h"

/* The rows of a weight must be outputs. */
static capp_status check_rows(const capp_quantized *p, const char *name) {
    if (!p->b->w->arch->transposed || p->place.part < CAPP_FIRST_LAYER_PART) return CAPP_OK;
    return capp_quantized_fail(
        p, CAPP_EUNSUPPORTED, name,
        "stores inputs by rows, which capp does not support; save the model without quantization");
}

static capp_status check_weight(const capp_quantized *p, const char *name, const capp_tensor *t, size_t columns) {
    capp_status st = check_rows(p, name);
    char text[200];
    if (st != CAPP_OK || capp_quantized_has_shape(t, columns, p->n)) return st;
    if (columns != p->k) return capp_quantized_wrong(p, name, t, columns, p->n, capp_type_get(t->type).name);
    snprintf(text, sizeof text, "is %llu x %llu, but the hyperparameters say %zu x %zu", (unsigned long long)t->dims[0],
             (unsigned long long)t->dims[1], p->k, p->n);
    return capp_quantized_fail(p, CAPP_EFORMAT, name, text);
}

/* ---- Float8 --------------------------------------------------------------------------------------------------------
 */

/* Finds out from the shape of the scales what they belong to: the whole weight, each row, groups of a row's inputs, or
 * blocks. */
static bool read_strategy(const capp_quantized *p, const capp_tensor *scales, capp_quant *q) {
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

capp_status capp_quantized_float8(const capp_quantized *p, const capp_tensor *weights, char *name,
                                  const capp_tensor **out) {
    const capp_tensor *scales;
    char scales_name[MOST_NAME], text[200];
    capp_quant q;
    capp_status st = check_weight(p, name, weights, p->k);
    if (st != CAPP_OK) return st;
    scales = capp_find(p->b, p->place, ".weight_scale_inv", scales_name);
    if (!scales && (st = capp_quantized_need(p, ".weight_scale", &scales, scales_name)) != CAPP_OK) return st;
    if (!capp_quantized_is_scale(scales) || !read_strategy(p, scales, &q)) {
        snprintf(text, sizeof text,
                 "is %llu x %llu of type %s, but a matrix of %zu x %zu must have one scale, one per row, or one per "
                 "block of quantization_config in config.json, of type F16, BF16 or F32",
                 (unsigned long long)scales->dims[0], (unsigned long long)scales->dims[1],
                 capp_type_get(scales->type).name, p->k, p->n);
        return capp_quantized_fail(p, CAPP_EUNSUPPORTED, scales_name, text);
    }
    q.layout = weights->type == CAPP_TYPE_F8_E5M2 ? CAPP_QUANT_E5M2 : CAPP_QUANT_E4M3;
    q.weights = weights->data;
    q.scales = scales->data;
    q.scale_type = scales->type;
    return capp_quantized_finish(p, weights, &q, NULL, out);
}

/* ---- Float4 --------------------------------------------------------------------------------------------------------
 */

/* The shape that both kinds have: pairs of weights in bytes, and a scale of that type for `inputs` inputs. */
static capp_status check_float4(const capp_quantized *p, const capp_tensor *weights, const char *name, size_t inputs,
                                uint32_t type, const capp_tensor **scales) {
    char scales_name[MOST_NAME];
    capp_status st;
    if (p->k % inputs)
        return capp_quantized_fail(p, CAPP_EUNSUPPORTED, name, "must have a whole number of groups of inputs");
    if ((st = check_weight(p, name, weights, p->k / 2)) != CAPP_OK) return st;
    if ((st = capp_quantized_need(p, ".weight_scale", scales, scales_name)) != CAPP_OK) return st;
    if ((*scales)->type == type && capp_quantized_has_shape(*scales, p->k / inputs, p->n)) return CAPP_OK;
    return capp_quantized_wrong(p, scales_name, *scales, p->k / inputs, p->n, capp_type_get(type).name);
}

/* compressed-tensors divides by the scale of the tensor, ModelOpt multiplies. */
capp_status capp_quantized_nvfp4(const capp_quantized *p, const capp_tensor *weights, char *name,
                                 const capp_tensor **out) {
    enum { INPUTS = 16 };
    const bool divides = p->b->w->hparams.quantization.method == CAPP_COMPRESSED;
    const capp_tensor *scales, *whole;
    char whole_name[MOST_NAME];
    capp_status st = check_float4(p, weights, name, INPUTS, CAPP_TYPE_F8_E4M3, &scales);
    if (st != CAPP_OK) return st;
    st = capp_quantized_need(p, divides ? ".weight_global_scale" : ".weight_scale_2", &whole, whole_name);
    if (st != CAPP_OK) return st;
    if (whole->type != CAPP_TYPE_F32 || whole->elements != 1)
        return capp_quantized_wrong(p, whole_name, whole, 1, 1, "F32");
    capp_quant q = {.layout = CAPP_QUANT_NVFP4,
                    .n = p->n,
                    .k = p->k,
                    .weights = weights->data,
                    /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): check_float4 finds it or fails */
                    .scales = scales->data,
                    .divides = divides};
    memcpy(&q.tensor_scale, whole->data, sizeof q.tensor_scale);
    return capp_quantized_finish(p, weights, &q, NULL, out);
}

capp_status capp_quantized_mxfp4(const capp_quantized *p, const capp_tensor *weights, char *name,
                                 const capp_tensor **out) {
    enum { INPUTS = 32 };
    const capp_tensor *scales;
    capp_status st = check_float4(p, weights, name, INPUTS, CAPP_TYPE_U8, &scales);
    if (st != CAPP_OK) return st;
    capp_quant q = {.layout = CAPP_QUANT_MXFP4, .n = p->n, .k = p->k, .weights = weights->data};
    /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): check_float4 finds it or fails */
    q.scales = scales->data;
    return capp_quantized_finish(p, weights, &q, NULL, out);
}

/* ---- Integers of compressed-tensors --------------------------------------------------------------------------------
 */

/* Scales are one for the tensor, one for each row, or one for each group of a row's inputs. */
static capp_status read_scales(const capp_quantized *p, capp_quant *q) {
    const capp_tensor *t;
    char name[MOST_NAME];
    capp_status st = capp_quantized_need(p, ".weight_scale", &t, name);
    if (st != CAPP_OK) return st;
    q->groups = t->elements == p->n || t->dims[0] > p->k ? 1 : (size_t)t->dims[0];
    q->scale_rows = t->elements == 1 ? 1 : p->n;
    q->scales = t->data;
    q->scale_type = t->type;
    if (!capp_quantized_is_scale(t) || t->elements != q->scale_rows * q->groups)
        return capp_quantized_wrong(p, name, t, q->groups, q->scale_rows, "F16, BF16 or F32");
    if (p->k % q->groups == 0) return CAPP_OK;
    return capp_quantized_fail(p, CAPP_EUNSUPPORTED, name, "must divide the inputs into groups of one size");
}

/* Reads the groups of inputs. If there is no g_idx, or if all of it is -1, they are consecutive inputs. */
static capp_status read_groups(const capp_quantized *p, const capp_quant *q, uint32_t *group) {
    char name[MOST_NAME];
    const capp_tensor *t = capp_find(p->b, p->place, ".weight_g_idx", name);
    const int32_t unset = -1;
    if (t && t->bytes >= sizeof unset && memcmp(t->data, &unset, sizeof unset) != 0)
        return capp_quantized_groups(p, t, name, q->groups, group);
    for (size_t i = 0; i < p->k; i++) group[i] = (uint32_t)(i / (p->k / q->groups));
    return CAPP_OK;
}

static capp_status finish_integers(const capp_quantized *p, const capp_tensor *weights, const capp_quant *q,
                                   const capp_tensor **out) {
    uint32_t *group;
    capp_status st = capp_quantized_finish(p, weights, q, &group, out);
    return st == CAPP_OK ? read_groups(p, q, group) : st;
}

capp_status capp_quantized_packed(const capp_quantized *p, const capp_tensor *weights, char *name,
                                  const capp_tensor **out) {
    char zeros_name[MOST_NAME], shape_name[MOST_NAME];
    const size_t words = weights->dims[0] <= p->k ? (size_t)weights->dims[0] : 0;
    const unsigned bits = (unsigned)(words * 32 / p->k);
    capp_quant q = {.layout = CAPP_QUANT_PACKED, .n = p->n, .k = p->k, .bits = bits, .weights = weights->data};
    capp_status st;
    if (bits == 3)
        return capp_quantized_fail(p, CAPP_EUNSUPPORTED, name,
                                   "has 3 bits for each weight, which capp reads only as GPTQ stores them; save the "
                                   "model with 2, 4 or 8 bits, or as GPTQ");
    if (bits != 2 && bits != 4 && bits != 8)
        return capp_quantized_fail(p, CAPP_EUNSUPPORTED, name,
                                   "must have 2, 4 or 8 bits for each weight; save the model with so many");
    if ((st = check_weight(p, name, weights, (p->k * bits + 31) / 32)) != CAPP_OK) return st;
    (void)capp_find(p->b, p->place, ".weight_shape", shape_name);
    if ((st = read_scales(p, &q)) != CAPP_OK) return st;
    const capp_tensor *zeros = capp_find(p->b, p->place, ".weight_zero_point", zeros_name);
    if (zeros && (!capp_quantized_is_words(zeros) ||
                  !capp_quantized_has_shape(zeros, q.groups, (q.scale_rows * bits + 31) / 32)))
        return capp_quantized_wrong(p, zeros_name, zeros, q.groups, (q.scale_rows * bits + 31) / 32, "I32");
    q.zeros = zeros ? zeros->data : NULL;
    return finish_integers(p, weights, &q, out);
}

capp_status capp_quantized_int8(const capp_quantized *p, const capp_tensor *weights, char *name,
                                const capp_tensor **out) {
    char zeros_name[MOST_NAME];
    capp_quant q = {.layout = CAPP_QUANT_INT8, .n = p->n, .k = p->k, .bits = 8, .weights = weights->data};
    capp_status st;
    if ((st = check_weight(p, name, weights, p->k)) != CAPP_OK) return st;
    if ((st = read_scales(p, &q)) != CAPP_OK) return st;
    const capp_tensor *zeros = capp_find(p->b, p->place, ".weight_zero_point", zeros_name);
    if (zeros && (zeros->type != CAPP_TYPE_I8 || zeros->elements != q.scale_rows * q.groups))
        return capp_quantized_wrong(p, zeros_name, zeros, q.groups, q.scale_rows, "I8");
    q.zeros = zeros ? zeros->data : NULL;
    return finish_integers(p, weights, &q, out);
}
