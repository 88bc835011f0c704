#include "option_table.h"

#include <assert.h>
#include <string.h>

enum {
    SCORE = COMMAND_CLASSIFY | COMMAND_EVALUATE | COMMAND_LOGPROBS,
    CHOOSE = COMMAND_CLASSIFY | COMMAND_EVALUATE,
    ROWS = SCORE | COMMAND_TOKENIZE | COMMAND_GENERATE,
    ENGINE = SCORE | COMMAND_GENERATE | COMMAND_BENCH | COMMAND_SERVE,
    ALL = ROWS | COMMAND_INSPECT | COMMAND_BENCH | COMMAND_MODELS | COMMAND_SERVE
};

const char *const precision_names[PRECISIONS] = {[CAPP_PRECISION_AUTO] = "auto",
                                                 [CAPP_PRECISION_F32] = "f32",
                                                 [CAPP_PRECISION_BF16] = "bf16",
                                                 [CAPP_PRECISION_I16] = "i16",
                                                 [CAPP_PRECISION_I8] = "i8"};

const option_row option_rows[] = {
    {"model", 'm', "FILE", ROWS | COMMAND_BENCH, false, OPT_MODEL,
     "the model: a GGUF file (the first of a split set), a folder, or owner/name[:QUANT]"},
    {"model", 'm', "[NAME=]FILE", COMMAND_SERVE, false, OPT_MODEL,
     "a model, and its name in requests (default: that of the file); may be given several times"},
    {"fetch", 0, NULL, ROWS | COMMAND_BENCH | COMMAND_INSPECT, false, OPT_FETCH,
     "download a model that is given by name if no cache has it"},
    {"template", 't', "TEXT", SCORE | COMMAND_GENERATE, false, OPT_TEMPLATE,
     "the prompt, with columns in braces: 'Question: {text}\\nTopic:'"},
    {"classes", 'c', "LIST", SCORE, false, OPT_CLASSES,
     "the classes: 'a,b,c', or @FILE with one per line or a JSON array"},
    {"label", 0, "FIELD", COMMAND_EVALUATE, false, OPT_LABEL,
     "column with the correct class: its text in all rows, or its index from 0 in all rows"},
    {"label-index", 0, NULL, COMMAND_EVALUATE, false, OPT_LABEL_INDEX, "labels are indices from 0, not texts"},
    {"prior", 0, "LIST", SCORE, true, OPT_PRIOR,
     "probability of each class before the row is read: '0.2,0.8', or @FILE (JSON array)"},
    {"multi-label", 0, NULL, CHOOSE, true, OPT_MULTI_LABEL,
     "score each class by itself: probabilities do not sum to 1"},
    {"aggregate", 0, "NAME", CHOOSE, true, OPT_AGGREGATE,
     "how log-probabilities of a class combine: mean (default), sum, or bytes (sum / bytes)"},
    {"only-prediction", 0, NULL, CHOOSE, true, OPT_ONLY_PREDICTION,
     "write no probabilities, and do not finish classes that cannot win"},
    {"end-of-prompt", 0, "TEXT", SCORE, true, OPT_END_OF_PROMPT, "text between prompt and class: ' ' (default) or ''"},
    {"tokens", 'n', "N", COMMAND_GENERATE, false, OPT_TOKENS, "maximum number of tokens for each prompt (default: 16)"},
    {"stop", 0, "TEXT", COMMAND_GENERATE, false, OPT_STOP,
     "end the text before TEXT (\\n: a line feed); may be given several times"},
    {"ignore-eos", 0, NULL, COMMAND_GENERATE, false, OPT_IGNORE_EOS, "continue after the end-of-sequence token"},
    {"prefill", 0, "N", COMMAND_BENCH, false, OPT_PREFILL,
     "number of tokens of the prefill text (default: 512, or the context if it is smaller)"},
    {"repeat", 0, "N", COMMAND_BENCH, false, OPT_REPEAT,
     "number of runs of each measurement; the median counts (default: 5)"},
    {"no-bos", 0, NULL, COMMAND_TOKENIZE | COMMAND_LOGPROBS, false, OPT_NO_BOS,
     "do not begin texts with the BOS token"},
    {"parse-special", 0, NULL, ROWS, true, OPT_PARSE_SPECIAL, "read text such as <|im_end|> as the special token"},
    {"chat", 0, NULL, ROWS, false, OPT_CHAT, "use the model's chat template: each prompt becomes a user message"},
    {"system", 0, "TEXT", ROWS, false, OPT_SYSTEM, "with --chat: a system message before each prompt"},
    {"chat-template", 0, "NAME", ROWS, false, OPT_CHAT_TEMPLATE,
     "with --chat: the template to use if the model has several, or @FILE"},
    {"chat-variables", 0, "JSON", ROWS, false, OPT_CHAT_VARIABLES,
     "with --chat: more variables for the template: '{\"enable_thinking\": false}'"},
    {"out", 'o', "FILE", ROWS, false, OPT_OUT,
     "write rows to FILE.jsonl (classify, evaluate: also .csv, .tsv); add .gz or .zst to compress"},
    {"resume", 0, NULL, ROWS, false, OPT_RESUME,
     "continue a run that was stopped: keep the rows in FILE, compute the rest"},
    {"overwrite", 0, NULL, ROWS, false, OPT_OVERWRITE, "replace the contents of FILE"},
    {"fsync", 0, NULL, ROWS, false, OPT_FSYNC, "wait until the disk has stored each part of FILE"},
    {"id", 0, "COLUMN", ROWS, false, OPT_ID,
     "column that names a row (default: id if there is one, otherwise the number from 0)"},
    {"keep", 0, "COLUMNS", CHOOSE, true, OPT_KEEP,
     "columns of INPUT to copy: 'a,b', all (default for CSV, TSV) or none (for JSON lines)"},
    {"rename", 0, "OLD=NEW", CHOOSE, true, OPT_RENAME, "write a column under another name; may be given several times"},
    {"top", 0, "K", CHOOSE, true, OPT_TOP, "write only the K most probable classes"},
    {"progress", 0, "SECONDS", ROWS | COMMAND_MODELS, true, OPT_PROGRESS,
     "print progress every SECONDS if stderr is not a terminal (default: 30; 0: never)"},
    {"fingerprint", 0, NULL, COMMAND_INSPECT, false, OPT_FINGERPRINT,
     "print size, hash and adapters of the model, as OUT.run has them"},
    {"json", 0, "FILE", COMMAND_EVALUATE | COMMAND_GENERATE | COMMAND_BENCH, false, OPT_JSON,
     "write the report as JSON to FILE (-: stdout)"},
    {"json", 0, NULL, COMMAND_INSPECT | COMMAND_MODELS, false, OPT_INSPECT_JSON, "print JSON"},
    {"format", 0, "NAME", ROWS, false, OPT_FORMAT,
     "format of INPUT: csv, tsv, jsonl, json or text (default: recognized by its first bytes)"},
    {"separator", 0, "CHAR", ROWS, false, OPT_SEPARATOR,
     "separator of a CSV: ',' ';' '|' or tab (default: recognized by the header)"},
    {"max-record", 0, "BYTES", ROWS, true, OPT_MAX_RECORD, "maximum size of a row of INPUT (default: 16M)"},
    {"on-error", 0, "POLICY", ROWS, false, OPT_ON_ERROR,
     "if a row cannot be scored: stop (default), skip it, or write null"},
    {"window", 0, "ROWS", ROWS, true, OPT_WINDOW, "maximum number of rows that are planned together (default: 4096)"},
    {"threads", 0, "N", ENGINE, true, OPT_THREADS, "number of worker threads (default: one per processor)"},
    {"memory", 0, "BYTES", ENGINE, true, OPT_MEMORY, "memory for the run, without the weights, such as 512M or 4G"},
    {"weights-memory", 0, "BYTES", ENGINE, true, OPT_WEIGHTS_MEMORY,
     "memory for unpacked weights, all, or 0 (default: all if they fit a quarter of free memory)"},
    {"precision", 0, "NAME", ENGINE, true, OPT_PRECISION,
     "auto (default: the fastest that keeps decisions), f32, bf16, i16 or i8"},
    {"isa", 0, "NAME", ENGINE, true, OPT_ISA,
     "ref, avx2, avxvnni, avx512, avx512vnni, avx512bf16 or amx (default: the best)"},
    {"context", 0, "TOKENS", ENGINE, true, OPT_CONTEXT,
     "maximum length of prompt and completion (default, and 0: the model's limit)"},
    {"lora", 0, "PATH[=WEIGHT]", ENGINE | COMMAND_INSPECT, true, OPT_LORA,
     "add a LoRA adapter: a folder of PEFT or a GGUF file; may be given several times"},
    {"host", 0, "ADDRESS", COMMAND_SERVE, false, OPT_HOST,
     "address to listen on (default: 127.0.0.1, which only this machine reaches)"},
    {"port", 0, "N", COMMAND_SERVE, false, OPT_PORT, "port to listen on (default: 8080; 0: a free one)"},
    {"api-key", 0, "KEY", COMMAND_SERVE, false, OPT_API_KEY,
     "requests must have this key; @FILE reads it (default: the variable CAPP_API_KEY)"},
    {"max-requests", 0, "N", COMMAND_SERVE, false, OPT_MAX_REQUESTS,
     "requests that wait or run; more are answered with 429 (default: 2048)"},
    {"max-body", 0, "BYTES", COMMAND_SERVE, false, OPT_MAX_BODY, "maximum size of a request (default: 8M)"},
    {"max-classes", 0, "N", COMMAND_SERVE, false, OPT_MAX_CLASSES, "maximum number of classes (default: 1000)"},
    {"max-tokens", 0, "N", COMMAND_SERVE, false, OPT_MAX_TOKENS,
     "maximum number of tokens that a request generates (default: 4096)"},
    {"wave", 0, "MILLISECONDS", COMMAND_SERVE, false, OPT_WAVE,
     "how long a wave of token rows takes; requests are merged between waves (default: 50)"},
    {"timeout", 0, "SECONDS", COMMAND_SERVE, false, OPT_TIMEOUT, "time for an answer (default: 600)"},
    {"read-timeout", 0, "SECONDS", COMMAND_SERVE, false, OPT_READ_TIMEOUT,
     "time in which a request must arrive (default: 60)"},
    {"stop-timeout", 0, "SECONDS", COMMAND_SERVE, false, OPT_STOP_TIMEOUT,
     "time that SIGTERM leaves for answers (default: 30)"},
    {"log-texts", 0, NULL, COMMAND_SERVE, false, OPT_LOG_TEXTS, "write the bodies of requests to the log, too"},
    {"quiet", 'q', NULL, ALL, true, OPT_QUIET, "print no progress, notes or warnings"},
    {"help", 'h', NULL, ALL, true, OPT_HELP, "show this help"},
};
const size_t n_option_rows = sizeof option_rows / sizeof *option_rows;
static_assert(sizeof option_rows / sizeof *option_rows <= MAX_OPTIONS, "MAX_OPTIONS is too small");

unsigned command_bit(const char *name) {
#define X(NAME, word, bit, arguments, summary)                                                                         \
    if (!strcmp(name, #word)) return bit;
    COMMAND_MAP(X)
#undef X
    return 0;
}

bool option_has(const option_row *row, unsigned bit) {
    return row->everywhere || (row->commands & bit);
}
