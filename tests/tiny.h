/* Tiny random models, one per architecture, as GGUF files in memory. They are wide enough that logits spread: disabling
 * any part changes log-probabilities. Hidden sizes are not multiples of a vector, heads are grouped, windows short. */
#ifndef CAPP_TINY_H
#define CAPP_TINY_H

#include <stddef.h>
#include <stdint.h>

#include "gguf_writer.h"

enum { TINY_VOCABULARY = 300, TINY_CONTEXT = 96, TINY_WINDOW = 11, TINY_TAPS = 4, TINY_INTERVAL = 3 };

/* arch: "llama", "gemma3", "gpt2"; with a recurrent state "falcon-h1", "jamba", "kimi-linear", "lfm2", "mamba",
 * "mamba2", "nemotron_h", "plamo2", "qwen35", "rwkv7"; or one of the first three and "_integers": its matrices are
 * stored as integers. The caller frees the result. */
void *tiny_model(const char *arch, uint64_t seed, size_t *size);

/* The same in a file. path has room for at least 64 bytes. The caller unlinks the file. */
void tiny_model_file(const char *arch, uint64_t seed, char *path);

/* The same with more in the file: extra adds keys or tensors. */
typedef void (*tiny_extra)(gguf_writer *w);
void *tiny_model_with(const char *arch, uint64_t seed, tiny_extra extra, size_t *size);
void tiny_model_file_with(const char *arch, uint64_t seed, tiny_extra extra, char *path);

#endif
