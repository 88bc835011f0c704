/* The command line. */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include "util.h"

/* X(NAME, name, bit, arguments, summary): the subcommands. */
#define COMMAND_MAP(X)                                                                                                 \
    X(CLASSIFY, classify, 1, "[INPUT]", "choose a class for each row")                                                 \
    X(EVALUATE, evaluate, 2, "[INPUT]", "classify labelled rows and report accuracy and speed")                        \
    X(LOGPROBS, logprobs, 4, "[INPUT]", "log-probabilities of the tokens of completions or texts")                     \
    X(TOKENIZE, tokenize, 8, "[INPUT]", "token ids of texts")                                                          \
    X(INSPECT, inspect, 16, "FILE", "say what a model file is")                                                        \
    X(GENERATE, generate, 32, "[INPUT]", "continue prompts with the most probable tokens")                             \
    X(BENCH, bench, 64, "", "measure speed, start-up and memory of a model")

enum {
#define X(NAME, name, bit, arguments, summary) COMMAND_##NAME = (bit),
    COMMAND_MAP(X)
#undef X
};

/* As --precision has them, by capp_precision. */
enum { PRECISIONS = CAPP_PRECISION_I8 + 1 };
extern const char *const precision_names[PRECISIONS];

/* What becomes of a row that cannot be scored: --on-error. */
typedef enum row_policy {
    ROW_STOP, /* the run ends there */
    ROW_SKIP, /* the row is left out */
    ROW_NULL  /* the row is written without a prediction */
} row_policy;

/* An option as the command line has it. */
typedef struct given_option {
    const char *name, *argument; /* of the long option; NULL where it takes none */
} given_option;

typedef struct options {
    const char *command; /* "classify" */
    unsigned bit;        /* COMMAND_CLASSIFY */
    bool help;
    const char *input; /* NULL: standard input */
    const char *format, *model, *template, *classes, *out, *label, *json, *prior;
    const char *end_of_prompt; /* NULL: the library's */
    bool chat;
    const char *system, *chat_template, *chat_variables; /* NULL: none */
    const char **stop;                                   /* [n_stop], as written */
    size_t n_stop, stop_capacity;
    capp_lora *lora; /* [model_options.n_lora]; paths are owned */
    size_t lora_capacity;
    capp_model_options model_options;
    size_t window; /* most rows of one call */
    size_t tokens; /* generate: -n */
    size_t prefill, repeat;
    const char *id, *keep; /* NULL: the field `id`; by the format */
    const char **rename;   /* [n_rename], as written */
    size_t n_rename, rename_capacity;
    size_t top;                 /* classes whose probabilities are written; 0: all */
    size_t progress;            /* seconds between lines of progress off a terminal; 0: none */
    struct given_option *given; /* [n_given], in their order */
    size_t n_given, given_capacity;
    bool resume, overwrite, fsync, fingerprint;
    capp_aggregate aggregate;
    row_policy on_error;
    char separator;    /* of CSV; 0: found out */
    size_t max_record; /* bytes */
    bool label_index;
    bool only_prediction, multi_label, parse_special, no_bos, quiet, ignore_eos, inspect_json;
} options;

/* arguments: those behind the name of the command. False and a message for people where they are wrong. */
bool options_parse(options *o, const char *command, unsigned bit, int count, char **arguments, capp_error *err);
void options_free(options *o);

/* Usage of one command, or of all where bit is 0, into text. */
void help_text(unsigned bit, buffer *text);

/* Bit of the command called name, or 0. */
unsigned command_bit(const char *name);

/* One function a command, each in a file of its own: the exit status. */
#define X(NAME, name, bit, arguments, summary) int name##_command(const options *o);
COMMAND_MAP(X)
#undef X

/* An option as help and parser know it. */
typedef struct option_row {
    const char *name;
    int letter;           /* or 0 */
    const char *argument; /* NULL: takes none */
    unsigned commands;    /* bits of those that use it */
    bool everywhere;      /* others take it too, and have no use for it: scripts may pass the same to all */
    int id;
    const char *help;
} option_row;

extern const option_row option_rows[];
extern const size_t n_option_rows;

/* Whether the command takes the option. */
bool option_has(const option_row *row, unsigned bit);

/* Name of the option that was most probably meant by one that the command does not have, or NULL. written: without the
 * dashes before it. */
const char *suggest_option(const char *written, unsigned bit);

#endif
