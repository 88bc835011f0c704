#include "util.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>

/* ---- Memory ---------------------------------------------------------------------------------------------------- */

void out_of_memory(void) {
    complain("out of memory");
    exit(EXIT_FAILED);
}

void *reallocate(void *p, size_t n, size_t size) {
    if (size && n > SIZE_MAX / size) out_of_memory();
    size_t bytes = n * size;
    void *memory = realloc(p, bytes ? bytes : 1);
    if (!memory) out_of_memory();
    return memory;
}

void *allocate(size_t n, size_t size) {
    return reallocate(NULL, n, size);
}

void grow(void *array, size_t *capacity, size_t need, size_t size) {
    if (need <= *capacity) return;
    size_t more = *capacity + *capacity / 2 + 8;
    if (more < need) more = need;
    void *elements;
    memcpy(&elements, array, sizeof elements);
    elements = reallocate(elements, more, size);
    memcpy(array, &elements, sizeof elements);
    *capacity = more;
}

typedef struct arena_block {
    struct arena_block *next;
    size_t used, size;
    _Alignas(16) char data[];
} arena_block;

enum { ARENA_BLOCK = 256 * 1024 };

void *arena_allocate(arena *a, size_t n, size_t size) {
    if (size && n > (SIZE_MAX / 2) / size) out_of_memory();
    size_t bytes = (n * size + 15) & ~(size_t)15;
    if (!a->blocks || bytes > a->blocks->size - a->blocks->used) {
        size_t room = bytes > ARENA_BLOCK ? bytes : ARENA_BLOCK;
        arena_block *block = allocate(1, sizeof *block + room);
        *block = (arena_block){.next = a->blocks, .size = room};
        a->blocks = block;
    }
    void *p = a->blocks->data + a->blocks->used;
    a->blocks->used += bytes;
    a->used += bytes;
    return p;
}

capp_str arena_copy(arena *a, capp_str text) {
    char *copy = arena_allocate(a, text.size + 1, 1);
    if (text.size) memcpy(copy, text.data, text.size);
    copy[text.size] = 0;
    return (capp_str){copy, text.size};
}

void arena_reset(arena *a) {
    while (a->blocks && a->blocks->next) {
        arena_block *next = a->blocks->next;
        free(a->blocks);
        a->blocks = next;
    }
    if (a->blocks) a->blocks->used = 0;
    a->used = 0;
}

void arena_free(arena *a) {
    arena_reset(a);
    free(a->blocks);
    *a = (arena){0};
}

void buffer_add(buffer *b, const char *data, size_t size) {
    if (!size) return;
    grow(&b->data, &b->capacity, b->size + size, 1);
    memcpy(b->data + b->size, data, size);
    b->size += size;
}

void buffer_str(buffer *b, capp_str text) {
    buffer_add(b, text.data, text.size);
}
void buffer_text(buffer *b, const char *text) {
    buffer_add(b, text, strlen(text));
}
void buffer_char(buffer *b, char c) {
    buffer_add(b, &c, 1);
}

void buffer_printf(buffer *b, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int size = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (size < 0) return;
    grow(&b->data, &b->capacity, b->size + (size_t)size + 1, 1);
    va_start(args, format);
    vsnprintf(b->data + b->size, (size_t)size + 1, format, args);
    va_end(args);
    b->size += (size_t)size;
}

capp_str buffer_view(const buffer *b) {
    return (capp_str){b->data, b->size};
}

void buffer_free(buffer *b) {
    free(b->data);
    *b = (buffer){0};
}

/* ---- Text ------------------------------------------------------------------------------------------------------ */

bool str_equal(capp_str a, capp_str b) {
    return a.size == b.size && (!a.size || !memcmp(a.data, b.data, a.size));
}
bool str_is(capp_str a, const char *b) {
    return str_equal(a, capp_str_of(b));
}

bool ends_with(const char *text, const char *end) {
    size_t n = strlen(text), m = strlen(end);
    return n >= m && !strcasecmp(text + n - m, end);
}

bool is_one_of(char c, const char *set) {
    return c && strchr(set, c);
}

size_t utf8_character(const char *data, size_t size) {
    const unsigned char *p = (const unsigned char *)data;
    if (!size) return 0;
    if (p[0] < 0x80) return 1;
    size_t n = p[0] >= 0xC2 && p[0] < 0xE0 ? 2 : (p[0] & 0xF0) == 0xE0 ? 3 : p[0] >= 0xF0 && p[0] < 0xF5 ? 4 : 0;
    if (!n || n > size) return 0;
    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xC0) != 0x80) return 0;
    if ((p[0] == 0xE0 && p[1] < 0xA0) || (p[0] == 0xF0 && p[1] < 0x90)) return 0;   /* overlong */
    if ((p[0] == 0xED && p[1] >= 0xA0) || (p[0] == 0xF4 && p[1] >= 0x90)) return 0; /* surrogates; above U+10FFFF */
    return n;
}

size_t utf8_valid(const char *data, size_t size) {
    size_t at = 0;
    while (at < size) {
        size_t n = utf8_character(data + at, size - at);
        if (!n) break;
        at += n;
    }
    return at;
}

void buffer_unescaped(buffer *b, const char *data, size_t size) {
    static const char written[] = "nt\\", meant[] = "\n\t\\";
    for (size_t i = 0; i < size; i++) {
        const char *escape = data[i] == '\\' && i + 1 < size ? memchr(written, data[i + 1], sizeof written - 1) : NULL;
        buffer_char(b, escape ? meant[escape - written] : data[i]);
        if (escape) i++;
    }
}

bool parse_count(const char *text, uint64_t max, uint64_t *value) {
    size_t digits = strspn(text, "0123456789");
    if (!digits || text[digits]) return false;
    errno = 0;
    unsigned long long number = strtoull(text, NULL, 10);
    if (errno || number > max) return false;
    *value = number;
    return true;
}

bool parse_bytes(const char *text, uint64_t *value) {
    char *end;
    if (!strspn(text, "0123456789.")) return false;
    double number = strtod(text, &end);
    static const char suffixes[] = "KMGT";
    const char *suffix = memchr(suffixes, *end & ~0x20, sizeof suffixes - 1);
    if (suffix) {
        number = ldexp(number, 10 * (int)(suffix - suffixes + 1));
        end++;
        if (*end == 'i') end++;
    }
    if (*end == 'B') end++;
    if (*end || !(number >= 1) || number >= 0x1p63) return false;
    *value = (uint64_t)number;
    return true;
}

const char *human_bytes(uint64_t bytes) {
    static char texts[4][32];
    static unsigned turn;
    static const char *const units[] = {"bytes", "KB", "MB", "GB", "TB"};
    double value = (double)bytes;
    unsigned unit = 0;
    while (value >= 1000 && unit < 4) {
        value /= 1024;
        unit++;
    }
    char *text = texts[turn++ % 4];
    snprintf(text, sizeof texts[0], unit ? "%.3g %s" : "%.0f %s", value, units[unit]);
    return text;
}

void buffer_duration(buffer *b, double seconds) {
    if (seconds < 120)
        buffer_printf(b, "%.3g seconds", seconds);
    else if (seconds < 7200)
        buffer_printf(b, "%.0f minutes", seconds / 60);
    else
        buffer_printf(b, "%.1f hours", seconds / 3600);
}

/* ---- Messages and the system ----------------------------------------------------------------------------------- */

bool fail_at(capp_error *err, size_t line, const char *format, ...) {
    va_list args;
    va_start(args, format);
    /* cppcheck-suppress ctuuninitvar */
    vsnprintf(err->message, sizeof err->message, format, args);
    va_end(args);
    err->status = CAPP_EINVAL;
    err->row = line;
    return false;
}

static void (*before_message)(void);

void complain_after(void (*wipe)(void)) {
    before_message = wipe;
}

void complain(const char *format, ...) {
    char text[8192]; /* no allocation, because this also reports that one failed */
    va_list args;
    if (before_message) before_message();
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    for (char *c = text; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7F) *c = ' ';
    fprintf(stderr, "capp: %s\n", text);
}

double seconds_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

bool same_file(const struct stat *file, const char *path) {
    struct stat other;
    return !stat(path, &other) && file->st_dev == other.st_dev && file->st_ino == other.st_ino;
}

bool read_file(const char *path, buffer *content, capp_error *err) {
    FILE *file = fopen(path, "rb");
    if (!file) return fail_at(err, 0, "%s: cannot open the file: %s", path, strerror(errno));
    char part[65536];
    size_t n;
    while ((n = fread(part, 1, sizeof part, file))) buffer_add(content, part, n);
    bool failed = ferror(file);
    if (failed) fail_at(err, 0, "%s: cannot read the file: %s", path, strerror(errno));
    fclose(file);
    return !failed;
}
