/* How the work of a wave is cut into tasks for the threads. No sum depends on it. */
#ifndef CAPP_FORWARD_TASKS_H
#define CAPP_FORWARD_TASKS_H

#include <stddef.h>
#include <stdint.h>

#include "base/pool.h"

/* a / b, rounded up. */
static inline size_t capp_over(size_t a, size_t b) {
    return (a + b - 1) / b;
}

/* Tasks are cut to end soon. What counts is their time plus this part of the last task, for which all may have to wait
 * if threads differ in speed. */
enum { CAPP_LAST_PART = 8 };

/* A time that is near enough to the best possible one. */
static inline uint64_t capp_good_time(uint64_t best) {
    return best + best / 50;
}

/* What else a task of a product does takes about as long as so many rows: to read panels that are in the cache; to make
 * panels. (On a Sapphire Rapids 0 to 4 rows, and 5 to 12.) */
enum { CAPP_KEPT_ROWS = 4, CAPP_MADE_ROWS = 12 };

/* A product for the threads. A unit is a number of columns that no task divides. */
typedef struct capp_load {
    size_t rows, units;
    size_t width, most; /* most units and rows of a task */
    size_t extra;       /* what else a task does, in rows */
    size_t threads;
} capp_load;

/* Large tasks compute the first units, small ones the rest: one unit each, for fewer rows. */
typedef struct capp_cut {
    size_t rows, units;
    size_t width, block; /* units and rows of a large task */
    size_t wide;         /* units that large tasks compute */
    size_t small;        /* rows of a small task */
} capp_cut;

typedef struct capp_piece {
    size_t unit, units, row, rows;
} capp_piece;

/* Cuts a product into the largest tasks with which the threads are done in about the best possible time, or else as
 * early as possible. */
capp_cut capp_cut_of(const capp_load *load);

/* The number of its tasks; what a task computes. Small tasks come last. */
size_t capp_cut_tasks(const capp_cut *cut);
capp_piece capp_cut_piece(const capp_cut *cut, size_t task);

/* The time that the threads need for a cut, in rows of a unit, if each takes the next task when it is free. */
size_t capp_cut_time(const capp_load *load, const capp_cut *cut);

/* Equal threads, each of which takes the next task when it is free. */
typedef struct capp_crew {
    size_t threads;
    uint64_t end[CAPP_MOST_THREADS]; /* a heap: none ends before the first one */
} capp_crew;

void capp_crew_begin(capp_crew *crew, size_t threads);
void capp_crew_take(capp_crew *crew, uint64_t work);

/* When the last thread is done. */
uint64_t capp_crew_time(const capp_crew *crew);

#endif
