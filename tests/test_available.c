/* Available memory within the limits of control groups, read from folders that imitate /proc and /sys. */
#define _GNU_SOURCE
#include "base/platform.h"

#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#include "test.h"

static char root[] = "/tmp/capp-root-XXXXXX";

static void put(const char *name, const char *text) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", root, name);
    for (char *slash = path + strlen(root); (slash = strchr(slash + 1, '/'));) {
        *slash = 0;
        mkdir(path, 0700);
        *slash = '/';
    }
    FILE *f = fopen(path, "w");
    if (!f || fputs(text, f) < 0 || fclose(f)) FAIL("cannot write %s", path);
}

static int delete (const char *path, const struct stat *st, int flag, struct FTW *ftw) {
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static void end(void) {
    nftw(root, delete, 8, FTW_DEPTH | FTW_PHYS);
}

/* 1,000,000 KiB available. */
static void begin(void) {
    if (!mkdtemp(root)) FAIL("cannot make %s", root);
    atexit(end);
    put("proc/meminfo", "MemTotal:        4000000 kB\nMemFree:          500000 kB\nMemAvailable:    1000000 kB\n");
}

TEST(without_groups) {
    begin();
    CHECK_INT(capp_available_memory(root), 1024000000);
    put("proc/self/cgroup", "0::/user.slice/one\n");
    CHECK_INT(capp_available_memory(root), 1024000000);
    put("sys/fs/cgroup/user.slice/one/memory.max", "max\n");
    CHECK_INT(capp_available_memory(root), 1024000000);
}

TEST(version_2) {
    begin();
    put("proc/self/cgroup", "0::/user.slice/one\n");
    put("sys/fs/cgroup/user.slice/one/memory.max", "600000000\n");
    CHECK_INT(capp_available_memory(root), 600000000);
    put("sys/fs/cgroup/user.slice/one/memory.current", "500000000\n");
    CHECK_INT(capp_available_memory(root), 100000000);
    put("sys/fs/cgroup/user.slice/one/memory.stat",
        "anon 90000000\nfile 400000000\ninactive_file 300000000\nactive_file 50000000\n");
    CHECK_INT(capp_available_memory(root), 450000000);
    put("sys/fs/cgroup/user.slice/memory.max", "70000000\n"); /* the group around it has a tighter limit */
    CHECK_INT(capp_available_memory(root), 70000000);
    put("sys/fs/cgroup/user.slice/memory.current", "80000000\n");
    CHECK_INT(capp_available_memory(root), 0);
}

TEST(more_than_there_is) {
    begin();
    put("proc/self/cgroup", "0::/\n");
    put("sys/fs/cgroup/memory.max", "999000000000\n");
    CHECK_INT(capp_available_memory(root), 1024000000);
    put("sys/fs/cgroup/memory.max", "1000\n");
    CHECK_INT(capp_available_memory(root), 1000);
}

TEST(version_1) {
    begin();
    put("proc/self/cgroup",
        "12:cpu,cpuacct:/busy\n11:hugetlb,memorylike:/no\n4:freezer,memory:/docker/ab:c\n1:name=systemd:/x\n");
    put("sys/fs/cgroup/memory/no/memory.limit_in_bytes", "5\n");
    put("sys/fs/cgroup/memory/docker/ab:c/memory.limit_in_bytes", "9223372036854771712\n");
    CHECK_INT(capp_available_memory(root), 1024000000);
    put("sys/fs/cgroup/memory/docker/ab:c/memory.limit_in_bytes", "300000000\n");
    put("sys/fs/cgroup/memory/docker/ab:c/memory.usage_in_bytes", "200000000\n");
    put("sys/fs/cgroup/memory/docker/ab:c/memory.stat",
        "inactive_file 1\nactive_file 2\ntotal_inactive_file 20000000\ntotal_active_file 3000000\n");
    CHECK_INT(capp_available_memory(root), 123000000);
}

/* A container whose file system shows only its own group, at the mount, while /proc has the host's path. */
TEST(a_container_sees_its_own_group_at_the_mount) {
    begin();
    put("proc/self/cgroup", "0::/docker/0123\n");
    put("sys/fs/cgroup/memory.max", "200000000\n");
    CHECK_INT(capp_available_memory(root), 200000000);
}

TEST(odd_files) {
    begin();
    put("proc/self/cgroup", "\n:\n::\n0::\nnothing\n0::/a");
    put("sys/fs/cgroup/a/memory.max", "");
    CHECK_INT(capp_available_memory(root), 1024000000);
    put("sys/fs/cgroup/a/memory.max", "123");
    CHECK_INT(capp_available_memory(root), 123);
    put("proc/meminfo", "MemTotal: 4000000 kB\n");
    CHECK_INT(capp_available_memory(root), 123);
    put("proc/self/cgroup", "");
    CHECK(capp_available_memory(root) == UINT64_MAX);
}

TEST(this_machine) {
    CHECK(capp_available_memory("") > 1 << 20 && capp_available_memory("") < UINT64_MAX);
}
