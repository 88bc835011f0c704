#include "race/bounds.h"

#include <math.h>

void capp_race_begin(capp_race *race, capp_runner *runners, const uint32_t *order, size_t n, capp_score_fn score,
                     const void *user, double margin) {
    *race = (capp_race){runners, n, n, score, user, margin, CAPP_NO_LEADER, 0, -INFINITY, -INFINITY};
    for (size_t i = 0; i < n; i++) runners[i] = (capp_runner){0, score(user, order[i], 0), order[i], 0, false};
}

void capp_race_restart(capp_race *race) {
    size_t n = race->n;
    capp_runner *runners = race->runners;
    *race = (capp_race){runners, n, n, race->score, race->user, 0, CAPP_NO_LEADER, 0, -INFINITY, -INFINITY};
    for (size_t i = 0; i < n; i++) {
        uint32_t index = runners[i].index;
        runners[i] = (capp_runner){0, race->score(race->user, index, 0), index, 0, false};
    }
}

static void finish(capp_race *race, const capp_runner *r) {
    bool leads =
        race->leader == CAPP_NO_LEADER || r->bound > race->best || (r->bound == race->best && r->index < race->leader);
    double other = leads ? race->best : r->bound;
    if (r->place != race->place && other > race->second) race->second = other;
    if (!leads) return;
    race->leader = r->index;
    race->place = r->place;
    race->best = r->bound;
}

void capp_race_advance(capp_race *race, size_t i, float logprob, uint32_t place, bool finished) {
    capp_runner *r = &race->runners[i];
    r->sum += logprob;
    r->bound = race->score(race->user, r->index, r->sum);
    r->place = place;
    r->finished = finished;
    if (finished) finish(race, r);
}

static bool may_win(const capp_race *race, const capp_runner *r) {
    if (race->leader == CAPP_NO_LEADER) return true;
    double bound = r->bound + race->margin;
    return bound > race->best || (bound == race->best && (race->margin > 0 || r->index < race->leader));
}

void capp_race_settle(capp_race *race) {
    size_t n = 0, running = 0;
    for (size_t i = 0; i < race->n; i++) {
        const capp_runner *r = &race->runners[i];
        if ((r->finished && race->margin <= 0) || !may_win(race, r)) continue;
        running += !r->finished;
        race->runners[n++] = *r;
    }
    race->n = n;
    race->n_running = running;
}

/* Whether a is extended before b. */
static bool before(const capp_runner *a, const capp_runner *b) {
    return a->bound > b->bound || (a->bound == b->bound && a->index < b->index);
}

/* Makes the place of runners[first], the first one there: the runners that end there, or those that go on. */
static capp_place place_at(const capp_race *race, size_t first) {
    const capp_runner *runners = race->runners;
    capp_place place = {first, 1, first};
    for (size_t i = first + 1; i < race->n && runners[i].place == runners[first].place; i++, place.n++) {
        if (runners[i].finished != runners[first].finished) break;
        if (before(&runners[i], &runners[place.best])) place.best = i;
    }
    return place;
}

/* Puts x into the heap of n places, whose top (the least promising place) is vacant. */
static void sift_down(const capp_race *race, capp_place *heap, size_t n, capp_place x) {
    size_t at = 0;
    for (size_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && before(&race->runners[heap[child].best], &race->runners[heap[child + 1].best])) child++;
        if (before(&race->runners[heap[child].best], &race->runners[x.best])) break;
        heap[at] = heap[child];
    }
    heap[at] = x;
}

static void sift_up(const capp_race *race, capp_place *heap, size_t at, capp_place x) {
    for (size_t parent; at; at = parent) {
        parent = (at - 1) / 2;
        if (before(&race->runners[x.best], &race->runners[heap[parent].best])) break;
        heap[at] = heap[parent];
    }
    heap[at] = x;
}

size_t capp_race_choose(const capp_race *race, size_t most, capp_place *places) {
    size_t n = 0;
    for (size_t i = 0; i < race->n;) {
        capp_place place = place_at(race, i);
        i += place.n;
        if (race->runners[place.best].finished) continue;
        if (n < most)
            sift_up(race, places, n++, place);
        else if (before(&race->runners[place.best], &race->runners[places[0].best]))
            sift_down(race, places, n, place);
    }
    return n;
}
