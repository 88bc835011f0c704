#include "lone.h"

#include <math.h>
#include <string.h>

void lone_set_up(lone *l, const capp_kernels *kernels, const capp_products *products, const capp_shape *shape) {
    memset(l, 0, sizeof *l);
    l->kernels = *kernels, l->products = *products;
    l->layer.score_scale = 1 / sqrtf((float)shape->key), l->layer.shape = *shape;
    capp_weights *w = &l->weights;
    w->kernels = &l->kernels, w->products = &l->products, w->layers = &l->layer;
    w->hparams.layers = 1, w->hparams.heads = shape->heads, w->hparams.kv_heads = shape->kv_heads;
    w->hparams.shapes[0] = *shape;
    w->hparams.width = (uint32_t)shape->heads * shape->key;
    w->key_elements = shape->kv_heads * capp_padded(products, shape->key);
    w->value_elements = shape->kv_heads * capp_padded(products, shape->value);
}

capp_forward *lone_wave(lone *l, capp_pool *pool, const capp_tree *tree, const uint32_t *order, size_t rows,
                        size_t slots, size_t longest) {
    const capp_room room = {.slots = slots, .rows = rows, .longest = longest};
    capp_forward *f;
    capp_error err;
    if (capp_forward_open(&f, &l->weights, NULL, pool, &room, &err) != CAPP_OK) return NULL;
    if (capp_wave_prepare(f, tree, order, NULL, rows, &err) != CAPP_OK) {
        capp_forward_free(f);
        return NULL;
    }
    memset(f->t, 0, rows * f->t_stride * sizeof *f->t);
    return f;
}
