/* Deciding without finishing: finds which completion of a row scores highest before all are scored. bounds.h has the
 * rule of the race, and round.h how the races of many rows run through the model together. */
#ifndef CAPP_RACE_RACE_H
#define CAPP_RACE_RACE_H

#include "capp.h"

/* second: the highest score of the example's other completions. It is exact if it is within the margin of the
 * prediction's score. Otherwise it is some lower number, perhaps -infinity. Return false to end the call with
 * CAPP_ECANCELLED. */
typedef bool (*capp_race_fn)(void *user, const capp_decision *decision, double second);

/* Like capp_predict_early, but finishes each completion whose bound is within a margin of the leader's score. So a
 * caller that computes in a coarse precision knows which rows are close. margin is for completions of one token: see
 * capp_decide_margin. With margin 0, nothing more is finished than the decision needs. */
capp_status capp_race_rows(capp_session *session, const capp_example *examples, size_t n,
                           const capp_run_options *options, double margin, capp_race_fn fn, void *user,
                           capp_error *err);

#endif
