/* What stands around a row's text in its prompt: an instruction, examples with labels, the list of classes. The result
 * is the template of the rows, once for each order of the list. */
#ifndef CLI_FRAME_H
#define CLI_FRAME_H

#include "rows.h"

/* Sets template, more and turns of the rules, whose classes are known. */
bool frame_read(row_rules *rules, const options *settings, capp_error *err);
void frame_free(row_rules *rules);

#endif
