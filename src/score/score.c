/* A call: puts rows into windows, and leads each window through the steps of score/window.h. */
#include "score/score.h"

#include "score/window.h"

/* Checks and delivers the rows whose waves have run, up to wave `wave`. last: this was the last wave. */
static capp_status finish_rows(capp_window *window, uint32_t wave, bool last, capp_error *err) {
    capp_status st;
    window->computed = 0;
    for (size_t i = 0; i < window->n_rows; i++) window->computed += window->rows[i].last_wave <= wave;
    for (; window->judged < window->n_rows && window->rows[window->judged].last_wave <= wave; window->judged++)
        if (window->margin > 0 && (st = capp_window_judge(window, &window->rows[window->judged], err)) != CAPP_OK)
            return st;
    if (window->n_close) {
        bool enough = last || capp_lane_tree(capp_session_exact(window->session))->touched >= CAPP_CLOSE_TOKENS;
        if (enough && (st = capp_window_rescore(window, err)) != CAPP_OK) return st;
    }
    return capp_window_deliver(window, err);
}

/* For each row, finds the wave after which all of its log-probabilities are known: the last one in which a parent of
 * its tokens runs. */
static void find_last_waves(capp_window *window) {
    const capp_node *nodes = capp_lane_tree(window->lane)->nodes;
    for (size_t i = 0; i < window->n_rows; i++) {
        capp_window_row *row = &window->rows[i];
        for (size_t j = 0; j < row->n_scored; j++) {
            uint32_t parent = nodes[window->nodes[row->first_id + row->n_prompt + j]].parent;
            if (nodes[parent].wave > row->last_wave) row->last_wave = nodes[parent].wave;
        }
    }
}

typedef struct wave_follower {
    capp_window *window;
    capp_error err; /* where status is not CAPP_OK */
    capp_status status;
} wave_follower;

static bool after_wave(void *user, uint32_t wave) {
    wave_follower *follower = user;
    if (!wave) find_last_waves(follower->window); /* the waves are planned when the first one has run */
    follower->status = finish_rows(follower->window, wave, false, &follower->err);
    return follower->status == CAPP_OK;
}

/* How many token rows would run if each completion ran alone with its prompt. */
static uint64_t tokens_alone(const capp_window *window) {
    uint64_t alone = 0;
    for (size_t i = 0; i < window->n_rows; i++) {
        const capp_window_row *row = &window->rows[i];
        alone += capp_window_completions(window, row) * (row->n_prompt - 1) + row->n_scored;
    }
    return alone;
}

/* Plans the rows of the window. Then the window is empty. */
static capp_status forecast_window(capp_window *window, capp_error *err) {
    capp_work *work = window->work;
    if (!window->n_rows) return CAPP_OK;
    uint64_t before = work->tokens_computed, alone = tokens_alone(window);
    capp_status st = capp_session_forecast(window->session, window->lane, work, err);
    if (st == CAPP_OK) {
        work->rows += window->n_rows;
        work->tokens_saved += alone - (work->tokens_computed - before);
    }
    capp_window_clear(window);
    return st;
}

/* Runs the rows of the window and delivers their results. Then the window is empty. */
static capp_status run_window(capp_window *window, capp_error *err) {
    capp_session *session = window->session;
    capp_stats *stats = capp_session_stats(session);
    if (!window->n_rows) return CAPP_OK;
    uint64_t before = stats->tokens_computed, alone = tokens_alone(window);
    wave_follower follower = {.window = window, .status = CAPP_OK};
    bool judges = window->examples && window->lane == capp_session_fast(session);
    window->margin = judges ? capp_session_margin(session) : 0;
    window->close_tokens = 0;
    capp_status st = capp_session_run(session, window->lane, after_wave, &follower, err);
    if (follower.status != CAPP_OK) {
        st = follower.status;
        if (err) *err = follower.err;
    }
    if (st == CAPP_OK) st = finish_rows(window, UINT32_MAX, true, err); /* and rows for which nothing had to run */
    if (st == CAPP_OK) stats->tokens_saved += alone - (stats->tokens_computed - before - window->close_tokens);
    capp_window_clear(window);
    return st;
}

/* An invalid row ends the call after the rows before it. */
static capp_status run_rows(capp_window *window, capp_error *err) {
    capp_error row_error;
    capp_status st = CAPP_OK, row_st = CAPP_OK;
    for (size_t next = 0; next < window->total && st == CAPP_OK && row_st == CAPP_OK;) {
        row_st = capp_window_fill(window, &next, &row_error);
        if (row_st == CAPP_ENOMEM || row_st == CAPP_ECANCELLED) break;
        if (row_st == CAPP_EBUDGET && window->n_rows) row_st = CAPP_OK; /* tried again in a window of its own */
        size_t nodes = capp_window_nodes(window);
        double start = capp_seconds();
        st = window->work ? forecast_window(window, err) : run_window(window, err);
        if (st == CAPP_OK && !window->work) capp_window_learn_pace(window, nodes, capp_seconds() - start);
    }
    if (st != CAPP_OK || row_st == CAPP_OK) return st;
    if (err) *err = row_error;
    return row_st;
}

static capp_status run_call(capp_window *window, capp_error *err) {
    if (!window->total) return CAPP_OK;
    unsigned arithmetic = capp_session_begin(window->session);
    capp_status st = run_rows(window, err);
    capp_session_end(window->session, arithmetic);
    capp_window_free(window);
    return st;
}

capp_status capp_score_rows(capp_session *session, capp_lane *lane, const capp_weighing *weighing,
                            const capp_example *examples, size_t n, const capp_run_options *options, capp_result_fn fn,
                            void *user, capp_error *err) {
    capp_window window = {.session = session,
                          .lane = lane,
                          .judge = {.weighing = weighing},
                          .examples = examples,
                          .total = n,
                          .options = options,
                          .fn = fn,
                          .user = user};
    return run_call(&window, err);
}

capp_status capp_score_forecast(capp_session *session, capp_lane *lane, const capp_weighing *weighing,
                                const capp_example *examples, size_t n, const capp_run_options *options,
                                capp_work *work, capp_error *err) {
    capp_run_options timeless = *options;
    timeless.window_seconds = 0;
    capp_window window = {.session = session,
                          .lane = lane,
                          .judge = {.weighing = weighing},
                          .examples = examples,
                          .total = n,
                          .options = &timeless,
                          .work = work};
    capp_status st = run_call(&window, err);
    if (n) capp_session_forget(lane);
    return st;
}

capp_status capp_score_texts(capp_session *session, capp_lane *lane, const capp_str *texts, size_t n, unsigned flags,
                             const capp_run_options *options, capp_text_result_fn fn, void *user, capp_error *err) {
    capp_window window = {.session = session,
                          .lane = lane,
                          .texts = texts,
                          .flags = flags,
                          .total = n,
                          .options = options,
                          .text_fn = fn,
                          .user = user};
    return run_call(&window, err);
}
