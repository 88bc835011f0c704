/* The table of all commands and options. Help, parser and suggestions read it. */
#ifndef CLI_OPTION_TABLE_H
#define CLI_OPTION_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include "capp.h"

/* X(NAME, name, bit, arguments, summary): the subcommands. */
#define COMMAND_MAP(X)                                                                                                 \
    X(CLASSIFY, classify, 1, "[INPUT]", "decide between classes")                                                      \
    X(EVALUATE, evaluate, 2, "[INPUT]", "compare predictions with labels")                                             \
    X(LOGPROBS, logprobs, 4, "[INPUT]", "write log-probabilities of tokens")                                           \
    X(TOKENIZE, tokenize, 8, "[INPUT]", "convert texts to token ids")                                                  \
    X(INSPECT, inspect, 16, "FILE", "describe a model file or adapter")                                                \
    X(GENERATE, generate, 32, "[INPUT]", "continue prompts with the most probable tokens")                             \
    X(BENCH, bench, 64, "", "measure speed, start-up and memory of a model")                                           \
    X(MODELS, models, 128, "[fetch NAME]", "list the models on this machine, or download one by name")                 \
    X(SERVE, serve, 2048, "", "answer requests over HTTP")                                                             \
    X(EXPORT, export, 512, "STORE", "write the rows of a store")                                                       \
    X(DECIDE, decide, 1024, "STORE", "decide the rows of a store under other options")                                 \
    X(LABEL, label, 256, "STORE", "label the rows of a store that teach most")                                         \
    X(COMPLETION, completion, 65536, "SHELL", "print completions for bash, zsh or fish")                               \
    X(COMPARE, compare, 4096, "STORE STORE", "compare the predictions of two stores with labels")                      \
    X(INIT, init, 524288, "[INPUT]", "write a project file, by asking")                                                \
    X(PLAN, plan, 131072, "[INPUT]", "estimate a run before it begins, and warn of mistakes")                          \
    X(SWEEP, sweep, 262144, "INPUT", "compare prompts, classes or models on labeled rows")

enum {
#define X(NAME, name, bit, arguments, summary) COMMAND_##NAME = (bit),
    COMMAND_MAP(X)
#undef X
};

enum option_id {
    OPT_MODEL = 256,
    OPT_TEMPLATE,
    OPT_CLASSES,
    OPT_PROJECT,
    OPT_WITHOUT,
    OPT_DEFAULTS,
    OPT_SAMPLE,
    OPT_INSTRUCTION,
    OPT_LIST,
    OPT_LIST_SEPARATOR,
    OPT_ORDERS,
    OPT_EXAMPLES,
    OPT_EXAMPLES_LABEL,
    OPT_EXAMPLES_SEPARATOR,
    OPT_OUT,
    OPT_FORMAT,
    OPT_SEPARATOR,
    OPT_MAX_RECORD,
    OPT_ON_ERROR,
    OPT_ID,
    OPT_KEEP,
    OPT_RENAME,
    OPT_TOP,
    OPT_RESUME,
    OPT_OVERWRITE,
    OPT_FSYNC,
    OPT_PROGRESS,
    OPT_FINGERPRINT,
    OPT_LABEL_INDEX,
    OPT_LABEL,
    OPT_JSON,
    OPT_HTML,
    OPT_INSPECT_JSON,
    OPT_TOKENS,
    OPT_STOP,
    OPT_IGNORE_EOS,
    OPT_PREFILL,
    OPT_REPEAT,
    OPT_NO_BOS,
    OPT_PARSE_SPECIAL,
    OPT_CHAT,
    OPT_SYSTEM,
    OPT_CHAT_TEMPLATE,
    OPT_CHAT_VARIABLES,
    OPT_PRIOR,
    OPT_MULTI_LABEL,
    OPT_ONLY_PREDICTION,
    OPT_AGGREGATE,
    OPT_DISCOUNT,
    OPT_DOMAIN,
    OPT_RESCORE,
    OPT_CALIBRATE,
    OPT_SETS,
    OPT_KEYS,
    OPT_ORDER,
    OPT_COUNT,
    OPT_END_OF_PROMPT,
    OPT_THREADS,
    OPT_MEMORY,
    OPT_WEIGHTS_MEMORY,
    OPT_PRECISION,
    OPT_ISA,
    OPT_CONTEXT,
    OPT_LORA,
    OPT_WINDOW,
    OPT_QUIET,
    OPT_FETCH,
    OPT_HELP,
    OPT_SERVER_FIRST, /* the options of serve: cli/serve.c reads them */
    OPT_HOST = OPT_SERVER_FIRST,
    OPT_PORT,
    OPT_API_KEY,
    OPT_MAX_REQUESTS,
    OPT_MAX_BODY,
    OPT_MAX_CLASSES,
    OPT_MAX_TOKENS,
    OPT_WAVE,
    OPT_TIMEOUT,
    OPT_READ_TIMEOUT,
    OPT_STOP_TIMEOUT,
    OPT_LOG_TEXTS
};

/* The values of --precision, indexed by capp_precision. */
enum { PRECISIONS = CAPP_PRECISION_MIXED + 1 };
extern const char *const precision_names[PRECISIONS];

/* An option, for the help and the parser. */
typedef struct option_row {
    const char *name;
    int letter;           /* or 0 */
    const char *argument; /* NULL: it takes no argument */
    unsigned commands;    /* bits of the commands that use it */
    bool everywhere; /* the other commands accept and ignore it, so that scripts can pass the same options to all */
    int id;
    const char *help;
} option_row;

enum { MAX_OPTIONS = 96 };
extern const option_row option_rows[];
extern const size_t n_option_rows;

/* Whether the command accepts the option. */
bool option_has(const option_row *row, unsigned bit);

/* Bit of the command with this name, or 0. */
unsigned command_bit(const char *name);

#endif
