/* What every file of the command uses: memory that ends the program where there is none, text buffers, messages. */
#ifndef CLI_UTIL_H
#define CLI_UTIL_H

#include "capp.h"

enum {
    EXIT_DONE = 0,
    EXIT_PARTLY = 3,   /* done, but for rows that could not be scored: --on-error skip or null */
    EXIT_FAILED = 2,   /* bad arguments, bad input, a failure of the library or the system */
    EXIT_SIGNAL = 128, /* plus the number of the signal */
};

/* ---- Memory: these never return NULL; where memory is short they say so and exit with EXIT_FAILED --------------- */

_Noreturn void out_of_memory(void);
void *take(size_t n, size_t size);                                  /* not cleared; ends with free */
void *retake(void *p, size_t n, size_t size);                       /* p may be NULL */
void grow(void *array, size_t *capacity, size_t need, size_t size); /* array: address of a pointer to elements */

/* Memory that ends all at once: that of a window of rows. All zero is an empty one. */
typedef struct arena {
    struct arena_block *blocks; /* newest first */
    size_t used;                /* bytes handed out since the last reset */
} arena;

void *arena_take(arena *a, size_t n, size_t size); /* aligned for any type, not cleared */
capp_str arena_copy(arena *a, capp_str text);      /* and a NUL behind it */
void arena_reset(arena *a);                        /* all that was handed out is gone */
void arena_free(arena *a);

/* A text that grows. All zero is an empty one. */
typedef struct buffer {
    char *data;
    size_t size, capacity;
} buffer;

void buffer_add(buffer *b, const char *data, size_t size);
void buffer_str(buffer *b, capp_str text);
void buffer_text(buffer *b, const char *text);
void buffer_char(buffer *b, char c);
void buffer_printf(buffer *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
capp_str buffer_view(const buffer *b); /* borrowed until the next change */
void buffer_free(buffer *b);

/* ---- Text ------------------------------------------------------------------------------------------------------ */

bool str_equal(capp_str a, capp_str b);
bool str_is(capp_str a, const char *b);
bool ends_with(const char *text, const char *end); /* ASCII letters of either case */
bool is_one_of(char c, const char *set);           /* NUL is none */

/* Bytes of the valid UTF-8 character (RFC 3629) at data, or 0. */
size_t utf8_character(const char *data, size_t size);

/* Offset of the first byte that is not valid UTF-8, or size. */
size_t utf8_valid(const char *data, size_t size);

/* "ab\n" with the two characters \ and n becomes a line feed; \t and \\ too; other backslashes stay. */
void buffer_unescaped(buffer *b, const char *data, size_t size);

/* All digits, at most max: true and *value. */
bool parse_count(const char *text, uint64_t max, uint64_t *value);

/* "512M", "1.5G", "4GiB": bytes, K = 1024. */
bool parse_bytes(const char *text, uint64_t *value);

/* "1.5 GB" of 1024s, for people. Static; up to four at a time. */
const char *human_bytes(uint64_t bytes);

/* ---- Messages and the system ----------------------------------------------------------------------------------- */

/* Fills *err with a message about a line of the input (0: about none); returns false. err->row holds the line. */
bool fail_at(capp_error *err, size_t line, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* "capp: ..." on stderr, one line. Control characters, which come from rows and names of files, become spaces. */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* wipe is called before each message: it clears the line of a progress bar. */
void complain_after(void (*wipe)(void));

double seconds_now(void); /* monotonic */

/* Peak resident size of the process. */
uint64_t peak_memory(void);

/* The whole file. False and a message with the system's reason where it cannot be read. */
bool read_file(const char *path, buffer *content, capp_error *err);

/* Ctrl-C, SIGTERM and SIGHUP set a flag and cancel the session told of; a second one ends the process at once. SIGPIPE
 * and SIGXFSZ are ignored: writes say EPIPE and EFBIG. */
void interrupt_watch(void);
void interrupt_session(capp_session *session); /* NULL: none */
int interrupted(void);                         /* the signal's number, or 0 */

/* Descriptors 0 to 2 that were closed get a file that fails as a closed one does, so that no file of rows takes their
 * number and no message lands in it. */
void fill_standard_files(void);

#endif
