/* The oracle: a plain scorer. It runs one sequence at a time, without tree, cache, packing or vectors. Every sum is in
 * double precision, directly from the tensors of the file. It shares with the engine only the file reader,
 * dequantization and hyperparameters, which have their own tests. */
#ifndef CAPP_ORACLE_H
#define CAPP_ORACLE_H

#include "model/model.h"

/* logprobs[i] = log Pr(ids[i] | ids before i), i from 1 to n - 1; logprobs[0] is NaN. Exits on failure. */
void oracle_logprobs(const capp_gguf *g, const int32_t *ids, size_t n, double *logprobs);

#endif
