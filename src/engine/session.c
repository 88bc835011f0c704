/* Sessions: memory, planning and running of one window at a time. */
#include "engine/engine.h"

#include <string.h>
#include <xmmintrin.h>

enum { MIB = 1 << 20 };
enum { MOST_ROWS = 768, MOST_STREAMED_ROWS = 8192, LEAST_ROWS = 16, PATH_STEP = 256 };

/* Bytes of a window's lists for each node of the tree: the tree, the plan, ids and results. */
enum { NODE_BYTES = 2 * sizeof(capp_node) + 64 };

/* Set aside of a budget for what the process has besides: its code, the vocabulary, the caller's rows. */
enum { PROCESS_BYTES = 32 * MIB };

/* Precision auto scores a row again in float32 where its two highest scores are closer than this in bfloat16, by mean
 * log-probability. `make bench WORK=decisions` measures what that keeps: of COPA and Banking77, with two models, every
 * decision of float32. */
static const double MARGIN = 0.02;

enum { DEFAULT_MXCSR = 0x1f80 };

unsigned capp_enter_arithmetic(void) {
    unsigned saved = _mm_getcsr();
    _mm_setcsr(DEFAULT_MXCSR);
    return saved;
}

void capp_leave_arithmetic(unsigned saved) {
    _mm_setcsr(saved);
}

/* Nodes that a window of several rows may touch. */
static size_t node_limit(uint64_t budget) {
    uint64_t share = budget / 8, most = (uint64_t)256 * MIB;
    return (size_t)(share < most ? share : most) / NODE_BYTES;
}

static uint64_t usable_bytes(uint64_t budget) {
    return budget - (budget / 4 < PROCESS_BYTES ? budget / 4 : PROCESS_BYTES);
}

capp_status capp_session_open(capp_session **out, const capp_model *model, capp_error *err) {
    *out = NULL;
    if (!model->weights)
        return capp_fail(err, CAPP_EINVAL, "%s was opened for its vocabulary only; open it without vocab_only",
                         capp_source_path(&model->source));
    capp_session *s = capp_new0(1, sizeof *s);
    if (!s) return capp_fail_memory(err, "the session");
    s->model = model;
    unsigned arithmetic = capp_enter_arithmetic();
    capp_status st = capp_pool_open(&s->pool, model->threads, err);
    capp_leave_arithmetic(arithmetic);
    if (st == CAPP_OK) capp_pool_set_stop(s->pool, &s->cancelled);
    s->fast.w = model->weights;
    s->exact.w = model->exact;
    if (st == CAPP_OK) st = capp_tree_init(&s->fast.tree, err);
    if (st == CAPP_OK && s->exact.w) st = capp_tree_init(&s->exact.tree, err);
    if (st != CAPP_OK) {
        capp_session_free(s);
        return st;
    }
    s->node_limit = node_limit(model->memory);
    *out = s;
    return CAPP_OK;
}

static void free_lane(capp_lane *lane) {
    capp_plan_free(&lane->plan);
    capp_slots_free(&lane->slots);
    capp_tree_free(&lane->tree);
}

void capp_session_free(capp_session *s) {
    if (!s) return;
    capp_forward_free(s->forward);
    free_lane(&s->fast);
    free_lane(&s->exact);
    capp_pool_free(s->pool);
    capp_free(s);
}

void capp_session_cancel(capp_session *session) {
    atomic_store(&session->cancelled, true);
}

void capp_session_get_stats(const capp_session *session, capp_stats *stats) {
    *stats = session->stats;
}

double capp_session_margin(const capp_session *s) {
    return s->exact.w ? MARGIN : 0;
}

/* Slots of the exact lane: those of the longest path and a wave. */
static size_t exact_slots(const capp_session *s, size_t rows, size_t longest) {
    return s->exact.w ? longest + rows : 0;
}

/* Bytes for scratch, the store and a window of `nodes` nodes, beside which the tree holds those of earlier windows: at
 * most twice as many as are resident (capp_tree_next_window). */
static size_t run_bytes(const capp_session *s, size_t rows, size_t slots, size_t longest, size_t nodes) {
    size_t exact = exact_slots(s, rows, longest), window;
    size_t bytes = capp_forward_bytes(s->fast.w, s->exact.w, s->model->threads, slots + exact, rows, longest);
    if (s->exact.w && !capp_mul(nodes, 2, &nodes)) return SIZE_MAX;
    if (!capp_mul(slots + exact, 2, &window) || __builtin_add_overflow(window, nodes, &nodes) ||
        !capp_mul(nodes, NODE_BYTES, &window) || __builtin_add_overflow(bytes, window, &bytes))
        return SIZE_MAX;
    return bytes;
}

/* Bytes of the smallest run with a path of `longest` tokens. */
static size_t least_bytes(const capp_session *s, size_t longest, size_t nodes, uint64_t budget) {
    size_t limit = node_limit(budget);
    return run_bytes(s, LEAST_ROWS, longest + LEAST_ROWS, longest, nodes > limit ? nodes : limit);
}

/* The least budget, in MiB, that the smallest run fits: what is set aside of a budget grows with it. */
static uint64_t least_budget(const capp_session *s, size_t longest, size_t nodes) {
    uint64_t low = 0, high = 1;
    while (high < UINT64_MAX / MIB / 2 && least_bytes(s, longest, nodes, high * MIB) > usable_bytes(high * MIB))
        low = high, high *= 2;
    while (high - low > 1) {
        uint64_t middle = low + (high - low) / 2;
        if (least_bytes(s, longest, nodes, middle * MIB) > usable_bytes(middle * MIB))
            low = middle;
        else
            high = middle;
    }
    return high;
}

capp_status capp_session_check(const capp_session *s, size_t longest, size_t nodes, capp_error *err) {
    uint64_t budget = s->model->memory;
    if (least_bytes(s, longest, nodes, budget) <= usable_bytes(budget)) return CAPP_OK;
    return capp_fail(
        err, CAPP_EBUDGET,
        "%zu tokens, the longest path %zu, need %llu MiB; the memory budget is %llu MiB (%llu bytes); give more "
        "(512M is 512 MiB)%s or shorten the text",
        nodes, longest, (unsigned long long)least_budget(s, longest, nodes), (unsigned long long)(budget / MIB),
        (unsigned long long)budget, s->exact.w ? ", ask for precision bf16 or f32, which need half of it," : "");
}

/* Where every wave reads weights from the disk, as many rows as possible share it. */
static size_t most_rows(const capp_session *s) {
    return capp_weights_streamed(s->fast.w) ? MOST_STREAMED_ROWS : MOST_ROWS;
}

/* Chooses rows of a wave and slots of the store for paths of up to `longest` tokens, within the budget: as many rows as
 * fit, then more slots for what stays hot: some paths, and what the caller keeps. Not all that would fit, for a store
 * fills up with rows that never come again, and memory grew with their number. */
static capp_status choose_sizes(const capp_session *s, size_t longest, size_t nodes, size_t *rows, size_t *slots,
                                capp_error *err) {
    size_t usable = (size_t)usable_bytes(s->model->memory), n = most_rows(s);
    while (n > LEAST_ROWS && run_bytes(s, n, longest + n, longest, nodes) > usable) n /= 2;
    if (run_bytes(s, n, longest + n, longest, nodes) > usable) return capp_session_check(s, longest, nodes, err);
    size_t most = 2 * (longest + n), low = longest + n;
    if (most < s->keep) most = s->keep;
    while (low < most) { /* the most slots that fit */
        size_t middle = (low + most + 1) / 2;
        if (run_bytes(s, n, middle, longest, nodes) <= usable)
            low = middle;
        else
            most = middle - 1;
    }
    *rows = n;
    *slots = low;
    return CAPP_OK;
}

/* The lane begins again with slots base .. base + n - 1. */
static capp_status new_slots(capp_lane *lane, size_t base, size_t n, capp_error *err) {
    capp_tree_forget(&lane->tree);
    capp_slots_free(&lane->slots);
    lane->base = base;
    return capp_slots_init(&lane->slots, n, err);
}

/* Makes the scratch fit the window, with room for paths a little longer where that costs no rows of a wave. A larger
 * one loses what was resident. */
static capp_status fit_window(capp_session *s, const capp_tree *tree, capp_error *err) {
    size_t longest = tree->longest, nodes = tree->touched, rows = 0, slots = 0;
    if (nodes < s->node_limit) nodes = s->node_limit;
    if (s->forward && s->forward->longest >= longest && s->window_nodes >= nodes && s->kept >= s->keep) return CAPP_OK;
    if (longest > s->model->context)
        return capp_fail(err, CAPP_ETOOLONG, "%zu tokens, but the context is %u", longest, s->model->context);
    capp_status st = choose_sizes(s, longest, nodes, &rows, &slots, err);
    if (st != CAPP_OK) return st;
    size_t longer = (longest + PATH_STEP - 1) / PATH_STEP * PATH_STEP;
    if (longer > s->model->context) longer = s->model->context;
    if (run_bytes(s, rows, longer + rows, longer, nodes) <= usable_bytes(s->model->memory)) {
        longest = longer;
        if ((st = choose_sizes(s, longest, nodes, &rows, &slots, err)) != CAPP_OK) return st;
    }
    capp_forward_free(s->forward);
    s->forward = NULL;
    s->window_nodes = nodes;
    s->kept = s->keep;
    size_t exact = exact_slots(s, rows, longest);
    if ((st = new_slots(&s->fast, 0, slots, err)) != CAPP_OK) return st;
    if (exact && (st = new_slots(&s->exact, slots, exact, err)) != CAPP_OK) return st;
    return capp_forward_open(&s->forward, s->fast.w, s->exact.w, s->pool, slots + exact, rows, longest, err);
}

static size_t lane_bytes(const capp_lane *lane) {
    return lane->tree.capacity * sizeof *lane->tree.nodes + lane->tree.table_size * sizeof *lane->tree.table +
           (lane->plan.order_capacity + lane->plan.freed_capacity) * sizeof(uint32_t);
}

/* What the window takes at most, and what the session has in fact allocated. */
static void count_bytes(capp_session *s) {
    const capp_forward *f = s->forward;
    size_t run = capp_forward_bytes(s->fast.w, s->exact.w, s->model->threads, f->slots, f->rows, f->longest);
    size_t planned = run_bytes(s, f->rows, s->fast.slots.n, f->longest, s->window_nodes);
    size_t used = run + lane_bytes(&s->fast) + lane_bytes(&s->exact);
    if (planned > s->stats.planned_bytes) s->stats.planned_bytes = planned;
    if (used > s->stats.used_bytes) s->stats.used_bytes = used;
}

capp_status capp_session_run(capp_session *s, capp_lane *lane, capp_wave_fn fn, void *user, capp_error *err) {
    capp_status st;
    if ((st = fit_window(s, &lane->tree, err)) != CAPP_OK) return st;
    if ((st = capp_plan_make(&lane->plan, &lane->tree, &lane->slots, s->forward->rows, err)) != CAPP_OK) return st;
    count_bytes(s);
    for (size_t i = 0; i < lane->plan.n_waves; i++) {
        const capp_wave *wave = &lane->plan.waves[i];
        if (capp_session_cancelled(s)) st = capp_fail(err, CAPP_ECANCELLED, "cancelled");
        if (st == CAPP_OK) st = capp_source_check(&s->model->source, err);
        if (st == CAPP_OK) st = capp_forward_wave(s->forward, lane->w, lane->base, &lane->tree, &lane->plan, wave, err);
        capp_weights_release(lane->w);
        if (st == CAPP_OK) st = capp_source_check(&s->model->source, err); /* else what was read may be anything */
        if (st == CAPP_OK) {
            s->stats.tokens_computed += wave->rows;
            s->stats.head_rows += s->forward->n_heads;
            s->stats.product_flops += capp_forward_flops(lane->w, wave->rows, s->forward->n_heads);
            if (fn && !fn(user, (uint32_t)i)) st = capp_fail(err, CAPP_ECANCELLED, "cancelled");
        }
        if (st != CAPP_OK) {
            capp_plan_abandon(&lane->tree, &lane->slots);
            return st;
        }
    }
    capp_plan_done(&lane->plan, &lane->tree);
    return CAPP_OK;
}
