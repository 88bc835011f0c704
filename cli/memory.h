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

#endif
