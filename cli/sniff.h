/* Recognizes the input by its first bytes: its format and, for CSV, the separator. It never guesses: if the input could
 * be two formats, this is an error that says what to do. */
#ifndef CLI_SNIFF_H
#define CLI_SNIFF_H

#include "util.h"

typedef enum input_format {
    FORMAT_GUESS, /* not known yet */
    FORMAT_CSV,
    FORMAT_JSONL, /* one object per line */
    FORMAT_JSON,  /* an array of objects, or objects one after another, over any number of lines */
    FORMAT_TEXT   /* one text per line */
} input_format;

typedef struct sniffed {
    input_format format;
    char separator; /* for CSV; 0: not known yet */
    bool cr;        /* text whose lines end with only a carriage return */
} sniffed;

typedef struct sniff_input {
    capp_str head;         /* the first bytes of the input */
    bool whole;            /* nothing follows them */
    bool first_alone;      /* more may follow: only the first record decides */
    const char *name;      /* name of the input, for messages */
    input_format named;    /* the format from the file name; FORMAT_GUESS: none */
    char named_separator;  /* for FORMAT_CSV: tab of .tsv, comma of .csv */
    const capp_str *asked; /* [n_asked] columns that the run needs */
    size_t n_asked;
} sniff_input;

/* Sets what is not yet known of *found: the format, or the separator of a CSV. */
bool sniff(sniffed *found, const sniff_input *in, capp_error *err);

/* "csv", "tsv", "json", ... and a separator if the name tells one. False: there is no such format. */
bool format_of_name(const char *name, input_format *format, char *separator);

/* The same for the ending of a file's name, which may be followed by .gz or .zst. */
bool format_of_path(const char *path, input_format *format, char *separator);

/* "CSV", "JSON lines" and so on. */
const char *format_words(input_format format, char separator);

#endif
