/* What can be checked of the rows before the first one is scored: a pass over the input, where it is a file that can be
 * read again. Memory does not grow with the file. */
#ifndef CLI_CHECK_H
#define CLI_CHECK_H

#include "rows.h"

enum { CHECK_LONGEST = 256 };

typedef struct long_row {
    buffer text;   /* the prompt, and behind it the longest completion, where that is the row's own */
    size_t prompt; /* bytes of it */
    size_t line;
    bool own;
} long_row;

typedef struct check {
    size_t n_rows; /* in the input, bad ones counted */
    size_t n_bad;
    size_t first_line; /* of the first bad one, and why */
    buffer first_reason;
    size_t labels[2];  /* rows whose label is one by text, by index */
    size_t n_labelled; /* rows whose label is either */
    buffer unlike[2];  /* for a message: labels that are none by text, by index */
    long_row longest[CHECK_LONGEST];
    size_t n_longest, long_bytes;
} check;

/* Reads all rows, decides how labels are read, and begins again. Nothing is done where the input cannot be read again.
 * False and a message with the place where a row is bad and the options say stop, where no row can be read any more,
 * and where labels can be read in neither way. *c is to be freed in any case. After a signal: true. */
bool check_input(check *c, reader *r, row_rules *rules, const options *o, capp_error *err);

/* Tokenises the longest rows that check_input saw. False as there, where one is too long for the context. */
bool check_lengths(check *c, const reader *r, const row_rules *rules, const options *o, const capp_model *model,
                   const capp_chat *chat, capp_error *err);

void check_free(check *c);

/* Adds to the message of a row that is too long that --context may allow more. Other messages stay as they are. */
void advise_context(capp_error *err);

#endif
