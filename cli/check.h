/* Checks of the rows before the first one is scored: a pass over the input, if it is a file that can be read again. The
 * memory used does not grow with the file. */
#ifndef CLI_CHECK_H
#define CLI_CHECK_H

#include "cost.h"
#include "rows.h"

enum { CHECK_LONGEST = 256 };

typedef struct long_row {
    buffer text;   /* the prompt, then the longest completion if the row has its own */
    size_t prompt; /* bytes of it */
    size_t line;
    bool own;
} long_row;

typedef struct check {
    size_t n_rows; /* in the input, including bad ones */
    size_t n_bad;
    size_t first_line; /* the first bad row, and why it is bad */
    buffer first_reason;
    label_facts labels;
    cost_sample sample;
    double row_cost; /* see cost_of_row; below 0: not known */
    long_row longest[CHECK_LONGEST];
    size_t n_longest, long_bytes;
} check;

/* Reads all rows, decides how labels are read, and rewinds the input. Does nothing if the input cannot be read again.
 * Returns false and a message with the place if a row is bad and the options say stop, if no more rows can be read, or
 * if the labels are valid in neither way. The caller frees *findings in any case. After a signal: returns true. */
bool check_input(check *findings, reader *input, row_rules *rules, const options *settings, capp_error *err);

/* Tokenizes the longest rows that check_input saw. Returns false as above if one is too long for the context. */
bool check_lengths(check *findings, const reader *input, const row_rules *rules, const options *settings,
                   const capp_model *model, const capp_chat *chat, capp_error *err);

void check_free(check *findings);

enum { CONTEXT_ADVICE = 64 };

/* What follows "shorten the text": a larger --context, if the model supports one, or that it does not. Nothing if the
 * model does not say it. */
void context_advice(const options *settings, const capp_model *model, char text[CONTEXT_ADVICE]);

/* Adds this to the message of a row that is too long. Other messages do not change. */
void advise_context(const options *settings, const capp_model *model, capp_error *err);

#endif
