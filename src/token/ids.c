#include "token/ids.h"

#include "base/mem.h"

void capp_ids_free(capp_ids *ids) {
    capp_free(ids->data);
    *ids = (capp_ids){0};
}

bool capp_ids_push(capp_ids *ids, int32_t id) {
    if (ids->n == ids->capacity && !capp_grow(&ids->data, &ids->capacity, ids->n + 1, sizeof *ids->data)) return false;
    ids->data[ids->n++] = id;
    return true;
}
