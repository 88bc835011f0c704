/* Requests to a model hub: answers into memory, and files that continue after a lost connection. Uses libcurl, which
 * takes proxies from the environment. */
#ifndef CLI_HTTP_H
#define CLI_HTTP_H

#include "util.h"

typedef struct http {
    void *curl;
    const char *token; /* sent only to the host of the URL, not to hosts that it redirects to; or NULL */
    char reason[256];  /* what libcurl says about an error */
} http;

bool http_open(http *h, const char *token, capp_error *err);
void http_close(http *h);

/* The answer's body, at most `most` bytes. about: what is requested, for messages. */
bool http_get(http *h, const char *url, const char *about, size_t most, buffer *body, capp_error *err);

/* Number of bytes that the file already has. */
typedef void (*http_progress_fn)(void *user, uint64_t there);

/* Fills the file up to size bytes. Bytes that it already has are not fetched again. After a temporary failure it tries
 * again, at most five times without a new byte, and waits longer each time. If it fails, the bytes that arrived stay.
 */
bool http_download(http *h, const char *url, const char *about, int file, uint64_t size, http_progress_fn progress,
                   void *user, capp_error *err);

#endif
