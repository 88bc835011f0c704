/* A matrix of a model: where its panels are, its bias, its adapters. A norm. */
#ifndef CAPP_MODEL_MATRIX_H
#define CAPP_MODEL_MATRIX_H

#include <stdatomic.h>

#include "file/source.h"
#include "kernel/dequant.h"
#include "kernel/kernel.h"
#include "kernel/quant.h"

enum { CAPP_MOST_SOURCES = 6 };

/* The numbers of xIELU in one layer (Huang and Schlag, arXiv 2411.13010). For x > 0 it is positive x x + beta x;
 * otherwise negative (expm1(min(x, eps)) - x) + beta x. */
typedef struct capp_curve {
    float positive, negative, beta, eps;
} capp_curve;

/* The change that an adapter makes to rows first .. first + n - 1 of a matrix with k columns: b times a. */
typedef struct capp_delta {
    struct capp_delta *next;  /* next in the matrix's list */
    struct capp_delta *owned; /* next in the list of all deltas */
    size_t first, n, rank;
    float *a; /* [rank][k] */
    float *b; /* [n][rank], times scale and weight */
    float numbers[];
} capp_delta;

/* All deltas of a matrix that is computed in integers. There they are products of their own, in float32: the inputs of
 * the matrix times a, and these sums times b are added to its outputs. */
typedef struct capp_delta_product {
    struct capp_delta_product *owned; /* next in the list of all changes */
    size_t rank;                      /* of all the matrix's deltas together */
    float *a;                         /* [k][rank], in the order of the inputs */
    float *b;                         /* of one delta after another, [its rank][its n], in the order of the outputs */
    float numbers[];
} capp_delta_product;

/* The products that a lane uses. */
typedef struct capp_arithmetic {
    const capp_products *floats;   /* of kernels: f32 or bf16 */
    const capp_products *integers; /* i16, for matrices that are stored as integers; NULL: floats for all matrices */
    float share;                   /* how much of the low digits to leave out: see coarsen in kernel.h; 0: nothing */
} capp_arithmetic;

/* The state of a panel in the cache. One thread makes it; others make their own copy until it is READY. */
enum { CAPP_PANEL_EMPTY, CAPP_PANEL_BUSY, CAPP_PANEL_READY };

/* The use from which on the panels of a matrix are kept. Memory that is written for the first time costs up to eight
 * times the time of packing, so short runs are faster without a cache. */
enum { CAPP_KEPT_FROM = 4 };

/* The place of a matrix in the cache, and what is there so far. The lanes of a model share it. */
typedef struct capp_kept {
    char *panels;         /* 64-byte aligned, each at capp_panel_place */
    size_t whole;         /* bytes of all panels */
    atomic_uint uses;     /* products so far, until CAPP_KEPT_FROM */
    atomic_size_t bytes;  /* bytes of the panels that are READY */
    atomic_uchar *states; /* [panels] */
} capp_kept;

/* y [rows][n] = x [rows][k] times the transpose of w [n][k]. w is packed in panels of products->nr rows. The n rows of
 * w are `parts` matrices of `columns` rows, whose panels alternate: panel i belongs to part i % parts and begins at row
 * i / parts * nr of this part. */
typedef struct capp_matrix {
    size_t n, k;
    size_t parts, columns; /* 2 for gate and up side by side, else 1 */
    size_t panels;         /* parts * ceil(columns / nr) */
    size_t panel_bytes;    /* of the largest panel */
    bool mixed;            /* panels of integers of several types, which have different sizes */
    size_t extra;          /* number of additional floats for reading rows of its sources */
    capp_kept *kept;       /* NULL: it has no place in the cache, so its panels are packed each time they are used */
    const float *bias;     /* [n], or NULL */
    capp_curve curve;      /* for the activation of the output, if that is CAPP_XIELU */
    const capp_tensor *source[CAPP_MOST_SOURCES]; /* [n_sources] the tensors that contain its rows, in order */
    size_t n_sources;
    capp_delta *deltas; /* a list; in products of floats they are added to the rows when these are packed, */
    capp_delta_product
        *change; /* and in products of integers this is used, which is made for lanes that have them; or NULL */
    const float *factors; /* [n] of the rows, after the deltas are added; or NULL */
    bool integers;        /* every panel can be unpacked for products of integers */
    /* Only in products of integers, and only for folders whose groups are not of neighbors (act-order): */
    const uint32_t *gather;    /* [k] weight i of a row belongs to input gather[i]; NULL: to input i */
    const uint32_t *outputs;   /* [columns] output i of a part is row outputs[i] of its source, as the next matrix needs
                                  it; NULL: row i */
    const float *outputs_bias; /* bias in the order of outputs; NULL: no bias, or no outputs */
} capp_matrix;

/* Whether products keep its panels. */
static inline bool capp_matrix_keeps(const capp_matrix *m) {
    return m->kept && atomic_load_explicit(&m->kept->uses, memory_order_relaxed) >= CAPP_KEPT_FROM;
}

typedef struct capp_norm {
    const float *weight; /* [width of the row]; NULL: there is no such norm */
    const float *bias;   /* or NULL */
    float eps;           /* 0: the model's */
} capp_norm;

#endif
