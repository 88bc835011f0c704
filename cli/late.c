#include "late.h"

#include <dlfcn.h>

bool late_load(const char *library, const char *const *names, void **functions, size_t n, capp_error *err) {
    void *loaded = dlopen(library, RTLD_NOW | RTLD_LOCAL); /* stays until the program ends */
    if (!loaded) return fail_at(err, 0, "%s, which downloads need, cannot be loaded: %s", library, dlerror());
    for (size_t i = 0; i < n; i++) {
        functions[i] = dlsym(loaded, names[i]);
        if (!functions[i]) return fail_at(err, 0, "%s has no function %s", library, names[i]);
    }
    return true;
}
