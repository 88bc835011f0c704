#define _GNU_SOURCE
#include "source.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PART = 1 << 18 };

bool source_open(source *s, const char *path, size_t max_record, capp_error *err) {
    *s = (source){.file = STDIN_FILENO, .name = "stdin", .max_record = max_record ? max_record : SIZE_MAX};
    if (path && strcmp(path, "-") != 0) {
        s->path = s->name = path;
        s->file = open(path, O_RDONLY | O_CLOEXEC);
        if (s->file < 0) return fail_at(err, 0, "%s: cannot be opened: %s", path, strerror(errno));
    }
    struct stat facts;
    if (!fstat(s->file, &facts)) {
        if (S_ISDIR(facts.st_mode)) return fail_at(err, 0, "%s: is a directory, not a file of rows", s->name);
        s->start = S_ISREG(facts.st_mode) ? lseek(s->file, 0, SEEK_CUR) : -1;
        s->regular = s->start >= 0;
        if (s->regular && facts.st_size > s->start) s->total = (uint64_t)(facts.st_size - s->start);
    }
    return true;
}

void source_close(source *s) {
    if (s->path && s->file >= 0) close(s->file);
    free(s->data);
    unpack_close(s->unpacker);
    buffer_free(&s->packed);
    *s = (source){.file = -1};
}

bool source_rewind(source *s, capp_error *err) {
    if (lseek(s->file, s->start, SEEK_SET) != s->start)
        return fail_at(err, 0, "%s: cannot be read again: %s", s->name, strerror(errno));
    unpack_close(s->unpacker);
    s->unpacker = NULL;
    s->packed.size = s->packed_at = 0;
    s->begin = s->end = s->scanned = s->line = 0;
    s->read = 0;
    s->ended = s->opened = s->after_cr = s->discard = false;
    return true;
}

/* ---- Reading --------------------------------------------------------------------------------------------------- */

/* Waits for input or a signal. In steps, since a signal may come just before poll does. */
static bool readable(const source *s, bool wait) {
    struct pollfd file = {.fd = s->file, .events = POLLIN};
    for (;;) {
        int n = poll(&file, 1, wait ? 200 : 0);
        if (n > 0) return true; /* also at the end of the file and for an error, which read will name */
        if (!wait || interrupted()) return false;
    }
}

/* Bytes of the file into `into`: *n of at most PART, 0 at its end. */
static read_status read_part(source *s, bool wait, char *into, size_t *n, capp_error *err) {
    if (!readable(s, wait)) return interrupted() ? READ_END : READ_LATER;
    ssize_t got = read(s->file, into, PART);
    if (got < 0) {
        if (errno == EINTR || errno == EAGAIN) return interrupted() ? READ_END : READ_LATER;
        fail_at(err, 0, "%s: cannot be read: %s", s->name, strerror(errno));
        return READ_FAILED;
    }
    *n = (size_t)got;
    s->read += *n;
    return READ_ROW;
}

static read_status fill_unpacked(source *s, bool wait, capp_error *err) {
    size_t n = 0;
    while (!n && !interrupted()) {
        capp_str packed = {s->packed.data + s->packed_at, s->packed.size - s->packed_at};
        if (!unpack_some(s->unpacker, &packed, s->data + s->end, PART, &n)) {
            fail_at(err, 0, "%s: the %s data are damaged behind line %zu", s->name, packing_name(s->packing), s->line);
            return READ_FAILED;
        }
        s->packed_at = s->packed.size - packed.size;
        if (n || packed.size) continue;
        grow(&s->packed.data, &s->packed.capacity, PART, 1);
        s->packed.size = s->packed_at = 0;
        read_status status = read_part(s, wait, s->packed.data, &s->packed.size, err);
        if (status != READ_ROW) return status;
        if (s->packed.size) continue;
        s->ended = true;
        if (unpack_complete(s->unpacker)) break;
        fail_at(err, 0, "%s: the %s data end too early, behind line %zu: the file is cut short", s->name,
                packing_name(s->packing), s->line);
        return READ_FAILED;
    }
    s->end += n;
    return READ_ROW;
}

/* Reads more behind what is there. */
static read_status fill(source *s, bool wait, capp_error *err) {
    if (s->ended || interrupted()) return READ_END;
    if (s->begin) {
        memmove(s->data, s->data + s->begin, s->end - s->begin);
        s->end -= s->begin;
        s->scanned -= s->begin;
        s->begin = 0;
    }
    grow(&s->data, &s->capacity, s->end + PART, 1);
    if (s->unpacker) return fill_unpacked(s, wait, err);
    size_t n;
    read_status status = read_part(s, wait, s->data + s->end, &n, err);
    if (status != READ_ROW) return status;
    s->end += n;
    s->ended = n == 0;
    return READ_ROW;
}

/* Fills where that is all there is to do; READ_LATER only where the caller does not wait. */
static read_status fill_on(source *s, bool wait, capp_error *err) {
    read_status status = fill(s, wait, err);
    return status == READ_LATER && wait ? READ_ROW : status;
}

/* Whether the first bytes are no text: a text may begin with "GGUF" too. */
static bool is_binary(const source *s) {
    enum { LOOKED_AT = 512 };
    size_t size = s->end - s->begin, cut = 0; /* bytes of a character that may be cut off */
    const char *data = s->data + s->begin;
    if (size > LOOKED_AT) {
        size = LOOKED_AT;
        cut = 3;
    }
    return size && (memchr(data, 0, size) || utf8_valid(data, size) + cut < size);
}

/* Files that are no rows of text, by their first bytes. */
static bool check_kind(const source *s, capp_error *err) {
    static const struct {
        const char *magic;
        size_t size;
        const char *what;
    } kinds[] = {
        {"\xFF\xFE", 2, "is UTF-16; convert it by iconv -f UTF-16 -t UTF-8"},
        {"\xFE\xFF", 2, "is UTF-16; convert it by iconv -f UTF-16 -t UTF-8"},
        {"PK\3\4", 4, "is a ZIP archive, as spreadsheets are (.xlsx, .ods); save the table as CSV in UTF-8"},
        {"\xD0\xCF\x11\xE0", 4, "is an old spreadsheet or document (.xls, .doc); save the table as CSV in UTF-8"},
        {"PAR1", 4, "is a Parquet file; write its rows as JSON lines or CSV"},
        {"ARROW1", 6, "is an Arrow file; write its rows as JSON lines or CSV"},
        {"SQLite format 3", 15, "is an SQLite database; write its rows as JSON lines or CSV"},
        {"GGUF", 4, "is a model; name it by -m"},
        {"%PDF", 4, "is a PDF document, not rows of text"},
        {"BZh", 3, "is compressed by bzip2; give it as bzip2 -dc FILE | capp ..."},
        {"\xFD\x37zXZ", 5, "is compressed by xz; give it as xz -dc FILE | capp ..."},
        {"\x04\x22\x4D\x18", 4, "is compressed by lz4; give it as lz4 -dc FILE | capp ..."},
    };
    for (size_t i = 0; is_binary(s) && i < sizeof kinds / sizeof *kinds; i++)
        if (s->end - s->begin >= kinds[i].size && !memcmp(s->data + s->begin, kinds[i].magic, kinds[i].size))
            return fail_at(err, 0, "%s: %s", s->name, kinds[i].what);
    return true;
}

/* Finds out whether the input is compressed, and skips a byte order mark. READ_ROW: the beginning is known. */
static read_status begin(source *s, bool wait, capp_error *err) {
    static const char mark[] = "\xEF\xBB\xBF";
    while (!s->opened) {
        size_t n = s->end - s->begin;
        bool more = false;
        packing kind = n && !s->unpacker ? packing_of(s->data + s->begin, n, &more) : PACKING_NONE;
        if (kind != PACKING_NONE) {
            s->packing = kind;
            s->unpacker = unpack_open(kind);
            buffer_add(&s->packed, s->data + s->begin, n);
            s->begin = s->end = s->scanned = 0;
            s->ended = false;
        } else if (s->ended || (n && !more && (n >= 3 || memcmp(s->data + s->begin, mark, n) != 0))) {
            if (!check_kind(s, err)) return READ_FAILED;
            if (n >= 3 && !memcmp(s->data + s->begin, mark, 3)) s->begin = s->scanned = s->begin + 3;
            s->opened = true;
        } else {
            read_status status = fill_on(s, wait, err);
            if (status != READ_ROW) return status;
        }
    }
    return READ_ROW;
}

read_status source_ahead(source *s, size_t least, bool wait, capp_str *view, capp_error *err) {
    read_status status = begin(s, wait, err);
    while (status == READ_ROW && s->end - s->begin < least && !s->ended) status = fill_on(s, wait, err);
    if (status == READ_ROW && s->begin == s->end && least) return READ_END;
    if (status == READ_ROW) *view = (capp_str){s->data + s->begin, s->end - s->begin};
    return status;
}

void source_skip(source *s, size_t n) {
    for (const char *at = s->data + s->begin, *end = at + n; at < end; at++) {
        if (*at == '\n' && !s->after_cr) s->line++;
        s->after_cr = *at == '\r';
        s->line += s->after_cr;
    }
    s->begin += n;
    s->scanned = s->begin;
}

/* ---- Lines ----------------------------------------------------------------------------------------------------- */

static read_status give_out(source *s, size_t size, capp_str *line, capp_error *err) {
    *line = (capp_str){s->data + s->begin, size};
    s->begin += size;
    s->scanned = s->begin;
    if (!s->after_cr || size != 1 || line->data[0] != '\n') s->line++;
    s->after_cr = s->cr && line->data[size - 1] == '\r';
    size_t valid = utf8_valid(line->data, size);
    if (valid == size) return READ_ROW;
    fail_at(err, s->line, "invalid UTF-8 at byte %zu of the line; convert the file, for example by iconv -t UTF-8",
            valid + 1);
    return READ_BAD;
}

/* Behind the end of the line that begins at s->begin, or NULL: it is not yet here. */
static const char *line_end(source *s) {
    const char *from = s->data + s->scanned;
    size_t size = s->end - s->scanned;
    if (!size) return NULL;
    const char *feed = memchr(from, '\n', size);
    const char *back = s->cr ? memchr(from, '\r', feed ? (size_t)(feed - from) : size) : NULL;
    s->scanned = s->end;
    return back ? back + 1 : feed ? feed + 1 : NULL;
}

/* Leaves out what is here of a line that is too long. */
static void discard(source *s) {
    const char *end = line_end(s);
    s->begin = end ? (size_t)(end - s->data) : s->end;
    s->scanned = s->begin;
    if (end) s->after_cr = end[-1] == '\r';
    s->discard = !end && !s->ended;
}

static read_status too_long(source *s, capp_str *line, capp_error *err) {
    *line = (capp_str){"", 0};
    s->line++;
    s->discard = true;
    s->scanned = s->begin;
    fail_at(err, s->line, "the record has more than %s; make it shorter, or allow more by --max-record",
            human_bytes(s->max_record));
    return READ_BAD;
}

read_status source_line(source *s, bool wait, capp_str *line, capp_error *err) {
    read_status status = begin(s, wait, err);
    while (status == READ_ROW) {
        if (s->discard) discard(s);
        const char *found = s->discard ? NULL : line_end(s);
        size_t size = found ? (size_t)(found - (s->data + s->begin)) : s->end - s->begin;
        if (!s->discard && size > s->max_record) return too_long(s, line, err);
        if (found) return give_out(s, size, line, err);
        if (s->ended) return s->begin == s->end ? READ_END : give_out(s, size, line, err);
        status = fill_on(s, wait, err);
    }
    return status;
}

double source_share(const source *s) {
    if (!s->total) return -1;
    uint64_t waiting = s->unpacker ? s->packed.size - s->packed_at : s->end - s->begin;
    double share = (double)(s->read - (waiting < s->read ? waiting : s->read)) / (double)s->total;
    return share < 1 ? share : 1;
}
