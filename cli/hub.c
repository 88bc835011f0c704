#include "hub.h"
#include "caches.h"
#include "digest.h"
#include "http.h"
#include "hub_list.h"
#include "output_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { MOST_LIST = 64 << 20 };

static const double BAR_SECONDS = 0.2;

typedef struct fetch {
    const model_name *name;
    http http;
    hub_list list;
    hub_progress how;
    char *endpoint, *token, *folder;  /* folder: that of the repository in the cache */
    uint64_t total, before, at_start; /* bytes of all files, of those that exist, of those that existed at the start */
    double start, shown;              /* seconds_now */
    const char *file;                 /* the file that is being fetched */
} fetch;

/* ---- Settings ---------------------------------------------------------------------------------------------------- */

static bool is_offline(void) {
    static const char *const words[] = {"1", "on", "yes", "true"};
    const char *given = environment("HF_HUB_OFFLINE");
    for (size_t i = 0; given && i < sizeof words / sizeof *words; i++)
        if (!strcasecmp(given, words[i])) return true;
    return false;
}

static char *endpoint_of_environment(void) {
    const char *given = environment("HF_ENDPOINT");
    char *endpoint = text_of("%s", given ? given : "https://huggingface.co");
    for (size_t n = strlen(endpoint); n && endpoint[n - 1] == '/';) endpoint[--n] = 0;
    return endpoint;
}

/* The token without spaces around it, or NULL. */
static char *token_of_environment(void) {
    const char *given = environment("HF_TOKEN"), *named = environment("HF_TOKEN_PATH");
    buffer text = {0};
    capp_error ignored;
    if (!given) given = environment("HUGGING_FACE_HUB_TOKEN");
    if (given) {
        buffer_text(&text, given);
    } else { /* hf auth login writes the token there */
        char *home = hub_home_path(), *path = named ? text_of("%s", named) : text_of("%s/token", home);
        if (!read_file(path, &text, &ignored)) text.size = 0;
        free(home);
        free(path);
    }
    buffer_char(&text, 0);
    char *from = text.data + strspn(text.data, " \t\r\n"), *token = NULL;
    from[strcspn(from, " \t\r\n")] = 0;
    if (*from) token = text_of("%s", from);
    buffer_free(&text);
    return token;
}

/* The path with all characters except plain ones written as %XX. */
static char *escape(const char *path) {
    buffer out = {0};
    for (const char *c = path; *c; c++)
        if (is_one_of(*c, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/"))
            buffer_char(&out, *c);
        else
            buffer_printf(&out, "%%%02X", (unsigned char)*c);
    buffer_char(&out, 0);
    return out.data;
}

/* ---- Progress ---------------------------------------------------------------------------------------------------- */

static void wipe(const fetch *f) {
    if (f->how.bar) fputs("\r\033[K", stderr);
}

static void on_bytes(void *user, uint64_t there) {
    fetch *f = user;
    double now = seconds_now(), interval = f->how.bar ? BAR_SECONDS : f->how.seconds;
    if (f->how.quiet || !(interval > 0) || now - f->shown < interval) return;
    f->shown = now;
    uint64_t done = f->before + there;
    double speed = (double)(done > f->at_start ? done - f->at_start : 0) / (now - f->start);
    unsigned long left = speed > 0 ? (unsigned long)((double)(f->total - done) / speed + 0.5) : 0;
    char line[160];
    snprintf(line, sizeof line, "%3.0f %%  %s of %s  %s/s  %lu:%02lu left", 100 * (double)done / (double)f->total,
             human_bytes(done), human_bytes(f->total), human_bytes((uint64_t)speed), left / 60, left % 60);
    if (!f->how.bar) {
        complain("%s: %s", f->name->text, line);
        return;
    }
    fprintf(stderr, "\r%s  %.40s\033[K", line, f->file);
    fflush(stderr);
}

/* ---- Files of the cache ------------------------------------------------------------------------------------------ */

/* Makes the folders that lead to path. */
static bool make_folders(const char *path, capp_error *err) {
    char *copy = text_of("%s", path);
    bool good = true;
    for (char *c = copy + 1; good && *c; c++) {
        if (*c != '/') continue;
        *c = 0;
        if (mkdir(copy, 0777) && errno != EEXIST)
            good =
                fail_at(err, 0, "%s: cannot be created: %s; HF_HUB_CACHE names another folder", copy, strerror(errno));
        *c = '/';
    }
    free(copy);
    return good;
}

/* Size of a regular file in bytes, or -1. */
static int64_t size_of(const char *path) {
    struct stat facts;
    return !stat(path, &facts) && S_ISREG(facts.st_mode) ? (int64_t)facts.st_size : -1;
}

static char *blob_path(const fetch *f, const hub_file *file, const char *ending) {
    return text_of("%s/blobs/%s%s", f->folder, file->hash, ending);
}

static bool verify(const hub_file *file, int descriptor, const char *part, capp_error *err) {
    char digits[65];
    if (!digest_file(descriptor, file->size, file->large ? DIGEST_SHA256 : DIGEST_GIT_BLOB, digits, file->name, err))
        return false;
    if (!strcmp(digits, file->hash)) return true;
    unlink(part);
    return fail_at(err, 0,
                   "%s: the %s of the download is %s, but the server says %s; the download was deleted; fetch it again",
                   file->name, file->large ? "SHA-256" : "SHA-1", digits, file->hash);
}

/* Fills the open file at `part`, and gives it its final name after its hash is checked. */
static bool fill_blob(fetch *f, const hub_file *file, int descriptor, const char *part, const char *blob,
                      capp_error *err) {
    if (flock(descriptor, LOCK_EX | LOCK_NB))
        return fail_at(err, 0, "%s: another process is downloading this file; wait for it", part);
    char *escaped = escape(file->name);
    char *url = text_of("%s/%.*s/resolve/%s/%s", f->endpoint, (int)f->name->repository.size, f->name->repository.data,
                        f->list.commit, escaped);
    f->file = file->name;
    bool good = http_download(&f->http, url, file->name, descriptor, file->size, on_bytes, f, err);
    wipe(f);
    good = good && verify(file, descriptor, part, err);
    if (good && (fsync(descriptor) || rename(part, blob)))
        good = fail_at(err, 0, "%s: cannot be written: %s", blob, strerror(errno));
    free(url);
    free(escaped);
    return good;
}

static bool fetch_blob(fetch *f, const hub_file *file, capp_error *err) {
    char *blob = blob_path(f, file, ""), *part = blob_path(f, file, ".incomplete");
    bool good = size_of(blob) == (int64_t)file->size;
    if (!good) {
        int descriptor = open(part, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
        good = descriptor >= 0 ? fill_blob(f, file, descriptor, part, blob, err)
                               : fail_at(err, 0, "%s: cannot be opened: %s", part, strerror(errno));
        if (descriptor >= 0) close(descriptor);
    }
    free(blob);
    free(part);
    f->before += file->size;
    return good;
}

/* Puts the file's name into the snapshot: a link to the blob. */
static bool link_blob(const fetch *f, const hub_file *file, capp_error *err) {
    char *path = text_of("%s/snapshots/%s/%s", f->folder, f->list.commit, file->name);
    buffer target = {0};
    for (const char *c = file->name; *c; c++)
        if (*c == '/') buffer_text(&target, "../");
    buffer_printf(&target, "../../blobs/%s", file->hash);
    buffer_char(&target, 0);
    bool good = make_folders(path, err);
    if (good && unlink(path) && errno != ENOENT) good = fail_at(err, 0, "%s: %s", path, strerror(errno));
    if (good && symlink(target.data, path) && errno != EEXIST)
        good = fail_at(err, 0, "%s: cannot be created: %s", path, strerror(errno));
    buffer_free(&target);
    free(path);
    return good;
}

static bool check_space(const fetch *f, capp_error *err) {
    struct statvfs facts;
    if (statvfs(f->folder, &facts)) return true;
    uint64_t room = (uint64_t)facts.f_bavail * facts.f_frsize, missing = f->total - f->at_start;
    if (missing <= room) return true;
    return fail_at(err, 0, "%s needs %s, but %s has %s free; HF_HUB_CACHE names another folder", f->name->text,
                   human_bytes(missing), f->folder, human_bytes(room));
}

/* ---- A fetch ----------------------------------------------------------------------------------------------------- */

static bool ask_list(fetch *f, capp_error *err) {
    buffer answer = {0};
    char *url = text_of("%s/api/models/%.*s/revision/main?blobs=true", f->endpoint, (int)f->name->repository.size,
                        f->name->repository.data);
    bool good = http_get(&f->http, url, f->name->text, MOST_LIST, &answer, err) &&
                hub_list_read(&f->list, buffer_view(&answer), f->name->text, err) &&
                hub_list_choose(&f->list, f->name, err);
    buffer_free(&answer);
    free(url);
    return good;
}

/* Counts the bytes to fetch and the bytes that already exist. */
static void count_bytes(fetch *f) {
    for (size_t i = 0; i < f->list.n; i++) {
        const hub_file *file = &f->list.files[i];
        char *blob = blob_path(f, file, ""), *part = blob_path(f, file, ".incomplete");
        int64_t there = size_of(blob) == (int64_t)file->size ? (int64_t)file->size : size_of(part);
        f->total += file->size;
        if (there > 0 && (uint64_t)there <= file->size) f->at_start += (uint64_t)there;
        free(blob);
        free(part);
    }
}

static void tell_start(const fetch *f) {
    if (f->how.quiet) return;
    if (f->at_start == f->total) {
        complain("%s: already there, in %s", f->name->text, f->folder);
        return;
    }
    char there[64] = "";
    if (f->at_start) snprintf(there, sizeof there, ", of which %s is there", human_bytes(f->at_start));
    complain("%s: %zu file%s, %s%s, from %s to %s", f->name->text, f->list.n, f->list.n == 1 ? "" : "s",
             human_bytes(f->total), there, f->endpoint, f->folder);
}

/* The branch points to the snapshot only when all files exist. */
static bool write_reference(const fetch *f, capp_error *err) {
    char *path = text_of("%s/refs/main", f->folder);
    bool good = make_folders(path, err);
    if (good && !write_whole_file(path, capp_str_of(f->list.commit)))
        good = fail_at(err, 0, "%s: cannot be written: %s", path, strerror(errno));
    free(path);
    return good;
}

static bool fetch_files(fetch *f, capp_error *err) {
    char *blobs = text_of("%s/blobs/", f->folder);
    bool good = make_folders(blobs, err);
    free(blobs);
    count_bytes(f);
    if (!good || !check_space(f, err)) return false;
    tell_start(f);
    f->start = f->shown = seconds_now();
    for (size_t i = 0; i < f->list.n; i++)
        if (!fetch_blob(f, &f->list.files[i], err) || !link_blob(f, &f->list.files[i], err)) return false;
    return write_reference(f, err);
}

/* The repository's folder in the cache: models--OWNER--NAME. */
static char *repository_folder(const model_name *name) {
    const char *slash = memchr(name->repository.data, '/', name->repository.size);
    size_t owner = (size_t)(slash - name->repository.data);
    char *hub = hub_cache_path();
    char *folder = text_of("%s/models--%.*s--%.*s", hub, (int)owner, name->repository.data,
                           (int)(name->repository.size - owner - 1), slash + 1);
    free(hub);
    return folder;
}

bool hub_fetch(const model_name *name, hub_progress how, char **path, capp_error *err) {
    *path = NULL;
    if (is_offline()) return fail_at(err, 0, "%s: HF_HUB_OFFLINE is set, so nothing is fetched; unset it", name->text);
    fetch f = {.name = name, .how = how, .endpoint = endpoint_of_environment(), .token = token_of_environment()};
    f.folder = repository_folder(name);
    bool good = http_open(&f.http, f.token, err) && ask_list(&f, err) && fetch_files(&f, err);
    if (good) {
        char *snapshot = text_of("%s/snapshots/%s", f.folder, f.list.commit);
        good = folder_find(snapshot, name, path, err);
        if (good && !*path)
            good = fail_at(err, 0, "%s: a file of the model is missing in %s; fetch it again", name->text, snapshot);
        free(snapshot);
    }
    if (f.http.curl) http_close(&f.http);
    hub_list_free(&f.list);
    free(f.endpoint);
    free(f.token);
    free(f.folder);
    return good;
}
