/* A race of completions: deciding which scores highest without finishing all of them.
 *
 * A completion's score is a function, never falling, of the sum of its tokens' log-probabilities. Those are at most 0,
 * so the score that the sum so far would give is a bound from above; rounding to nearest never falls either, so that
 * the bound holds to the last bit. Who has the highest bound is extended first (best-first search); a completion whose
 * bound is below the score of one that is finished, or equals it at a higher index, cannot win any more and is dropped.
 * When nobody is left, the leader is the first of the highest scores of all completions, as if all had been finished.
 *
 * With a margin those that end less than it below the leader stay in the race, finished: who could win were scores a
 * little other, and may race again by better ones.
 *
 * Invariants: runners may still win, and those that stand at one place lie side by side. */
#ifndef CAPP_RACE_BOUNDS_H
#define CAPP_RACE_BOUNDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CAPP_NO_LEADER UINT32_MAX

/* A place is the caller's number for what completions have in common so far. They leave it together. */
typedef struct capp_runner {
    double sum;     /* of the log-probabilities so far, in their order */
    double bound;   /* its score, were all its other tokens certain */
    uint32_t index; /* of the completion */
    uint32_t place;
    bool finished; /* and place is where: that of equal completions, and of no others */
} capp_runner;

/* Score of a completion with such a sum: never falling in sum, never NaN. */
typedef double (*capp_score_fn)(const void *user, uint32_t index, double sum);

typedef struct capp_race {
    capp_runner *runners; /* [n] */
    size_t n, n_running;  /* who is in the race; the unfinished of them */
    capp_score_fn score;  /* borrowed, as user */
    const void *user;
    double margin;   /* completions whose bound is less than this below the leader's score are finished too; or 0 */
    uint32_t leader; /* the first of the highest among the finished, or CAPP_NO_LEADER */
    uint32_t place;  /* where it finished */
    double best;     /* its score */
    double second;   /* the highest score among the finished ones that are not equal to it, or -infinity */
} capp_race;

/* Puts n > 0 completions at place 0. order [n]: their indices, such that all that will ever stand at one place lie side
 * by side. runners [n] is the caller's, as long as the race. */
void capp_race_begin(capp_race *race, capp_runner *runners, const uint32_t *order, size_t n, capp_score_fn score,
                     const void *user, double margin);

/* Those still in the race begin anew, with nothing known, among themselves and without a margin. */
void capp_race_again(capp_race *race);

/* Runner i learns its next log-probability (at most 0) and stands at place, perhaps finished there. */
void capp_race_advance(capp_race *race, size_t i, float logprob, uint32_t place, bool finished);

/* After advances: drops who cannot win any more, and without a margin who is finished. Runners move, and keep their
 * order. */
void capp_race_settle(capp_race *race);

/* A place where runners stand: runners[first .. first + n). */
typedef struct capp_place {
    size_t first, n;
    size_t best; /* the most promising of them: of the highest bound, of equals the one of the lowest index */
} capp_place;

/* Chooses up to `most` (> 0) places of the unfinished, those whose best runners are the most promising, in no
 * particular order. places [most]. Returns their number: 0 when the race is decided. */
size_t capp_race_pick(const capp_race *race, size_t most, capp_place *places);

#endif
