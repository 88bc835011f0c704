/* The tokens of the rows that a report shows, with their log-probabilities: from the store. */
#ifndef CLI_REPORT_TOKENS_H
#define CLI_REPORT_TOKENS_H

#include "labeled.h"
#include "report.h"

/* Gives the rows that the report lists their tokens as HTML. */
bool report_tokens(report *r, labeled *from, capp_error *err);

#endif
