/* Operations on a single row of a wave. */
#include <string.h>

#include "forward/wave.h"

void capp_embed_row(const capp_weights *w, int32_t token, float *x) {
    size_t width = w->hparams.embedded, row = (size_t)token, bytes = (size_t)(w->tokens->bytes / w->tokens->dims[1]);
    w->tokens_dequant(x, (const char *)w->tokens->data + row * bytes, width);
    capp_delta_add(w, w->tokens_delta, row, 1, x, width);
    if (w->hparams.embedding_scale != 1) w->kernels->scale(x, w->hparams.embedding_scale, width);
}

void capp_norm_row(const capp_weights *w, const capp_norm *norm, float *y, const float *x, size_t n) {
    if (!norm->weight)
        memmove(y, x, n * sizeof *y);
    else if (w->arch->norm == CAPP_NORM_RMS)
        w->kernels->rms_norm(y, x, norm->weight, n, w->hparams.norm_eps);
    else
        w->kernels->layer_norm(y, x, norm->weight, norm->bias, n, w->hparams.norm_eps);
}

void capp_narrow_row(const capp_forward *f, const capp_matrix *m, char *h, size_t r, const float *x) {
    const capp_products *products = capp_products_of(f->weights, m);
    size_t padded = (m->k + products->step - 1) / products->step * products->step;
    products->narrow(h + r * f->h_stride * products->element, x, m->k, padded);
}
