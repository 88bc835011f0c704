/* Running a window: the scratch is made to fit, the window planned, its waves run one after another. */
#include "engine/budget.h"

enum { PATH_STEP = 256 };

/* Precision auto scores a row again in float32 where its two highest scores are closer than this in bfloat16, by mean
 * log-probability. `make bench WORK=decisions` measures what that keeps: of COPA and Banking77, with two models, every
 * decision of float32. */
static const double MARGIN = 0.02;

double capp_session_margin(const capp_session *s) {
    return s->exact.weights ? MARGIN : 0;
}

/* The lane begins again with slots base .. base + n - 1. */
static capp_status new_slots(capp_lane *lane, size_t base, size_t n, capp_error *err) {
    capp_tree_forget(&lane->tree);
    capp_slots_free(&lane->slots);
    lane->first_slot = base;
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
    capp_status st = capp_budget_choose(s, longest, nodes, &rows, &slots, err);
    if (st != CAPP_OK) return st;
    size_t longer = (longest + PATH_STEP - 1) / PATH_STEP * PATH_STEP;
    if (longer > s->model->context) longer = s->model->context;
    if (capp_budget_bytes(s, rows, longer + rows, longer, nodes) <= capp_budget_usable(s->model->memory)) {
        longest = longer;
        if ((st = capp_budget_choose(s, longest, nodes, &rows, &slots, err)) != CAPP_OK) return st;
    }
    capp_forward_free(s->forward);
    s->forward = NULL;
    s->window_nodes = nodes;
    s->kept = s->keep;
    size_t exact = capp_budget_exact_slots(s, rows, longest);
    if ((st = new_slots(&s->fast, 0, slots, err)) != CAPP_OK) return st;
    if (exact && (st = new_slots(&s->exact, slots, exact, err)) != CAPP_OK) return st;
    return capp_forward_open(&s->forward, s->fast.weights, s->exact.weights, s->pool, slots + exact, rows, longest,
                             err);
}

static size_t lane_bytes(const capp_lane *lane) {
    return lane->tree.capacity * sizeof *lane->tree.nodes + lane->tree.table_size * sizeof *lane->tree.table +
           (lane->plan.order_capacity + lane->plan.freed_capacity) * sizeof(uint32_t);
}

/* What the window takes at most, and what the session has in fact allocated. */
static void count_bytes(capp_session *s) {
    const capp_forward *f = s->forward;
    size_t run =
        capp_forward_bytes(s->fast.weights, s->exact.weights, s->model->threads, f->slots, f->rows, f->longest);
    size_t planned = capp_budget_bytes(s, f->rows, s->fast.slots.n, f->longest, s->window_nodes);
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
        if (st == CAPP_OK)
            st = capp_forward_wave(s->forward, lane->weights, lane->first_slot, &lane->tree, &lane->plan, wave, err);
        capp_weights_release(lane->weights);
        if (st == CAPP_OK) st = capp_source_check(&s->model->source, err); /* else what was read may be anything */
        if (st == CAPP_OK) {
            s->stats.tokens_computed += wave->rows;
            s->stats.head_rows += s->forward->n_heads;
            s->stats.product_flops += capp_forward_flops(lane->weights, wave->rows, s->forward->n_heads);
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
