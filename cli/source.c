#define _GNU_SOURCE
#include "source.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool source_open(source *s, const char *path, capp_error *err) {
    *s = (source){.file = STDIN_FILENO, .name = "stdin"};
    if (path && strcmp(path, "-") != 0) {
        s->path = s->name = path;
        s->file = open(path, O_RDONLY | O_CLOEXEC);
        if (s->file < 0) return fail_at(err, 0, "%s: cannot be opened: %s", path, strerror(errno));
    }
    struct stat facts;
    if (!fstat(s->file, &facts)) {
        if (S_ISDIR(facts.st_mode)) return fail_at(err, 0, "%s: is a directory, not a file of rows", s->name);
        if (S_ISREG(facts.st_mode)) s->total = (uint64_t)facts.st_size;
    }
    return true;
}

void source_close(source *s) {
    if (s->path && s->file >= 0) close(s->file);
    free(s->data);
    *s = (source){.file = -1};
}

/* Waits for input or a signal. In steps, since a signal may come just before poll does. */
static bool readable(const source *s, bool wait) {
    struct pollfd file = {.fd = s->file, .events = POLLIN};
    for (;;) {
        int n = poll(&file, 1, wait ? 200 : 0);
        if (n > 0) return true; /* also at the end of the file and for an error, which read will name */
        if (!wait || interrupted()) return false;
    }
}

/* Reads more behind what is there. */
static read_status fill(source *s, bool wait, capp_error *err) {
    enum { PART = 1 << 18 };
    if (s->ended || interrupted()) return READ_END;
    if (!readable(s, wait)) return interrupted() ? READ_END : READ_LATER;
    if (s->begin) {
        memmove(s->data, s->data + s->begin, s->end - s->begin);
        s->end -= s->begin;
        s->scanned -= s->begin;
        s->begin = 0;
    }
    grow(&s->data, &s->capacity, s->end + PART, 1);
    ssize_t n = read(s->file, s->data + s->end, PART);
    if (n < 0) {
        if (errno == EINTR || errno == EAGAIN) return interrupted() ? READ_END : READ_LATER;
        fail_at(err, 0, "%s: cannot be read: %s", s->name, strerror(errno));
        return READ_FAILED;
    }
    s->end += (size_t)n;
    s->ended = n == 0;
    return READ_ROW;
}

/* Skips a byte order mark, once. READ_ROW: the beginning is known. */
static read_status begin(source *s, bool wait, capp_error *err) {
    static const char mark[] = "\xEF\xBB\xBF";
    while (!s->opened) {
        size_t n = s->end - s->begin;
        if (n >= 3 || s->ended || (n && memcmp(s->data, mark, n) != 0)) {
            if (n >= 3 && !memcmp(s->data, mark, 3)) {
                s->begin = s->scanned = 3;
                s->taken = 3;
            }
            s->opened = true;
        } else {
            read_status status = fill(s, wait, err);
            if (status != READ_ROW && !(status == READ_LATER && wait)) return status;
        }
    }
    return READ_ROW;
}

read_status source_peek(source *s, char *byte, capp_error *err) {
    read_status status = begin(s, true, err);
    while (status == READ_ROW && s->begin == s->end) {
        status = fill(s, true, err);
        if (status == READ_LATER) status = READ_ROW;
    }
    if (status == READ_ROW) *byte = s->data[s->begin];
    return status;
}

static read_status hand_out(source *s, size_t size, capp_str *line, capp_error *err) {
    *line = (capp_str){s->data + s->begin, size};
    s->begin += size;
    s->scanned = s->begin;
    s->taken += size;
    s->line++;
    size_t valid = utf8_valid(line->data, size);
    if (valid == size) return READ_ROW;
    fail_at(err, s->line, "invalid UTF-8 at byte %zu of the line; convert the file, for example by iconv -t UTF-8",
            valid + 1);
    return READ_FAILED;
}

read_status source_line(source *s, bool wait, capp_str *line, capp_error *err) {
    read_status status = begin(s, wait, err);
    if (status != READ_ROW) return status;
    for (;;) {
        const char *end = s->scanned < s->end ? memchr(s->data + s->scanned, '\n', s->end - s->scanned) : NULL;
        if (end) return hand_out(s, (size_t)(end - (s->data + s->begin)) + 1, line, err);
        s->scanned = s->end;
        if (s->ended) return s->begin == s->end ? READ_END : hand_out(s, s->end - s->begin, line, err);
        status = fill(s, wait, err);
        if (status != READ_ROW && !(status == READ_LATER && wait)) return status;
    }
}

double source_share(const source *s) {
    return s->total ? (double)s->taken / (double)s->total : -1;
}
