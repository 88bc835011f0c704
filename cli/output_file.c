#include "output_file.h"
#include "names.h"
#include "option_table.h"
#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FLUSH_BYTES = 1 << 16, FLUSH_ROWS = 256 }; /* rows: of a transaction of a store */

static const double FLUSH_SECONDS = 1, IDLE_SECONDS = 0.2;

/* ---- Opening --------------------------------------------------------------------------------------------------- */

bool output_form_of(const char *path, output_form *form, packing *packed, capp_error *err) {
    static const struct {
        const char *end;
        output_form form;
    } forms[] = {
        {".jsonl", OUTPUT_JSONL}, {".ndjson", OUTPUT_JSONL}, {".json", OUTPUT_JSONL},
        {".csv", OUTPUT_CSV},     {".tsv", OUTPUT_TSV},
    };
    static const struct {
        const char *end;
        packing packing;
    } packings[] = {{".gz", PACKING_GZIP}, {".zst", PACKING_ZSTD}, {"", PACKING_NONE}};
    char end[16];
    for (size_t i = 0; i < sizeof packings / sizeof *packings; i++)
        for (size_t j = 0; j < sizeof forms / sizeof *forms; j++) {
            snprintf(end, sizeof end, "%s%s", forms[j].end, packings[i].end);
            if (!ends_with(path, end)) continue;
            *form = forms[j].form;
            *packed = packings[i].packing;
            return true;
        }
    if (ends_with(path, ".parquet"))
        return fail_at(
            err, 0,
            "-o %s: Python writes Parquet (with pandas and pyarrow): write a store with capp classify -o NAME.db, "
            "then run python3 -c 'from capp.store import Store; "
            "Store(\"NAME.db\").frame().to_parquet(\"NAME.parquet\")'",
            path);
    return fail_at(
        err, 0,
        "-o %s: unknown ending; use .jsonl, .json, .csv or .tsv, also followed by .gz or .zst; or .db for a store",
        path);
}

static bool fail_input(const char *path, capp_error *err) {
    return fail_at(err, 0, "%s is also the input; use another name for the output", path);
}

/* Whether the file at path is different from all inputs. */
static bool spares_inputs(const struct stat *file, const char *path, const char *const *inputs, size_t n_inputs,
                          capp_error *err) {
    for (size_t i = 0; i < n_inputs; i++)
        if (inputs[i] && same_file(file, inputs[i] + (*inputs[i] == '@'))) return fail_input(path, err);
    return true;
}

/* The same for a file that the run writes next to its output. */
static bool beside_spares_inputs(const output *out, const char *ending, const char *const *inputs, size_t n_inputs,
                                 capp_error *err) {
    struct stat facts;
    char *path = output_beside(out, ending);
    bool good = stat(path, &facts) || spares_inputs(&facts, path, inputs, n_inputs, err);
    free(path);
    return good;
}

static bool refuse(output *out, capp_error *err) {
    capp_error cause = *err;
    output_close(out, false);
    *err = cause;
    return false;
}

bool output_open(output *out, const char *path, const char *const *inputs, size_t n_inputs, capp_error *err) {
    *out = (output){.file = STDOUT_FILENO, .name = "stdout", .begun = true, .flushed = seconds_now()};
    if (!path || !strcmp(path, "-")) return true;
    out->path = out->name = path;
    out->begun = false;
    out->file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    out->created = out->file >= 0;
    if (!out->created) out->file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    if (out->file < 0) return fail_at(err, 0, "%s: cannot write the file: %s", path, strerror(errno));
    struct stat facts;
    if (fstat(out->file, &facts)) return fail_at(err, 0, "%s: %s", path, strerror(errno));
    if (!S_ISREG(facts.st_mode)) {
        out->begun = true;
        return true;
    }
    if (!spares_inputs(&facts, path, inputs, n_inputs, err)) return refuse(out, err);
    /* Some file systems have no locks. On them every process may write. */
    if (flock(out->file, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK) {
        fail_at(err, 0,
                "%s: another process is writing to this file; wait until it ends, or use another name for the output",
                path);
        return refuse(out, err);
    }
    return true;
}

static bool keep_rows(output *out, const char *path, capp_error *err) {
    if (out->stored && store_is_unused(path)) {
        out->resumed = false;
        return true;
    }
    if (out->stored) {
        out->store = store_open(path, true, err);
        if (out->store) out->lines = (size_t)store_number(out->store, "SELECT coalesce(max(row) + 1, 0) FROM rows");
        if (out->store && store_errno(out->store)) store_fail(out->store, err);
        return (out->store && !store_errno(out->store)) || refuse(out, err);
    }
    return whole_rows(path, out->packing, out->form != OUTPUT_JSONL, &out->lines, &out->size, err) || refuse(out, err);
}

/* A store has the log-probabilities of all completions. */
static bool check_store(const options *settings, capp_error *err) {
    if (settings->bit != COMMAND_CLASSIFY)
        return fail_at(err, 0, "-o %s: only classify writes a store; use a name that ends in .jsonl", settings->out);
    if (settings->only_prediction)
        return fail_at(err, 0,
                       "-o %s: a store needs the log-probabilities of all classes, which --only-prediction does not "
                       "compute; remove one of the two",
                       settings->out);
    if (settings->keep || settings->n_rename || settings->top)
        return fail_at(
            err, 0, "-o %s: a store keeps all columns and all classes; give --keep, --rename and --top to capp export",
            settings->out);
    return true;
}

/* Labels are work of a person: --overwrite does not remove them. */
static bool spares_labels(const char *path, capp_error *err) {
    capp_error other;
    store *s = store_open(path, false, &other); /* what is not a store has no labels */
    int64_t n = s ? store_number(s, "SELECT count(*) FROM labels") : 0;
    store_close(s);
    return !n || fail_at(err, 0,
                         "%s has %lld labels of capp label, which --overwrite would remove; use another name for the "
                         "output, or delete the file first",
                         path, (long long)n);
}

/* Whether --resume of the command may continue what the file holds. A variant of a sweep is a run of classify with a
 * label, and sweep has no --resume. */
static bool can_resume(const options *settings, bool stored) {
    bool has = false;
    for (size_t i = 0; i < n_option_rows; i++)
        has = has || (option_rows[i].id == OPT_RESUME && option_has(&option_rows[i], settings->bit));
    if (!has || (settings->bit == COMMAND_CLASSIFY && settings->label)) return false;
    if (!stored || store_is_unused(settings->out)) return true;
    capp_error other;
    store *s = store_open(settings->out, false, &other);
    store_close(s);
    return s != NULL;
}

bool output_open_rows(output *out, const options *settings, bool columns, const char *const *inputs, size_t n_inputs,
                      capp_error *err) {
    static const char *const beside[] = {".run", ".errors.jsonl"};
    output_form form = OUTPUT_JSONL;
    packing packed = PACKING_NONE;
    capp_error ending = {.row = 0};
    bool to_file = settings->out && strcmp(settings->out, "-") != 0;
    bool stored = to_file && names_store(settings->out);
    if (stored && !check_store(settings, err)) return false;
    bool named = !to_file || stored || output_form_of(settings->out, &form, &packed, &ending);
    struct stat facts = {0};
    if (!named && (stat(settings->out, &facts) || S_ISREG(facts.st_mode))) { /* a device or pipe may have any name */
        *err = ending;
        spares_inputs(&facts, settings->out, inputs, n_inputs, err);
        return false;
    }
    if (form != OUTPUT_JSONL && !columns)
        return fail_at(err, 0, "-o %s: %s writes only JSON lines; use a name that ends in .jsonl", settings->out,
                       settings->command);
    if (!output_open(out, settings->out, inputs, n_inputs, err)) return false;
    out->form = form;
    out->packing = packed;
    out->fsync = settings->fsync;
    out->regular = to_file && !out->begun;
    out->stored = stored;
    if (stored && !out->regular)
        return fail_at(err, 0, "-o %s is not a regular file, which a store must be", settings->out);
    if (!out->regular) return true;
    for (size_t i = 0; i < sizeof beside / sizeof *beside; i++)
        if (!beside_spares_inputs(out, beside[i], inputs, n_inputs, err)) return refuse(out, err);
    if (fstat(out->file, &facts)) return fail_at(err, 0, "%s: %s", settings->out, strerror(errno)) || refuse(out, err);
    if (facts.st_size && settings->overwrite && stored && !spares_labels(settings->out, err)) return refuse(out, err);
    if (!facts.st_size || settings->overwrite) return true;
    out->resumed = settings->resume;
    if (settings->resume) return keep_rows(out, settings->out, err);
    fail_at(err, 0, "%s already holds %s; use %s--overwrite to replace it, or another name for the output",
            settings->out, human_bytes((uint64_t)facts.st_size),
            can_resume(settings, stored) ? "--resume to continue that run, " : "");
    return refuse(out, err);
}

char *output_beside(const output *out, const char *ending) {
    size_t n = strlen(out->path), more = strlen(ending) + 1;
    char *path = allocate(n + more, 1);
    memcpy(path, out->path, n);
    memcpy(path + n, ending, more);
    return path;
}

/* ---- Writing --------------------------------------------------------------------------------------------------- */

/* Writes all bytes if possible. Returns how many were written; if fewer, errno says why. */
static size_t write_all(int file, const char *data, size_t size) {
    size_t done = 0;
    while (done < size) {
        ssize_t n = write(file, data + done, size - done);
        if (n >= 0) {
            done += (size_t)n;
        } else if (errno == EAGAIN) {
            struct pollfd ready = {.fd = file, .events = POLLOUT};
            poll(&ready, 1, 100);
        } else if (errno != EINTR) {
            break;
        }
    }
    return done;
}

bool write_whole_file(const char *path, capp_str content) {
    char *part = text_of("%s.part", path);
    int file = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    bool good = file >= 0 && write_all(file, content.data, content.size) == content.size;
    int error = good ? 0 : errno;
    if (file >= 0 && close(file) && good) {
        good = false;
        error = errno;
    }
    if (good && rename(part, path)) {
        good = false;
        error = errno;
    }
    if (!good && file >= 0) unlink(part);
    free(part);
    errno = error;
    return good;
}

static bool fail_write(output *out, const char *what) {
    out->error = errno;
    out->wrong = what;
    return false;
}

static bool begin_store(output *out) {
    capp_error err;
    if (out->store) return store_prepare(out->store, out->fsync) || output_store_failed(out);
    out->store = store_make(out->path, out->file, out->fsync, &err);
    return out->store || fail_write(out, NULL);
}

bool output_store_failed(output *out) {
    errno = store_errno(out->store);
    out->pending = 0; /* rows after the last commit are not in the store */
    return fail_write(out, NULL);
}

/* Removes what is not kept. The manifest is written only after this, so it never describes rows of an earlier run. */
bool output_begin(output *out) {
    if (out->begun) return !out->error;
    out->begun = true;
    if (out->stored) return begin_store(out);
    if (ftruncate(out->file, (off_t)out->size) || lseek(out->file, 0, SEEK_END) < 0) return fail_write(out, NULL);
    if (!out->manifest.size) return true;
    char *path = output_beside(out, ".run");
    bool good = write_whole_file(path, buffer_view(&out->manifest)) || fail_write(out, "its manifest");
    free(path);
    return good;
}

/* Removes an incomplete row at the end of the file, unless another process has written after it. */
static void cut(const output *out, size_t torn) {
    struct stat facts;
    off_t at = lseek(out->file, 0, SEEK_CUR);
    if (!torn || at < (off_t)torn || fstat(out->file, &facts) || !S_ISREG(facts.st_mode) || at != facts.st_size) return;
    if (!ftruncate(out->file, at - (off_t)torn)) lseek(out->file, at - (off_t)torn, SEEK_SET);
}

/* The first n bytes of data were written, for example before the disk was full: keeps the complete rows among them. */
static void keep_whole(output *out, capp_str data, size_t n) {
    row_counter counter = {.quotes = out->form != OUTPUT_JSONL};
    if (out->packing == PACKING_NONE) count_rows(&counter, (capp_str){data.data, n});
    int error = errno;
    cut(out, n - (size_t)counter.whole);
    out->size += counter.whole;
    out->lines += counter.rows;
    out->pending = 0;
    errno = error;
}

bool output_flush(output *out) {
    if (out->before && !output_flush(out->before)) return false;
    if (out->error || (out->rows.size && !output_begin(out))) return false;
    out->flushed = seconds_now();
    if (out->store && out->pending) {
        if (!store_commit(out->store)) return output_store_failed(out);
        out->lines += out->pending;
        out->pending = 0;
    }
    if (!out->rows.size) return true;
    capp_str data = buffer_view(&out->rows);
    if (out->packing != PACKING_NONE) {
        out->packed.size = 0;
        pack(out->packing, data, &out->packed);
        data = buffer_view(&out->packed);
    }
    size_t n = write_all(out->file, data.data, data.size);
    if (n < data.size) {
        keep_whole(out, data, n);
        return fail_write(out, NULL);
    }
    out->size += data.size;
    out->lines += out->pending;
    out->pending = out->rows.size = 0;
    return !out->fsync || !fdatasync(out->file) || errno == EINVAL || errno == EROFS || fail_write(out, NULL);
}

bool output_end_row(output *out) {
    if (out->error) return false;
    buffer_str(&out->rows, buffer_view(&out->row));
    out->row.size = 0;
    out->pending++;
    bool full = out->store ? out->pending >= FLUSH_ROWS : out->rows.size >= FLUSH_BYTES;
    if (full || seconds_now() - out->flushed > FLUSH_SECONDS) return output_flush(out);
    return !out->error;
}

bool output_idle(output *out) {
    if (out->pending && seconds_now() - out->flushed > IDLE_SECONDS) return output_flush(out);
    return !out->error;
}

size_t output_rows(const output *out) {
    size_t lines = out->lines + out->pending;
    return lines - (out->form != OUTPUT_JSONL && lines);
}

/* ---- The end --------------------------------------------------------------------------------------------------- */

bool output_close(output *out, bool truncate) {
    output_flush(out);
    if (out->path && out->file >= 0) {
        if (truncate && !out->error) output_begin(out);
        if (out->store && !out->error) store_settle(out->store);
        store_close(out->store);
        out->store = NULL;
        struct stat facts;
        if (out->created && !out->begun && !fstat(out->file, &facts) && same_file(&facts, out->path)) unlink(out->path);
        if (close(out->file) && !out->error) out->error = errno;
    }
    out->file = -1;
    buffer_free(&out->row);
    buffer_free(&out->rows);
    buffer_free(&out->packed);
    buffer_free(&out->manifest);
    return !out->error;
}

int output_failed(const output *out) {
    if (out->error == EPIPE) return EXIT_DONE;
    bool full = out->error == ENOSPC || out->error == EDQUOT || out->error == EFBIG;
    size_t rows = output_rows(out);
    const char *cure = full ? "free some space" : out->error == EACCES ? "allow writing to its folder" : "repair that";
    if (out->regular)
        complain("%s: cannot write %s: %s; the file has %zu complete row%s; %s, then continue with --resume", out->name,
                 out->wrong ? out->wrong : "it", strerror(out->error), rows, rows == 1 ? "" : "s", cure);
    else
        complain("%s: cannot write the file: %s", out->name, strerror(out->error));
    return EXIT_FAILED;
}

int output_print(capp_str text) {
    output out;
    capp_error err = {.row = CAPP_NO_ROW};
    output_open(&out, NULL, NULL, 0, &err);
    buffer_str(&out.rows, text);
    return output_close(&out, false) ? EXIT_DONE : output_failed(&out);
}
