/* Lays out the rows of a wave: slots, paths as runs, attention tiles, head rows. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/math.h"
#include "base/mem.h"
#include "forward/tasks.h"
#include "forward/wave.h"

/* Sets f->path to the path of node. *common: how many positions of f->path (which has `length` valid positions) are
 * already correct. Rows come in depth-first order, so the walk up is short. */
static void walk_path(capp_forward *f, const capp_tree *tree, uint32_t node, size_t length, size_t *common) {
    while (node != CAPP_ROOT) {
        const capp_node *x = &tree->nodes[node];
        size_t at = x->depth - 1;
        if (at < length && f->path_node[at] == node) break;
        f->path_node[at] = node;
        f->path[at] = x->slot;
        node = x->parent;
    }
    *common = tree->nodes[node].depth;
}

/* Appends the positions from .. to - 1 of the path as runs. False if there is not enough memory. */
static bool push_runs(capp_forward *f, capp_tiles *tiles, size_t from, size_t to) {
    for (size_t at = from; at < to;) {
        size_t n = 1;
        while (at + n < to && f->path[at + n] == f->path[at] + n) n++;
        if (!capp_grow(&tiles->runs, &tiles->runs_capacity, tiles->n_runs + 1, sizeof *tiles->runs)) return false;
        tiles->runs[tiles->n_runs++] = (capp_run){f->path[at], (uint32_t)n};
        at += n;
    }
    return true;
}

/* Whether a row of this depth, which shares `common` positions with the row before it, joins a tile whose first row has
 * depth `first`. If the spine would be less than half of either path, a separate tile is cheaper. */
static bool joins(size_t common, size_t depth, size_t first) {
    return 2 * common >= depth && 2 * common >= first;
}

/* Most rows of a tile. They are fewer where there would be too few tasks for the threads: a thread should have four,
 * because tasks differ. */
static size_t most_tile_rows(const capp_forward *f, size_t rows) {
    enum { TASKS = 4, KEYS_ROWS = 2 }; /* to read a path's keys takes about as long as to multiply them by two rows */
    const size_t threads = (size_t)capp_pool_threads(f->pool), kv_heads = f->weights->hparams.kv_heads;
    size_t most = f->tile_rows, even = rows * kv_heads / (TASKS * threads);
    if (threads > 1 && even < most) most = even > KEYS_ROWS ? even : KEYS_ROWS;
    return capp_task_rows(rows, kv_heads, threads, most, KEYS_ROWS);
}

/* Divides rows into tiles. node: [n] of the wave; tiles->row gives their order. */
static void cut_tiles(capp_forward *f, const capp_tree *tree, const uint32_t *node, capp_tiles *tiles, size_t n) {
    const size_t most = most_tile_rows(f, n);
    size_t length = 0;
    bool straight = false; /* each row of the tile follows the one before it; not so where a row runs again */
    tiles->n = 0;
    for (size_t i = 0; i < n; i++) {
        size_t depth = f->depth[tiles->row[i]], common;
        walk_path(f, tree, node[tiles->row[i]], length, &common);
        bool any = tiles->n > 0, chain = any && common == length;
        capp_tile *last = tiles->tile + (any ? tiles->n - 1 : 0);
        if (!any || last->rows == most || !joins(common, depth, f->depth[tiles->row[last->first]])) {
            tiles->tile[tiles->n++] = (capp_tile){.first = (uint32_t)i, .rows = 1, .spine = (uint32_t)depth};
            straight = true;
        } else {
            last->rows++;
            straight = straight && chain;
            if (straight)
                last->spine = (uint32_t)depth;
            else if (common < last->spine)
                last->spine = (uint32_t)common;
        }
        length = depth;
    }
}

static bool fill_runs(capp_forward *f, const capp_tree *tree, const uint32_t *node, capp_tiles *tiles) {
    size_t length = 0, common;
    tiles->n_runs = 0;
    for (size_t t = 0; t < tiles->n; t++) {
        capp_tile *tile = &tiles->tile[t];
        /* The path of the first row that reaches the end of the spine begins with the spine. */
        size_t reach = tile->first;
        while (f->depth[tiles->row[reach]] < tile->spine) reach++;
        walk_path(f, tree, node[tiles->row[reach]], length, &common);
        length = f->depth[tiles->row[reach]];
        tile->run = (uint32_t)tiles->n_runs;
        if (!push_runs(f, tiles, 0, tile->spine)) return false;
        tile->n_runs = (uint32_t)tiles->n_runs - tile->run;
        for (size_t i = tile->first; i < tile->first + tile->rows; i++) {
            size_t depth = f->depth[tiles->row[i]];
            tiles->tail[i] = (uint32_t)tiles->n_runs;
            if (depth > tile->spine) {
                walk_path(f, tree, node[tiles->row[i]], length, &common);
                length = depth;
                if (!push_runs(f, tiles, tile->spine, depth)) return false;
            }
            tiles->tail_end[i] = (uint32_t)tiles->n_runs;
        }
    }
    return true;
}

/* Orders tiles by the length of their spines, times rows, longest first: the last tasks are short, and threads end
 * together. */
static int by_work(const void *a, const void *b) {
    const capp_tile *x = a, *y = b;
    const uint64_t of_x = (uint64_t)x->spine * x->rows, of_y = (uint64_t)y->spine * y->rows;
    if (of_x != of_y) return of_x > of_y ? -1 : 1;
    return (x->first > y->first) - (x->first < y->first);
}

/* Computes cosines and sines of positions up to the deepest one of the wave, in double precision, then rounds them. */
static void fill_rotations(capp_forward *f) {
    const capp_hparams *h = &f->weights->hparams;
    size_t half = h->rope_dims / 2, deepest = 0;
    for (size_t r = 0; r < f->n; r++)
        if (f->depth[r] > deepest) deepest = f->depth[r];
    for (size_t kind = 0; kind < h->n_ropes; kind++)
        for (size_t i = 0; i < h->ropes[kind].dims / 2; i++) {
            double frequency = f->weights->frequencies[kind * half + i], magnitude = h->ropes[kind].magnitude;
            for (size_t position = f->n_rotations; position < deepest; position++) {
                double sine, cosine;
                capp_sin_cos((double)position * frequency, &sine, &cosine);
                f->cosines[(kind * f->longest + position) * half + i] = (float)(magnitude * cosine);
                f->sines[(kind * f->longest + position) * half + i] = (float)(magnitude * sine);
            }
        }
    if (deepest > f->n_rotations) f->n_rotations = deepest;
}

/* Finds the rows that need the head, and their needs. Returns false if there is not enough memory. */
static bool list_heads(capp_forward *f, const capp_tree *tree, const uint32_t *nodes) {
    size_t n = 0;
    f->n_targets = 0;
    f->any_asked = false;
    for (size_t r = 0; r < f->n; r++) {
        size_t before = f->n_targets;
        const capp_node *x = &tree->nodes[nodes[r]];
        if (f->steps && f->steps[r].again) continue;
        for (uint32_t c = x->first_child; c != CAPP_NO_NODE; c = tree->nodes[c].sibling)
            if (tree->nodes[c].scored) {
                if (!capp_grow(&f->targets, &f->targets_capacity, f->n_targets + 1, sizeof *f->targets)) return false;
                f->targets[f->n_targets++] = (capp_target){tree->nodes[c].token, (uint32_t)n, c, 0};
            }
        f->any_asked |= x->asked;
        if (f->n_targets == before && !x->asked) continue;
        f->head_node[n] = nodes[r];
        f->head_spread[n] = x->asked ? capp_tree_spread_of(tree, nodes[r]) : NULL;
        f->head_row[n++] = (uint32_t)r;
    }
    memcpy(f->heads.row, f->head_row, n * sizeof *f->head_row);
    f->n_heads = n;
    return true;
}

capp_status capp_wave_prepare(capp_forward *f, const capp_tree *tree, const uint32_t *nodes, const capp_step *steps,
                              size_t n, capp_error *err) {
    f->n = n;
    f->steps = steps;
    for (size_t r = 0; r < n; r++) {
        f->depth[r] = tree->nodes[nodes[r]].depth;
        f->token[r] = tree->nodes[nodes[r]].token;
        f->slot[r] = tree->nodes[nodes[r]].slot;
        f->all.row[r] = (uint32_t)r;
    }
    fill_rotations(f);
    if (!list_heads(f, tree, nodes)) return capp_fail_memory(err, "the wave");
    cut_tiles(f, tree, nodes, &f->all, n);
    cut_tiles(f, tree, nodes, &f->heads, f->n_heads);
    if (!fill_runs(f, tree, nodes, &f->all) || !fill_runs(f, tree, nodes, &f->heads))
        return capp_fail_memory(err, "the wave");
    qsort(f->all.tile, f->all.n, sizeof *f->all.tile, by_work);
    qsort(f->heads.tile, f->heads.n, sizeof *f->heads.tile, by_work);
    return CAPP_OK;
}
