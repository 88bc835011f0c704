#include "names.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

char *text_of(const char *format, ...) {
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    if (n < 0) out_of_memory();
    char *text = allocate((size_t)n + 1, 1);
    vsnprintf(text, (size_t)n + 1, format, again);
    va_end(again);
    va_end(args);
    return text;
}

const char *environment(const char *variable) {
    const char *value = getenv(variable);
    return value && *value ? value : NULL;
}

/* ---- The form of a name ------------------------------------------------------------------------------------------ */

static const char WORD[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
static const char WANTED[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/";

/* Length of the part of a name at text, or 0. */
static size_t part_size(const char *text) {
    return isalnum((unsigned char)*text) ? strspn(text, WORD) : 0;
}

bool model_name_parse(model_name *name, const char *text) {
    size_t owner = part_size(text);
    if (!owner || text[owner] != '/') return false;
    size_t repository = owner + 1 + part_size(text + owner + 1);
    if (repository == owner + 1 || (text[repository] && text[repository] != ':')) return false;
    const char *wanted = text[repository] ? text + repository + 1 : "";
    if (text[repository] && (!*wanted || wanted[strspn(wanted, WANTED)])) return false;
    *name = (model_name){text, {text, repository}, wanted};
    bool is_file = repository > 5 && !strncasecmp(text + repository - 5, ".gguf", 5);
    return !is_file && access(text, F_OK) != 0;
}

/* ---- The names of files ------------------------------------------------------------------------------------------ */

size_t split_parts(const char *file, size_t *at) {
    static const char form[] = "-ddddd-of-ddddd.gguf";
    size_t size = strlen(file), tail = sizeof form - 1;
    if (size < tail) return 1;
    const char *end = file + size - tail;
    for (size_t i = 0; i < tail; i++)
        if (form[i] == 'd' ? !isdigit((unsigned char)end[i]) : form[i] != end[i]) return 1;
    *at = size - tail;
    return (size_t)strtoul(end + 10, NULL, 10);
}

/* The first place of `what` in text, in capitals or not; or NULL. */
static const char *find_folded(const char *text, const char *what) {
    for (; *text; text++)
        if (!strncasecmp(text, what, strlen(what))) return text;
    return NULL;
}

bool names_weights(const char *file) {
    size_t at;
    if (!ends_with(file, ".gguf") || find_folded(file, "mmproj")) return false;
    return split_parts(file, &at) == 1 || !strncmp(file + at, "-00001-", 7);
}

static bool in_word(char c) {
    return isalnum((unsigned char)c) || c == '_';
}

bool name_wants(const char *wanted, const char *file) {
    const char *base = strrchr(file, '/') ? strrchr(file, '/') + 1 : file;
    size_t size = strlen(wanted);
    if (!size) return true;
    if (ends_with(wanted, ".gguf")) return !strcmp(wanted, file) || !strcmp(wanted, base);
    for (const char *at = base; (at = find_folded(at, wanted)); at++)
        if ((at == base || !in_word(at[-1])) && !in_word(at[size])) return true;
    return false;
}

/* ---- Folders ----------------------------------------------------------------------------------------------------- */

/* "~/x" is x in the home folder. */
static char *expand(const char *path) {
    const char *home = environment("HOME");
    return path[0] == '~' && path[1] == '/' && home ? text_of("%s%s", home, path + 1) : text_of("%s", path);
}

char *cache_home_path(void) {
    const char *given = environment("XDG_CACHE_HOME"), *home = environment("HOME");
    return given ? text_of("%s", given) : text_of("%s/.cache", home ? home : "");
}

char *hub_home_path(void) {
    const char *given = environment("HF_HOME");
    if (given) return expand(given);
    char *caches = cache_home_path(), *path = text_of("%s/huggingface", caches);
    free(caches);
    return path;
}

char *hub_cache_path(void) {
    const char *given = environment("HF_HUB_CACHE");
    if (!given) given = environment("HUGGINGFACE_HUB_CACHE");
    if (given) return expand(given);
    char *home = hub_home_path(), *path = text_of("%s/hub", home);
    free(home);
    return path;
}
