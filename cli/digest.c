#define _GNU_SOURCE
#include "digest.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PART = 1 << 20 };

static bool read_all(EVP_MD_CTX *context, int file, uint64_t size, char *part, const char *about, capp_error *err) {
    for (uint64_t at = 0; at < size;) {
        ssize_t n = pread(file, part, PART, (off_t)at);
        if (interrupted()) return fail_at(err, 0, "%s: interrupted; the same command goes on", about);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return fail_at(err, 0, "%s: cannot be read: %s", about, n ? strerror(errno) : "it is too short");
        if (EVP_DigestUpdate(context, part, (size_t)n) != 1) return fail_at(err, 0, "%s: libcrypto has failed", about);
        at += (uint64_t)n;
    }
    return true;
}

bool digest_file(int file, uint64_t size, digest_kind kind, char digits[65], const char *about, capp_error *err) {
    unsigned char hash[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    char head[40], *part = take(PART, 1);
    int head_size = snprintf(head, sizeof head, "blob %llu", (unsigned long long)size) + 1; /* and its NUL */
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool good = context && EVP_DigestInit_ex(context, kind == DIGEST_SHA256 ? EVP_sha256() : EVP_sha1(), NULL) == 1;
    if (good && kind == DIGEST_GIT_BLOB) good = EVP_DigestUpdate(context, head, (size_t)head_size) == 1;
    if (!good) fail_at(err, 0, "%s: libcrypto cannot compute its hash", about);
    good = good && read_all(context, file, size, part, about, err);
    if (good && EVP_DigestFinal_ex(context, hash, &n) != 1) good = fail_at(err, 0, "%s: libcrypto has failed", about);
    for (unsigned i = 0; good && i < n && i < 32; i++) snprintf(digits + 2 * (size_t)i, 3, "%02x", hash[i]);
    EVP_MD_CTX_free(context);
    free(part);
    return good;
}
