#include "test.h"

#include <stdarg.h>
#include <sys/stat.h>

enum { MOST = 500 };
static struct {
    const char *name;
    void (*fn)(void);
} tests[MOST];
static int n_tests;

void test_register(const char *name, void (*fn)(void)) {
    if (n_tests == MOST) abort();
    tests[n_tests].name = name;
    tests[n_tests++].fn = fn;
}

void test_fail(const char *file, int line, const char *format, ...) {
    va_list args;
    va_start(args, format);
    printf("%s:%d: ", file, line);
    vprintf(format, args);
    printf("\n");
    va_end(args);
    exit(1);
}

void test_skip(const char *format, ...) {
    va_list args;
    va_start(args, format);
    printf("skipped: ");
    vprintf(format, args);
    printf("\n");
    va_end(args);
    exit(77);
}

uint64_t test_random_u64(test_random *r) {
    uint64_t z = (r->state += 0x9e3779b97f4a7c15u);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

uint64_t test_random_below(test_random *r, uint64_t n) {
    return test_random_u64(r) % n;
}

double test_random_unit(test_random *r) {
    return (double)(test_random_u64(r) >> 11) * 0x1p-53;
}

double test_random_normal(test_random *r) {
    double u = 1 - test_random_unit(r), v = test_random_unit(r);
    return sqrt(-2 * log(u)) * cos(6.283185307179586 * v);
}

static const char *existing(const char *path) {
    struct stat st;
    return stat(path, &st) ? NULL : path;
}

const char *test_shared(void) {
    const char *set = getenv("CAPP_SHARED");
    return existing(set ? set : "../shared");
}

const char *test_model(const char *name) {
    static char path[4096];
    const char *folder = getenv("CAPP_MODELS"), *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (folder)
        snprintf(path, sizeof path, "%s/%s.gguf", folder, name);
    else if (cache && *cache)
        snprintf(path, sizeof path, "%s/capp/models/%s.gguf", cache, name);
    else
        snprintf(path, sizeof path, "%s/.cache/capp/models/%s.gguf", home ? home : ".", name);
    return existing(path);
}

int main(int argc, char **argv) {
    if (argc == 2 && !strcmp(argv[1], "--list")) {
        for (int i = 0; i < n_tests; i++) puts(tests[i].name);
        return 0;
    }
    for (int i = 0; argc == 2 && i < n_tests; i++)
        if (!strcmp(tests[i].name, argv[1])) {
            tests[i].fn();
            return 0;
        }
    fprintf(stderr, "usage: %s --list | NAME\n", argv[0]);
    return 2;
}
