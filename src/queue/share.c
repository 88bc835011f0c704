/* How jobs share a step. Small groups come first, because they delay the others little: they get up to half of the
 * step, or all of it if there are no others. Then those that want no more than an even share, because what they leave
 * is for the others. The others take turns. Within a group the oldest job comes first: it ends sooner, and gives its
 * seat to the next one.
 */
#include "base/mem.h"
#include "queue/job.h"

enum { SMALL_PARTS = 2 }; /* a small group needs this part of a step at most */
enum { LEAST_SHARE = 8 }; /* token rows that a group gets at least, so that long ones do not crawl */

/* ---- Groups ---- */

/* Seats are in the KV store of the fast lane. In the exact lane a job may add something twice. */
static bool is_waiting(const capp_job *job) {
    if (!capp_job_runs(job)) return false;
    if (job->queue->turn == CAPP_TURN_FAST) return job->seated && !job->in_step;
    return job->kind->wants(job, CAPP_TURN_EXACT, 1, false);
}

/* Whether all that the group still needs of a lane is a part of a step. */
static bool is_small(const capp_queue *queue, const capp_group *g, capp_turn turn) {
    size_t most = queue->lines[turn].room / SMALL_PARTS, all = 0;
    for (size_t i = g->first; i < g->first + g->n && all <= most; i++)
        if (capp_job_runs(queue->jobs[i])) all += queue->jobs[i]->kind->wants(queue->jobs[i], turn, most + 1, true);
    return all <= most;
}

capp_status capp_make_groups(capp_queue *queue, capp_error *err) {
    queue->n_groups = 0;
    if (!capp_grow(&queue->groups, &queue->groups_capacity, queue->n, sizeof *queue->groups))
        return capp_fail_memory(err, "the queue");
    for (size_t i = 0; i < queue->n;) {
        capp_group g = {.first = i};
        const void *caller = queue->jobs[i]->caller;
        do i++;
        while (i < queue->n && caller && queue->jobs[i]->caller == caller);
        g.n = i - g.first;
        g.small = is_small(queue, &g, CAPP_TURN_FAST);
        queue->groups[queue->n_groups++] = g;
    }
    return CAPP_OK;
}

/* What the group wants in this step, now that its jobs have seats. */
static void measure(const capp_queue *queue, capp_group *g, size_t room) {
    g->served = true;
    g->wants = 0;
    for (size_t i = g->first; i < g->first + g->n && g->wants < room; i++) {
        const capp_job *job = queue->jobs[i];
        if (!is_waiting(job)) continue;
        g->served = false;
        g->wants += job->kind->wants(job, queue->turn, room, false);
    }
    if (!g->served) g->small = is_small(queue, g, queue->turn);
}

/* ---- Shares ---- */

/* Lets the jobs of a group add up to `share` token rows. Returns whether all of them could add something. */
static bool add_group(capp_queue *queue, capp_group *g, size_t share, size_t *room) {
    size_t left = share;
    bool fed = true;
    for (size_t i = g->first; i < g->first + g->n && left; i++) {
        capp_job *job = queue->jobs[i];
        if (!is_waiting(job)) continue;
        size_t before = left;
        job->in_step = true;
        job->status = job->kind->add(job, &left, &job->err);
        if (left == before) left--;
        fed &= !job->starved;
    }
    g->served = true;
    *room -= share - left < *room ? share - left : *room;
    return fed;
}

/* The oldest come first: none of them waits for those that came later, and few are cut into pieces. */
static void add_small(capp_queue *queue, bool alone, size_t *room) {
    size_t mine = alone ? *room : *room / 2, before = mine;
    for (size_t i = 0; i < queue->n_groups && mine; i++) {
        capp_group *g = &queue->groups[i];
        if (!g->served && g->small) add_group(queue, g, mine, &mine);
    }
    *room -= before - mine;
}

/* Adds the other groups in turn, those that want at most an even share or those that want more. The next step begins
 * with the first one for which there was no room. */
static void add_in_turn(capp_queue *queue, size_t first, size_t even, bool more, size_t *left, size_t *room,
                        size_t *first_out) {
    size_t n = queue->n_groups;
    for (size_t k = 0; k < n; k++) {
        capp_group *g = &queue->groups[(first + k) % n];
        if (g->served || (g->wants > even) != more) continue;
        bool fed = false;
        if (*room) {
            size_t share = *room / (*left)--, least = *room < LEAST_SHARE ? *room : LEAST_SHARE;
            if (queue->turn == CAPP_TURN_EXACT) least = *room;
            fed = add_group(queue, g, share > least ? share : least, room);
        }
        if (!fed && k < *first_out) *first_out = k;
    }
}

/* Lets rows in parts go on, oldest first. There are few, because no other group begins before a row has all its room.
 */
static void add_parts(capp_queue *queue, size_t *room) {
    for (size_t i = 0; i < queue->n && *room; i++) {
        capp_job *job = queue->jobs[i];
        if (!job->in_parts || !is_waiting(job)) continue;
        job->in_step = true;
        job->status = job->kind->add(job, room, &job->err);
    }
}

void capp_share_step(capp_queue *queue, size_t room, size_t trial) {
    size_t left = 0, n = queue->n_groups, first_out = n, at = 0, *first = &queue->lines[queue->turn].next;
    if (queue->turn == CAPP_TURN_EXACT) add_parts(queue, &room);
    bool alone = true, small = false;
    for (size_t i = 0; i < n; i++) {
        measure(queue, &queue->groups[i], room);
        alone &= queue->groups[i].served || queue->groups[i].small;
        small |= !queue->groups[i].served && queue->groups[i].small;
        if (queue->groups[i].first <= *first) at = i;
    }
    if ((alone || !small) && room > trial) room = trial;
    add_small(queue, alone, &room);
    for (size_t i = 0; i < n; i++) left += !queue->groups[i].served;
    size_t even = left ? room / left : 0;
    add_in_turn(queue, at, even, false, &left, &room, &first_out);
    add_in_turn(queue, at, even, true, &left, &room, &first_out);
    *first = first_out < n ? queue->groups[(at + first_out) % n].first : 0;
}
