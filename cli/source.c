#include "source.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PART = 1 << 18 };

bool source_open(source *input, const char *path, size_t max_record, capp_error *err) {
    *input = (source){.file = STDIN_FILENO, .name = "stdin", .max_record = max_record ? max_record : SIZE_MAX};
    if (path && strcmp(path, "-") != 0) {
        input->path = input->name = path;
        input->file = open(path, O_RDONLY | O_CLOEXEC);
        if (input->file < 0) return fail_at(err, 0, "%s: cannot open the file: %s", path, strerror(errno));
    }
    struct stat facts;
    if (!fstat(input->file, &facts)) {
        if (S_ISDIR(facts.st_mode)) return fail_at(err, 0, "%s: this is a folder; use a file with rows", input->name);
        input->start = S_ISREG(facts.st_mode) ? lseek(input->file, 0, SEEK_CUR) : -1;
        input->regular = input->start >= 0;
        if (input->regular && facts.st_size > input->start) input->total = (uint64_t)(facts.st_size - input->start);
    }
    return true;
}

void source_close(source *input) {
    if (input->path && input->file >= 0) close(input->file);
    free(input->data);
    unpack_close(input->unpacker);
    buffer_free(&input->packed);
    *input = (source){.file = -1};
}

bool source_rewind(source *input, capp_error *err) {
    if (lseek(input->file, input->start, SEEK_SET) != input->start)
        return fail_at(err, 0, "%s: cannot read the file a second time: %s", input->name, strerror(errno));
    unpack_close(input->unpacker);
    input->unpacker = NULL;
    input->packed.size = input->packed_at = 0;
    input->begin = input->end = input->scanned = input->line = 0;
    input->read = 0;
    input->ended = input->opened = input->after_cr = input->discard = false;
    return true;
}

/* ---- Reading --------------------------------------------------------------------------------------------------- */

/* Waits for input or a signal. In steps, because a signal may arrive just before poll starts. */
static bool readable(const source *input, bool wait) {
    struct pollfd file = {.fd = input->file, .events = POLLIN};
    for (;;) {
        int n = poll(&file, 1, wait ? 200 : 0);
        if (n > 0) return true; /* poll also returns at the end of the file and for an error, which read will report */
        if (!wait || interrupted()) return false;
    }
}

/* Reads bytes of the file to `into`: *n of at most PART, 0 at the end. */
static read_status read_part(source *input, bool wait, char *into, size_t *n, capp_error *err) {
    if (!readable(input, wait)) return interrupted() ? READ_END : READ_LATER;
    ssize_t got = read(input->file, into, PART);
    if (got < 0) {
        if (errno == EINTR || errno == EAGAIN) return interrupted() ? READ_END : READ_LATER;
        fail_at(err, 0, "%s: cannot read the file: %s", input->name, strerror(errno));
        return READ_FAILED;
    }
    *n = (size_t)got;
    input->read += *n;
    return READ_ROW;
}

static read_status fill_unpacked(source *input, bool wait, capp_error *err) {
    size_t n = 0;
    while (!n && !interrupted()) {
        capp_str packed = {input->packed.data + input->packed_at, input->packed.size - input->packed_at};
        if (!unpack_some(input->unpacker, &packed, input->data + input->end, PART, &n)) {
            fail_at(err, 0, "%s: the %s data are damaged after line %zu; copy or compress the file again", input->name,
                    packing_name(input->packing), input->line);
            return READ_FAILED;
        }
        input->packed_at = input->packed.size - packed.size;
        if (n || packed.size) continue;
        grow(&input->packed.data, &input->packed.capacity, PART, 1);
        input->packed.size = input->packed_at = 0;
        read_status status = read_part(input, wait, input->packed.data, &input->packed.size, err);
        if (status != READ_ROW) return status;
        if (input->packed.size) continue;
        input->ended = true;
        if (unpack_complete(input->unpacker)) break;
        fail_at(err, 0, "%s: the %s data end after line %zu: the file is truncated; copy or compress it again",
                input->name, packing_name(input->packing), input->line);
        return READ_FAILED;
    }
    input->end += n;
    return READ_ROW;
}

/* Reads more bytes after the existing ones. */
static read_status fill(source *input, bool wait, capp_error *err) {
    if (input->ended || interrupted()) return READ_END;
    if (input->begin) {
        memmove(input->data, input->data + input->begin, input->end - input->begin);
        input->end -= input->begin;
        input->scanned -= input->begin;
        input->begin = 0;
    }
    grow(&input->data, &input->capacity, input->end + PART, 1);
    if (input->unpacker) return fill_unpacked(input, wait, err);
    size_t n;
    read_status status = read_part(input, wait, input->data + input->end, &n, err);
    if (status != READ_ROW) return status;
    input->end += n;
    input->ended = n == 0;
    return READ_ROW;
}

/* Fills the buffer; READ_LATER only if the caller does not wait. */
static read_status fill_on(source *input, bool wait, capp_error *err) {
    read_status status = fill(input, wait, err);
    return status == READ_LATER && wait ? READ_ROW : status;
}

/* Whether the first bytes are not text. A text may also begin with "GGUF". */
static bool is_binary(const source *input) {
    enum { LOOKED_AT = 512 };
    size_t size = input->end - input->begin, cut = 0; /* bytes of a character that may be cut off */
    const char *data = input->data + input->begin;
    if (size > LOOKED_AT) {
        size = LOOKED_AT;
        cut = 3;
    }
    return size && (memchr(data, 0, size) || utf8_valid(data, size) + cut < size);
}

/* UTF-16 without a byte order mark: every second byte of a text in Latin letters is zero. */
static bool is_utf16(const source *input) {
    enum { LOOKED_AT = 64, LEAST = 4 };
    const char *data = input->data + input->begin;
    size_t size = input->end - input->begin, zeros[2] = {0, 0};
    if (size > LOOKED_AT) size = LOOKED_AT;
    for (size_t i = 0; i < size; i++) zeros[i % 2] += !data[i];
    return size >= LEAST && ((!zeros[0] && zeros[1] == size / 2) || (!zeros[1] && zeros[0] == (size + 1) / 2));
}

/* Recognizes files that are not rows of text by their first bytes. */
static bool check_kind(const source *input, capp_error *err) {
    static const struct {
        const char *magic;
        size_t size;
        const char *what;
    } kinds[] = {
        {"\xFF\xFE", 2, "is UTF-16; convert it with iconv -f UTF-16 -t UTF-8"},
        {"\xFE\xFF", 2, "is UTF-16; convert it with iconv -f UTF-16 -t UTF-8"},
        {"PK\3\4", 4, "is a ZIP archive or a spreadsheet (.xlsx, .ods); save the table as CSV in UTF-8"},
        {"\xD0\xCF\x11\xE0", 4, "is an old spreadsheet or document (.xls, .doc); save the table as CSV in UTF-8"},
        {"PAR1", 4, "is a Parquet file; write its rows as JSON lines or CSV"},
        {"ARROW1", 6, "is an Arrow file; write its rows as JSON lines or CSV"},
        {"SQLite format 3", 15, "is an SQLite database; write its rows as JSON lines or CSV"},
        {"GGUF", 4, "is a model; use -m for it"},
        {"\x1F\x8B\x08", 3, "is compressed twice; uncompress it once, with gzip -dc FILE"},
        {"\x28\xB5\x2F\xFD", 4, "is compressed twice; uncompress it once, with gzip -dc FILE or zstd -dc FILE"},
        {"%PDF", 4, "is a PDF document; save its text as a text file"},
        {"BZh", 3, "is compressed with bzip2; use bzip2 -dc FILE | capp ..."},
        {"\xFD\x37zXZ", 5, "is compressed with xz; use xz -dc FILE | capp ..."},
        {"\x04\x22\x4D\x18", 4, "is compressed with lz4; use lz4 -dc FILE | capp ..."},
    };
    for (size_t i = 0; is_binary(input) && i < sizeof kinds / sizeof *kinds; i++)
        if (input->end - input->begin >= kinds[i].size &&
            !memcmp(input->data + input->begin, kinds[i].magic, kinds[i].size))
            return fail_at(err, 0, "%s: %s", input->name, kinds[i].what);
    if (is_utf16(input)) return fail_at(err, 0, "%s: %s", input->name, kinds[0].what);
    return true;
}

/* Finds out whether the input is compressed, and skips a byte order mark. READ_ROW: the beginning is known. */
static read_status begin(source *input, bool wait, capp_error *err) {
    static const char mark[] = "\xEF\xBB\xBF";
    while (!input->opened) {
        size_t n = input->end - input->begin;
        bool more = false;
        packing kind = n && !input->unpacker ? packing_of(input->data + input->begin, n, &more) : PACKING_NONE;
        if (kind != PACKING_NONE) {
            input->packing = kind;
            input->unpacker = unpack_open(kind);
            buffer_add(&input->packed, input->data + input->begin, n);
            input->begin = input->end = input->scanned = 0;
            input->ended = false;
        } else if (n >= 3 && !memcmp(input->data + input->begin, mark, 3)) { /* some programs write two */
            input->begin = input->scanned = input->begin + 3;
        } else if (input->ended || (n && !more && (n >= 3 || memcmp(input->data + input->begin, mark, n) != 0))) {
            if (!check_kind(input, err)) return READ_FAILED;
            input->opened = true;
        } else {
            read_status status = fill_on(input, wait, err);
            if (status != READ_ROW) return status;
        }
    }
    return READ_ROW;
}

read_status source_ahead(source *input, size_t least, bool wait, capp_str *view, capp_error *err) {
    read_status status = begin(input, wait, err);
    while (status == READ_ROW && input->end - input->begin < least && !input->ended) status = fill_on(input, wait, err);
    if (status == READ_ROW && input->begin == input->end && least) return READ_END;
    if (status == READ_ROW) *view = (capp_str){input->data + input->begin, input->end - input->begin};
    return status;
}

void source_skip(source *input, size_t n) {
    for (const char *at = input->data + input->begin, *end = at + n; at < end; at++) {
        if (*at == '\n' && !input->after_cr) input->line++;
        input->after_cr = *at == '\r';
        input->line += input->after_cr;
    }
    input->begin += n;
    input->scanned = input->begin;
}

/* ---- Lines ----------------------------------------------------------------------------------------------------- */

static read_status give_out(source *input, size_t size, capp_str *line, capp_error *err) {
    *line = (capp_str){input->data + input->begin, size};
    input->begin += size;
    input->scanned = input->begin;
    if (!input->after_cr || size != 1 || line->data[0] != '\n') input->line++;
    input->after_cr = input->cr && line->data[size - 1] == '\r';
    size_t valid = utf8_valid(line->data, size);
    if (valid == size) return READ_ROW;
    fail_at(err, input->line,
            "invalid UTF-8 at byte %zu of the line; convert the file, for example with iconv -t UTF-8", valid + 1);
    return READ_BAD;
}

/* The address after the end of the line that begins at begin, or NULL if it has not arrived. */
static const char *line_end(source *input) {
    const char *from = input->data + input->scanned;
    size_t size = input->end - input->scanned;
    if (!size) return NULL;
    const char *feed = memchr(from, '\n', size);
    const char *back = input->cr ? memchr(from, '\r', feed ? (size_t)(feed - from) : size) : NULL;
    input->scanned = input->end;
    return back ? back + 1 : feed ? feed + 1 : NULL;
}

/* Skips the part that has arrived of a line that is too long. */
static void discard(source *input) {
    const char *end = line_end(input);
    input->begin = end ? (size_t)(end - input->data) : input->end;
    input->scanned = input->begin;
    if (end) input->after_cr = end[-1] == '\r';
    input->discard = !end && !input->ended;
}

static read_status too_long(source *input, capp_str *line, capp_error *err) {
    *line = (capp_str){"", 0};
    input->line++;
    input->discard = true;
    input->scanned = input->begin;
    fail_at(err, input->line, "the record has more than %s; make it shorter, or set a larger --max-record",
            human_bytes(input->max_record));
    return READ_BAD;
}

read_status source_line(source *input, bool wait, capp_str *line, capp_error *err) {
    read_status status = begin(input, wait, err);
    while (status == READ_ROW) {
        if (input->discard) discard(input);
        const char *found = input->discard ? NULL : line_end(input);
        size_t size = found ? (size_t)(found - (input->data + input->begin)) : input->end - input->begin;
        if (!input->discard && size > input->max_record) return too_long(input, line, err);
        if (found) return give_out(input, size, line, err);
        if (input->ended) return input->begin == input->end ? READ_END : give_out(input, size, line, err);
        status = fill_on(input, wait, err);
    }
    return status;
}

double source_share(const source *input) {
    if (!input->total) return -1;
    uint64_t waiting = input->unpacker ? input->packed.size - input->packed_at : input->end - input->begin;
    double share = (double)(input->read - (waiting < input->read ? waiting : input->read)) / (double)input->total;
    return share < 1 ? share : 1;
}
