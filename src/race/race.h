/* Deciding without finishing: which completion of a row scores highest is known before all are scored. Completions
 * race; bounds.h has the rule of the race, round.h how the races of many rows go through the model together. */
#ifndef CAPP_RACE_RACE_H
#define CAPP_RACE_RACE_H

#include "capp.h"

/* second: the highest score of the example's other completions. Exact where it lies within the margin of the
 * prediction's; else some lower number, perhaps -infinity. False ends the call with CAPP_ECANCELLED. */
typedef bool (*capp_race_fn)(void *user, const capp_decision *decision, double second);

/* As capp_decide, but completions go on until each whose bound lies within a margin of the leader's score is finished:
 * so whoever computes in a coarse precision knows which rows are too close to call. margin: of mean log-probabilities;
 * for the sum it is taken once for each token of the row's longest completion. With margin 0 nothing more is finished
 * than the decision needs. */
capp_status capp_race_rows(capp_session *session, const capp_example *examples, size_t n,
                           const capp_run_options *options, double margin, capp_race_fn fn, void *user,
                           capp_error *err);

#endif
