#include "fingerprint.h"

#include "names.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

enum { KIB = 1 << 10, MIB = 1 << 20, PART = 64 * KIB };
enum { WHOLE = 64 * MIB, FIRST = 16 * MIB, LAST = MIB, STEP = 4 * MIB };

typedef struct hashing {
    XXH3_state_t *state;
    uint64_t bytes;
} hashing;

static bool hash_begin(hashing *h, capp_error *err) {
    *h = (hashing){.state = XXH3_createState()};
    if (!h->state) return fail_at(err, 0, "out of memory for a fingerprint");
    XXH3_128bits_reset(h->state);
    return true;
}

static void hash_end(hashing *h, fingerprint *f) {
    XXH128_hash_t hash = XXH3_128bits_digest(h->state);
    *f = (fingerprint){.bytes = h->bytes};
    snprintf(f->text, sizeof f->text, "xxh3:%016llx%016llx", (unsigned long long)hash.high64,
             (unsigned long long)hash.low64);
    XXH3_freeState(h->state);
}

/* Hashes the bytes from .. to - 1 of the file. */
static bool hash_range(hashing *h, int file, uint64_t from, uint64_t to) {
    static char part[PART];
    while (from < to) {
        size_t most = to - from < PART ? (size_t)(to - from) : PART;
        ssize_t n = pread(file, part, most, (off_t)from);
        if (n < 0 && errno == EINTR && !interrupted()) continue;
        if (n == 0) errno = EIO; /* the file became shorter */
        if (n <= 0) return false;
        XXH3_128bits_update(h->state, part, (size_t)n);
        from += (uint64_t)n;
    }
    return true;
}

static bool hash_samples(hashing *h, int file, uint64_t size) {
    if (!hash_range(h, file, 0, FIRST)) return false;
    for (uint64_t at = FIRST; at < size - LAST; at += STEP)
        if (!hash_range(h, file, at, at + PART < size - LAST ? at + PART : size - LAST)) return false;
    return hash_range(h, file, size - LAST, size);
}

static bool hash_file(hashing *h, const char *path, bool samples, capp_error *err) {
    struct stat facts;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    bool good = file >= 0 && !fstat(file, &facts);
    if (good) {
        uint64_t size = (uint64_t)facts.st_size;
        h->bytes += size;
        XXH3_128bits_update(h->state, &size, sizeof size);
        good = samples && size > WHOLE ? hash_samples(h, file, size) : hash_range(h, file, 0, size);
    }
    if (!good) fail_at(err, 0, "%s: cannot read the file: %s", path, strerror(errno));
    if (file >= 0) close(file);
    return good;
}

bool fingerprint_file(fingerprint *f, const char *path, capp_error *err) {
    hashing h;
    if (!hash_begin(&h, err)) return false;
    bool good = hash_file(&h, path, false, err);
    hash_end(&h, f);
    return good;
}

void fingerprint_text(fingerprint *f, capp_str text) {
    XXH128_hash_t hash = XXH3_128bits(text.data, text.size);
    snprintf(f->text, sizeof f->text, "xxh3:%016llx%016llx", (unsigned long long)hash.high64,
             (unsigned long long)hash.low64);
    f->bytes = text.size;
}

/* ---- Models ---------------------------------------------------------------------------------------------------- */

static int is_of_model(const struct dirent *entry) {
    static const char *const ends[] = {".json", ".jinja", ".safetensors", ".model", ".txt"};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (entry->d_name[0] != '.' && ends_with(entry->d_name, ends[i])) return 1;
    return 0;
}

static int by_name(const struct dirent **a, const struct dirent **b) {
    return strcmp((*a)->d_name, (*b)->d_name);
}

static bool hash_folder(hashing *h, const char *path, capp_error *err) {
    struct dirent **entries;
    int n = scandir(path, &entries, is_of_model, by_name);
    if (n < 0) return fail_at(err, 0, "%s: cannot read the file: %s", path, strerror(errno));
    bool good = true;
    for (int i = 0; i < n; i++) {
        buffer name = {0};
        buffer_printf(&name, "%s/%s", path, entries[i]->d_name);
        buffer_char(&name, 0);
        XXH3_128bits_update(h->state, entries[i]->d_name, strlen(entries[i]->d_name) + 1);
        good = good && hash_file(h, name.data, true, err);
        buffer_free(&name);
        free(entries[i]);
    }
    free(entries);
    return good;
}

static bool hash_parts(hashing *h, const char *path, size_t stem, size_t parts, capp_error *err) {
    bool good = true;
    for (size_t i = 1; i <= parts && good; i++) {
        buffer name = {0};
        buffer_printf(&name, "%.*s-%05zu-of-%05zu.gguf", (int)stem, path, i, parts);
        buffer_char(&name, 0);
        good = hash_file(h, name.data, true, err);
        buffer_free(&name);
    }
    return good;
}

/* The folder that contains a file of an adapter or model, because its other files belong to it too. */
static bool hash_folder_of(hashing *h, const char *path, capp_error *err) {
    buffer folder = {0};
    const char *slash = strrchr(path, '/');
    buffer_add(&folder, slash ? path : ".", slash ? (size_t)(slash - path) + (slash == path) : 1);
    buffer_char(&folder, 0);
    bool good = hash_folder(h, folder.data, err);
    buffer_free(&folder);
    return good;
}

bool fingerprint_model(fingerprint *f, const char *path, capp_error *err) {
    hashing h;
    struct stat facts;
    size_t stem = 0;
    if (!hash_begin(&h, err)) return false;
    size_t parts = split_parts(path, &stem);
    bool good;
    if (!stat(path, &facts) && S_ISDIR(facts.st_mode))
        good = hash_folder(&h, path, err);
    else if (ends_with(path, ".safetensors") || ends_with(path, ".json"))
        good = hash_folder_of(&h, path, err);
    else
        good = parts > 1 && !strncmp(path + stem, "-00001-", 7) ? hash_parts(&h, path, stem, parts, err)
                                                                : hash_file(&h, path, true, err);
    hash_end(&h, f);
    return good;
}
