/* The hashes that a hub uses for the contents of files. Computed by OpenSSL's libcrypto. */
#ifndef CLI_DIGEST_H
#define CLI_DIGEST_H

#include "util.h"

typedef enum digest_kind {
    DIGEST_SHA256,
    DIGEST_GIT_BLOB /* SHA-1 of "blob SIZE", NUL and the bytes */
} digest_kind;

/* The hash of a file of `size` bytes, as hexadecimal digits and a NUL. Returns false and a message if the file cannot
 * be read, or after an interrupt. */
bool digest_file(int file, uint64_t size, digest_kind kind, char digits[65], const char *about, capp_error *err);

#endif
