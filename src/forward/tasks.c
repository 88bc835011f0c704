#include "forward/tasks.h"

#include <stdbool.h>
#include <string.h>

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

static size_t most_of(size_t a, size_t b) {
    return a > b ? a : b;
}

static size_t large_tasks(const capp_cut *c) {
    return c->wide ? capp_over(c->wide, c->width) * capp_over(c->rows, c->block) : 0;
}

static size_t small_tasks(const capp_cut *c) {
    return c->units > c->wide ? (c->units - c->wide) * capp_over(c->rows, c->small) : 0;
}

size_t capp_cut_tasks(const capp_cut *c) {
    return large_tasks(c) + small_tasks(c);
}

/* Tasks go block by block of rows, each column by column. */
capp_piece capp_cut_piece(const capp_cut *c, size_t task) {
    const size_t large = large_tasks(c);
    const bool is_small = task >= large;
    const size_t first = is_small ? c->wide : 0, end = is_small ? c->units : c->wide;
    const size_t width = is_small ? 1 : c->width, block = is_small ? c->small : c->block;
    const size_t across = capp_over(end - first, width), at = is_small ? task - large : task;
    capp_piece p = {.unit = first + at % across * width, .row = at / across * block};
    p.units = least(end - p.unit, width), p.rows = least(c->rows - p.row, block);
    return p;
}

/* n large tasks leave some threads busy for one task longer than the others, which begin with the small tasks. */
size_t capp_cut_time(const capp_load *l, const capp_cut *c) {
    const size_t n = large_tasks(c), rest = small_tasks(c), threads = l->threads, late = n % threads;
    const size_t large = c->width * (c->block + l->extra), small = c->small + l->extra, rounds = n / threads * large;
    const size_t least_time = late ? large : 0; /* after the last full round of large tasks */
    if (!rest) return rounds + least_time;
    /* Tasks end at multiples of `small` after the beginning, or after the last large task. */
    for (size_t i = (rest * small + late * large) / (threads * small);; i++)
        for (size_t x = 0; x < 2; x++) {
            const size_t time = i * small + (x ? large % small : 0);
            const size_t done =
                (threads - late) * (time / small) + (time > large ? late * ((time - large) / small) : 0);
            if (done >= rest) return rounds + most_of(time, least_time);
        }
}

typedef struct choice {
    capp_cut cut;
    size_t cost, good; /* of the cut; a cost that is good enough */
} choice;

/* Takes a cut that costs less. Returns whether it is good enough. One thread never waits. */
static bool offer(choice *best, const capp_load *l, capp_cut c) {
    const size_t last = c.wide < c.units ? c.small + l->extra : c.width * (c.block + l->extra);
    const size_t cost = capp_cut_time(l, &c) + (l->threads > 1 ? last / CAPP_LAST_PART : 0);
    if (cost < best->cost) best->cost = cost, best->cut = c;
    return best->cost <= best->good;
}

/* Offers cuts whose large tasks have a width: without small tasks, then with full rounds of large tasks, of which there
 * may be one less. Small tasks make one to three rounds. */
static bool offer_width(choice *best, const capp_load *l, size_t width, size_t block) {
    enum { FEWER = 2, ROUNDS = 3 };
    const size_t blocks = capp_over(l->rows, block), full = capp_over(l->units, width) * blocks / l->threads;
    capp_cut c = {l->rows, l->units, width, block, l->units, block};
    if (offer(best, l, c)) return true;
    for (size_t fewer = 0; fewer < FEWER && fewer <= full; fewer++) {
        c.wide = (full - fewer) * l->threads / blocks * width;
        if (c.wide >= l->units) continue;
        for (size_t rounds = 1; rounds <= ROUNDS; rounds++) {
            const size_t n = most_of(rounds * l->threads / (l->units - c.wide), blocks);
            c.small = capp_over(l->rows, least(n, l->rows));
            if (offer(best, l, c)) return true;
        }
    }
    return false;
}

capp_cut capp_cut_of(const capp_load *l) {
    if (!l->rows) return (capp_cut){0, 0, 1, 1, 0, 1};
    const size_t blocks = capp_over(l->rows, l->most), block = capp_over(l->rows, blocks);
    const size_t work = l->units * (l->rows + blocks * l->extra);
    choice best = {.cost = (size_t)-1, .good = (size_t)capp_good_time(work / l->threads)};
    for (size_t width = l->width; width && !offer_width(&best, l, width, block); width /= 2) continue;
    return best.cut;
}

void capp_crew_begin(capp_crew *crew, size_t threads) {
    crew->threads = threads;
    memset(crew->end, 0, threads * sizeof *crew->end);
}

/* The thread that is free first goes down the heap to its new place. */
void capp_crew_take(capp_crew *crew, uint64_t work) {
    const uint64_t end = crew->end[0] + work;
    size_t at = 0;
    for (size_t next; (next = 2 * at + 1) < crew->threads; at = next) {
        if (next + 1 < crew->threads && crew->end[next + 1] < crew->end[next]) next++;
        if (crew->end[next] >= end) break;
        crew->end[at] = crew->end[next];
    }
    crew->end[at] = end;
}

uint64_t capp_crew_time(const capp_crew *crew) {
    uint64_t most = 0;
    for (size_t t = 0; t < crew->threads; t++)
        if (crew->end[t] > most) most = crew->end[t];
    return most;
}
