/* Deciding without finishing, as the library sees it: capp_decide with a margin. */
#ifndef CAPP_RACE_RACE_H
#define CAPP_RACE_RACE_H

#include "capp.h"

/* second: the highest score of the example's other completions. Exact where it lies within the margin of the
 * prediction's; else some lower number, perhaps -infinity. False ends the call with CAPP_ECANCELLED. */
typedef bool (*capp_choice_fn)(void *user, const capp_decision *decision, double second);

/* As capp_decide, but completions go on until each whose bound lies within a margin of the leader's score is finished:
 * so whoever computes in a coarse precision knows which rows are too close to call. margin: of mean log-probabilities;
 * for the sum it is taken once for each token of the row's longest completion. With margin 0 it is capp_decide. */
capp_status capp_choose(capp_session *session, const capp_example *examples, size_t n, const capp_run_options *options,
                        double margin, capp_choice_fn fn, void *user, capp_error *err);

#endif
