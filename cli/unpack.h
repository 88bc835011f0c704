/* Reads gzip and Zstandard, also files with several members or frames. */
#ifndef CLI_UNPACK_H
#define CLI_UNPACK_H

#include "util.h"

typedef enum packing { PACKING_NONE, PACKING_GZIP, PACKING_ZSTD } packing;

enum { UNPACK_MAGIC = 4 }; /* maximum number of bytes that packing_of looks at */

/* Recognizes the packing by the first bytes. *more: more bytes are needed to decide. */
packing packing_of(const char *data, size_t size, bool *more);

/* "gzip" or "Zstandard". */
const char *packing_name(packing kind);

typedef struct unpacker unpacker;

/* The caller ends it with unpack_close. */
unpacker *unpack_open(packing kind);
void unpack_close(unpacker *unpacker_); /* u may be NULL */

/* Unpacks from the front of *in, which advances, into out: *n bytes, at most room. False if the data are damaged. */
bool unpack_some(unpacker *unpacker_, capp_str *in, char *out, size_t room, size_t *n);

/* Whether the packed data may end here: no member or frame is incomplete. */
bool unpack_complete(const unpacker *unpacker_);

#endif
