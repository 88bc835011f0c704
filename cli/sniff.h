/* Recognizes the input by its first bytes: its format and, for CSV, the separator. It never guesses: if the input could
 * be two formats, this is an error that says what to do. */
#ifndef CLI_SNIFF_H
#define CLI_SNIFF_H

#include "util.h"

typedef enum input_format {
    FORMAT_GUESS, /* not known yet */
    FORMAT_CSV,
    FORMAT_JSONL, /* an object a line */
    FORMAT_JSON,  /* an array of objects, or objects one after another, over any number of lines */
    FORMAT_TEXT   /* a text a line */
} input_format;

typedef struct sniffed {
    input_format format;
    char separator; /* of CSV; 0: not known yet */
    bool cr;        /* text whose lines end with only a carriage return */
} sniffed;

typedef struct sniff_input {
    capp_str head;         /* the first bytes of the input */
    bool whole;            /* there is nothing behind them */
    bool first_alone;      /* more may follow: only the first record decides */
    const char *name;      /* of the input, for messages */
    input_format named;    /* what the file name says; FORMAT_GUESS: nothing */
    char named_separator;  /* for FORMAT_CSV: tab of .tsv, comma of .csv */
    const capp_str *asked; /* [n_asked] columns that the run needs */
    size_t n_asked;
} sniff_input;

/* Sets what is not yet known of *found: the format, or the separator of a CSV. */
bool sniff(sniffed *found, const sniff_input *in, capp_error *err);

/* "csv", "tsv", "json", ... and a separator where the name says one. False: there is no such format. */
bool format_of_name(const char *name, input_format *format, char *separator);

/* The same of the ending of a file's name, behind which .gz or .zst may stand. */
bool format_of_path(const char *path, input_format *format, char *separator);

/* "CSV", "JSON lines" and so on. */
const char *format_words(input_format format, char separator);

#endif
