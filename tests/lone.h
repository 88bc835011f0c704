/* Attention of one layer without a model around it. */
#ifndef CAPP_LONE_H
#define CAPP_LONE_H

#include "forward/forward.h"
#include "forward/wave.h"

/* A model that has only this layer. Its kernels and products are copies, which a test may change. */
typedef struct lone {
    capp_kernels kernels;
    capp_products products;
    capp_weights weights;
    capp_layer layer;
} lone;

void lone_set_up(lone *l, const capp_kernels *kernels, const capp_products *products, const capp_shape *shape);

/* Lays out a wave of the rows order [rows] of a tree, whose paths have up to `longest` nodes. The caller frees what it
 * returns; keys and values are not set yet, and q is all zeros. NULL: out of memory. */
capp_forward *lone_wave(lone *l, capp_pool *pool, const capp_tree *tree, const uint32_t *order, size_t rows,
                        size_t slots, size_t longest);

#endif
