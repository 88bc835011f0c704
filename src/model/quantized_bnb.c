/* Folders that bitsandbytes made: 4 bits, as levels times a scale for each block of a weight's numbers, or int8. */
#include <math.h>

#include "model/quantized_check.h"

enum { LEVELS = 16, CODES = 256, MOST_BLOCK = 1 << 20 };

static capp_status check_rows(const capp_quantized *p, const char *name) {
    if (!p->b->w->arch->transposed) return CAPP_OK;
    return capp_quantized_fail(
        p, CAPP_EUNSUPPORTED, name,
        "stores inputs by rows, which capp does not support; save the model without quantization");
}

/* Finds a tensor of `elements` elements of a type. */
static capp_status need_flat(const capp_quantized *p, const char *suffix, uint32_t type, size_t elements,
                             const void **data) {
    char name[MOST_NAME];
    const capp_tensor *t;
    capp_status st = capp_quantized_need(p, suffix, &t, name);
    if (st != CAPP_OK) return st;
    if (t->type != type || t->elements != elements)
        return capp_quantized_wrong(p, name, t, elements, 1, capp_type_get(type).name);
    *data = t->data;
    return CAPP_OK;
}

/* ---- 4 bits --------------------------------------------------------------------------------------------------------
 */

static bool read_size(capp_json state, const char *key, size_t *out) {
    uint32_t size;
    if (!capp_json_u32(capp_json_get(state, key), MOST_BLOCK, &size) || !size) return false;
    *out = size;
    return true;
}

static bool has_shape(const capp_quantized *p, capp_json shape) {
    const size_t want[2] = {p->n, p->k};
    uint32_t got;
    size_t i = 0;
    for (capp_json_walk w = capp_json_begin(shape); capp_json_next(&w); i++)
        if (i >= 2 || !capp_json_u32(w.value, UINT32_MAX, &got) || got != want[i]) return false;
    return i == 2;
}

/* Reads the sizes of blocks from the JSON text that a tensor contains. */
static capp_status read_state(const capp_quantized *p, capp_quant *q, bool nested) {
    char name[MOST_NAME];
    const capp_tensor *t = capp_find(p->b, p->place, ".weight.quant_state.bitsandbytes__nf4", name);
    capp_json state;
    capp_error err;
    double offset = 0;
    capp_status st = CAPP_OK;
    if (!t) st = capp_quantized_need(p, ".weight.quant_state.bitsandbytes__fp4", &t, name);
    if (st != CAPP_OK) return st;
    if (t->type != CAPP_TYPE_U8 || capp_json_check((capp_str){t->data, (size_t)t->bytes}, &state, &err) != CAPP_OK ||
        capp_json_kind_of(state) != CAPP_JSON_OBJECT)
        return capp_quantized_fail(p, CAPP_EFORMAT, name, "is not a JSON object in bytes; save the model again");
    if (!has_shape(p, capp_json_get(state, "shape")))
        return capp_quantized_fail(p, CAPP_EFORMAT, name, "has another shape than the hyperparameters say");
    if (!read_size(state, "blocksize", &q->block_columns) ||
        (nested && !read_size(state, "nested_blocksize", &q->second_block)) ||
        (nested && (!capp_json_f64(capp_json_get(state, "nested_offset"), &offset) || !isfinite((float)offset))))
        return capp_quantized_fail(p, CAPP_EFORMAT, name,
                                   "must have blocksize, and nested_blocksize and nested_offset if scales are nested");
    q->offset = (float)offset;
    return CAPP_OK;
}

capp_status capp_quantized_levels(const capp_quantized *p, const capp_tensor *weights, char *name,
                                  const capp_tensor **out) {
    char second_name[MOST_NAME];
    const size_t count = p->n * p->k;
    const bool nested = capp_find(p->b, p->place, ".weight.nested_absmax", second_name);
    capp_quant q = {.layout = CAPP_QUANT_LEVELS, .n = p->n, .k = p->k, .weights = weights->data};
    capp_status st = check_rows(p, name);
    if (st != CAPP_OK) return st;
    if (weights->bytes != (count + 1) / 2) return capp_quantized_wrong(p, name, weights, (count + 1) / 2, 1, "U8");
    if ((st = read_state(p, &q, nested)) != CAPP_OK) return st;
    /* NOLINTNEXTLINE(clang-analyzer-core.DivideZero): read_state fails if it is 0 */
    const size_t scales = (count + q.block_columns - 1) / q.block_columns;
    st = need_flat(p, ".weight.quant_map", CAPP_TYPE_F32, LEVELS, &q.levels);
    if (st != CAPP_OK) return st;
    st = need_flat(p, ".weight.absmax", nested ? CAPP_TYPE_U8 : CAPP_TYPE_F32, scales, &q.scales);
    if (st != CAPP_OK) return st;
    if (nested) {
        /* NOLINTNEXTLINE(clang-analyzer-core.DivideZero): read_state fails if it is 0 */
        const size_t second = (scales + q.second_block - 1) / q.second_block;
        st = need_flat(p, ".weight.nested_quant_map", CAPP_TYPE_F32, CODES, &q.codes);
        if (st == CAPP_OK) st = need_flat(p, ".weight.nested_absmax", CAPP_TYPE_F32, second, &q.second);
        if (st != CAPP_OK) return st;
    }
    return capp_quantized_finish(p, weights, &q, NULL, out);
}

/* ---- int8 ----------------------------------------------------------------------------------------------------------
 */

capp_status capp_quantized_int8_127(const capp_quantized *p, const capp_tensor *weights, char *name,
                                    const capp_tensor **out) {
    char format_name[MOST_NAME];
    capp_quant q = {.layout = CAPP_QUANT_INT8_127,
                    .n = p->n,
                    .k = p->k,
                    .groups = 1,
                    .weights = weights->data,
                    .scale_type = CAPP_TYPE_F32};
    capp_status st = check_rows(p, name);
    if (st != CAPP_OK) return st;
    if (!capp_quantized_has_shape(weights, p->k, p->n)) return capp_quantized_wrong(p, name, weights, p->k, p->n, "I8");
    if ((st = need_flat(p, ".SCB", CAPP_TYPE_F32, p->n, &q.scales)) != CAPP_OK) return st;
    const capp_tensor *format = capp_find(p->b, p->place, ".weight_format", format_name);
    if (format && format->bytes && *(const char *)format->data)
        return capp_quantized_fail(
            p, CAPP_EUNSUPPORTED, format_name,
            "says that rows are in another order; save the model again with a newer bitsandbytes");
    return capp_quantized_finish(p, weights, &q, NULL, out);
}
