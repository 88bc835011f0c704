/* What a call has to do, before it does it. The conventions are those of capp.h.
 */
#ifndef CAPP_FORECAST_H
#define CAPP_FORECAST_H

#include "capp.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Forecasts ------------------------------------------------------------------------------------------------- */

/* What a call of capp_score has to do. Totals: capp_forecast adds to them. */
typedef struct capp_work {
    uint64_t rows;            /* examples */
    uint64_t tokens_computed; /* token rows that run through the layers */
    uint64_t tokens_saved;    /* additional token rows that would run if each completion ran alone with its prompt */
    uint64_t windows, waves;
    uint64_t planned_bytes; /* planned peak memory of the run; the largest of all calls */
    uint64_t longest;       /* tokens of the longest prompt with a completion; the largest of all calls */
} capp_work;

/* Plans what capp_score would do with n examples, without running the model, and adds it to *work, which the caller
 * clears before the first call. The counts are those of capp_score with the same session and options, with two
 * exceptions: window_seconds is 0, and neither marginals nor completions that precision AUTO scores again count.
 * Options, order and errors are those of capp_score; after an error the rows before err->row are in *work. Prefixes
 * that the session has kept from earlier calls are lost. */
CAPP_API capp_status capp_forecast(capp_session *session, const capp_example *examples, size_t n,
                                   const capp_run_options *options, capp_work *work, capp_error *err);

/* Returns the most that weight_bytes of capp_model_info may become: when all weights that have a place in the cache
 * have been used four times. This memory is reserved when the model is opened. After a fork, each process unpacks for
 * itself what the cache did not hold yet. */
CAPP_API uint64_t capp_model_forecast_weights(const capp_model *model);

#ifdef __cplusplus
}
#endif
#endif
