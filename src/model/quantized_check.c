/* What the layouts of quantized weights have in common: checks of their tensors, and the tensor that stands for them.
 */
#include <stdio.h>

#include "model/quantized_check.h"

const char *capp_quantized_method(capp_quant_method method) {
    static const char *const names[] = {"no method",          "GPTQ",     "AWQ",         "float8",
                                        "compressed-tensors", "ModelOpt", "bitsandbytes"};
    return names[method];
}

capp_status capp_quantized_fail(const capp_quantized *p, capp_status st, const char *name, const char *what) {
    return capp_fail(p->b->err, st, "%s: tensor %s, of %s, %s", capp_source_path(p->b->s), name,
                     capp_quantized_method(p->b->w->hparams.quantization.method), what);
}

capp_status capp_quantized_wrong(const capp_quantized *p, const char *name, const capp_tensor *t, size_t columns,
                                 size_t rows, const char *types) {
    char text[200];
    snprintf(text, sizeof text, "is %llu x %llu of type %s, but a matrix of %zu x %zu needs %zu x %zu of type %s",
             (unsigned long long)t->dims[0], (unsigned long long)t->dims[1], capp_type_get(t->type).name, p->k, p->n,
             columns, rows, types);
    return capp_quantized_fail(p, CAPP_EFORMAT, name, text);
}

bool capp_quantized_has_shape(const capp_tensor *t, size_t columns, size_t rows) {
    return t->dims[0] == columns && t->dims[1] == rows && t->dims[2] == 1 && t->dims[3] == 1;
}

bool capp_quantized_is_scale(const capp_tensor *t) {
    return t->type == CAPP_TYPE_F32 || t->type == CAPP_TYPE_F16 || t->type == CAPP_TYPE_BF16;
}

bool capp_quantized_is_words(const capp_tensor *t) {
    return t->type == CAPP_TYPE_I32 || t->type == CAPP_TYPE_U32;
}

capp_status capp_quantized_need(const capp_quantized *p, const char *suffix, const capp_tensor **t, char *name) {
    *t = capp_find(p->b, p->place, suffix, name);
    if (*t) return CAPP_OK;
    return capp_quantized_fail(p, CAPP_EFORMAT, name, "is missing: the folder is incomplete; download it again");
}

capp_status capp_quantized_groups(const capp_quantized *p, const capp_tensor *t, const char *name, size_t groups,
                                  uint32_t *group) {
    if (t->elements != p->k || !capp_quantized_is_words(t))
        return capp_quantized_fail(p, CAPP_EFORMAT, name, "must have one number of type I32 for each input");
    memcpy(group, t->data, p->k * sizeof *group);
    for (size_t i = 0; i < p->k; i++)
        if (group[i] >= groups)
            return capp_quantized_fail(p, CAPP_EFORMAT, name,
                                       "contains a group without scales: the file is damaged; download it again");
    return CAPP_OK;
}

capp_status capp_quantized_finish(const capp_quantized *p, const capp_tensor *t, const capp_quant *q, uint32_t **group,
                                  const capp_tensor **out) {
    *out = capp_derive_quantized(p->b, t, q, p->order, p->user, group);
    return *out ? CAPP_OK : capp_fail_memory(p->b->err, "the weights");
}
