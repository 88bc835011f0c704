/* Models by name: `owner/name`, `owner/name:QUANT` or `owner/name:FILE.gguf`, as hubs call them. */
#ifndef CLI_NAMES_H
#define CLI_NAMES_H

#include "util.h"

/* The parts of a name. They borrow its text. */
typedef struct model_name {
    const char *text;
    capp_str repository; /* "owner/name" */
    const char *wanted;  /* a quantization, the name of a file or a tag; "": none */
} model_name;

/* Whether text has the form of a name and is not a path of this machine. */
bool model_name_parse(model_name *name, const char *text);

/* Whether the file's name is that of a GGUF file that can be a model: for a split set only the first file; not a
 * projector. */
bool names_weights(const char *file);

/* Number of parts according to the name of a split set's file, or 1. *at: offset of "-00001-of-". */
size_t split_parts(const char *file, size_t *at);

/* Whether a file matches a name. Q4_K does not match Q4_K_M. */
bool name_wants(const char *wanted, const char *file);

/* A new string; the caller frees it. */
char *text_of(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The value of an environment variable, or NULL if it is not set or empty. */
const char *environment(const char *variable);

/* The path of Hugging Face's cache, found in the same way as in huggingface_hub; the caller frees it. */
char *hub_cache_path(void);
char *hub_home_path(void);   /* HF_HOME, which contains the token */
char *cache_home_path(void); /* XDG_CACHE_HOME, or ~/.cache */

#endif
