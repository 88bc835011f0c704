/* A row whose log-probabilities are known: whether the fast lane decides it, and its result. For those who run the
 * lanes themselves: score/'s windows and queue/'s jobs. */
#ifndef CAPP_SCORE_ROW_H
#define CAPP_SCORE_ROW_H

#include "decide/decide.h"

typedef struct capp_scored {
    size_t row;
    const capp_example *example;
    const int32_t *prompt_ids; /* [n_prompt_ids] */
    size_t n_prompt_ids;
    const size_t *offset;  /* [n_completions + 1] */
    const int32_t *ids;    /* [offset[n_completions]] of the completions */
    const float *logprobs; /* of each id; of the exact lane, where it has scored completions again */
    const bool *again;     /* [n_completions] which ones those are, or NULL */
    const float *first;    /* with it: what the fast lane found */
} capp_scored;

/* {.weighing = ...} */
typedef struct capp_judge {
    const capp_weighing *weighing;
    double *doubles; /* for one row: scores, likelihoods and posteriors [3][n_classes], and scratch for weighing */
    size_t capacity;
} capp_judge;

void capp_judge_free(capp_judge *judge);

/* *close: whether the fast lane does not decide the row. Then again[i] tells whether the exact lane must score
 * completion i, and *top is the best score. A row whose scores are not valid is not close: capp_deliver_scored tells
 * what is wrong. */
capp_status capp_judge_fast(capp_judge *judge, const capp_scored *row, double margin, bool *again, double *top,
                            bool *close, capp_error *err);

/* *fell: whether all completions that the exact lane has scored fall below others. Then it must score all of them. */
capp_status capp_judge_exact(capp_judge *judge, const capp_scored *row, double margin, bool *again, double top,
                             bool *fell, capp_error *err);

/* Passes the result of the row to fn. */
capp_status capp_deliver_scored(capp_judge *judge, const capp_scored *row, capp_result_fn fn, void *user,
                                capp_error *err);

#endif
