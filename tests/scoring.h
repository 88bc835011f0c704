/* Random examples, storage for their results, and comparison with the oracle. */
#ifndef CAPP_SCORING_H
#define CAPP_SCORING_H

#include "capp.h"
#include "file/gguf.h"

enum { MOST_COMPLETIONS = 300 };

/* An example that owns its memory. */
typedef struct row {
    char prompt[200];
    capp_str completions[MOST_COMPLETIONS];
    char text[MOST_COMPLETIONS][40];
    capp_example example;
} row;

typedef struct scores {
    size_t n; /* number of log-probabilities */
    float *logprobs;
    size_t n_prompt, n_completions;
    int32_t *prompt, *ids;
    size_t *offset;
} scores;

/* n random examples for the tiny models: prompts with common beginnings, some up to the edge of the context or of the
 * sliding window; 1 to 300 completions, which are equal, are prefixes of each other, or are a single token
 * (tests/test_engine.c checks that each kind occurs). The caller frees them. */
row *make_rows(uint64_t seed, size_t n);

/* A capp_result_fn that copies a result into element row of user, an array of scores. */
bool keep(void *user, const capp_result *result);
void free_scores(scores *s, size_t n);

/* Largest difference between log-probabilities and the oracle's, over some of the completions; NaN counts. */
double worst_difference(const capp_gguf *g, const scores *s, size_t n);

#endif
