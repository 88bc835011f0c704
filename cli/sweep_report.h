/* What capp sweep found out about its variants, and its report. */
#ifndef CLI_SWEEP_REPORT_H
#define CLI_SWEEP_REPORT_H

#include "options.h"

typedef struct sweep_variant {
    options settings; /* as if evaluate were called with this variant */
    char **arguments; /* [n_arguments] of these; the first is the command */
    size_t n_arguments;
    capp_str varies;      /* the options in which it differs from the others, as on the command line */
    char *store;          /* its file, or NULL */
    size_t n, correct;    /* rows with a label that every variant could score */
    double loss;          /* sum of -log of the probability of the label */
    unsigned char *right; /* [n] whether the row was predicted correctly */
    size_t right_capacity;
} sweep_variant;

typedef struct sweep_facts {
    const options *settings;
    sweep_variant *variants; /* [n] */
    size_t n;
    size_t n_left_out; /* rows that some variant could not score */
    uint64_t tokens_computed, tokens_saved;
    double seconds;
} sweep_facts;

/* Prints the table, and writes the report of --json. Returns the exit status. */
int sweep_report(const sweep_facts *s, capp_error *err);

#endif
