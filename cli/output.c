#define _GNU_SOURCE
#include "output.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FLUSH_BYTES = 1 << 16 };

static bool same_file(const struct stat *a, const char *path) {
    struct stat b;
    if (path && *path == '@') path++;
    return path && *path && !stat(path, &b) && a->st_dev == b.st_dev && a->st_ino == b.st_ino;
}

bool output_open(output *out, const char *path, const char *const *inputs, size_t n_inputs, capp_error *err) {
    *out = (output){.file = STDOUT_FILENO, .name = "stdout", .begun = true, .flushed = seconds_now()};
    if (!path || !strcmp(path, "-")) return true;
    out->path = out->name = path;
    out->csv = ends_with(path, ".csv");
    out->begun = false;
    out->file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    if (out->file < 0) return fail_at(err, 0, "%s: cannot be written: %s", path, strerror(errno));
    struct stat facts;
    if (fstat(out->file, &facts)) return fail_at(err, 0, "%s: %s", path, strerror(errno));
    if (!S_ISREG(facts.st_mode)) {
        out->begun = true;
        return true;
    }
    for (size_t i = 0; i < n_inputs; i++)
        if (same_file(&facts, inputs[i])) {
            output_close(out, false);
            return fail_at(err, 0, "%s is read from and would be written over; give the output another name", path);
        }
    return true;
}

static bool begin(output *out) {
    if (!out->begun && ftruncate(out->file, 0)) out->error = errno;
    out->begun = true;
    return !out->error;
}

bool output_flush(output *out) {
    const char *data = out->rows.data;
    size_t left = out->rows.size;
    if (out->error || (left && !begin(out))) return false;
    while (left) {
        ssize_t n = write(out->file, data, left);
        if (n >= 0) {
            data += n;
            left -= (size_t)n;
        } else if (errno == EAGAIN) {
            struct pollfd file = {.fd = out->file, .events = POLLOUT};
            poll(&file, 1, 100);
        } else if (errno != EINTR) {
            out->error = errno;
            return false;
        }
    }
    out->rows.size = 0;
    out->flushed = seconds_now();
    return true;
}

bool output_end_row(output *out) {
    buffer_str(&out->rows, buffer_view(&out->row));
    out->row.size = 0;
    if (out->rows.size >= FLUSH_BYTES || seconds_now() - out->flushed > 1) return output_flush(out);
    return !out->error;
}

bool output_close(output *out, bool truncate) {
    output_flush(out);
    if (out->path && out->file >= 0) {
        if (truncate && !out->error) begin(out);
        if (close(out->file) && !out->error) out->error = errno;
    }
    out->file = -1;
    buffer_free(&out->row);
    buffer_free(&out->rows);
    return !out->error;
}

int output_failed(const output *out) {
    if (out->error == EPIPE) return EXIT_DONE;
    complain("%s: cannot be written: %s", out->name, strerror(out->error));
    return EXIT_FAILED;
}

int output_print(capp_str text) {
    output out;
    capp_error err = {.row = CAPP_NO_ROW};
    output_open(&out, NULL, NULL, 0, &err);
    buffer_str(&out.rows, text);
    return output_close(&out, false) ? EXIT_DONE : output_failed(&out);
}

/* ---- Values ---------------------------------------------------------------------------------------------------- */

void put_string(buffer *b, capp_str text) {
    buffer_char(b, '"');
    for (size_t i = 0; i < text.size;) {
        unsigned char c = (unsigned char)text.data[i];
        size_t n = utf8_character(text.data + i, text.size - i);
        if (!n)
            buffer_text(b, "\xEF\xBF\xBD");
        else if (c == '"' || c == '\\')
            buffer_printf(b, "\\%c", c);
        else if (c == '\n')
            buffer_text(b, "\\n");
        else if (c < 0x20 || c == 0x7F)
            buffer_printf(b, "\\u%04x", c);
        else
            buffer_add(b, text.data + i, n);
        i += n ? n : 1;
    }
    buffer_char(b, '"');
}

void put_double(buffer *b, double value) {
    char text[40];
    if (!isfinite(value)) {
        buffer_text(b, "null");
        return;
    }
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value) break;
    }
    buffer_text(b, text);
}

void put_float(buffer *b, float value) {
    char text[40];
    snprintf(text, sizeof text, "%.9g", (double)value);
    buffer_text(b, isfinite(value) ? text : "null");
}

#define PUT_ARRAY(put)                                                                                                 \
    buffer_char(b, '[');                                                                                               \
    for (size_t i = 0; i < n; i++) {                                                                                   \
        if (i) buffer_text(b, ", ");                                                                                   \
        put;                                                                                                           \
    }                                                                                                                  \
    buffer_char(b, ']')

void put_doubles(buffer *b, const double *values, size_t n) {
    PUT_ARRAY(put_double(b, values[i]));
}
void put_floats(buffer *b, const float *values, size_t n) {
    PUT_ARRAY(put_float(b, values[i]));
}
void put_ids(buffer *b, const int32_t *ids, size_t n) {
    PUT_ARRAY(buffer_printf(b, "%d", (int)ids[i]));
}

void put_cell(buffer *b, capp_str text) {
    bool quote = !text.size;
    for (size_t i = 0; i < text.size && !quote; i++) quote = is_one_of(text.data[i], ",\"\r\n");
    if (text.size && (text.data[0] == ' ' || text.data[text.size - 1] == ' ')) quote = true;
    if (!quote) {
        buffer_str(b, text);
        return;
    }
    buffer_char(b, '"');
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] == '"') buffer_char(b, '"');
        buffer_char(b, text.data[i]);
    }
    buffer_char(b, '"');
}
