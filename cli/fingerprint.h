/* Fingerprints of files, 128 bits of XXH3 each. They show whether two runs read the same model and the same input. They
 * detect accidental differences, not files that somebody made to have the same fingerprint. */
#ifndef CLI_FINGERPRINT_H
#define CLI_FINGERPRINT_H

#include "util.h"

typedef struct fingerprint {
    char text[48];  /* "xxh3:" and 32 digits */
    uint64_t bytes; /* sizes of all files together */
} fingerprint;

/* Covers every byte of the file. */
bool fingerprint_file(fingerprint *f, const char *path, capp_error *err);

/* Covers every byte of a text. */
void fingerprint_text(fingerprint *f, capp_str text);

/* The fingerprint of a model or a LoRA adapter: a GGUF file with all its parts, or the .json, .jinja, .safetensors,
 * .model and .txt files of a folder in the order of their names, including the names. It covers the size of each file
 * and every byte of files up to 64 MiB. Of larger files it covers the first 16 MiB, the last MiB, and the first 64 KiB
 * of every 4 MiB between them. So it covers a part of each tensor of at least 4 MiB, and a model of 5 GB takes a
 * second. */
bool fingerprint_model(fingerprint *f, const char *path, capp_error *err);

#endif
