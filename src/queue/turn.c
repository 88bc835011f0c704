/* Which lane a step runs. Rows that the fast lane does not decide wait until they fill a wave of the exact lane,
 * because small waves cost speed: but only for some steps, and not at all if a small job waits beside large ones. Two
 * steps of the exact lane never follow each other while there is work for the fast one. */
#include "queue/job.h"
#include "score/score.h"

enum { CLOSE_STEPS = 4 }; /* steps of the fast lane for which a row waits at most */

/* What waits for the lanes. */
typedef struct waiting {
    size_t exact; /* token rows, up to CAPP_CLOSE_TOKENS of each job */
    bool fast;
    bool small, large; /* a small group waits for the exact lane; there is a large group */
} waiting;

static waiting look(const capp_queue *queue) {
    waiting w = {0};
    for (size_t i = 0; i < queue->n_groups; i++) {
        const capp_group *g = &queue->groups[i];
        size_t before = w.exact;
        for (size_t k = g->first; k < g->first + g->n; k++) {
            const capp_job *job = queue->jobs[k];
            if (!capp_job_runs(job)) continue;
            w.fast |= job->kind->wants(job, CAPP_TURN_FAST, 1, false) > 0;
            w.exact += job->kind->wants(job, CAPP_TURN_EXACT, CAPP_CLOSE_TOKENS, false);
        }
        w.small |= g->small && w.exact > before;
        w.large |= !g->small;
    }
    return w;
}

static bool is_due(const capp_queue *queue, const waiting *w) {
    if (!w->exact || !w->fast) return w->exact;
    if (queue->turn == CAPP_TURN_EXACT) return false;
    return w->exact >= CAPP_CLOSE_TOKENS || queue->waited >= CLOSE_STEPS || (w->small && w->large);
}

void capp_take_turn(capp_queue *queue) {
    waiting w = {0};
    if (capp_session_exact(queue->session)) w = look(queue);
    queue->turn = is_due(queue, &w) ? CAPP_TURN_EXACT : CAPP_TURN_FAST;
    queue->waited = w.exact && queue->turn == CAPP_TURN_FAST ? queue->waited + 1 : 0;
}
