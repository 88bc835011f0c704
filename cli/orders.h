/* Averages the scores of a row over prompts that list the classes in different orders. The log-probability of each
 * token of a completion is the mean over the prompts, computed in double precision and rounded to float. Everything
 * after it is as for a row with one prompt. */
#ifndef CLI_ORDERS_H
#define CLI_ORDERS_H

#include "rows.h"

/* Opens the model of the options. With several orders, precision AUTO means the precision that decides. */
bool orders_open_model(capp_model **model, const options *settings, capp_error *err);

/* Scores n rows with all their prompts and passes one result for each row to fn. The model must have one lane (margin
 * 0), because the mean of decisions that are not close may be close. rows: with n_more of the rules prompts each. */
capp_status orders_score(capp_session *session, const row_rules *rules, const row *rows, size_t n,
                         const capp_run_options *how, capp_result_fn fn, void *user, capp_error *err);

#endif
