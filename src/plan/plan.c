#include "plan/plan.h"

#include <string.h>

#include "base/mem.h"

capp_status capp_slots_init(capp_slots *slots, size_t n, capp_error *err) {
    memset(slots, 0, sizeof *slots);
    slots->taken = capp_new0((n + 63) / 64, sizeof *slots->taken);
    if (!slots->taken) return capp_fail_memory(err, "the KV store");
    slots->n = slots->n_free = n;
    return CAPP_OK;
}

void capp_slots_free(capp_slots *slots) {
    capp_free(slots->taken);
    memset(slots, 0, sizeof *slots);
}

void capp_plan_abandon(capp_tree *tree, capp_slots *slots) {
    capp_tree_forget(tree);
    memset(slots->taken, 0, (slots->n + 63) / 64 * sizeof *slots->taken);
    slots->n_free = slots->n;
    slots->next = 0;
}

void capp_plan_done(capp_plan *plan, capp_tree *tree) {
    for (size_t i = 0; i < plan->n_freed; i++) tree->nodes[plan->freed[i]].slot = CAPP_NO_SLOT;
    plan->n_freed = 0;
}

/* The next free slot after the last one taken. So nodes that are planned one after another mostly get neighboring
 * slots. At least one slot is free (n_free > 0). */
static uint32_t take_slot(capp_slots *slots) {
    size_t i = slots->next;
    for (;;) {
        if (i >= slots->n) i = 0;
        uint64_t word = slots->taken[i / 64];
        if (!(i % 64) && word == UINT64_MAX) {
            i += 64;
            continue;
        }
        if (!(word >> i % 64 & 1)) break;
        i++;
    }
    slots->taken[i / 64] |= UINT64_C(1) << i % 64;
    slots->n_free--;
    slots->next = i + 1;
    return (uint32_t)i;
}

static void give_slot(capp_slots *slots, uint32_t i) {
    slots->taken[i / 64] &= ~(UINT64_C(1) << i % 64);
    slots->n_free++;
}

/* ---- Recurrent states ----------------------------------------------------------------------------------------------
 */

/* A completion's last state is probably not needed again; that of a prompt, or of a text that goes on, is. */
static void set_state(capp_tree *tree, uint32_t node, uint32_t slot) {
    capp_node *x = &tree->nodes[node];
    bool ends = x->first_child != CAPP_NO_NODE && tree->nodes[x->first_child].scored && !x->forks && !x->asked;
    capp_states *states = &tree->states;
    x->state = slot;
    states->owner[slot] = node;
    states->used[slot] = ends ? 0 : ++states->clock;
}

/* The node no longer has a state; its slot is free. */
static void drop_state(capp_tree *tree, uint32_t node) {
    capp_node *x = &tree->nodes[node];
    if (x->state == CAPP_NO_SLOT) return;
    tree->states.owner[x->state] = CAPP_NO_NODE;
    x->state = CAPP_NO_SLOT;
}

/* Whether the window still needs the state of this node, which has one. */
static bool needs_state(const capp_tree *tree, uint32_t node) {
    const capp_node *x = &tree->nodes[node];
    return x->window == tree->window && x->planned && x->waiting;
}

/* Takes a slot for a state: a free one, or that of a state that is not needed, first those from which probably nothing
 * continues, then the one that was needed longest ago. The state of `parent` stays. CAPP_NO_SLOT: there is none. */
static uint32_t take_state(capp_tree *tree, uint32_t parent) {
    capp_states *states = &tree->states;
    uint32_t best = CAPP_NO_SLOT;
    for (uint32_t i = 0; i < states->n; i++) {
        uint32_t owner = states->owner[i];
        if (owner == CAPP_NO_NODE) return i;
        if (owner == parent || needs_state(tree, owner)) continue;
        if (best == CAPP_NO_SLOT || states->used[i] < states->used[best]) best = i;
    }
    if (best != CAPP_NO_SLOT) drop_state(tree, states->owner[best]);
    return best;
}

/* Chooses the slots of the row of node, whose parent is the root or has a state. Without another slot, the row takes
 * over the parent's: then its siblings wait until the parent has run again. */
static capp_step take_step(capp_tree *tree, uint32_t node, bool again) {
    uint32_t parent = tree->nodes[node].parent, from = tree->nodes[parent].state, slot = CAPP_NO_SLOT;
    if (parent == CAPP_ROOT || tree->nodes[parent].forks) slot = take_state(tree, parent);
    if (slot == CAPP_NO_SLOT) {
        slot = from;
        drop_state(tree, parent);
    } else if (parent != CAPP_ROOT)
        tree->states.used[from] = ++tree->states.clock;
    set_state(tree, node, slot);
    return (capp_step){slot, from, again};
}

/* ---- Slots of the KV store ------------------------------------------------------------------------------------------
 */

/* Makes a node idle if all its rows are planned, and its ancestors if this was their last child. */
static void finish(capp_tree *tree, uint32_t node) {
    while (node != CAPP_ROOT && !tree->nodes[node].pending) {
        capp_tree_make_idle(tree, node);
        node = tree->nodes[node].parent;
        tree->nodes[node].pending--;
    }
}

typedef struct planner {
    capp_plan *plan;
    capp_tree *tree;
    capp_slots *slots;
    size_t rows;      /* maximum rows of a wave */
    size_t missing;   /* slots that the rest of the window needs at most */
    size_t wave_rows; /* rows of the current wave */
    uint32_t *leaves; /* [n_leaves] nodes of the current wave that have no children to run */
    size_t n_leaves, leaves_capacity;
} planner;

/* Ends the current wave. Only now may later rows use the slots of its leaves, because all rows of a wave run together.
 */
static capp_status end_wave(planner *p, capp_error *err) {
    capp_plan *plan = p->plan;
    if (p->wave_rows) {
        if (!capp_grow(&plan->waves, &plan->waves_capacity, plan->n_waves + 1, sizeof *plan->waves))
            return capp_fail_memory(err, "the plan");
        plan->waves[plan->n_waves++] = (capp_wave){plan->n - p->wave_rows, p->wave_rows};
    }
    for (size_t i = 0; i < p->n_leaves; i++) finish(p->tree, p->leaves[i]);
    p->wave_rows = p->n_leaves = 0;
    return CAPP_OK;
}

/* Frees the slot of the oldest idle resident. A node whose rows are planned keeps the number of its slot: its rows run
 * before those of the new owner. A node that the window has not reached yet will be computed again. */
static bool evict(planner *p) {
    capp_tree *tree = p->tree;
    uint32_t node = tree->oldest;
    if (node == CAPP_NO_NODE) return false;
    capp_tree_make_busy(tree, node);
    give_slot(p->slots, tree->nodes[node].slot);
    drop_state(tree, node);
    tree->residents--;
    bool touched = tree->nodes[node].window == tree->window;
    if (touched && tree->nodes[node].planned) {
        p->plan->freed[p->plan->n_freed++] = node;
        return true;
    }
    tree->nodes[node].slot = CAPP_NO_SLOT;
    p->missing += touched;
    return true;
}

/* Frees as many slots as a wave has rows, or as many as the window still needs. Residents are freed leaves first, by
 * falling slot number. If each slot were taken as soon as it is free, the next path would lie backwards in the store,
 * and each position would be a separate run. */
static void evict_wave(planner *p) {
    size_t n = p->missing < p->rows ? p->missing : p->rows;
    for (size_t i = 0; i < n && evict(p); i++) continue;
}

/* Counts the children of node in this window that must run, and sets pending and waiting. */
static void count_children(capp_tree *tree, uint32_t node) {
    uint32_t pending = 0;
    for (uint32_t c = tree->nodes[node].first_child; c != CAPP_NO_NODE; c = tree->nodes[c].sibling)
        pending += capp_node_runs(tree, c);
    tree->nodes[node].pending = tree->nodes[node].waiting = pending;
}

/* Appends a row to the wave. If the tree has states, the parent has one. */
static capp_status push_row(planner *p, uint32_t node, bool again, capp_error *err) {
    capp_plan *plan = p->plan;
    capp_status st;
    if (p->wave_rows == p->rows && (st = end_wave(p, err)) != CAPP_OK) return st;
    if (!capp_grow(&plan->order, &plan->order_capacity, plan->n + 1, sizeof *plan->order))
        return capp_fail_memory(err, "the plan");
    if (p->tree->states.n) {
        if (!capp_grow(&plan->steps, &plan->steps_capacity, plan->n + 1, sizeof *plan->steps))
            return capp_fail_memory(err, "the plan");
        plan->steps[plan->n] = take_step(p->tree, node, again);
    }
    plan->order[plan->n++] = node;
    p->wave_rows++;
    return CAPP_OK;
}

/* Makes sure that the parent of node has a state: the rows of its path run again, from the last one that has a state.
 */
static capp_status push_states(planner *p, uint32_t node, capp_error *err) {
    capp_tree *tree = p->tree;
    uint32_t parent = tree->nodes[node].parent;
    capp_status st = CAPP_OK;
    while (st == CAPP_OK && tree->states.n && parent != CAPP_ROOT && tree->nodes[parent].state == CAPP_NO_SLOT) {
        uint32_t first = parent;
        while (tree->nodes[first].parent != CAPP_ROOT && tree->nodes[tree->nodes[first].parent].state == CAPP_NO_SLOT)
            first = tree->nodes[first].parent;
        st = push_row(p, first, true, err);
    }
    return st;
}

/* The node and its ancestors may become idle when the wave has ended. */
static capp_status push_leaf(planner *p, uint32_t node, capp_error *err) {
    if (!capp_grow(&p->leaves, &p->leaves_capacity, p->n_leaves + 1, sizeof *p->leaves))
        return capp_fail_memory(err, "the plan");
    p->leaves[p->n_leaves++] = node;
    return CAPP_OK;
}

/* Plans one node of the walk. A resident node also runs again if it is asked for its best token or has a scored child:
 * its keys and values are kept, but not its hidden state, which the head needs. It then writes the same bits to its
 * slot. */
static capp_status visit(planner *p, uint32_t node, capp_error *err) {
    capp_tree *tree = p->tree;
    count_children(tree, node);
    capp_node *x = &tree->nodes[node];
    bool resident = x->slot != CAPP_NO_SLOT, head = x->asked;
    for (uint32_t c = x->first_child; c != CAPP_NO_NODE && !head; c = tree->nodes[c].sibling)
        head = tree->nodes[c].scored;
    tree->nodes[x->parent].waiting--;
    if (resident) {
        capp_tree_make_busy(tree, node);
        x->planned = true;
        if (!head) return x->pending ? CAPP_OK : push_leaf(p, node, err);
    }
    capp_status st;
    if (p->wave_rows == p->rows && (st = end_wave(p, err)) != CAPP_OK) return st;
    if (!resident) {
        if (!p->slots->n_free) evict_wave(p);
        /* Residents on the paths of this wave may hold the rest of the store. They become idle when the wave has ended.
         */
        if (!p->slots->n_free && (st = end_wave(p, err)) != CAPP_OK) return st;
        if (!p->slots->n_free) evict_wave(p);
        if (!p->slots->n_free)
            return capp_fail(err, CAPP_EBUDGET, "the KV store of %zu slots is too small; set a larger memory budget",
                             p->slots->n);
        x->slot = take_slot(p->slots);
        p->missing--;
        x->planned = true;
        tree->residents++;
    }
    drop_state(tree, node); /* its row computes it again */
    if ((st = push_states(p, node, err)) != CAPP_OK || (st = push_row(p, node, false, err)) != CAPP_OK) return st;
    x->wave = (uint32_t)p->plan->n_waves;
    return x->pending ? CAPP_OK : push_leaf(p, node, err);
}

/* Depth first, children in the order of insertion. */
static capp_status walk(planner *p, capp_error *err) {
    capp_tree *tree = p->tree;
    count_children(tree, CAPP_ROOT);
    uint32_t node = tree->nodes[CAPP_ROOT].first_child;
    capp_status st;
    while (node != CAPP_NO_NODE) {
        bool runs = capp_node_runs(tree, node);
        if (runs && (st = visit(p, node, err)) != CAPP_OK) return st;
        if (runs && tree->nodes[node].first_child != CAPP_NO_NODE) {
            node = tree->nodes[node].first_child;
            continue;
        }
        while (node != CAPP_NO_NODE && node != CAPP_ROOT && tree->nodes[node].sibling == CAPP_NO_NODE)
            node = tree->nodes[node].parent;
        if (node == CAPP_ROOT) break;
        node = tree->nodes[node].sibling;
    }
    return end_wave(p, err);
}

capp_status capp_plan_make(capp_plan *plan, capp_tree *tree, capp_slots *slots, size_t rows, capp_error *err) {
    planner p = {.plan = plan, .tree = tree, .slots = slots, .rows = rows, .missing = tree->missing};
    capp_status st = CAPP_OK;
    plan->n = plan->n_waves = plan->n_freed = 0;
    if (!capp_grow(&plan->order, &plan->order_capacity, tree->touched, sizeof *plan->order) ||
        (tree->states.n && !capp_grow(&plan->steps, &plan->steps_capacity, tree->touched, sizeof *plan->steps)) ||
        !capp_grow(&plan->freed, &plan->freed_capacity, tree->touched, sizeof *plan->freed))
        st = capp_fail_memory(err, "the plan");
    if (st == CAPP_OK) st = walk(&p, err);
    capp_free(p.leaves);
    if (st != CAPP_OK) capp_plan_abandon(tree, slots);
    return st;
}

void capp_plan_free(capp_plan *plan) {
    capp_free(plan->order);
    capp_free(plan->steps);
    capp_free(plan->waves);
    capp_free(plan->freed);
    memset(plan, 0, sizeof *plan);
}
