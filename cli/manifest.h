/* OUT.run: what a run's rows depend on, as JSON beside its output, so that --resume can tell whether it goes on with
 * the same run. */
#ifndef CLI_MANIFEST_H
#define CLI_MANIFEST_H

#include "options.h"

/* Writes the manifest of the run that the options ask for. model: as it was opened, for the precision and instruction
 * set in use; NULL where the options name none. */
bool manifest_make(buffer *text, const options *o, const capp_model *model, capp_error *err);

/* Compares the manifest in the file at path, OUT.run, with that of this run. False and a message that names all that
 * differs, or says that there is no manifest. */
bool manifest_check(const char *path, const char *out, capp_str now, capp_error *err);

/* The model's part alone: path, size, hash, adapters, and the version of the arithmetic. */
bool manifest_of_model(buffer *text, const char *path, const capp_lora *lora, size_t n_lora, capp_error *err);

#endif
