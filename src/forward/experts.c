/* The feed-forward part as experts: a product shares each row out among a few of many, which run on the rows that chose
 * them. Their outputs are added in the order of the experts, whichever rows there are besides. */
#include <string.h>

#include "forward/wave.h"
#include "kernel/plain.h"

/* Rows of the wave that chose the expert, in order, copied together into f->gathered. */
static size_t gather(capp_forward *f, size_t expert, size_t rows) {
    size_t n = 0, experts = f->w->hparams.experts, row = f->h_stride * f->w->products->element;
    for (size_t r = 0; r < rows; r++) {
        if (f->shares[r * experts + expert] < 0) continue;
        memcpy(f->gathered + n * row, f->h + r * row, row);
        f->chosen[n++] = (uint32_t)r;
    }
    return n;
}

static void scatter(capp_forward *f, size_t expert, size_t n) {
    size_t experts = f->w->hparams.experts, width = f->w->hparams.width;
    for (size_t i = 0; i < n; i++) {
        size_t r = f->chosen[i];
        f->w->kernels->scale(f->mixed + i * width, f->shares[r * experts + expert], width);
        f->w->kernels->add(f->u + r * width, f->mixed + i * width, width);
    }
}

void capp_experts(capp_forward *f, const capp_layer *layer, size_t rows) {
    const capp_hparams *h = &f->w->hparams;
    capp_product(f, &layer->router, f->h, f->h_stride, f->shares, h->experts, rows, false);
    if (capp_pool_stopped(f->pool)) return; /* shares are as they were; the layer ends the wave */
    for (size_t r = 0; r < rows; r++)
        capp_route(f->shares + r * h->experts, h->experts, h->experts_used, h->router_norm);
    memset(f->u, 0, rows * h->width * sizeof *f->u);
    for (size_t e = 0; e < h->experts && !capp_pool_stopped(f->pool); e++) {
        size_t n = gather(f, e, rows);
        if (!n) continue;
        capp_product_activated(f, &layer->expert_up[e], f->gathered, n);
        capp_product(f, &layer->expert_down[e], f->g, f->g_stride, f->mixed, h->width, n, false);
        scatter(f, e, n);
    }
}
