#include "digest.h"
#include "late.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PART = 1 << 20 };

/* X(function): the functions of libcrypto that are used. */
#define CRYPTO_MAP(X)                                                                                                  \
    X(EVP_MD_CTX_new)                                                                                                  \
    X(EVP_MD_CTX_free)                                                                                                 \
    X(EVP_sha256)                                                                                                      \
    X(EVP_sha1)                                                                                                        \
    X(EVP_DigestInit_ex)                                                                                               \
    X(EVP_DigestUpdate)                                                                                                \
    X(EVP_DigestFinal_ex)

static struct {
#define X(function) __typeof__(function) *function;
    CRYPTO_MAP(X)
#undef X
} lib;

static bool load_crypto(capp_error *err) {
    static const char *const names[] = {
#define X(function) #function,
        CRYPTO_MAP(X)
#undef X
    };
    void *functions[sizeof names / sizeof *names];
    _Static_assert(sizeof functions == sizeof lib, "a pointer to a function is as large as one to data");
    if (!late_load("libcrypto.so.3", names, functions, sizeof names / sizeof *names, err)) return false;
    memcpy(&lib, functions, sizeof lib);
    return true;
}

static bool read_all(EVP_MD_CTX *context, int file, uint64_t size, char *part, const char *about, capp_error *err) {
    for (uint64_t at = 0; at < size;) {
        ssize_t n = pread(file, part, PART, (off_t)at);
        if (interrupted()) return fail_at(err, 0, "%s: interrupted; run the command again to continue", about);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return fail_at(err, 0, "%s: cannot be read: %s", about, n ? strerror(errno) : "it is too short");
        if (lib.EVP_DigestUpdate(context, part, (size_t)n) != 1)
            return fail_at(err, 0, "%s: libcrypto has failed", about);
        at += (uint64_t)n;
    }
    return true;
}

bool digest_file(int file, uint64_t size, digest_kind kind, char digits[65], const char *about, capp_error *err) {
    unsigned char hash[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    if (!load_crypto(err)) return false;
    char head[40], *part = allocate(PART, 1);
    int head_size = snprintf(head, sizeof head, "blob %llu", (unsigned long long)size) + 1; /* and a NUL */
    EVP_MD_CTX *context = lib.EVP_MD_CTX_new();
    bool good =
        context && lib.EVP_DigestInit_ex(context, kind == DIGEST_SHA256 ? lib.EVP_sha256() : lib.EVP_sha1(), NULL) == 1;
    if (good && kind == DIGEST_GIT_BLOB) good = lib.EVP_DigestUpdate(context, head, (size_t)head_size) == 1;
    if (!good) fail_at(err, 0, "%s: libcrypto cannot compute its hash", about);
    good = good && read_all(context, file, size, part, about, err);
    if (good && lib.EVP_DigestFinal_ex(context, hash, &n) != 1)
        good = fail_at(err, 0, "%s: libcrypto has failed", about);
    for (unsigned i = 0; good && i < n && i < 32; i++) snprintf(digits + 2 * (size_t)i, 3, "%02x", hash[i]);
    lib.EVP_MD_CTX_free(context);
    free(part);
    return good;
}
