/* Endpoints that compute nothing: tokens, models, health, numbers, the page. */
#ifndef SERVER_INFO_H
#define SERVER_INFO_H

#include "request.h"

extern const size_t tokens_state; /* bytes of the state of both */

bool tokenize_parse(request *r, failure *f);
bool tokenize_prepare(request *r, failure *f);
bool detokenize_parse(request *r, failure *f);
bool detokenize_prepare(request *r, failure *f);
bool tokenizer_prepare(request *r, failure *f);
void tokens_drop(request *r);
bool models_parse(request *r, failure *f);
bool model_parse(request *r, failure *f); /* one of them */
bool health_parse(request *r, failure *f);
bool metrics_parse(request *r, failure *f);
bool file_parse(request *r, failure *f); /* a file of web/ */

/* The files that are part of the program, made by tools/embed.py: web/, and the description of the interface. */
typedef struct web_file {
    const char *path, *type;
    const unsigned char *data;
    size_t size;
} web_file;

extern const web_file web_files[];
extern const size_t n_web_files;

#endif
