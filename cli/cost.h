/* The cost of rows in tokens. The progress of a run and its remaining time are computed from it. */
#ifndef CLI_COST_H
#define CLI_COST_H

#include "rows.h"

/* Number of tokens that run for the classes of each row: the tokens of their tree without the last ones, after which
 * nothing is scored. */
size_t cost_of_classes(const row_rules *rules, const capp_model *model);

/* What is known about the rows of an input. */
typedef struct cost_sample {
    size_t rows;
    uint64_t prompt_bytes, input_bytes; /* sums over all rows */
    uint64_t some_bytes, some_tokens;   /* sums over some prompts */
} cost_sample;

/* The cost of a row in addition to its text from the input: the tokens of classes or of generated text, and the
 * template after the first column (all rows share the part before it). The unit is a byte of the input: the result is
 * the number of input bytes with the same cost. */
double cost_of_row(const row_rules *rules, const cost_sample *sample, size_t tokens);

#endif
