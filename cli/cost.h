/* What rows cost, in tokens: how far a run is and how long it still takes is told by these. */
#ifndef CLI_COST_H
#define CLI_COST_H

#include "rows.h"

/* Tokens that run for the classes of each row: those of their tree, without the last ones, behind which nothing is
 * scored. */
size_t cost_of_classes(const row_rules *rules, const capp_model *model);

/* What was seen of the rows of an input. */
typedef struct cost_sample {
    size_t rows;
    uint64_t prompt_bytes, input_bytes; /* of all rows */
    uint64_t some_bytes, some_tokens;   /* of some prompts */
} cost_sample;

/* What a row costs beside the text from the input in it: tokens for classes or for what is generated, and the template
 * behind the first column (what is before it is shared by all rows). In bytes of the input: as many cost as much. */
double cost_of_row(const row_rules *rules, const cost_sample *sample, size_t tokens);

#endif
