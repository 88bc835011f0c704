/* The size of windows, so that each takes about as long as the caller wants: how many nodes of the token tree a window
 * may have. The session keeps what it learned from call to call. If every wave reads the weights from the disk, windows
 * are as large as the budget allows, so that as many rows as possible share the reading. */
#include "score/window.h"

/* The number of nodes of the first window; the smallest number of later ones, because small waves are slow, above all
 * those of close rows; and the largest growth from one window to the next. The nodes of the first row do not count,
 * because many of them may be in the KV store already. */
enum { FIRST_NODES = 96, LEAST_NODES = 1536, MOST_GROWTH = 4 };

static size_t nodes_of(const capp_window *window) {
    return capp_lane_tree(window->lane)->touched - window->first_nodes;
}

bool capp_window_has_time(const capp_window *window) {
    size_t pace = *capp_session_pace(window->session);
    return !(window->options->window_seconds > 0) || capp_session_streams(window->session) ||
           nodes_of(window) < (pace ? pace : FIRST_NODES);
}

void capp_window_learn_pace(capp_window *window, size_t nodes, double seconds) {
    size_t *pace = capp_session_pace(window->session);
    double wanted = window->options->window_seconds;
    if (!(wanted > 0) || !nodes) return;
    if (nodes < *pace && seconds < wanted) return; /* a short window at the end of a call is not a good measurement */
    double most = (double)MOST_GROWTH * (double)(nodes > FIRST_NODES ? nodes : FIRST_NODES);
    double next = (double)nodes * wanted / (seconds > 1e-6 ? seconds : 1e-6);
    if (next > most) next = most;
    *pace = next > LEAST_NODES ? (size_t)next : LEAST_NODES;
}

size_t capp_window_nodes(const capp_window *window) {
    return window->n_rows ? nodes_of(window) : 0;
}
