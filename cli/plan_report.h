/* What capp plan finds out about a run before it begins, and its report. */
#ifndef CLI_PLAN_REPORT_H
#define CLI_PLAN_REPORT_H

#include "capp_forecast.h"
#include "run.h"

/* A class, or a phrasing of one. */
typedef struct plan_completion {
    capp_str text;
    size_t class;
    int32_t *ids; /* [n] in the arena of the plan */
    size_t n;
    double score; /* sum over the sample of the mean log-probability of its tokens */
} plan_completion;

/* A row of the sample, which runs through the model. */
typedef struct plan_row {
    capp_example example; /* owned by the plan */
    capp_str other;       /* the prompt with the list of classes in another order; size 0: none */
} plan_row;

typedef struct plan_facts {
    const options *settings;
    run run;
    arena memory;
    /* of all rows */
    capp_work work;
    size_t n_bad, n_long, first_long; /* rows that cannot be scored; of these, rows that are too long; a line */
    size_t first_bad;                 /* line of the first of the others; 0: none */
    capp_str reason;                  /* why it cannot be scored */
    uint64_t *prompts;                /* [n_prompts] hashes, then lines */
    size_t n_prompts, prompts_capacity, n_repeated, first_repeated[2];
    /* of the sample */
    plan_row *rows; /* [n_rows] */
    size_t n_rows, rows_capacity, seen;
    double seconds, first_mass, mass; /* sums over the rows */
    uint64_t sample_tokens;
    size_t n_mass, n_ordered, n_changed; /* rows with the run's classes; rows in both orders; other predictions */
    size_t *predictions;                 /* [n_predicted] of the first order */
    size_t n_predicted, predictions_capacity;
    plan_completion *completions; /* [n_completions] of the run's classes */
    size_t n_completions;
    capp_model_info info;
    uint64_t weight_bytes; /* of the cache of weights, when it is full */
    buffer warnings;       /* JSON strings, separated by commas */
    buffer sentences;
    size_t n_warnings;
} plan_facts;

/* Looks for everything that deserves a warning. */
void plan_judge(plan_facts *p);

void plan_text(const plan_facts *p, buffer *b);
void plan_json(const plan_facts *p, buffer *b);

#endif
