/* Requests to a model hub: answers into memory, and files that are resumed after a cut connection. By libcurl, which
 * takes proxies from the environment. */
#ifndef CLI_HTTP_H
#define CLI_HTTP_H

#include "util.h"

typedef struct http {
    void *curl;
    const char *token; /* sent to the host of the URL alone, not to those it redirects to; or NULL */
    char reason[256];  /* what libcurl says about an error */
} http;

bool http_open(http *h, const char *token, capp_error *err);
void http_close(http *h);

/* The answer's body, at most `most` bytes. about: what is asked for, in messages. */
bool http_get(http *h, const char *url, const char *about, size_t most, buffer *body, capp_error *err);

/* Bytes of the file that are there. */
typedef void (*http_progress_fn)(void *user, uint64_t there);

/* Fills the file up to size bytes. What it holds already is not fetched again. After a temporary failure it tries
 * again, five times without a byte at most, and waits longer each time. Where it fails, what has come stays. */
bool http_download(http *h, const char *url, const char *about, int file, uint64_t size, http_progress_fn progress,
                   void *user, capp_error *err);

#endif
