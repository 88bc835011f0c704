#include "plan/tree.h"

#include <string.h>

#include "base/mem.h"

enum { FIRST_TABLE = 1024 };

/* A hash of parent and token (the finalizer of splitmix64). */
static uint64_t hash(uint32_t parent, int32_t token) {
    uint64_t z = (uint64_t)parent << 32 | (uint32_t)token;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* Place of (parent, token) in the table, or the free place where it belongs. */
static size_t place(const capp_tree *tree, uint32_t parent, int32_t token) {
    size_t i = hash(parent, token) & (tree->table_size - 1);
    for (;; i = (i + 1) & (tree->table_size - 1)) {
        uint32_t node = tree->table[i];
        if (node == CAPP_NO_NODE) return i;
        if (tree->nodes[node].parent == parent && tree->nodes[node].token == token) return i;
    }
}

static void refill_table(capp_tree *tree) {
    memset(tree->table, 0xff, tree->table_size * sizeof *tree->table);
    for (uint32_t i = 1; i < tree->n; i++) tree->table[place(tree, tree->nodes[i].parent, tree->nodes[i].token)] = i;
}

static capp_node fresh_node(uint32_t parent, uint32_t depth, int32_t token) {
    return (capp_node){.token = token,
                       .parent = parent,
                       .depth = depth,
                       .slot = CAPP_NO_SLOT,
                       .state = CAPP_NO_SLOT,
                       .first_child = CAPP_NO_NODE,
                       .last_child = CAPP_NO_NODE,
                       .sibling = CAPP_NO_NODE,
                       .older = CAPP_NO_NODE,
                       .newer = CAPP_NO_NODE};
}

capp_status capp_tree_init(capp_tree *tree, capp_error *err) {
    memset(tree, 0, sizeof *tree);
    tree->oldest = tree->newest = CAPP_NO_NODE;
    tree->table = capp_new(FIRST_TABLE, sizeof *tree->table);
    if (!tree->table || !capp_grow(&tree->nodes, &tree->capacity, 1, sizeof *tree->nodes)) {
        capp_tree_free(tree);
        return capp_fail_memory(err, "the token tree");
    }
    tree->table_size = FIRST_TABLE;
    tree->n = 1;
    tree->nodes[CAPP_ROOT] = fresh_node(CAPP_NO_NODE, 0, -1);
    refill_table(tree);
    return CAPP_OK;
}

void capp_tree_free(capp_tree *tree) {
    capp_free(tree->nodes);
    capp_free(tree->table);
    capp_states_free(&tree->states);
    capp_free(tree->spreads);
    memset(tree, 0, sizeof *tree);
}

void capp_tree_make_idle(capp_tree *tree, uint32_t node) {
    capp_node *x = &tree->nodes[node];
    x->idle = true;
    x->newer = CAPP_NO_NODE;
    x->older = tree->newest;
    if (tree->newest == CAPP_NO_NODE)
        tree->oldest = node;
    else
        tree->nodes[tree->newest].newer = node;
    tree->newest = node;
}

void capp_tree_make_busy(capp_tree *tree, uint32_t node) {
    capp_node *x = &tree->nodes[node];
    if (x->older == CAPP_NO_NODE)
        tree->oldest = x->newer;
    else
        tree->nodes[x->older].newer = x->newer;
    if (x->newer == CAPP_NO_NODE)
        tree->newest = x->older;
    else
        tree->nodes[x->newer].older = x->older;
    x->older = x->newer = CAPP_NO_NODE;
    x->idle = false;
}

void capp_tree_refresh(capp_tree *tree, const uint32_t *nodes, size_t n) {
    for (size_t i = n; i-- > 0;)
        if (tree->nodes[nodes[i]].idle) {
            capp_tree_make_busy(tree, nodes[i]);
            capp_tree_make_idle(tree, nodes[i]);
        }
}

/* Keeps only the residents, in the order in which they were made, parents before children. */
static capp_status compact(capp_tree *tree, capp_error *err) {
    uint32_t *moved = capp_new(tree->n, sizeof *moved);
    if (!moved) return capp_fail_memory(err, "the token tree");
    uint32_t n = 1;
    moved[CAPP_ROOT] = CAPP_ROOT;
    for (uint32_t i = 1; i < tree->n; i++) moved[i] = tree->nodes[i].slot == CAPP_NO_SLOT ? CAPP_NO_NODE : n++;
#define MOVED(x) ((x) == CAPP_NO_NODE ? CAPP_NO_NODE : moved[x])
    for (uint32_t i = 1; i < tree->n; i++) {
        if (moved[i] == CAPP_NO_NODE) continue;
        capp_node node = tree->nodes[i];
        node.parent = moved[node.parent];
        node.older = MOVED(node.older);
        node.newer = MOVED(node.newer);
        tree->nodes[moved[i]] = node;
    }
    tree->oldest = MOVED(tree->oldest);
    tree->newest = MOVED(tree->newest);
    for (size_t i = 0; i < tree->states.n; i++) tree->states.owner[i] = MOVED(tree->states.owner[i]);
#undef MOVED
    tree->n = n;
    refill_table(tree);
    capp_free(moved);
    return CAPP_OK;
}

static void touch(capp_tree *tree, uint32_t node) {
    capp_node *x = &tree->nodes[node];
    x->window = tree->window;
    x->first_child = x->last_child = x->sibling = CAPP_NO_NODE;
    x->pending = x->waiting = 0;
    x->scored = x->asked = x->planned = false;
}

capp_status capp_tree_next_window(capp_tree *tree, capp_error *err) {
    capp_status st;
    /* A part of the table's size is added, because compacting clears the table. */
    if (tree->n > 2 * tree->residents + tree->table_size / 16 && (st = compact(tree, err)) != CAPP_OK) return st;
    tree->window++;
    tree->touched = tree->missing = tree->longest = tree->n_spreads = 0;
    touch(tree, CAPP_ROOT);
    return CAPP_OK;
}

void capp_tree_forget(capp_tree *tree) {
    for (size_t i = 1; i < tree->n; i++) {
        capp_node *x = &tree->nodes[i];
        x->slot = x->state = CAPP_NO_SLOT;
        x->idle = false;
        x->older = x->newer = CAPP_NO_NODE;
    }
    tree->oldest = tree->newest = CAPP_NO_NODE;
    tree->residents = 0;
    tree->missing = tree->touched;
    capp_states_clear(&tree->states);
}

static capp_status grow_table(capp_tree *tree, capp_error *err) {
    if (tree->table_size > 2 * (tree->n + 1)) return CAPP_OK;
    uint32_t *table = capp_new(2 * tree->table_size, sizeof *table);
    if (!table) return capp_fail_memory(err, "the token tree");
    capp_free(tree->table);
    tree->table = table;
    tree->table_size *= 2;
    refill_table(tree);
    return CAPP_OK;
}

capp_status capp_tree_insert(capp_tree *tree, uint32_t from, const int32_t *ids, size_t n, bool scored, uint32_t *nodes,
                             uint32_t *last, capp_error *err) {
    uint32_t at = from;
    for (size_t i = 0; i < n; i++) {
        size_t p = place(tree, at, ids[i]);
        uint32_t child = tree->table[p];
        if (child == CAPP_NO_NODE) {
            if (tree->n >= CAPP_NO_NODE - 1 ||
                !capp_grow(&tree->nodes, &tree->capacity, tree->n + 1, sizeof *tree->nodes))
                return capp_fail_memory(err, "the token tree");
            child = (uint32_t)tree->n++;
            tree->nodes[child] = fresh_node(at, tree->nodes[at].depth + 1, ids[i]);
            tree->nodes[at].forks = tree->nodes[at].continued;
            tree->nodes[at].continued = true;
            tree->table[p] = child;
            capp_status st = grow_table(tree, err);
            if (st != CAPP_OK) return st;
        }
        if (tree->nodes[child].window != tree->window) {
            touch(tree, child);
            tree->touched++;
            tree->missing += tree->nodes[child].slot == CAPP_NO_SLOT;
            if (tree->nodes[child].depth > tree->longest) tree->longest = tree->nodes[child].depth;
            capp_node *parent = &tree->nodes[at];
            if (parent->first_child == CAPP_NO_NODE)
                parent->first_child = child;
            else
                tree->nodes[parent->last_child].sibling = child;
            parent->last_child = child;
        }
        if (scored) tree->nodes[child].scored = true;
        if (nodes) nodes[i] = child;
        at = child;
    }
    *last = at;
    return CAPP_OK;
}

void capp_tree_look(const capp_tree *tree, const int32_t *ids, size_t n, size_t *touched, size_t *resident) {
    uint32_t at = CAPP_ROOT;
    *touched = *resident = 0;
    for (size_t i = 0; i < n; i++) {
        at = tree->table[place(tree, at, ids[i])];
        if (at == CAPP_NO_NODE) break;
        bool here = tree->nodes[at].window == tree->window, kept = tree->nodes[at].slot != CAPP_NO_SLOT;
        if (!here && !kept) break;
        *touched += here;
        *resident += kept;
    }
}

capp_status capp_tree_spread(capp_tree *tree, uint32_t node, float *logprobs, capp_error *err) {
    if (!capp_grow(&tree->spreads, &tree->spreads_capacity, tree->n_spreads + 1, sizeof *tree->spreads))
        return capp_fail_memory(err, "the token tree");
    tree->spreads[tree->n_spreads++] = (capp_spread){node, logprobs};
    tree->nodes[node].asked = true;
    return CAPP_OK;
}

float *capp_tree_spread_of(const capp_tree *tree, uint32_t node) {
    for (size_t i = 0; i < tree->n_spreads; i++)
        if (tree->spreads[i].node == node) return tree->spreads[i].logprobs;
    return NULL;
}

bool capp_node_runs(const capp_tree *tree, uint32_t node) {
    const capp_node *x = &tree->nodes[node];
    return node != CAPP_ROOT && (x->first_child != CAPP_NO_NODE || x->asked);
}
