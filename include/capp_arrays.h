/* Functions on arrays, which need no model: decisions from stored log-probabilities. The conventions are those of
 * capp.h.
 */
#ifndef CAPP_ARRAYS_H
#define CAPP_ARRAYS_H

#include "capp.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Decisions from stored log-probabilities ------------------------------------------------------------------ */

/* The log-probabilities of one list of completions after n prompts, as capp_score delivered them and the caller kept
 * them. All pointers are borrowed for the call. A row is one prompt; its log-probabilities follow those of the row
 * before it. */
typedef struct capp_logprobs {
    size_t n;              /* rows */
    const size_t *offset;  /* [n_completions + 1] completion i has tokens offset[i] .. offset[i + 1] - 1; offset[0] = 0,
                              and each completion has at least one token */
    const float *logprobs; /* [n][offset[n_completions]] first_logprobs of capp_result, or logprobs if it is NULL */
    /* For rows of a model whose margin is above 0; otherwise NULL and 0. */
    const float *exact;   /* [n][offset[n_completions]] logprobs of capp_result; used only where `rescored` is true */
    const bool *rescored; /* [n][n_completions] rescored of capp_result; false if it is NULL */
    const int32_t *ids;   /* [offset[n_completions]] token ids, to recognize completions with equal tokens; NULL: all
                             differ */
    double margin;        /* of capp_model_info */
} capp_logprobs;

/* What capp_decide writes. The caller owns the arrays. Each may be NULL. n_classes is that of capp_result. */
typedef struct capp_decided {
    double *score;      /* [n][n_classes] logarithm of the likelihood */
    double *posterior;  /* [n][n_classes] */
    size_t *prediction; /* [n] */
    bool *undecided;    /* [n] whether scores within the margin depend on completions that were not rescored. The other
                           results of such a row are those of the log-probabilities that there are. */
} capp_decided;

/* Decides rows without a model: the results are those of capp_score with the same log-probabilities, bit for bit.
 * example has the completions, the prior and normalize for all rows; its prompt is not used. options may be NULL; its
 * aggregate and scoring are used. A discount needs marginals: CAPP_EINVAL if scoring has none. */
CAPP_API capp_status capp_decide(const capp_logprobs *logprobs, const capp_example *example,
                                 const capp_run_options *options, const capp_decided *decided, capp_error *err);

#ifdef __cplusplus
}
#endif
#endif
