#include "jinja/arguments.h"

#include <string.h>

bool capp_jinja_bind_arguments(capp_jinja_run *run, const char *function, const char *parameters,
                               const capp_jinja_arguments *arguments,
                               capp_jinja_value bound[CAPP_JINJA_MAX_PARAMETERS]) {
    size_t n = 0, taken = 0;
    for (const char *at = parameters; *at && n < CAPP_JINJA_MAX_PARAMETERS; n++) {
        size_t size = strcspn(at, " ");
        bound[n] = (capp_jinja_value){.kind = CAPP_JINJA_UNDEFINED};
        if (n < arguments->n) bound[n] = arguments->values[n];
        for (size_t i = 0; i < arguments->n_named; i++)
            if (arguments->names[i].size == size && !memcmp(arguments->names[i].data, at, size)) {
                if (n < arguments->n) break; /* given twice: the number of unexpected arguments shows it */
                bound[n] = arguments->values[arguments->n + i];
                taken++;
            }
        at += size;
        while (*at == ' ') at++;
    }
    if (arguments->n > n || taken < arguments->n_named)
        capp_jinja_fail(run, CAPP_EINVAL, "%s got an unexpected argument", function);
    return run->status == CAPP_OK;
}
