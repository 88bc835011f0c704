/* JSON of model folders, parsed by jansson, whose own allocator it keeps: changing it would change the caller's. */
#ifndef CAPP_FILE_JSON_H
#define CAPP_FILE_JSON_H

#include <jansson.h>

#include "base/error.h"

/* The object that data holds; path stands for it in messages. flags: jansson's. On success the caller owns *root
 * (json_decref); on failure it is NULL: CAPP_EFORMAT with line and column, CAPP_ENOMEM. */
capp_status capp_json_parse(json_t **root, const void *data, size_t size, size_t flags, const char *path,
                            capp_error *err);

/* The value at the end of a path of keys, "rope_scaling.factor"; NULL where there is none or it is null. */
const json_t *capp_json_at(const json_t *object, const char *keys);

#endif
