/* The head, fused with log-softmax: it computes one tile of the vocabulary at a time for rows that need it. For
 * each tile a row keeps (max, sum of exp), the logits that are needed, and the best logit. The tiles are merged in
 * their order, whichever worker computed them. (One pass for max and sum: Milakov & Gimelshein, arXiv 1805.02867.) */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/math.h"
#include "forward/tasks.h"
#include "forward/wave.h"
#include "kernel/plain.h"

enum { CHUNK = 8 };

/* A task of the product is a tile of the vocabulary for rows that need the head. */
typedef struct head {
    capp_forward *f;
    capp_tree *tree;
    size_t tiles;
    capp_cut cut;
} head;

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

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

/* Takes what is needed of the logits [rows] of a tile, for the rows from `row` on. */
static void read_logits(capp_forward *f, size_t tile, float *logits, size_t row, size_t rows) {
    const capp_matrix *m = &f->weights->head;
    const capp_kernels *kernels = f->weights->kernels;
    const size_t begin = tile * CAPP_HEAD_TILE, n = least(m->n - begin, CAPP_HEAD_TILE);
    for (size_t r = 0; r < rows; r++, logits += CAPP_HEAD_TILE) {
        if (m->bias) kernels->add(logits, m->bias + begin, n);
        if (f->weights->hparams.logit_cap > 0) capp_soft_cap(logits, f->weights->hparams.logit_cap, n);
        size_t at = tile * f->rows + row + r;
        kernels->logsumexp(&f->tile_max[at], &f->tile_sum[at], logits, n);
        if (f->any_asked) best_of(f, tile, row + r, logits, n);
        float *spread = f->head_spread[row + r];
        if (spread) memcpy(spread + begin, logits, n * sizeof *spread);
    }
}

static void read_targets(capp_forward *f, size_t tile, const float *logits, size_t row, size_t rows) {
    const size_t begin = tile * CAPP_HEAD_TILE, end = first_target(f, begin + CAPP_HEAD_TILE);
    for (size_t i = first_target(f, begin); i < end; i++) {
        capp_target *t = &f->targets[i];
        if (t->head_row >= row && t->head_row < row + rows)
            t->logit = logits[(t->head_row - row) * CAPP_HEAD_TILE + (size_t)t->token - begin];
    }
}

/* The rows of a task go strip by strip, all of about the same size. */
static void head_task(void *user, size_t task, int worker) {
    const head *h = user;
    capp_forward *f = h->f;
    const capp_matrix *m = &f->weights->head;
    const capp_products *products = capp_products_of(f->weights, m);
    float *logits = f->scratch + (size_t)worker * f->scratch_stride;
    const capp_piece piece = capp_cut_piece(&h->cut, task);
    size_t tile = piece.unit, first = piece.row, end = first + piece.rows;
    size_t begin = tile * CAPP_HEAD_TILE, n = least(m->n - begin, CAPP_HEAD_TILE), nr = products->nr;
    size_t most = capp_strip_of(products), strips = (end - first + most - 1) / most;
    size_t strip = (end - first + strips - 1) / strips;
    const char *panels =
        capp_matrix_panels(f->weights, m, begin / nr, (n + nr - 1) / nr, logits + most * CAPP_HEAD_TILE);
    for (size_t row = first; row < end; row += strip) {
        size_t rows = least(end - row, strip);
        for (size_t from = 0, part; from < m->k; from += part) {
            const size_t offset = capp_panel_offset(f->weights, m, begin / nr, from);
            part = capp_part_of(products, m->k, from);
            for (size_t at = 0; at < n; at += nr)
                capp_multiply(products, logits + at, CAPP_HEAD_TILE,
                              f->h + (row * f->h_stride + from) * products->element, f->h_stride,
                              panels + at / nr * m->panel_bytes + offset, rows, least(n - at, nr), from, part);
        }
        capp_change_add(f, m, logits, CAPP_HEAD_TILE, row, rows, begin, n);
        read_logits(f, tile, logits, row, rows);
        read_targets(f, tile, logits, row, rows);
    }
    capp_rest(products);
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

static size_t chunk_end(const capp_forward *f, size_t task) {
    return least((task + 1) * CHUNK, f->n_heads);
}

static void merge_task(void *user, size_t task, int worker) {
    const head *h = user;
    (void)worker;
    for (size_t r = task * CHUNK; r < chunk_end(h->f, task); r++) h->f->normalizer[r] = merge_tiles(h->f, r, h->tiles);
}

/* Finds the best token of each row, and turns the logits that a row asked for into log-probabilities. */
static void asked_task(void *user, size_t task, int worker) {
    const head *h = user;
    capp_forward *f = h->f;
    (void)worker;
    for (size_t r = task * CHUNK; r < chunk_end(f, task); r++) {
        size_t best = 0;
        for (size_t t = 1; t < h->tiles; t++)
            if (f->tile_best[t * f->rows + r] > f->tile_best[best * f->rows + r]) best = t;
        capp_node *node = &h->tree->nodes[f->head_node[r]];
        node->best = f->tile_best_token[best * f->rows + r];
        node->best_logprob = logprob_of(f->tile_best[best * f->rows + r], f->normalizer[r]);
        float *spread = f->head_spread[r];
        for (size_t i = 0; spread && i < f->weights->head.n; i++) spread[i] = logprob_of(spread[i], f->normalizer[r]);
    }
}

/* Panels that are not kept are packed once for all rows of a task. */
static capp_cut cut_of(const capp_forward *f, size_t tiles) {
    return capp_cut_of(&(capp_load){.rows = f->n_heads,
                                    .units = tiles,
                                    .width = 1,
                                    .most = f->n_heads,
                                    .extra = capp_matrix_keeps(&f->weights->head) ? CAPP_KEPT_ROWS : CAPP_MADE_ROWS,
                                    .threads = (size_t)capp_pool_threads(f->pool)});
}

capp_status capp_head_logprobs(capp_forward *f, capp_tree *tree, capp_error *err) {
    if (!f->n_heads) return CAPP_OK;
    const capp_matrix *m = &f->weights->head;
    head h = {.f = f, .tree = tree, .tiles = (m->n + CAPP_HEAD_TILE - 1) / CAPP_HEAD_TILE};
    const size_t chunks = (f->n_heads + CHUNK - 1) / CHUNK;
    capp_matrix_use(m);
    h.cut = cut_of(f, h.tiles);
    if (f->n_targets) qsort(f->targets, f->n_targets, sizeof *f->targets, by_token);
    capp_coarsen_rows(f, m, f->h, f->h_stride, f->n_heads);
    capp_change_begin(f, m, f->h, f->n_heads);
    capp_pool_run(f->pool, head_task, &h, capp_cut_tasks(&h.cut));
    capp_pool_run(f->pool, merge_task, &h, chunks);
    if (capp_pool_stopped(f->pool)) return capp_fail(err, CAPP_ECANCELLED, "cancelled");
    for (size_t r = 0; r < f->n_heads; r++)
        if (!isfinite(f->normalizer[r]))
            return capp_fail(err, CAPP_EFORMAT,
                             "the model's logits are not finite: its file may be damaged; download it again");
    for (size_t i = 0; i < f->n_targets; i++) {
        const capp_target *t = &f->targets[i];
        tree->nodes[t->node].logprob = logprob_of(t->logit, f->normalizer[t->head_row]);
    }
    if (f->any_asked) capp_pool_run(f->pool, asked_task, &h, chunks);
    if (capp_pool_stopped(f->pool)) return capp_fail(err, CAPP_ECANCELLED, "cancelled");
    return CAPP_OK;
}
