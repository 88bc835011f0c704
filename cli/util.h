/* Used by every file of the command: memory (if there is not enough, the program ends), text buffers, messages. */
#ifndef CLI_UTIL_H
#define CLI_UTIL_H

#include "capp.h"

enum {
    EXIT_DONE = 0,
    EXIT_PARTLY = 3,   /* done, except for rows that could not be scored: --on-error skip or null */
    EXIT_FAILED = 2,   /* bad arguments, bad input, a failure of the library or the system */
    EXIT_SIGNAL = 128, /* plus the number of the signal */
};

/* ---- Memory: these never return NULL; if memory is short, they print a message and exit with EXIT_FAILED -------- */

_Noreturn void out_of_memory(void);
void *allocate(size_t n, size_t size);                              /* not cleared; ends with free */
void *reallocate(void *p, size_t n, size_t size);                   /* p may be NULL */
void grow(void *array, size_t *capacity, size_t need, size_t size); /* array: address of a pointer to elements */

/* Memory that is freed all at once, for example that of a window of rows. Initially all zero. */
typedef struct arena {
    struct arena_block *blocks; /* newest first */
    size_t used;                /* bytes handed out since the last reset */
} arena;

void *arena_allocate(arena *a, size_t n, size_t size); /* aligned for any type, not cleared */
capp_str arena_copy(arena *a, capp_str text);          /* and a NUL behind it */
void arena_reset(arena *a);                            /* frees everything that was handed out */
void arena_free(arena *a);

/* A text that grows. Initially all zero. */
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
bool is_one_of(char c, const char *set);           /* NUL is not one */

/* Bytes of the valid UTF-8 character (RFC 3629) at data, or 0. */
size_t utf8_character(const char *data, size_t size);

/* Offset of the first byte that is not valid UTF-8, or size. */
size_t utf8_valid(const char *data, size_t size);

/* Appends text, in which the two characters \ and n become a line feed; also \t and \\. Other backslashes stay. */
void buffer_unescaped(buffer *b, const char *data, size_t size);

/* If text is only digits and the value is at most max: sets *value and returns true. */
bool parse_count(const char *text, uint64_t max, uint64_t *value);

/* "512M", "1.5G", "4GiB": bytes, K = 1024. */
bool parse_bytes(const char *text, uint64_t *value);

/* A size for messages, such as "1.5 GB" (powers of 1024). Static; up to four at a time. */
const char *human_bytes(uint64_t bytes);

/* Appends a time for messages, such as "3 minutes". */
void buffer_duration(buffer *b, double seconds);

/* ---- Messages and the system ----------------------------------------------------------------------------------- */

/* Sets *err to a message about a line of the input (0: no line) and returns false. err->row is the line. */
bool fail_at(capp_error *err, size_t line, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Prints one line "capp: ..." on stderr. Control characters, which may be in rows and file names, become spaces. */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* wipe is called before each message: it clears the line of a progress bar. */
void complain_after(void (*wipe)(void));

double seconds_now(void); /* monotonic */

/* Reads the whole file. False and a message with the reason if it cannot be read. */
bool read_file(const char *path, buffer *content, capp_error *err);

/* Whether the path leads to this file. False if there is nothing at the path. */
struct stat;
bool same_file(const struct stat *file, const char *path);

/* Ctrl-C, SIGTERM and SIGHUP set a flag and cancel the current session; a second one ends the process at once. SIGPIPE
 * and SIGXFSZ are ignored: writes fail with EPIPE and EFBIG. */
void interrupt_watch(void);
void interrupt_session(capp_session *session); /* NULL: none */
int interrupted(void);                         /* the signal's number, or 0 */

/* Opens closed descriptors 0 to 2 with a file that fails like a closed one, so that no output file gets their number
 * and receives messages. */
void fill_standard_files(void);

#endif
