#include "plan/states.h"

#include <string.h>

#include "base/mem.h"

capp_status capp_states_init(capp_states *states, size_t n, capp_error *err) {
    memset(states, 0, sizeof *states);
    states->owner = capp_new(n, sizeof *states->owner);
    states->used = capp_new0(n, sizeof *states->used);
    if (!states->owner || !states->used) {
        capp_states_free(states);
        return capp_fail_memory(err, "the recurrent states");
    }
    states->n = n;
    capp_states_clear(states);
    return CAPP_OK;
}

void capp_states_free(capp_states *states) {
    capp_free(states->owner);
    capp_free(states->used);
    memset(states, 0, sizeof *states);
}

void capp_states_clear(capp_states *states) {
    for (size_t i = 0; i < states->n; i++) states->owner[i] = CAPP_NO_NODE;
}
