/* GPTQ and AWQ: weights, zeros and scales are matrices with a column for each output. */
#include "model/quantized_check.h"

enum { MOST_DIM = 1 << 30 };

/* Checks that t is columns x rows, of integers (whole) or of floats. */
static capp_status check(const capp_quantized *p, const char *name, const capp_tensor *t, bool whole, size_t columns,
                         size_t rows) {
    bool type = whole ? capp_quantized_is_words(t) : capp_quantized_is_scale(t);
    if (type && capp_quantized_has_shape(t, columns, rows)) return CAPP_OK;
    return capp_quantized_wrong(p, name, t, columns, rows, whole ? "I32" : "F16, BF16 or F32");
}

/* Reads GPTQ's groups of inputs from g_idx. If there is no g_idx, the groups are consecutive inputs. */
static capp_status read_groups(const capp_quantized *p, const capp_quant *q, uint32_t *group) {
    char name[MOST_NAME];
    uint32_t size = p->b->w->hparams.quantization.group;
    const capp_tensor *t = q->layout == CAPP_QUANT_GPTQ ? capp_find(p->b, p->place, ".g_idx", name) : NULL;
    if (t) return capp_quantized_groups(p, t, name, q->groups, group);
    if (!size || size > p->k) size = (uint32_t)p->k;
    (void)capp_find(p->b, p->place, ".scales", name);
    if ((p->k + size - 1) / size != q->groups)
        return capp_quantized_fail(
            p, CAPP_EFORMAT, name,
            "does not have the number of rows that quantization_config.group_size in config.json requires");
    for (size_t i = 0; i < p->k; i++) group[i] = (uint32_t)(i / size);
    return CAPP_OK;
}

/* The bits of a weight: from config.json or, if products differ, from the number of words that its inputs take. */
static capp_status read_bits(const capp_quantized *p, const capp_tensor *t, const char *name, unsigned *bits) {
    const capp_quantization *c = &p->b->w->hparams.quantization;
    uint64_t rows = t->dims[1] < MOST_DIM ? t->dims[1] : 0;
    *bits = c->bits ? c->bits : (unsigned)(rows * 32 / p->k < 9 ? rows * 32 / p->k : 0);
    if (c->method == CAPP_AWQ)
        return p->n % 8 ? capp_quantized_fail(p, CAPP_EFORMAT, name, "must have a multiple of 8 outputs") : CAPP_OK;
    if ((*bits == 2 || *bits == 3 || *bits == 4 || *bits == 8) && p->k * *bits % 32 == 0) return CAPP_OK;
    return capp_quantized_fail(p, CAPP_EUNSUPPORTED, name,
                               "must have 2, 3, 4 or 8 bits for each input, in whole words");
}

capp_status capp_quantized_columns(const capp_quantized *p, const capp_tensor *weights, char *name,
                                   const capp_tensor **out) {
    const capp_quantization *c = &p->b->w->hparams.quantization;
    const capp_tensor *zeros, *scales;
    bool awq = c->method == CAPP_AWQ;
    char zeros_name[MOST_NAME], scales_name[MOST_NAME];
    unsigned bits;
    capp_status st;
    if ((st = read_bits(p, weights, name, &bits)) != CAPP_OK) return st;
    st = awq ? check(p, name, weights, true, p->n / 8, p->k) : check(p, name, weights, true, p->n, p->k * bits / 32);
    if (st != CAPP_OK) return st;
    if ((st = capp_quantized_need(p, ".qzeros", &zeros, zeros_name)) != CAPP_OK) return st;
    if ((st = capp_quantized_need(p, ".scales", &scales, scales_name)) != CAPP_OK) return st;
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
    if ((st = capp_quantized_finish(p, weights, &q, &group, out)) != CAPP_OK) return st;
    return read_groups(p, &q, group);
}
