/* OUT.run: everything that the rows of a run depend on, as JSON next to its output. With it --resume knows whether it
 * continues the same run. */
#ifndef CLI_MANIFEST_H
#define CLI_MANIFEST_H

#include "options.h"

/* Writes the manifest of the run that the options describe. model: the open model, for the precision and instruction
 * set in use; NULL if the options name no model. */
bool manifest_make(buffer *text, const options *settings, const capp_model *model, capp_error *err);

/* Compares the manifest in the file at path, OUT.run, with that of this run. Returns false and a message that names all
 * differences, or that there is no manifest. A run that stopped at a bad row may continue with --on-error skip: the
 * rows before it are the same. *listed: the run listed its bad rows in OUT.errors.jsonl. */
bool manifest_check(const char *path, const char *out, capp_str now, bool *listed, capp_error *err);

/* The same for a manifest that was read from `path`. */
bool manifest_compare(capp_str earlier, const char *path, const char *out, capp_str now, bool *listed, capp_error *err);

/* Compares only what log-probabilities depend on besides texts: model, adapters, arithmetic, precision and instruction
 * set. */
bool manifest_same_scores(capp_str earlier, const char *path, capp_str now, capp_error *err);

/* Only what the bits of log-probabilities depend on: the model's path, size and hash, the adapters, the version of the
 * arithmetic, the precisions in use, and the instruction set (null if every one gives these bits). All these are null
 * for a model that capp cannot run. A precision or an instruction set that cannot be used is an error. */
bool manifest_of_model(buffer *text, const char *path, const capp_model_options *how, capp_error *err);

#endif
