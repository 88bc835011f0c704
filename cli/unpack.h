/* Reads gzip and Zstandard, of several members or frames one behind the other. */
#ifndef CLI_UNPACK_H
#define CLI_UNPACK_H

#include "util.h"

typedef enum packing { PACKING_NONE, PACKING_GZIP, PACKING_ZSTD } packing;

enum { UNPACK_MAGIC = 4 }; /* bytes that packing_of looks at, at most */

/* By the first bytes. *more: they may yet turn out to be packed when more of them are here. */
packing packing_of(const char *data, size_t size, bool *more);

/* "gzip" or "Zstandard". */
const char *packing_name(packing kind);

typedef struct unpacker unpacker;

/* The caller ends it with unpack_close. */
unpacker *unpack_open(packing kind);
void unpack_close(unpacker *u); /* u may be NULL */

/* Unpacks from the front of *in, which moves on, into out: *n of at most room bytes. False where the data are damaged.
 */
bool unpack_some(unpacker *u, capp_str *in, char *out, size_t room, size_t *n);

/* Whether the packed data may end here: no member or frame is under way. */
bool unpack_complete(const unpacker *u);

#endif
