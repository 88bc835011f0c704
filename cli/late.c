#include "late.h"

#ifdef CLI_NO_DOWNLOADS

const char late_without[] = " (static, without downloads)";

bool late_load(const char *library, const char *const *names, void **functions, size_t n, capp_error *err) {
    (void)library, (void)names, (void)functions, (void)n;
    return fail_at(
        err, 0,
        "this capp is a static program and cannot load the libraries that downloads need; download the model "
        "with another program, or install capp as a Python wheel or a Debian package");
}

#else

#include <dlfcn.h>

const char late_without[] = "";

bool late_load(const char *library, const char *const *names, void **functions, size_t n, capp_error *err) {
    void *loaded = dlopen(library, RTLD_NOW | RTLD_LOCAL); /* stays until the program ends */
    if (!loaded) return fail_at(err, 0, "%s, which downloads need, cannot be loaded: %s", library, dlerror());
    for (size_t i = 0; i < n; i++) {
        functions[i] = dlsym(loaded, names[i]);
        if (!functions[i]) return fail_at(err, 0, "%s has no function %s", library, names[i]);
    }
    return true;
}

#endif
