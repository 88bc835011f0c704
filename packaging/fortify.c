/* The checked functions that glibc's headers put in place of some of C's. Debian's archives call them; a static binary
 * with another C library needs them. They check nothing. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void *__memcpy_chk(void *to, const void *from, size_t n, size_t room);
char *__strncpy_chk(char *to, const char *from, size_t n, size_t room);
int __vsnprintf_chk(char *to, size_t n, int flag, size_t room, const char *format, va_list args);
int __snprintf_chk(char *to, size_t n, int flag, size_t room, const char *format, ...);
int __vfprintf_chk(FILE *file, int flag, const char *format, va_list args);
int __fprintf_chk(FILE *file, int flag, const char *format, ...);

void *__memcpy_chk(void *to, const void *from, size_t n, size_t room) {
    (void)room;
    return memcpy(to, from, n);
}

char *__strncpy_chk(char *to, const char *from, size_t n, size_t room) {
    (void)room;
    return strncpy(to, from, n);
}

int __vsnprintf_chk(char *to, size_t n, int flag, size_t room, const char *format, va_list args) {
    (void)flag, (void)room;
    return vsnprintf(to, n, format, args);
}

int __snprintf_chk(char *to, size_t n, int flag, size_t room, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int length = __vsnprintf_chk(to, n, flag, room, format, args);
    va_end(args);
    return length;
}

int __vfprintf_chk(FILE *file, int flag, const char *format, va_list args) {
    (void)flag;
    return vfprintf(file, format, args);
}

int __fprintf_chk(FILE *file, int flag, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int length = __vfprintf_chk(file, flag, format, args);
    va_end(args);
    return length;
}
