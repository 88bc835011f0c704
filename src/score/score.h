/* Scoring of every completion of a row, or of every token of a text. Results arrive in the order of the rows. */
#ifndef CAPP_SCORE_SCORE_H
#define CAPP_SCORE_SCORE_H

#include "engine/engine.h"
#include "score/row.h"

enum { CAPP_CLOSE_TOKENS = 256 }; /* tokens of close rows that fill a wave of the exact lane */

/* Scores examples in one lane of the session. From the fast lane, close rows go to the exact lane. */
capp_status capp_score_rows(capp_session *session, capp_lane *lane, const capp_weighing *weighing,
                            const capp_example *examples, size_t n, const capp_run_options *options, capp_result_fn fn,
                            void *user, capp_error *err);

/* Scores examples with a discount whose marginals are to be computed. */
capp_status capp_score_discounted(capp_session *session, capp_weighing weighing, const capp_example *examples, size_t n,
                                  const capp_run_options *options, capp_result_fn fn, void *user, capp_error *err);

/* Plans what capp_score_rows would do, and adds it to *work. */
capp_status capp_score_forecast(capp_session *session, capp_lane *lane, const capp_weighing *weighing,
                                const capp_example *examples, size_t n, const capp_run_options *options,
                                capp_work *work, capp_error *err);

/* Scores texts without completions in one lane of the session. */
capp_status capp_score_texts(capp_session *session, capp_lane *lane, const capp_str *texts, size_t n, unsigned flags,
                             const capp_run_options *options, capp_text_result_fn fn, void *user, capp_error *err);

#endif
