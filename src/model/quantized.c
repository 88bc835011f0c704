/* Quantized products of folders. A method makes several tensors of one weight. capp finds and checks them and makes one
 * tensor of them. When this tensor is packed, it is read row by row like the others. This file chooses the layout of a
 * weight and describes the model; quantized_columns.c, quantized_rows.c and quantized_bnb.c bind the layouts. */
#include "model/quantized_check.h"

#include <stdio.h>

/* ---- Layouts -------------------------------------------------------------------------------------------------------
 */

enum {
    COLUMNS = 1 << CAPP_GPTQ | 1 << CAPP_AWQ,
    FLOATS = 1 << CAPP_FLOAT8 | 1 << CAPP_COMPRESSED | 1 << CAPP_MODELOPT,
    ANY = CAPP_TYPE_QUANTIZED /* which no file has */
};

/* How a weight is stored: the suffix and the type of its main tensor, and another tensor that it must have, or NULL. */
static const struct layout {
    unsigned methods;
    const char *suffix;
    uint32_t type;
    const char *beside;
    capp_quantized_fn *bind;
} layouts[] = {
    {COLUMNS, ".qweight", ANY, NULL, capp_quantized_columns},
    {FLOATS, ".weight", CAPP_TYPE_F8_E4M3, NULL, capp_quantized_float8},
    {FLOATS, ".weight", CAPP_TYPE_F8_E5M2, NULL, capp_quantized_float8},
    {1 << CAPP_COMPRESSED, ".weight_packed", CAPP_TYPE_I32, NULL, capp_quantized_packed},
    {1 << CAPP_COMPRESSED, ".weight_packed", CAPP_TYPE_U8, ".weight_global_scale", capp_quantized_nvfp4},
    {1 << CAPP_COMPRESSED, ".weight_packed", CAPP_TYPE_U8, NULL, capp_quantized_mxfp4},
    {1 << CAPP_COMPRESSED, ".weight", CAPP_TYPE_I8, NULL, capp_quantized_int8},
    {1 << CAPP_MODELOPT, ".weight", CAPP_TYPE_U8, NULL, capp_quantized_nvfp4},
    {1 << CAPP_BITSANDBYTES, ".weight", CAPP_TYPE_I8, NULL, capp_quantized_int8_127},
    {1 << CAPP_BITSANDBYTES, ".weight", ANY, ".weight.absmax", capp_quantized_levels},
};

static const struct layout *layout_of(const binder *b, place where, char *name) {
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++) {
        const struct layout *x = &layouts[i];
        if (!(x->methods >> b->w->hparams.quantization.method & 1)) continue;
        if (x->beside && !capp_place_find(b->s, b->w->arch, where, x->beside, name)) continue;
        const capp_tensor *t = capp_place_find(b->s, b->w->arch, where, x->suffix, name);
        if (t && (x->type == ANY || t->type == x->type)) return x;
    }
    return NULL;
}

capp_status capp_bind_quantized(binder *b, place where, size_t n, size_t k, capp_order_fn order, const void *user,
                                const capp_tensor **out) {
    const capp_quantized p = {b, where, n, k, order, user};
    char name[MOST_NAME];
    *out = NULL;
    if (b->w->hparams.quantization.method == CAPP_NOT_QUANTIZED) return CAPP_OK;
    const struct layout *x = layout_of(b, where, name);
    if (!x) return CAPP_OK;
    uint64_t before = b->w->parameters;
    capp_status st = x->bind(&p, capp_find(b, where, x->suffix, name), name, out);
    b->w->parameters = before + (uint64_t)n * k;
    if (st == CAPP_OK) capp_derive_blocks(*out);
    return st;
}

static bool ends_with(const capp_tensor *t, const char *end) {
    size_t n = strlen(end);
    return t->name.size > n && !memcmp(t->name.data + t->name.size - n, end, n);
}

/* Scales of activations, keys and values. GPTQ: some programs write a bias for every product; it is zeros if the model
 * has none. */
bool capp_quant_idle(const capp_hparams *h, const capp_tensor *t) {
    static const char *const ends[] = {".input_scale", ".activation_scale", ".output_scale",       ".k_scale",
                                       ".v_scale",     ".q_scale",          ".input_global_scale", ".input_zero_point"};
    for (size_t i = 0; i < sizeof ends / sizeof *ends && FLOATS >> h->quantization.method & 1; i++)
        if (ends_with(t, ends[i])) return true;
    if (h->quantization.method != CAPP_GPTQ || !ends_with(t, ".bias") || !capp_quantized_is_scale(t)) return false;
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
    if (c->format)
        snprintf(buffer, size, "%s, %s", capp_quantized_method(c->method), c->format);
    else if (c->method == CAPP_BITSANDBYTES)
        snprintf(buffer, size, "%s, %s", capp_quantized_method(c->method), bits);
    else if (c->method != CAPP_FLOAT8)
        snprintf(buffer, size, "%s, %s, %s", capp_quantized_method(c->method), bits, group);
    else if (c->block_rows)
        snprintf(buffer, size, "float8, scales of blocks of %u x %u", c->block_rows, c->block_columns);
    else
        snprintf(buffer, size, "float8, scales of tensors or rows");
    return buffer;
}

/* The tensors of a weight: how many weights an element has, or 0 for those beside the main one. WORDS: as many as fit.
 */
enum { WORDS = 32 };
static const struct part {
    unsigned methods;
    const char *suffix;
    uint32_t type;
    unsigned each;
} parts[] = {
    {COLUMNS, ".qweight", ANY, WORDS},
    {COLUMNS, ".qzeros", ANY, 0},
    {COLUMNS, ".scales", ANY, 0},
    {COLUMNS, ".g_idx", ANY, 0},
    {FLOATS, ".weight", CAPP_TYPE_F8_E4M3, 1},
    {FLOATS, ".weight", CAPP_TYPE_F8_E5M2, 1},
    {FLOATS, ".weight_scale", ANY, 0},
    {FLOATS, ".weight_scale_inv", ANY, 0},
    {1 << CAPP_COMPRESSED, ".weight_packed", CAPP_TYPE_I32, WORDS},
    {1 << CAPP_COMPRESSED, ".weight_packed", CAPP_TYPE_U8, 2},
    {1 << CAPP_COMPRESSED, ".weight", CAPP_TYPE_I8, 1},
    {1 << CAPP_COMPRESSED, ".weight_shape", ANY, 0},
    {1 << CAPP_COMPRESSED, ".weight_g_idx", ANY, 0},
    {1 << CAPP_COMPRESSED, ".weight_zero_point", ANY, 0},
    {1 << CAPP_COMPRESSED, ".weight_global_scale", ANY, 0},
    {1 << CAPP_MODELOPT, ".weight", CAPP_TYPE_U8, 2},
    {1 << CAPP_MODELOPT, ".weight_scale_2", ANY, 0},
    {1 << CAPP_BITSANDBYTES, ".weight", CAPP_TYPE_I8, 1},
    {1 << CAPP_BITSANDBYTES, ".weight", CAPP_TYPE_U8, 2},
    {1 << CAPP_BITSANDBYTES, ".SCB", ANY, 0},
    {1 << CAPP_BITSANDBYTES, ".weight_format", ANY, 0},
    {1 << CAPP_BITSANDBYTES, ".absmax", ANY, 0},
    {1 << CAPP_BITSANDBYTES, ".quant_map", ANY, 0},
    {1 << CAPP_BITSANDBYTES, ".nested_absmax", ANY, 0},
    {1 << CAPP_BITSANDBYTES, ".nested_quant_map", ANY, 0},
    {1 << CAPP_BITSANDBYTES, ".bitsandbytes__nf4", ANY, 0},
    {1 << CAPP_BITSANDBYTES, ".bitsandbytes__fp4", ANY, 0},
};

uint64_t capp_quant_weights(const capp_hparams *h, const capp_tensor *t, bool *readable) {
    const capp_quantization *c = &h->quantization;
    *readable = true;
    if (h->mxfp4 && ends_with(t, "_blocks")) return t->elements * 2;
    if (h->mxfp4 && ends_with(t, "_scales")) return 0;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        const struct part *x = &parts[i];
        if (x->methods >> c->method & 1 && (x->type == ANY || x->type == t->type) && ends_with(t, x->suffix))
            return t->elements * (x->each == WORDS ? WORDS / (c->bits ? c->bits : 4) : x->each);
    }
    *readable = capp_dequant(t->type) || capp_quant_idle(h, t);
    return t->elements;
}
