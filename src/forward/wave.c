/* Lays out the rows of a wave: slots, paths as runs, attention tiles, head rows. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/math.h"
#include "base/mem.h"
#include "forward/tasks.h"
#include "forward/wave.h"

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

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

/* Finds how many positions each row shares with the row before it. */
static void find_common(capp_forward *f, const capp_tree *tree, const uint32_t *node, capp_tiles *tiles, size_t n) {
    size_t length = 0, common;
    for (size_t i = 0; i < n; i++) {
        walk_path(f, tree, node[tiles->row[i]], length, &common);
        tiles->common[i] = (uint32_t)common, length = f->depth[tiles->row[i]];
    }
}

/* A cut: tiles of up to `most` rows. All but the `keep` largest ones are cut again, to tiles of about `small` work. */
typedef struct cut {
    size_t most, keep;
    uint64_t small;
} cut;

/* Whether a row of this depth, which shares `common` positions with the row before it, joins a tile whose first row has
 * depth `first`. If the spine would be less than half of either path, a separate tile is cheaper. */
static bool joins(size_t common, size_t depth, size_t first) {
    return 2 * common >= depth && 2 * common >= first;
}

/* Rows of the tile that begins with row `first` of `end`: those that join it make tiles of about the same size. */
static size_t rows_of_tile(const capp_forward *f, const capp_tiles *tiles, size_t first, size_t end, size_t most) {
    enum { AHEAD = 4 }; /* tiles; farther on, it makes little difference */
    const size_t depth = f->depth[tiles->row[first]];
    size_t rows = 1;
    while (first + rows < end && rows < AHEAD * most &&
           joins(tiles->common[first + rows], f->depth[tiles->row[first + rows]], depth))
        rows++;
    return capp_over(rows, capp_over(rows, most));
}

/* The work of a task for a tile, in queries times positions. */
static uint64_t work_of(const capp_forward *f, const capp_tiles *tiles, const capp_tile *tile) {
    enum { KEYS_QUERIES = 2 }; /* to read keys and values takes about as long as to multiply two queries by them */
    const capp_hparams *h = &f->weights->hparams;
    const uint64_t group = h->kv_heads ? h->heads / h->kv_heads : 1;
    uint64_t work = (tile->rows * group + KEYS_QUERIES) * tile->spine;
    for (size_t i = tile->first; i < tile->first + tile->rows; i++) {
        const uint32_t depth = f->depth[tiles->row[i]];
        if (depth > tile->spine) work += (group + KEYS_QUERIES) * (depth - tile->spine);
    }
    return work;
}

static capp_tile tile_of(const capp_forward *f, const capp_tiles *tiles, size_t first, size_t rows) {
    capp_tile tile = {.first = (uint32_t)first, .rows = (uint32_t)rows, .spine = f->depth[tiles->row[first]]};
    bool straight = true; /* each row follows the one before it; not so where a row runs again */
    for (size_t i = first + 1; i < first + rows; i++) {
        straight = straight && tiles->common[i] == f->depth[tiles->row[i - 1]];
        if (straight)
            tile.spine = f->depth[tiles->row[i]];
        else if (tiles->common[i] < tile.spine)
            tile.spine = tiles->common[i];
    }
    tile.work = work_of(f, tiles, &tile);
    return tile;
}

/* Most work first: the last tasks are short, and threads end together. */
static int by_work(const void *a, const void *b) {
    const capp_tile *x = a, *y = b;
    if (x->work != y->work) return x->work > y->work ? -1 : 1;
    return (x->first > y->first) - (x->first < y->first);
}

static int by_row(const void *a, const void *b) {
    const capp_tile *x = a, *y = b;
    return (x->first > y->first) - (x->first < y->first);
}

static void sort_tiles(capp_tiles *tiles) {
    qsort(tiles->tile, tiles->n, sizeof *tiles->tile, by_work);
}

/* Replaces a tile by smaller ones; all but the first one go to the end. */
static void divide(const capp_forward *f, capp_tiles *tiles, capp_tile *tile, uint64_t small) {
    const size_t end = tile->first + tile->rows, count = (size_t)((tile->work + small - 1) / small);
    const size_t rows = capp_over(tile->rows, least(count, tile->rows));
    for (size_t first = tile->first + rows; first < end; first += rows)
        tiles->tile[tiles->n++] = tile_of(f, tiles, first, least(rows, end - first));
    *tile = tile_of(f, tiles, tile->first, rows);
}

/* Cuts n rows; the tiles are sorted. */
static void apply(const capp_forward *f, capp_tiles *tiles, size_t n, const cut *c) {
    tiles->n = 0;
    for (size_t first = 0, rows; first < n; first += rows) {
        rows = rows_of_tile(f, tiles, first, n, c->most);
        tiles->tile[tiles->n++] = tile_of(f, tiles, first, rows);
    }
    sort_tiles(tiles);
    for (size_t t = c->keep, end = tiles->n; t < end; t++) divide(f, tiles, &tiles->tile[t], c->small);
    if (c->keep < tiles->n) sort_tiles(tiles);
}

typedef struct search {
    const capp_forward *f;
    capp_tiles *tiles;
    size_t n, threads, kv_heads;
    cut best;
    uint64_t cost, good; /* of the best cut; a cost that is good enough */
    size_t effort;       /* rows that were cut and tasks that were simulated */
} search;

/* Tries a cut. Returns whether the best one is good enough, or the search takes too long for the wave: a row or a task
 * takes some 50 ns. */
static bool offer(search *s, cut c) {
    enum { EFFORT = 1 << 15, EFFORT_OF_ROW = 8 };
    capp_crew crew;
    uint64_t work = 0;
    apply(s->f, s->tiles, s->n, &c);
    capp_crew_begin(&crew, s->threads);
    for (size_t kv = 0; kv < s->kv_heads; kv++)
        for (size_t t = 0; t < s->tiles->n; t++) {
            capp_crew_take(&crew, s->tiles->tile[t].work);
            work += s->tiles->tile[t].work;
        }
    const uint64_t cost = capp_crew_time(&crew) + s->tiles->tile[s->tiles->n - 1].work / CAPP_LAST_PART;
    if (!s->good) s->good = capp_good_time(work / s->threads); /* the first cut has the least work */
    if (cost < s->cost) s->cost = cost, s->best = c;
    s->effort += s->n + s->kv_heads * s->tiles->n;
    return s->cost <= s->good || s->effort > EFFORT + EFFORT_OF_ROW * s->n;
}

/* Tries tiles of up to `most` rows: all, then with full rounds of the largest ones, of which there may be one less. The
 * small ones make one to three rounds. */
static bool offer_most(search *s, size_t most) {
    enum { FEWER = 2, ROUNDS = 3 };
    const cut all = {most, SIZE_MAX, 1};
    if (offer(s, all)) return true;
    uint64_t work = 0;
    for (size_t t = 0; t < s->tiles->n; t++) work += s->tiles->tile[t].work * s->kv_heads;
    const size_t full = (size_t)(work / (s->tiles->tile[0].work * s->threads));
    for (size_t fewer = 0; fewer < FEWER && fewer <= full; fewer++) {
        const size_t keep = (full - fewer) * s->threads / s->kv_heads;
        uint64_t rest = 0;
        apply(s->f, s->tiles, s->n, &all);
        for (size_t t = keep; t < s->tiles->n; t++) rest += s->tiles->tile[t].work * s->kv_heads;
        for (size_t rounds = 1; rest && rounds <= ROUNDS; rounds++)
            if (offer(s, (cut){most, keep, rest / (rounds * s->threads) + 1})) return true;
    }
    return false;
}

/* Divides n rows into tiles, in the order of the rows. Large tiles read the fewest keys; there are smaller ones where
 * threads would wait. Several cuts are tried by counting the work, until one is good enough. */
static void cut_tiles(const capp_forward *f, capp_tiles *tiles, size_t n) {
    const size_t threads = (size_t)capp_pool_threads(f->pool), kv_heads = f->weights->hparams.kv_heads;
    search s = {f, tiles, n, threads, kv_heads, {f->tile_rows, SIZE_MAX, 1}, UINT64_MAX, 0, 0};
    for (size_t most = f->tile_rows; n && kv_heads && threads > 1 && most;
         most = f->tile_rows / (f->tile_rows / most + 1))
        if (offer_most(&s, most)) break;
    apply(f, tiles, n, &s.best);
    qsort(tiles->tile, tiles->n, sizeof *tiles->tile, by_row);
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
    find_common(f, tree, nodes, &f->all, n);
    find_common(f, tree, nodes, &f->heads, f->n_heads);
    cut_tiles(f, &f->all, n);
    cut_tiles(f, &f->heads, f->n_heads);
    if (!fill_runs(f, tree, nodes, &f->all) || !fill_runs(f, tree, nodes, &f->heads))
        return capp_fail_memory(err, "the wave");
    sort_tiles(&f->all);
    sort_tiles(&f->heads);
    return CAPP_OK;
}
