#include "http.h"
#include "late.h"

#define CURL_DISABLE_TYPECHECK /* whose macros would take the calls below for others */
#include <curl/curl.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    CONNECT_SECONDS = 30,
    SILENT_SECONDS = 60, /* seconds without a byte */
    MOST_TRIES = 5,
    MOST_LIST_TRIES = 3,
    MOST_REDIRECTS = 10
};

/* X(function): the functions of libcurl that are used. */
#define CURL_MAP(X)                                                                                                    \
    X(curl_global_init)                                                                                                \
    X(curl_easy_init)                                                                                                  \
    X(curl_easy_cleanup)                                                                                               \
    X(curl_easy_reset)                                                                                                 \
    X(curl_easy_setopt)                                                                                                \
    X(curl_easy_perform)                                                                                               \
    X(curl_easy_getinfo)                                                                                               \
    X(curl_easy_strerror)

static struct {
#define X(function) __typeof__(function) *function;
    CURL_MAP(X)
#undef X
} lib;

static bool load_curl(capp_error *err) {
    static const char *const names[] = {
#define X(function) #function,
        CURL_MAP(X)
#undef X
    };
    void *functions[sizeof names / sizeof *names];
    _Static_assert(sizeof functions == sizeof lib, "a pointer to a function is as large as one to data");
    if (!late_load("libcurl.so.4", names, functions, sizeof names / sizeof *names, err)) return false;
    memcpy(&lib, functions, sizeof lib);
    return true;
}

/* One answer while it arrives: into memory, or into a file. */
typedef struct answer {
    http *http;
    buffer *body;
    size_t most;
    int file;
    uint64_t size, there; /* of the file */
    bool begun;
    int error; /* errno of a failed write */
    http_progress_fn progress;
    void *user;
} answer;

bool http_open(http *h, const char *token, capp_error *err) {
    *h = (http){.token = token};
    if (!load_curl(err)) return false;
    if (!lib.curl_global_init(CURL_GLOBAL_DEFAULT)) h->curl = lib.curl_easy_init();
    return h->curl || fail_at(err, 0, "libcurl cannot be initialized");
}

void http_close(http *h) {
    lib.curl_easy_cleanup(h->curl);
    h->curl = NULL;
}

static long code_of(const http *h) {
    long code = 0;
    lib.curl_easy_getinfo(h->curl, CURLINFO_RESPONSE_CODE, &code);
    return code;
}

static size_t on_body(char *data, size_t one, size_t n, void *user) {
    answer *a = user;
    (void)one; /* libcurl always passes 1 */
    if (code_of(a->http) >= 400) return n;
    if (a->body->size + n > a->most) return 0;
    buffer_add(a->body, data, n);
    return n;
}

static bool write_file(answer *a, const char *data, size_t n) {
    while (n) {
        ssize_t written = pwrite(a->file, data, n, (off_t)a->there);
        if (written < 0 && errno == EINTR && !interrupted()) continue;
        if (written <= 0) {
            a->error = errno;
            return false;
        }
        data += written;
        n -= (size_t)written;
        a->there += (uint64_t)written;
    }
    return true;
}

static size_t on_part(char *data, size_t one, size_t n, void *user) {
    answer *a = user;
    (void)one;
    long code = code_of(a->http);
    if (code >= 400) return n;
    if (!a->begun && code != 206) a->there = 0; /* the server sends the whole file, not only the missing part */
    a->begun = true;
    if (n > a->size - a->there || !write_file(a, data, n)) return 0;
    a->progress(a->user, a->there);
    return n;
}

static int on_progress(void *user, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d) {
    (void)user, (void)a, (void)b, (void)c, (void)d;
    return interrupted() != 0;
}

/* A file with the certificates to trust, in place of the system's. */
static const char *certificates(void) {
    static const char *const variables[] = {"CURL_CA_BUNDLE", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"};
    const char *path = NULL;
    for (size_t i = 0; i < sizeof variables / sizeof *variables && (!path || !*path); i++) path = getenv(variables[i]);
    return path && *path ? path : NULL;
}

static CURLcode perform(http *h, const char *url, curl_write_callback write, answer *a, const char *range) {
    CURL *curl = h->curl;
    const char *redirects = strncmp(url, "https:", 6) ? "http,https" : "https";
    lib.curl_easy_reset(curl);
    *h->reason = 0;
    lib.curl_easy_setopt(curl, CURLOPT_URL, url);
    lib.curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, h->reason);
    lib.curl_easy_setopt(curl, CURLOPT_USERAGENT, "capp");
    lib.curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    lib.curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    lib.curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, redirects);
    lib.curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
    lib.curl_easy_setopt(curl, CURLOPT_MAXREDIRS, (long)MOST_REDIRECTS);
    lib.curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_SECONDS);
    lib.curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    lib.curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, (long)SILENT_SECONDS);
    lib.curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    lib.curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    lib.curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, write);
    lib.curl_easy_setopt(curl, CURLOPT_WRITEDATA, a);
    if (certificates()) lib.curl_easy_setopt(curl, CURLOPT_CAINFO, certificates());
    if (h->token) {
        lib.curl_easy_setopt(curl, CURLOPT_HTTPAUTH, (long)CURLAUTH_BEARER);
        lib.curl_easy_setopt(curl, CURLOPT_XOAUTH2_BEARER, h->token);
    }
    if (range) lib.curl_easy_setopt(curl, CURLOPT_RANGE, range);
    return lib.curl_easy_perform(curl);
}

/* The meaning of an answer's code, and what the user can do. */
static bool fail_code(const http *h, long code, const char *about, capp_error *err) {
    switch (code) {
    case 401:
        return fail_at(err, 0, "%s: access denied (401): the repository is private, gated, or does not exist; %s",
                       about,
                       h->token ? "the token in use may not read it" : "set HF_TOKEN to a token that may read it");
    case 403:
        return fail_at(err, 0, "%s: access denied (403): accept the terms on the model's page, and set HF_TOKEN",
                       about);
    case 404: return fail_at(err, 0, "%s: not found on the server (404); check the name", about);
    default:
        return fail_at(err, 0, "%s: the server answers %ld%s", about, code, code >= 500 ? "; try again later" : "");
    }
}

static bool fail_curl(const http *h, CURLcode code, const char *about, capp_error *err) {
    if (interrupted()) return fail_at(err, 0, "%s: interrupted", about);
    return fail_at(err, 0, "%s: %s", about, *h->reason ? h->reason : lib.curl_easy_strerror(code));
}

/* Whether the same request may succeed later. */
static bool is_temporary(CURLcode result, long code) {
    switch (result) {
    case CURLE_OK: return code == 408 || code == 416 || code == 429 || code >= 500 || code == 200 || code == 206;
    case CURLE_COULDNT_CONNECT:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_PARTIAL_FILE:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM: return true;
    default: return false;
    }
}

/* False: interrupted. */
static bool wait_seconds(double seconds) {
    for (double end = seconds_now() + seconds; seconds_now() < end && !interrupted();) {
        struct timespec pause = {0, 50000000};
        nanosleep(&pause, NULL);
    }
    return !interrupted();
}

static double pause_after(unsigned tries) {
    return 0.5 * (double)(1u << tries);
}

bool http_get(http *h, const char *url, const char *about, size_t most, buffer *body, capp_error *err) {
    answer a = {.http = h, .body = body, .most = most};
    for (unsigned tries = 0;; tries++) {
        body->size = 0;
        CURLcode result = perform(h, url, on_body, &a, NULL);
        long code = code_of(h);
        if (!result && code == 200) return true;
        if (tries + 1 < MOST_LIST_TRIES && is_temporary(result, code) && wait_seconds(pause_after(tries))) continue;
        return result || interrupted() ? fail_curl(h, result, about, err) : fail_code(h, code, about, err);
    }
}

/* Why a download has finally failed. */
static bool fail_download(const answer *a, CURLcode result, long code, const char *about, capp_error *err) {
    if (a->error) return fail_at(err, 0, "%s: cannot be written: %s", about, strerror(a->error));
    if (interrupted()) return fail_at(err, 0, "%s: interrupted; run the command again to continue", about);
    if (result == CURLE_WRITE_ERROR)
        return fail_at(err, 0, "%s: the server sent more than the announced %llu bytes", about,
                       (unsigned long long)a->size);
    if (result) return fail_curl(a->http, result, about, err);
    if (code >= 400) return fail_code(a->http, code, about, err);
    return fail_at(err, 0, "%s: the server sent only %llu of %llu bytes; try again", about,
                   (unsigned long long)a->there, (unsigned long long)a->size);
}

bool http_download(http *h, const char *url, const char *about, int file, uint64_t size, http_progress_fn progress,
                   void *user, capp_error *err) {
    answer a = {.http = h, .file = file, .size = size, .progress = progress, .user = user};
    off_t there = lseek(file, 0, SEEK_END);
    a.there = there > 0 && (uint64_t)there <= size ? (uint64_t)there : 0;
    uint64_t most = a.there; /* largest number of bytes so far: only more counts as progress */
    for (unsigned tries = 0; a.there < size;) {
        uint64_t before = a.there;
        char range[32];
        snprintf(range, sizeof range, "%llu-", (unsigned long long)before);
        a.begun = false;
        CURLcode result = perform(h, url, on_part, &a, before ? range : NULL);
        long code = code_of(h);
        if (a.there == size && !result) break;
        if (code == 416) a.there = 0; /* the existing bytes cannot be the beginning */
        tries = a.there > most ? 0 : tries + 1;
        if (a.there > most) most = a.there;
        if (a.error || tries >= MOST_TRIES || !is_temporary(result, code) || !wait_seconds(pause_after(tries)))
            return fail_download(&a, result, code, about, err);
    }
    if (!ftruncate(file, (off_t)size)) return true;
    return fail_at(err, 0, "%s: cannot be written: %s", about, strerror(errno));
}
