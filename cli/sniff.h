/* What the first bytes of the input are: which format, and for CSV which separator. Nothing is guessed in silence: what
 * could be two things is an error that says how to tell. */
#ifndef CLI_SNIFF_H
#define CLI_SNIFF_H

#include "util.h"

typedef enum input_format {
    FORMAT_GUESS, /* not known yet */
    FORMAT_CSV,
    FORMAT_JSONL, /* an object a line */
    FORMAT_JSON,  /* an array of objects, or objects one behind the other, over any number of lines */
    FORMAT_TEXT   /* a text a line */
} input_format;

typedef struct sniffed {
    input_format format;
    char separator; /* of CSV; 0: not known yet */
    bool cr;        /* text whose lines end in carriage returns alone */
} sniffed;

typedef struct sniff_input {
    capp_str head;         /* the first bytes of the input */
    bool whole;            /* there is nothing behind them */
    bool first_alone;      /* the rest is not here: the first record alone decides */
    const char *name;      /* of the input, for messages */
    input_format named;    /* what the name says, FORMAT_GUESS: nothing */
    char named_separator;  /* for FORMAT_CSV: tab of .tsv, comma of .csv */
    const capp_str *asked; /* [n_asked] columns that the run looks for */
    size_t n_asked;
} sniff_input;

/* Fills what is not known yet of *s: its format, or the separator of a CSV. */
bool sniff(sniffed *s, const sniff_input *in, capp_error *err);

/* "csv", "tsv", "json", ... and a separator where the name says one. False: there is no such format. */
bool format_of_name(const char *name, input_format *format, char *separator);

/* The same of the ending of a file's name, behind which .gz or .zst may stand. */
bool format_of_path(const char *path, input_format *format, char *separator);

/* "CSV", "JSON lines" and so on. */
const char *format_words(input_format format, char separator);

#endif
