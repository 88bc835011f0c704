/* A session: the threads, lanes and scratch memory that run windows. */
#include "base/mem.h"
#include "base/platform.h"
#include "engine/budget.h"

capp_status capp_session_open(capp_session **out, const capp_model *model, capp_error *err) {
    *out = NULL;
    if (!model->weights)
        return capp_fail(err, CAPP_EINVAL, "%s: opened with vocab_only, so it cannot score; open it without vocab_only",
                         capp_source_path(&model->source));
    capp_session *session = capp_new0(1, sizeof *session);
    if (!session) return capp_fail_memory(err, "the session");
    session->model = model;
    unsigned arithmetic = capp_enter_arithmetic();
    capp_status st = capp_pool_open(&session->pool, model->threads, err);
    capp_leave_arithmetic(arithmetic);
    if (st == CAPP_OK) capp_pool_set_stop(session->pool, &session->cancelled);
    session->fast.weights = model->weights;
    session->exact.weights = model->exact;
    if (st == CAPP_OK) st = capp_tree_init(&session->fast.tree, err);
    if (st == CAPP_OK && session->exact.weights) st = capp_tree_init(&session->exact.tree, err);
    if (st != CAPP_OK) {
        capp_session_free(session);
        return st;
    }
    session->node_limit = capp_budget_nodes(model->memory);
    *out = session;
    return CAPP_OK;
}

static void free_lane(capp_lane *lane) {
    capp_plan_free(&lane->plan);
    capp_slots_free(&lane->slots);
    capp_tree_free(&lane->tree);
}

void capp_session_free(capp_session *session) {
    if (!session) return;
    capp_forward_free(session->forward);
    free_lane(&session->fast);
    free_lane(&session->exact);
    capp_pool_free(session->pool);
    capp_free(session);
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

size_t *capp_session_pace(capp_session *session) {
    return &session->pace;
}

void capp_session_keep(capp_session *session, size_t tokens, size_t paths) {
    session->keep = tokens;
    session->keep_paths = paths;
}

void capp_session_expect(capp_session *session, size_t longest) {
    session->expect = longest < session->model->context ? longest : session->model->context;
}

size_t capp_session_paths(const capp_session *session) {
    return capp_budget_paths(session);
}
