/* Runs a window: makes the scratch memory fit, plans the window, and runs its waves one after another. */
#include "engine/budget.h"

enum { PATH_STEP = 256 };

double capp_session_margin(const capp_session *session) {
    return session->exact.weights ? capp_model_margin(session->model) : 0;
}

/* Empties the lane and gives it slots, and those states that come after the first `states`. */
static capp_status new_slots(capp_lane *lane, size_t states, const capp_room *room, capp_error *err) {
    capp_tree_forget(&lane->tree);
    capp_slots_free(&lane->slots);
    capp_states_free(&lane->tree.states);
    lane->first_state = states;
    if (room->states) {
        capp_status st = capp_states_init(&lane->tree.states, room->states, err);
        if (st != CAPP_OK) return st;
    }
    return capp_slots_init(&lane->slots, room->slots, err);
}

/* Whether the scratch memory fits the window. */
static bool fits(const capp_session *session, size_t longest, size_t nodes) {
    return session->forward && capp_forward_room(session->forward).longest >= longest &&
           session->window_nodes >= nodes && session->kept >= session->keep &&
           session->kept_paths >= session->keep_paths && session->expected >= session->expect;
}

/* Makes *room, which fits paths of up to `longest` tokens, fit slightly longer ones, or those that the caller expects,
 * if a wave does not lose rows by this. It doubles for what is expected, so that it seldom grows again. */
static capp_status lengthen(const capp_session *session, size_t longest, size_t nodes, capp_room *room,
                            capp_error *err) {
    size_t least = ((longest ? longest - 1 : 0) / PATH_STEP + 1) * PATH_STEP, n = least;
    while (n < session->expect) n *= 2;
    for (;; n = (n / 2 + PATH_STEP - 1) / PATH_STEP * PATH_STEP) {
        if (n < least) n = least;
        capp_room longer = {.states = room->states, .rows = room->rows};
        longer.longest = n < session->model->context ? n : session->model->context;
        longer.slots = longer.longest + longer.rows;
        if (capp_budget_bytes(session, &longer, nodes) <= capp_budget_usable(session->model->memory))
            return capp_budget_choose(session, longer.longest, nodes, room, err);
        if (n == least) return CAPP_OK;
    }
}

/* Makes the scratch memory fit the window. When it grows, resident contents are lost. */
static capp_status fit_window(capp_session *session, size_t longest, size_t nodes, capp_error *err) {
    capp_room fast;
    if (nodes < session->node_limit) nodes = session->node_limit;
    if (fits(session, longest, nodes)) return CAPP_OK;
    if (longest > session->model->context)
        return capp_fail(err, CAPP_ETOOLONG, "the text has %zu tokens, but the context is %u; shorten the text",
                         longest, session->model->context);
    capp_status st = capp_budget_choose(session, longest, nodes, &fast, err);
    if (st != CAPP_OK) return st;
    if ((st = lengthen(session, longest, nodes, &fast, err)) != CAPP_OK) return st;
    capp_forward_free(session->forward);
    session->forward = NULL;
    session->window_nodes = nodes;
    session->kept = session->keep;
    session->kept_paths = session->keep_paths;
    session->expected = session->expect > fast.longest ? session->expect : fast.longest;
    session->fast_room = fast;
    capp_room exact = capp_budget_exact(session, &fast), both = fast;
    if ((st = new_slots(&session->fast, 0, &fast, err)) != CAPP_OK) return st;
    if (exact.slots && (st = new_slots(&session->exact, fast.states, &exact, err)) != CAPP_OK) return st;
    both.exact_slots = exact.slots;
    both.states += exact.states;
    return capp_forward_open(&session->forward, session->fast.weights, session->exact.weights, session->pool, &both,
                             err);
}

capp_status capp_session_make_room(capp_session *session, capp_error *err) {
    return fit_window(session, session->expect, 0, err);
}

static size_t lane_bytes(const capp_lane *lane) {
    return lane->tree.capacity * sizeof *lane->tree.nodes + lane->tree.table_size * sizeof *lane->tree.table +
           lane->plan.steps_capacity * sizeof *lane->plan.steps +
           (lane->plan.order_capacity + lane->plan.freed_capacity) * sizeof(uint32_t);
}

/* The planned bytes of the window, and the bytes that the session has allocated. */
static void count_bytes(capp_session *session) {
    capp_room room = capp_forward_room(session->forward);
    size_t run = capp_forward_bytes(session->fast.weights, session->exact.weights, session->model->threads, &room);
    size_t planned = capp_budget_bytes(session, &session->fast_room, session->window_nodes);
    size_t used = run + lane_bytes(&session->fast) + lane_bytes(&session->exact);
    if (planned > session->stats.planned_bytes) session->stats.planned_bytes = planned;
    if (used > session->stats.used_bytes) session->stats.used_bytes = used;
}

/* Makes room for the window and plans its waves. */
static capp_status plan_window(capp_session *session, capp_lane *lane, capp_error *err) {
    capp_status st = fit_window(session, lane->tree.longest, lane->tree.touched, err);
    if (st != CAPP_OK) return st;
    size_t rows = capp_forward_room(session->forward).rows;
    if ((st = capp_plan_make(&lane->plan, &lane->tree, &lane->slots, rows, err)) != CAPP_OK) return st;
    count_bytes(session);
    return CAPP_OK;
}

capp_status capp_session_forecast(capp_session *session, capp_lane *lane, capp_work *work, capp_error *err) {
    capp_status st = plan_window(session, lane, err);
    if (st != CAPP_OK) return st;
    uint64_t bytes = capp_budget_bytes(session, &session->fast_room, session->window_nodes);
    work->tokens_computed += lane->plan.n;
    work->waves += lane->plan.n_waves;
    work->windows++;
    if (bytes > work->planned_bytes) work->planned_bytes = bytes;
    if (lane->tree.longest > work->longest) work->longest = lane->tree.longest;
    capp_plan_done(&lane->plan, &lane->tree);
    return CAPP_OK;
}

void capp_session_forget(capp_lane *lane) {
    if (lane->slots.taken) capp_plan_abandon(&lane->tree, &lane->slots);
}

capp_status capp_session_run(capp_session *session, capp_lane *lane, capp_wave_fn fn, void *user, capp_error *err) {
    capp_status st = plan_window(session, lane, err);
    if (st != CAPP_OK) return st;
    for (size_t i = 0; i < lane->plan.n_waves; i++) {
        const capp_wave *wave = &lane->plan.waves[i];
        if (capp_session_cancelled(session)) st = capp_fail(err, CAPP_ECANCELLED, "cancelled");
        if (st == CAPP_OK) st = capp_source_check(&session->model->source, err);
        if (st == CAPP_OK)
            st = capp_forward_wave(session->forward, lane->weights, lane->first_state, &lane->tree, &lane->plan, wave,
                                   err);
        capp_weights_release(lane->weights);
        if (st == CAPP_OK)
            st = capp_source_check(&session->model->source, err); /* otherwise the bytes that were read may be wrong */
        if (st == CAPP_OK) {
            session->stats.tokens_computed += wave->rows;
            size_t layers;
            session->stats.experts_run += capp_forward_experts(session->forward, &layers);
            session->stats.expert_layers_run += layers;
            session->stats.head_rows += capp_forward_head_rows(session->forward);
            session->stats.product_flops +=
                capp_forward_flops(lane->weights, wave->rows, capp_forward_head_rows(session->forward));
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
