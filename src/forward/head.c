/* The head, fused with log-softmax: it computes one tile of the vocabulary at a time for all rows that need it. For
 * each tile a row keeps (max, sum of exp), the logits that are needed, and the best logit. The tiles are merged in
 * their order, whichever worker computed them. (One pass for max and sum: Milakov & Gimelshein, arXiv 1805.02867.) */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/math.h"
#include "forward/wave.h"
#include "kernel/plain.h"

static int by_token(const void *a, const void *b) {
    const capp_target *x = a, *y = b;
    if (x->token != y->token) return x->token < y->token ? -1 : 1;
    return (x->head_row > y->head_row) - (x->head_row < y->head_row);
}

/* The first target whose token is at least `token`. */
static size_t first_target(const capp_forward *f, size_t token) {
    size_t low = 0, high = f->n_targets;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if ((size_t)f->targets[middle].token < token)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void best_of(capp_forward *f, size_t tile, size_t row, const float *logits, size_t n) {
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        if (logits[i] > logits[best]) best = i;
    f->tile_best[tile * f->rows + row] = logits[best];
    f->tile_best_token[tile * f->rows + row] = (int32_t)(tile * CAPP_HEAD_TILE + best);
}

/* Computes a tile of the vocabulary for all head rows. */
static void head_task(void *user, size_t tile, int worker) {
    capp_forward *f = user;
    const capp_matrix *m = &f->weights->head;
    const capp_kernels *kernels = f->weights->kernels;
    const capp_products *products = capp_products_of(f->weights, m);
    float *logits = f->scratch + (size_t)worker * f->scratch_stride;
    size_t begin = tile * CAPP_HEAD_TILE, n = m->n - begin < CAPP_HEAD_TILE ? m->n - begin : CAPP_HEAD_TILE;
    size_t nr = products->nr, panel0 = begin / nr, first = first_target(f, begin), end = first_target(f, begin + n);
    const char *panels =
        capp_matrix_panels(f->weights, m, panel0, (n + nr - 1) / nr, logits + (size_t)CAPP_HEAD_ROWS * CAPP_HEAD_TILE);
    for (size_t row = 0; row < f->n_heads; row += CAPP_HEAD_ROWS) {
        size_t rows = f->n_heads - row < CAPP_HEAD_ROWS ? f->n_heads - row : CAPP_HEAD_ROWS;
        for (size_t from = 0, part; from < m->k; from += part) {
            const size_t offset = capp_panel_offset(f->weights, m, panel0, from);
            part = capp_part_of(products, m->k, from);
            for (size_t at = 0; at < n; at += nr)
                capp_multiply(products, logits + at, CAPP_HEAD_TILE,
                              f->h + (row * f->h_stride + from) * products->element, f->h_stride,
                              panels + at / nr * m->panel_bytes + offset, rows, n - at < nr ? n - at : nr, from, part);
        }
        for (size_t r = 0; r < rows; r++) {
            if (m->bias) kernels->add(logits + r * CAPP_HEAD_TILE, m->bias + begin, n);
            if (f->weights->hparams.logit_cap > 0)
                capp_soft_cap(logits + r * CAPP_HEAD_TILE, f->weights->hparams.logit_cap, n);
            size_t at = tile * f->rows + row + r;
            kernels->logsumexp(&f->tile_max[at], &f->tile_sum[at], logits + r * CAPP_HEAD_TILE, n);
            if (f->any_asked) best_of(f, tile, row + r, logits + r * CAPP_HEAD_TILE, n);
            float *spread = f->head_spread[row + r];
            if (spread) memcpy(spread + begin, logits + r * CAPP_HEAD_TILE, n * sizeof *spread);
        }
        for (size_t i = first; i < end; i++) {
            capp_target *t = &f->targets[i];
            if (t->head_row >= row && t->head_row < row + rows)
                t->logit = logits[(t->head_row - row) * CAPP_HEAD_TILE + (size_t)t->token - begin];
        }
    }
}

/* log of the sum of exp of all logits of a row: merges the tiles in order, in double precision. */
static double merge_tiles(const capp_forward *f, size_t row, size_t tiles) {
    double max = -INFINITY, sum = 0;
    for (size_t t = 0; t < tiles; t++)
        if (f->tile_max[t * f->rows + row] > max) max = f->tile_max[t * f->rows + row];
    for (size_t t = 0; t < tiles; t++)
        sum += f->tile_sum[t * f->rows + row] * capp_exp(f->tile_max[t * f->rows + row] - max);
    return max + capp_log(sum);
}

/* Rounding may leave the log-probability of a token with probability 1 slightly above 0. */
static float logprob_of(double logit, double normalizer) {
    double logprob = logit - normalizer;
    return logprob > 0 ? 0 : (float)logprob;
}

/* Writes the normed hidden states of the head rows to f->h. */
capp_status capp_head_logprobs(capp_forward *f, capp_tree *tree, capp_error *err) {
    if (!f->n_heads) return CAPP_OK;
    size_t tiles = (f->weights->head.n + CAPP_HEAD_TILE - 1) / CAPP_HEAD_TILE;
    if (f->n_targets) qsort(f->targets, f->n_targets, sizeof *f->targets, by_token);
    capp_coarsen_rows(f, &f->weights->head, f->h, f->h_stride, f->n_heads);
    capp_pool_run(f->pool, head_task, f, tiles);
    if (capp_pool_stopped(f->pool)) return capp_fail(err, CAPP_ECANCELLED, "cancelled");
    for (size_t r = 0; r < f->n_heads; r++) {
        f->normalizer[r] = merge_tiles(f, r, tiles);
        if (!isfinite(f->normalizer[r]))
            return capp_fail(err, CAPP_EFORMAT,
                             "the model's logits are not finite: its file may be damaged; download it again");
    }
    for (size_t i = 0; i < f->n_targets; i++) {
        const capp_target *t = &f->targets[i];
        tree->nodes[t->node].logprob = logprob_of(t->logit, f->normalizer[t->head_row]);
    }
    for (size_t r = 0; r < f->n_heads && f->any_asked; r++) {
        size_t best = 0;
        for (size_t t = 1; t < tiles; t++)
            if (f->tile_best[t * f->rows + r] > f->tile_best[best * f->rows + r]) best = t;
        capp_node *node = &tree->nodes[f->head_node[r]];
        node->best = f->tile_best_token[best * f->rows + r];
        node->best_logprob = logprob_of(f->tile_best[best * f->rows + r], f->normalizer[r]);
        float *spread = f->head_spread[r];
        for (size_t i = 0; spread && i < f->weights->head.n; i++) spread[i] = logprob_of(spread[i], f->normalizer[r]);
    }
    return CAPP_OK;
}
