/* A session: the threads, lanes and scratch that windows run with. */
#include "base/mem.h"
#include "engine/budget.h"

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
    s->fast.weights = model->weights;
    s->exact.weights = model->exact;
    if (st == CAPP_OK) st = capp_tree_init(&s->fast.tree, err);
    if (st == CAPP_OK && s->exact.weights) st = capp_tree_init(&s->exact.tree, err);
    if (st != CAPP_OK) {
        capp_session_free(s);
        return st;
    }
    s->node_limit = capp_budget_nodes(model->memory);
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

void capp_session_get_stats(const capp_session *session, capp_stats *stats) {
    *stats = session->stats;
}

capp_stats *capp_session_stats(capp_session *session) {
    return &session->stats;
}

const capp_model *capp_session_model(const capp_session *session) {
    return session->model;
}

capp_lane *capp_session_fast(capp_session *session) {
    return &session->fast;
}

capp_lane *capp_session_exact(capp_session *session) {
    return session->exact.weights ? &session->exact : NULL;
}

capp_tree *capp_lane_tree(capp_lane *lane) {
    return &lane->tree;
}

size_t capp_lane_slots(const capp_lane *lane) {
    return lane->slots.n;
}

size_t capp_session_node_limit(const capp_session *session) {
    return session->node_limit;
}

void capp_session_keep(capp_session *session, size_t tokens) {
    session->keep = tokens;
}
