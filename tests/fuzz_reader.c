/* fuzz_reader MUTATIONS SEED: damages rows of CSV, JSON and text, plain and compressed, and reads them as the command
 * does. See fuzz.h. It also fails on more memory than the longest record allows, on texts that are not UTF-8, and where
 * a second pass, or a pipe, gives other rows than a file. */
#define _GNU_SOURCE
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "notes.h"
#include "reader.h"

enum { ROWS, BAD, FILES };                    /* what fuzz_counts counts */
enum { MOST_RECORD = 1000, SLACK = 1 << 19 }; /* a reader's memory beside the record: the parts that it reads */

static const char *const texts[] = {
    "id,text,label\n1,\"a \"\"quoted\"\" word\",yes\n2,\"two\nlines, and a comma\",no\n3,,\n",
    "id;text\r\n1;\"x;y\"\r\n\r\n2;z\r\n",
    "id\ttext\n1\tone\n2\t\"t\to\"\n",
    "text|id\rone|1\rtwo|2\r",
    ("{\"text\": \"a\\u00e9\\ud83d\\ude00\\n\", \"id\": 19.99, "
     "\"completions\": [\"b\", {\"text\": \"c\"}]}\n{\"text\": null}\n"),
    " [{\"text\": \"a\", \"n\": -1.50e+2},\n {\"text\": [1, {\"b\": [true]}]},\n\n{}]\n",
    "{\n \"text\": \"a\",\n \"text\": \"b\"\n}\n{\"id\": 1}\n",
    "one\n\n  two, three\r\nfour\n\n\n",
    "\xEF\xBB\xBFtext,id\n\"a\r\nb\",1\n",
};

enum { N_TEXTS = sizeof texts / sizeof *texts };

static bytes seeds[3 * N_TEXTS];

static const char *const words[] = {
    "\"",
    "\"\"",
    ",",
    ";",
    "\t",
    "|",
    "\n",
    "\r",
    "\r\n",
    "{",
    "}",
    "[",
    "]",
    ":",
    "\\",
    "\\u",
    "\\ud800",
    "\\udc00\\u0000",
    "null",
    "1e999",
    "-0",
    "\"text\":",
    "text",
    "id,text\n",
    "\xEF\xBB\xBF",
    "\xC3",
    "\xF0\x9F\x98\x80",
    "\xC2\xA0",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
    "\x1F\x8B\x08",
    "\x28\xB5\x2F\xFD",
    " ",
    "{\"a\": 1}\n",
    "//"};

static void mutate(bytes *b, uint64_t *r) {
    size_t at = fuzz_place(b, r), left = b->size - at, cut = up_to(r, 3) ? 0 : up_to(r, left < 8 ? left : 8);
    fuzz_text(b, at, cut, words[up_to(r, sizeof words / sizeof *words - 1)], &seeds[up_to(r, N_TEXTS - 1)], r);
}

/* ---- Reading ----------------------------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t hash, const void *data, size_t size) {
    const unsigned char *p = data;
    for (size_t i = 0; i < size; i++) hash = (hash ^ p[i]) * 0x100000001b3u;
    return (hash ^ size) * 0x100000001b3u;
}

static uint64_t mix_row(uint64_t hash, const record *row, arena *a) {
    size_t n;
    const field *fields = record_fields(row, a, &n);
    for (size_t i = 0; i < n; i++) {
        if (utf8_valid(fields[i].text.data, fields[i].text.size) < fields[i].text.size) fuzz_fail("a text is no UTF-8");
        capp_str form = visible_form(fields[i].text, a), text;
        if (!record_text(row, fields[i].name, a, &text)) fuzz_fail("a field is not found by its name");
        hash =
            mix(mix(mix(hash, fields[i].text.data, fields[i].text.size), form.data, form.size), text.data, text.size);
    }
    return mix(hash, &row->line, sizeof row->line);
}

/* A hash of all rows, their number, and how reading ends. */
static uint64_t read_rows(reader *r, bool count) {
    arena memory = {0};
    uint64_t hash = 1;
    read_status status = READ_ROW;
    while (status == READ_ROW || status == READ_BAD) {
        record row;
        capp_error err = {.row = 0};
        status = reader_next(r, &row, true, &err);
        hash = mix(hash, &status, sizeof status);
        if (status == READ_ROW) hash = mix_row(hash, &row, &memory);
        if ((status == READ_BAD || status == READ_FAILED) && !err.message[0]) fuzz_fail("a failure without a message");
        if (status == READ_BAD) hash = mix(hash, &err.row, sizeof err.row);
        if (count) fuzz_counts[status == READ_BAD ? BAD : ROWS] += status == READ_ROW || status == READ_BAD;
        if (r->source.capacity > 2 * MOST_RECORD + 2 * SLACK || r->cells.capacity > 4 * MOST_RECORD)
            fuzz_fail("more memory than the longest record needs");
        arena_reset(&memory);
    }
    arena_free(&memory);
    return hash;
}

static const char *const formats[] = {NULL, NULL, "csv", "tsv", "jsonl", "json", "text"};

/* Reads through a pipe that holds a whole mutant. */
static uint64_t read_pipe(const bytes *b, const reader_options *how) {
    int ends[2];
    reader r;
    capp_error err;
    if (pipe(ends) || write(ends[1], b->data, b->size) != (ssize_t)b->size) fuzz_fail("a pipe does not work");
    close(ends[1]);
    dup2(ends[0], STDIN_FILENO);
    close(ends[0]);
    reader_options from_stdin = *how;
    from_stdin.path = NULL;
    if (!reader_open(&r, &from_stdin, &err)) fuzz_fail("a pipe does not open");
    uint64_t hash = read_rows(&r, false);
    reader_close(&r);
    return hash;
}

static void use(bytes *b, const char *format) {
    static const capp_str asked[] = {{"text", 4}, {"id", 2}};
    int file = memfd_create("rows", 0);
    char path[40];
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    if (file < 0 || write(file, b->data, b->size) != (ssize_t)b->size) fuzz_fail("a file in memory does not work");
    const reader_options how = {
        .path = path, .format = format, .max_record = MOST_RECORD, .quiet = true, .asked = asked, .n_asked = 2};
    reader r;
    capp_error err;
    if (!reader_open(&r, &how, &err)) fuzz_fail("a file in memory does not open");
    uint64_t first = read_rows(&r, true);
    if (!reader_rewind(&r, &err) || read_rows(&r, false) != first) fuzz_fail("a second pass gives other rows");
    bool same =
        format && r.is.format != FORMAT_TEXT && r.known; /* the end decides about text with carriage returns alone */
    const reader_options again = {.path = path,
                                  .format = format,
                                  .separator = format && r.is.format == FORMAT_CSV ? r.is.separator : 0,
                                  .max_record = MOST_RECORD,
                                  .quiet = true,
                                  .asked = asked,
                                  .n_asked = 2};
    uint64_t piped = b->size < 60000 ? read_pipe(b, &again) : first;
    if (same && piped != first) fuzz_fail("a pipe gives other rows than a file");
    reader_close(&r);
    close(file);
    fuzz_counts[FILES]++;
}

static void try_one(uint64_t *r) {
    bytes b = fuzz_mutant(&seeds[up_to(r, sizeof seeds / sizeof *seeds - 1)], mutate, r);
    use(&b, formats[up_to(r, sizeof formats / sizeof *formats - 1)]);
    free(b.data);
}

/* ---- Seeds ------------------------------------------------------------------------------------------------------- */

static bytes copy_seed(const void *data, size_t size, size_t head) {
    bytes b = {malloc(size), size, head};
    if (!b.data) fuzz_fail("out of memory");
    memcpy(b.data, data, size);
    return b;
}

static void begin(int n, char **paths) {
    (void)n, (void)paths;
    for (size_t i = 0; i < N_TEXTS; i++) {
        unsigned char packed[4096];
        z_stream z = {.next_in = (unsigned char *)(uintptr_t)texts[i],
                      .avail_in = (unsigned)strlen(texts[i]),
                      .next_out = packed,
                      .avail_out = sizeof packed};
        seeds[i] = copy_seed(texts[i], strlen(texts[i]), strlen(texts[i]));
        deflateInit2(&z, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
        deflate(&z, Z_FINISH);
        seeds[N_TEXTS + i] = copy_seed(packed, z.total_out, z.total_out);
        deflateEnd(&z);
        size_t size = ZSTD_compress(packed, sizeof packed, texts[i], strlen(texts[i]), 3);
        seeds[2 * N_TEXTS + i] = copy_seed(packed, size, size);
    }
    for (size_t i = 0; i < sizeof seeds / sizeof *seeds; i++) {
        uint64_t before = fuzz_counts[ROWS];
        use(&seeds[i], NULL);
        if (fuzz_counts[ROWS] == before) fuzz_fail("a seed has no rows");
    }
}

static void end(void) {
    for (size_t i = 0; i < sizeof seeds / sizeof *seeds; i++) free(seeds[i].data);
}

int main(int argc, char **argv) {
    static const fuzzer f = {"fuzz_reader", "", 0, 40, {"rows", "bad rows", "files"}, begin, try_one, end};
    return fuzz_main(&f, argc, argv);
}
