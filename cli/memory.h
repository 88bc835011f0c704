/* What a run computes with and what it holds in memory, for reports: the cache of weights, the run, and pages of the
 * model's files. */
#ifndef CLI_MEMORY_H
#define CLI_MEMORY_H

#include "util.h"

/* Appends precisions and instruction set as members of a JSON object, each after a comma. */
void arithmetic_json(buffer *b, const capp_model_info *info);

/* Append members of a JSON object, each after a comma, or lines of text. */
void memory_json(buffer *b, const capp_model *model, const capp_session *session);
void memory_text(buffer *b, const capp_model *model, const capp_session *session);

/* For calls whose results do not matter: goes on until a signal stops the command. */
bool ignore_result(void *user, const capp_result *result);

/* Scores short texts until the weights are in their cache, which takes four uses, so that what is measured next does
 * not pack them. Experts that no text chooses stay out. If it fails, so does what is measured. */
void fill_weights(const capp_model *model, capp_session *session);

#endif
