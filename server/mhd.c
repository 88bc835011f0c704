#include "mhd.h"

mhd_functions mhd;

#ifdef MHD_INSIDE

bool mhd_load(void) {
#define X(function) mhd.function = function;
    MHD_MAP(X)
#undef X
    return true;
}

#else

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

bool mhd_load(void) {
    static const char library[] = "libmicrohttpd.so.12";
    static const char *const names[] = {
#define X(function) #function,
        MHD_MAP(X)
#undef X
    };
    void *places[] = {
#define X(function) &mhd.function,
        MHD_MAP(X)
#undef X
    };
    void *loaded = dlopen(library, RTLD_NOW | RTLD_LOCAL); /* stays until the program ends */
    if (!loaded) {
        fprintf(stderr, "capp: %s, which capp serve needs, cannot be loaded: %s; install libmicrohttpd12\n", library,
                dlerror());
        return false;
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        void *function = dlsym(loaded, names[i]);
        if (!function) {
            fprintf(stderr, "capp: %s has no function %s; install version 0.9.75 or later\n", library, names[i]);
            return false;
        }
        memcpy(places[i], &function, sizeof function);
    }
    return true;
}

#endif
