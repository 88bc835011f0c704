/* Seats: room in the KV store for what a job has computed and will need again. Without them, texts that do not fit
 * together would take the store from each other, and compute their tokens again in every step. The oldest jobs keep
 * their seats; others wait until they fit, first those whose group has no seat. A part of the store is for first seats
 * of groups and for small groups, so that these need not wait for long ones to end. */
#include "queue/job.h"

enum { SPARE_PARTS = 4 };   /* this part of the seats is for first seats and small groups */
enum { STEP_PARTS = 4 };    /* this part of the store is enough for a step */
enum { FORKED_STATES = 4 }; /* recurrent states that are for beginnings which paths share */

typedef struct seats {
    capp_queue *queue;
    size_t most, spare;  /* slots for seats, and those of them that are spared */
    size_t paths;        /* jobs that may have a seat */
    size_t taken, n;     /* slots, jobs */
    size_t small, large; /* slots of small groups and of the others */
    bool blocked, full;  /* an older job waits for a seat; nobody else gets one */
} seats;

/* Whether a job that needs `need` more slots gets a seat. */
static bool fits(const seats *s, size_t need, const capp_group *g) {
    if (!s->n) return true;
    if (s->n >= s->paths || s->taken + need > s->most) return false;
    if (g->small) return !s->blocked || s->small + need <= s->spare;
    return !s->blocked && (!g->seats || s->large + need <= s->most - s->spare);
}

/* A job whose last rows wait for the exact lane needs no seat. */
static bool seeks_seat(const capp_job *job) {
    return capp_job_runs(job) && job->kind->wants(job, CAPP_TURN_FAST, 1, false);
}

/* Gives the job a seat if there is one. Returns the slots that it needs. */
static size_t seat(seats *s, capp_job *job, capp_group *g) {
    capp_path path = {0};
    size_t touched, resident;
    job->seated = false;
    if (!seeks_seat(job)) return 0;
    if ((job->status = job->kind->path(job, &path, &job->err)) != CAPP_OK) return 0;
    capp_tree_look(capp_step_tree(s->queue), path.ids, path.n, &touched, &resident);
    size_t need = path.n + path.later - touched;
    job->seated = fits(s, need, g);
    if (!job->seated) return need;
    s->n++;
    g->seats++;
    s->taken += need;
    *(g->small ? &s->small : &s->large) += need;
    if (path.n) job->status = capp_hold_path(s->queue, &path, resident, &job->err);
    return need;
}

/* A job that finds no seat holds up later ones. One that is too large to run beside others holds up all of them. */
static void find_seat(seats *s, capp_job *job, capp_group *g) {
    if (!seeks_seat(job) || (s->blocked && !g->small) || s->full) return;
    size_t need = seat(s, job, g);
    if (job->seated || !capp_job_runs(job)) return;
    s->full = s->blocked || need > s->most - s->spare;
    s->blocked = true;
}

/* Jobs that have seats keep them if they still fit; then one job of each group without a seat; then the others. */
static void seat_group(seats *s, capp_group *g, int pass) {
    bool first = !g->seats;
    for (size_t i = g->first; i < g->first + g->n && !(pass == 1 && (!first || g->seats)); i++) {
        capp_job *job = s->queue->jobs[i];
        if (!job->seated && pass)
            find_seat(s, job, g);
        else if (job->seated && !pass)
            seat(s, job, g);
    }
}

void capp_take_seats(capp_queue *queue, size_t *room) {
    const capp_lane *fast = capp_session_fast(queue->session);
    size_t slots = capp_lane_slots(fast), states = capp_step_tree(queue)->states.n;
    size_t step = *room < slots / STEP_PARTS ? *room : slots / STEP_PARTS;
    seats s = {.queue = queue, .most = slots - step, .paths = queue->n};
    s.spare = s.most / SPARE_PARTS;
    if (states) s.paths = states > FORKED_STATES ? states - FORKED_STATES : 1;
    for (int pass = 0; pass < 3; pass++)
        for (size_t i = 0; i < queue->n_groups; i++) seat_group(&s, &queue->groups[i], pass);
    size_t left = slots > s.taken ? slots - s.taken : 0;
    if (left < step) left = step;
    if (*room > left) *room = left;
}
