/* Operations on a single row of a wave. */
#include <math.h>
#include <string.h>

#include "base/math.h"
#include "forward/wave.h"

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

void capp_embed_row(const capp_weights *w, int32_t token, float *x) {
    size_t width = w->hparams.embedded, row = (size_t)token, bytes = (size_t)(w->tokens->bytes / w->tokens->dims[1]);
    w->tokens_dequant(x, (const char *)w->tokens->data + row * bytes, width);
    capp_delta_add(w, w->tokens_delta, row, 1, x, width);
    if (w->hparams.embedding_scale != 1) w->kernels->scale(x, w->hparams.embedding_scale, width);
}

void capp_norm_row(const capp_weights *w, const capp_norm *norm, float *y, const float *x, size_t n) {
    const float eps = norm->eps > 0 ? norm->eps : w->hparams.norm_eps;
    if (!norm->weight)
        memmove(y, x, n * sizeof *y);
    else if (w->arch->norm == CAPP_NORM_RMS)
        w->kernels->rms_norm(y, x, norm->weight, n, eps);
    else
        w->kernels->layer_norm(y, x, norm->weight, norm->bias, n, eps);
}

/* In the order of m's groups. The activations that share a step are narrowed together, whatever comes before. */
static void narrow_gathered(const capp_products *products, const capp_matrix *m, char *y, const float *x) {
    float block[CAPP_MAX_STEP];
    for (size_t i = 0; i < m->k; i += products->step, y += products->step * products->element) {
        for (size_t j = 0; j < products->step; j++) block[j] = x[m->gather[i + j]];
        products->narrow(y, block, products->step, products->step);
    }
}

void capp_narrow_row(const capp_forward *f, const capp_matrix *m, char *h, size_t r, const float *x) {
    const capp_products *products = capp_products_of(f->weights, m);
    char *y = h + r * f->h_stride * products->element;
    capp_change_keep(f, h, r, 0, x, m->k);
    if (m->gather && products == f->weights->integers)
        narrow_gathered(products, m, y, x);
    else
        products->narrow(y, x, m->k, capp_padded(products, m->k));
}

void capp_norm_latent(const capp_weights *w, const capp_norm *norm, float *y, size_t n) {
    const float eps = 1e-6F;
    if (norm->weight) w->kernels->rms_norm(y, y, norm->weight, n, eps);
}

void capp_rotate_heads(const capp_forward *f, const capp_layer *layer, float *x, size_t ldx, size_t heads,
                       size_t position) {
    const capp_hparams *h = &f->weights->hparams;
    size_t half = h->ropes[layer->rope].dims / 2, at = (layer->rope * f->longest + position) * (h->rope_dims / 2);
    if (layer->still) return;
    if (h->rope == CAPP_ROPE_PAIRS)
        f->weights->kernels->rope_pairs(x, ldx, heads, f->cosines + at, f->sines + at, half);
    else if (h->rope == CAPP_ROPE_HALVES)
        f->weights->kernels->rope_halves(x, ldx, heads, f->cosines + at, f->sines + at, half);
}

float capp_growth(const capp_hparams *h, const capp_layer *layer, size_t position) {
    if (!(h->growth > 0) || (h->growth_still && !layer->still)) return 1;
    float stretches = floorf((float)(position + h->growth_still) / (float)h->growth_span);
    return 1 + h->growth * (float)capp_log(1 + (double)stretches);
}

/* A key becomes a column of its block. */
static void store_floats(char *keys, char *values, size_t slot, const float *k, const float *v,
                         const capp_shape *shape) {
    const size_t d = shape->key;
    float *block = (float *)(void *)keys + slot / CAPP_LANES * CAPP_LANES * d + slot % CAPP_LANES;
    for (size_t j = 0; j < d; j++) block[j * CAPP_LANES] = k[j];
    memcpy(values + slot * shape->value * sizeof *v, v, shape->value * sizeof *v);
}

static void store_narrow(const capp_products *products, char *keys, char *values, size_t slot, const float *k,
                         const float *v, const capp_shape *shape) {
    const size_t dk = capp_padded(products, shape->key), dv = capp_padded(products, shape->value);
    char *block = keys + slot / CAPP_LANES * CAPP_LANES * dk * products->element;
    for (size_t j = 0; j < dk; j += products->step, block += products->step * CAPP_LANES * products->element) {
        uint16_t part[CAPP_MAX_STEP];
        products->narrow(part, k + j, least(shape->key - j, products->step), products->step);
        products->put_column(block, slot % CAPP_LANES, part, products->step);
    }
    products->narrow(values + slot * dv * products->element, v, shape->value, dv);
}

void capp_store_row(capp_forward *f, const capp_layer *layer, size_t slot, const float *k, const float *v) {
    const capp_products *products = f->weights->products;
    const size_t dk = layer->shape.key, dv = layer->shape.value;
    for (size_t i = 0; i < layer->shape.kv_heads; i++, k += dk, v += dv) {
        char *keys = capp_store_keys(f, layer, i), *values = capp_store_values(f, layer, i);
        if (products->put_column)
            store_narrow(products, keys, values, slot, k, v, &layer->shape);
        else
            store_floats(keys, values, slot, k, v, &layer->shape);
    }
}
