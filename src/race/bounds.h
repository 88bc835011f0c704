/* A race of completions: finds which one scores highest without finishing all of them.
 *
 * The score of a completion is a function of the sum of its tokens' log-probabilities, and this function never falls as
 * the sum rises. Log-probabilities are at most 0, so the score of the sum so far is an upper bound. Rounding to nearest
 * never falls either, so the bound is exact to the last bit. The race extends the completion with the highest bound
 * first (best-first search). It drops a completion if its bound is below the score of a finished one, or equals that
 * score at a higher index. When no runner is left, the leader is the first of the highest scores of all completions, as
 * if all had been finished.
 *
 * With a margin, runners that end less than the margin below the leader stay in the race as finished: they could win if
 * scores were slightly different, and may race again with better ones.
 *
 * Invariants: every runner may still win, and the runners at one place lie side by side. */
#ifndef CAPP_RACE_BOUNDS_H
#define CAPP_RACE_BOUNDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CAPP_NO_LEADER UINT32_MAX

/* A place is the caller's number for a common beginning of completions. Completions leave a place together. */
typedef struct capp_runner {
    double sum;     /* sum of the log-probabilities so far, in their order */
    double bound;   /* its score if all its other tokens were certain */
    uint32_t index; /* of the completion */
    uint32_t place;
    bool finished; /* finished, and place is its last place, which only equal completions share */
} capp_runner;

/* The score of a completion with this sum. It never falls as sum rises, and is never NaN. */
typedef double (*capp_score_fn)(const void *user, uint32_t index, double sum);

typedef struct capp_race {
    capp_runner *runners; /* [n] */
    size_t n, n_running;  /* the runners in the race, and how many of them are unfinished */
    capp_score_fn score;  /* borrowed, as user */
    const void *user;
    double margin;   /* completions whose bound is less than this below the leader's score are finished, too; or 0 */
    uint32_t leader; /* the first of the highest scores among the finished completions, or CAPP_NO_LEADER */
    uint32_t place;  /* where it finished */
    double best;     /* its score */
    double second;   /* the highest score among the finished completions that do not equal the leader, or -infinity */
} capp_race;

/* Puts n > 0 completions at place 0. order [n] has their indices, such that all completions that will ever share a
 * place lie side by side. The caller owns runners [n] as long as the race runs. */
void capp_race_begin(capp_race *race, capp_runner *runners, const uint32_t *order, size_t n, capp_score_fn score,
                     const void *user, double margin);

/* The completions still in the race begin again among themselves, with nothing known and without a margin. */
void capp_race_restart(capp_race *race);

/* Runner i gets its next log-probability (at most 0) and moves to place, where it may be finished. */
void capp_race_advance(capp_race *race, size_t i, float logprob, uint32_t place, bool finished);

/* After advances: drops the runners that can no longer win and, without a margin, the finished ones. Runners move but
 * keep their order. */
void capp_race_settle(capp_race *race);

/* A place with runners: runners[first .. first + n). */
typedef struct capp_place {
    size_t first, n;
    size_t best; /* the most promising of them: the one with the highest bound, and of equals the one with the lowest
                    index */
} capp_place;

/* Chooses up to `most` (> 0) places of unfinished runners: those whose best runners are the most promising, in no
 * particular order. places [most]. Returns their number, 0 when the race is decided. */
size_t capp_race_choose(const capp_race *race, size_t most, capp_place *places);

#endif
