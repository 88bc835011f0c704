/* Fingerprints of files, 128 bits of XXH3 each: whether two runs read the same model and the same input. They tell
 * files apart that differ by accident, not those that somebody made alike on purpose. */
#ifndef CLI_FINGERPRINT_H
#define CLI_FINGERPRINT_H

#include "util.h"

typedef struct fingerprint {
    char text[48];  /* "xxh3:" and 32 digits */
    uint64_t bytes; /* sizes of all files together */
} fingerprint;

/* Every byte of the file. */
bool fingerprint_file(fingerprint *f, const char *path, capp_error *err);

/* Every byte of a text. */
void fingerprint_text(fingerprint *f, capp_str text);

/* A model or a LoRA adapter: a GGUF file with all its parts, or the .json, .jinja, .safetensors, .model and .txt files
 * of a folder in the order of their names, names included. Of each file: its size, and every byte where it has up to
 * 64 MiB; of a larger one the first 16 MiB, the last MiB, and the first 64 KiB of every 4 MiB between them. So each
 * tensor of 4 MiB and more is looked at, and a model of 5 GB takes a second. */
bool fingerprint_model(fingerprint *f, const char *path, capp_error *err);

#endif
