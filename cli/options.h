/* The command line. */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include "calibration.h"
#include "config.h"
#include "option_table.h"
#include "project.h"
#include "util.h"

/* What to do with a row that cannot be scored: --on-error. */
typedef enum row_policy {
    ROW_STOP, /* the run ends there */
    ROW_SKIP, /* the row is left out */
    ROW_NULL  /* the row is written without a prediction */
} row_policy;

/* An option on the command line. */
typedef struct given_option {
    const char *name, *argument; /* name of the long option; its argument, NULL if it has none */
    size_t line;                 /* of the project file; 0: the command line has it */
} given_option;

typedef struct options {
    const char *command; /* "classify" */
    unsigned bit;        /* COMMAND_CLASSIFY */
    bool help;
    config config;
    const char *input;  /* NULL: standard input */
    const char *second; /* models: NAME */
    char *located;      /* the path that a model's name stands for, or NULL */
    const char *html;   /* evaluate: a page, or NULL */
    const char *format, *model, *template, *classes, *out, *label, *json, *prior;
    const char *end_of_prompt; /* NULL: the default of the library */
    const char *project_path;  /* NULL: none */
    project project;
    const char **without; /* [n_without] keys of the project file */
    size_t n_without, without_capacity;
    bool compare_orders;   /* plan: rows have a second order of the list of classes */
    size_t sample;         /* plan: rows that run */
    bool defaults;         /* init: no questions */
    bool classes_are_json; /* `classes` is the JSON of a project file */
    const char *instruction, *list, *list_separator, *examples, *examples_label, *examples_separator; /* NULL: none */
    /* The keys `label` and `label-index` of the project file: they count for its examples in commands without --label,
     * too. NULL: none */
    const char *project_label;
    bool project_label_index;
    size_t orders; /* rotations of the list of classes */
    bool chat;
    const char *system, *chat_template, *chat_variables; /* NULL: none */
    const char **stop;                                   /* [n_stop], as written */
    size_t n_stop, stop_capacity;
    capp_lora *lora; /* [model_options.n_lora]; owns the paths */
    size_t lora_capacity;
    capp_model_options model_options;
    size_t window; /* largest number of rows in one call */
    size_t tokens; /* generate: -n */
    size_t prefill, repeat;
    const char *id, *keep; /* NULL: the field `id`; NULL: the default of the format */
    const char **rename;   /* [n_rename], as written */
    size_t n_rename, rename_capacity;
    size_t top;                 /* classes whose probabilities are written; 0: all */
    size_t progress;            /* seconds between lines of progress if stderr is not a terminal; 0: none */
    struct given_option *given; /* [n_given], in their order */
    size_t n_given, given_capacity;
    bool rescore, resume, overwrite, fsync, fingerprint;
    capp_aggregate aggregate;
    double discount;    /* factor of marginal log-probabilities; 0: none */
    const char *domain; /* the prompt of marginals, or NULL */
    calibration_method calibrate;
    bool random;      /* label: --order random */
    const char *keys; /* label: keys to press, or NULL */
    size_t count;     /* label: labels to give; 0: all rows */
    double sets;      /* coverage of the sets of classes; 0: none */
    row_policy on_error;
    char separator;    /* for CSV; 0: detected */
    size_t max_record; /* bytes */
    bool label_index;
    bool only_prediction, multi_label, parse_special, no_bos, quiet, ignore_eos, inspect_json, fetch;
} options;

/* arguments: those after the name of the command. Returns false and a message if they are wrong. */
bool options_parse(options *settings, const char *command, unsigned bit, int count, char **arguments, capp_error *err);
void options_free(options *settings);

/* Whether the command line has the option of this long name. */
bool options_given(const options *settings, const char *name);

/* Fails with the message of *err. If the project file gives the option, puts file and line before it. */
bool options_blame(const options *settings, const char *name, capp_error *err);

/* Whether the name of a file says that it is a score store: .db, .sqlite or .sqlite3. */
bool names_store(const char *path);

/* Writes the usage of one command, or of all if bit is 0, to text. */
void help_text(unsigned bit, buffer *text);

/* One function for each command, in its own file. Returns the exit status. */
#define X(NAME, name, bit, arguments, summary) int name##_command(const options *o);
COMMAND_MAP(X)
#undef X

#endif
