#include "file/json.h"

#include <string.h>

capp_status capp_json_parse(json_t **root, const void *data, size_t size, size_t flags, const char *path,
                            capp_error *err) {
    json_error_t why;
    *root = json_loadb(data, size, flags, &why);
    if (!*root) {
        if (json_error_code(&why) == json_error_out_of_memory)
            return capp_fail(err, CAPP_ENOMEM, "%s: out of memory for its JSON", path);
        for (char *c = why.text; *c; c++)
            if ((unsigned char)*c < ' ') *c = ' ';
        return capp_fail(err, CAPP_EFORMAT, "%s: line %d, column %d: %s: the file is damaged; fetch it again", path,
                         why.line, why.column, why.text);
    }
    if (json_is_object(*root)) return CAPP_OK;
    json_decref(*root);
    *root = NULL;
    return capp_fail(err, CAPP_EFORMAT, "%s: is not a JSON object: the file is damaged; fetch it again", path);
}

const json_t *capp_json_at(const json_t *object, const char *keys) {
    char key[128];
    while (object) {
        size_t n = strcspn(keys, ".");
        if (n >= sizeof key) return NULL;
        memcpy(key, keys, n);
        key[n] = 0;
        object = json_object_get(object, key);
        if (!keys[n]) break;
        keys += n + 1;
    }
    return json_is_null(object) ? NULL : object;
}
