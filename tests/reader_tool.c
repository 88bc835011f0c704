/* reader_tool FILE...: reads each file as the command does and prints its rows: "FORMAT" once, then for each row "LINE
 * NAME=TEXT ..." in hexadecimal, or "LINE bad"; at the end "end" or "failed LINE MESSAGE". */
#include <stdio.h>
#include <string.h>

#include "reader.h"

static void print_hex(capp_str text) {
    for (size_t i = 0; i < text.size; i++) printf("%02x", (unsigned char)text.data[i]);
}

static void print_row(const record *row, arena *a) {
    size_t n;
    const field *fields = record_fields(row, a, &n);
    printf("%zu", row->line);
    for (size_t i = 0; i < n; i++) {
        printf(" ");
        print_hex(fields[i].name);
        printf("=");
        print_hex(fields[i].text);
    }
    printf("\n");
    arena_reset(a);
}

static void print_file(const char *path) {
    static const capp_str asked[] = {{"text", 4}, {"id", 2}};
    const reader_options how = {.path = path, .max_record = 16 << 20, .quiet = true, .asked = asked, .n_asked = 2};
    reader r;
    arena memory = {0};
    capp_error err;
    read_status status = READ_ROW;
    if (!reader_open(&r, &how, &err)) status = READ_FAILED;
    while (status == READ_ROW || status == READ_BAD) {
        record row;
        bool known = r.known;
        status = reader_next(&r, &row, true, &err);
        if (!known && r.known) printf("%s\n", format_words(r.is.format, r.is.separator));
        if (status == READ_ROW) print_row(&row, &memory);
        if (status == READ_BAD) printf("%zu bad\n", err.row);
    }
    if (status == READ_FAILED)
        printf("failed %zu %s\n", err.row, err.message);
    else
        printf("end\n");
    arena_free(&memory);
    reader_close(&r);
}

int main(int count, char **arguments) {
    for (int i = 1; i < count; i++) print_file(arguments[i]);
    return 0;
}
