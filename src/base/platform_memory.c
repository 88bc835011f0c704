/* Linux: /proc, and the two versions of control groups. */
#define _GNU_SOURCE
#include "base/platform.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>

enum { LONGEST = 4096 }; /* size of a path; files with longer paths are not read */

/* The file names of the two versions. */
typedef struct version {
    const char *mount, *limit, *used, *caches[2];
} version;

static const version second = {"/sys/fs/cgroup", "memory.max", "memory.current", {"inactive_file ", "active_file "}};
static const version first = {"/sys/fs/cgroup/memory",
                              "memory.limit_in_bytes",
                              "memory.usage_in_bytes",
                              {"total_inactive_file ", "total_active_file "}};

/* The number after name, which begins a line. False: there is none, or it is a word ("max"). */
static bool read_number(const char *path, const char *name, uint64_t *out) {
    FILE *file = fopen(path, "re");
    char line[256], *end;
    bool found = false;
    while (file && !found && fgets(line, sizeof line, file)) {
        if (strncmp(line, name, strlen(name))) continue;
        *out = strtoull(line + strlen(name), &end, 10);
        found = end > line + strlen(name);
    }
    if (file) fclose(file);
    return found;
}

static bool read_group(const char *root, const version *v, const char *group, const char *name, const char *key,
                       uint64_t *out) {
    char path[2 * LONGEST];
    int n = snprintf(path, sizeof path, "%s%s%s/%s", root, v->mount, group, name);
    return n > 0 && (size_t)n < sizeof path && read_number(path, key, out);
}

/* UINT64_MAX: no limit. */
static uint64_t left_to_group(const char *root, const version *v, const char *group) {
    uint64_t limit, used = 0, cached = 0, part;
    if (!read_group(root, v, group, v->limit, "", &limit)) return UINT64_MAX;
    (void)read_group(root, v, group, v->used, "", &used);
    for (size_t i = 0; i < 2; i++)
        if (read_group(root, v, group, "memory.stat", v->caches[i], &part)) cached += part;
    used -= cached < used ? cached : used;
    return limit > used ? limit - used : 0;
}

/* The smallest amount left to the group ("/a/b") and its ancestors, up to the group at the mount. In a container that
 * sees nothing else, this is the process's own group. Cuts group short. */
static uint64_t left_to_groups(const char *root, const version *v, char *group) {
    uint64_t least = UINT64_MAX;
    for (char *end = group + strlen(group); end; end = strrchr(group, '/')) {
        *end = 0;
        uint64_t left = left_to_group(root, v, group);
        if (left < least) least = left;
    }
    return least;
}

/* Whether the list, such as "cpu,memory", contains the word. */
static bool has_memory(const char *controllers) {
    static const char word[] = "memory";
    for (const char *at = controllers; (at = strstr(at, word)); at += sizeof word - 1)
        if ((at == controllers || at[-1] == ',') && (!at[sizeof word - 1] || at[sizeof word - 1] == ',')) return true;
    return false;
}

/* Reads the lines of /proc/self/cgroup, "number:controllers:/group"; version 2 has no controllers. */
static uint64_t left_to_process(const char *root) {
    char line[LONGEST];
    snprintf(line, sizeof line, "%s/proc/self/cgroup", root);
    FILE *file = fopen(line, "re");
    uint64_t least = UINT64_MAX;
    while (file && fgets(line, sizeof line, file)) {
        char *controllers = strchr(line, ':'), *group = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!group) continue;
        *group++ = 0;
        group[strcspn(group, "\n")] = 0;
        const version *v = !controllers[1] ? &second : has_memory(controllers + 1) ? &first : NULL;
        uint64_t left = v ? left_to_groups(root, v, group) : UINT64_MAX;
        if (left < least) least = left;
    }
    if (file) fclose(file);
    return least;
}

uint64_t capp_available_memory(const char *root) {
    char path[LONGEST];
    uint64_t kib = 0, left = left_to_process(root);
    snprintf(path, sizeof path, "%s/proc/meminfo", root);
    if (!read_number(path, "MemAvailable:", &kib)) return left;
    return kib * 1024 < left ? kib * 1024 : left;
}

uint64_t capp_unused_memory(void) {
    struct sysinfo info;
    return sysinfo(&info) ? UINT64_MAX : (uint64_t)info.freeram * info.mem_unit;
}
