#define _GNU_SOURCE
#include "options.h"

#include <getopt.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    SCORE = COMMAND_CLASSIFY | COMMAND_EVALUATE | COMMAND_LOGPROBS,
    CHOOSE = COMMAND_CLASSIFY | COMMAND_EVALUATE,
    ROWS = SCORE | COMMAND_TOKENIZE | COMMAND_GENERATE,
    ENGINE = SCORE | COMMAND_GENERATE | COMMAND_BENCH,
    ALL = ROWS | COMMAND_INSPECT | COMMAND_BENCH
};

enum option_id {
    OPT_MODEL = 256,
    OPT_TEMPLATE,
    OPT_CLASSES,
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
    OPT_HELP
};

const char *const precision_names[PRECISIONS] = {[CAPP_PRECISION_AUTO] = "auto",
                                                 [CAPP_PRECISION_F32] = "f32",
                                                 [CAPP_PRECISION_BF16] = "bf16",
                                                 [CAPP_PRECISION_I16] = "i16",
                                                 [CAPP_PRECISION_I8] = "i8"};

const option_row option_rows[] = {
    {"model", 'm', "FILE", ROWS | COMMAND_BENCH, false, OPT_MODEL,
     "model: a GGUF file (the first of a split set) or folder"},
    {"template", 't', "TEXT", SCORE | COMMAND_GENERATE, false, OPT_TEMPLATE,
     "prompt with columns in braces: 'Question: {text}\\nTopic:'"},
    {"classes", 'c', "LIST", SCORE, false, OPT_CLASSES, "'a,b,c', or @FILE with one a line or a JSON array"},
    {"label", 0, "FIELD", COMMAND_EVALUATE, false, OPT_LABEL,
     "column of the right class: its text in all rows, or its index from 0 in all rows"},
    {"label-index", 0, NULL, COMMAND_EVALUATE, false, OPT_LABEL_INDEX, "labels are indices from 0, not texts"},
    {"prior", 0, "LIST", SCORE, true, OPT_PRIOR,
     "probability of each class before reading: '0.2,0.8', or @FILE (JSON array)"},
    {"multi-label", 0, NULL, CHOOSE, true, OPT_MULTI_LABEL,
     "score each class by itself: probabilities need not sum to 1"},
    {"aggregate", 0, "NAME", CHOOSE, true, OPT_AGGREGATE,
     "what decides: mean of a class's log-probabilities (default), sum, or bytes (sum / bytes)"},
    {"only-prediction", 0, NULL, CHOOSE, true, OPT_ONLY_PREDICTION,
     "no probabilities: classes that cannot win are not finished"},
    {"end-of-prompt", 0, "TEXT", SCORE, true, OPT_END_OF_PROMPT,
     "stands between prompt and class: ' ' (default) or ''"},
    {"tokens", 'n', "N", COMMAND_GENERATE, false, OPT_TOKENS, "most tokens for each prompt (16)"},
    {"stop", 0, "TEXT", COMMAND_GENERATE, false, OPT_STOP,
     "end before this text; may be given again; \\n is a line feed"},
    {"ignore-eos", 0, NULL, COMMAND_GENERATE, false, OPT_IGNORE_EOS, "go on past the end-of-sequence token"},
    {"prefill", 0, "N", COMMAND_BENCH, false, OPT_PREFILL,
     "tokens of the prefill text (512, or what fits the context)"},
    {"repeat", 0, "N", COMMAND_BENCH, false, OPT_REPEAT, "runs of each measurement, of which the median counts (5)"},
    {"no-bos", 0, NULL, COMMAND_TOKENIZE | COMMAND_LOGPROBS, false, OPT_NO_BOS,
     "texts do not begin with the BOS token"},
    {"parse-special", 0, NULL, ROWS, true, OPT_PARSE_SPECIAL, "text of special tokens becomes those tokens"},
    {"chat", 0, NULL, ROWS, false, OPT_CHAT, "prompts are a user's turns, written by the model's chat template"},
    {"system", 0, "TEXT", ROWS, false, OPT_SYSTEM, "with --chat: a system's turn before each prompt"},
    {"chat-template", 0, "NAME", ROWS, false, OPT_CHAT_TEMPLATE,
     "with --chat: one of several that the model has, or @FILE"},
    {"chat-variables", 0, "JSON", ROWS, false, OPT_CHAT_VARIABLES,
     "with --chat: what else the template asks for: '{\"enable_thinking\": false}'"},
    {"out", 'o', "FILE", ROWS, false, OPT_OUT,
     "write rows to FILE.jsonl; classify, evaluate: .csv and .tsv too; each with .gz or .zst"},
    {"resume", 0, NULL, ROWS, false, OPT_RESUME,
     "go on with a run that was stopped: keep FILE's rows, compute the rest"},
    {"overwrite", 0, NULL, ROWS, false, OPT_OVERWRITE, "replace what FILE holds"},
    {"fsync", 0, NULL, ROWS, false, OPT_FSYNC, "have the disk store each part of FILE before going on"},
    {"id", 0, "COLUMN", ROWS, false, OPT_ID, "column that names a row (id, else rows are numbered from 0)"},
    {"keep", 0, "COLUMNS", CHOOSE, true, OPT_KEEP,
     "columns of INPUT to write too: 'a,b', all (default of CSV, TSV), none (of JSON lines)"},
    {"rename", 0, "OLD=NEW", CHOOSE, true, OPT_RENAME, "write a column under another name; may be given again"},
    {"top", 0, "K", CHOOSE, true, OPT_TOP, "write the K most probable classes in place of all probabilities"},
    {"progress", 0, "SECONDS", ROWS, true, OPT_PROGRESS,
     "where stderr is no terminal, a line of progress each SECONDS (30; 0: none)"},
    {"fingerprint", 0, NULL, COMMAND_INSPECT, false, OPT_FINGERPRINT,
     "print what OUT.run says of the model: size, hash, adapters"},
    {"json", 0, "FILE", COMMAND_EVALUATE | COMMAND_GENERATE | COMMAND_BENCH, false, OPT_JSON,
     "write the report as JSON to FILE; - is stdout"},
    {"json", 0, NULL, COMMAND_INSPECT, false, OPT_INSPECT_JSON, "print one JSON object"},
    {"format", 0, "NAME", ROWS, false, OPT_FORMAT,
     "of INPUT: csv, tsv, jsonl, json or text (default: found out by its first bytes)"},
    {"separator", 0, "CHAR", ROWS, false, OPT_SEPARATOR, "of a CSV: ',' ';' '|' or tab (default: by the header)"},
    {"max-record", 0, "BYTES", ROWS, true, OPT_MAX_RECORD, "longest row of INPUT (16M)"},
    {"on-error", 0, "POLICY", ROWS, false, OPT_ON_ERROR,
     "for a row that cannot be scored: stop (default), skip it, or write it with null"},
    {"window", 0, "ROWS", ROWS, true, OPT_WINDOW, "rows looked at together (4096)"},
    {"threads", 0, "N", ENGINE, true, OPT_THREADS, "worker threads (default: one a processor)"},
    {"memory", 0, "BYTES", ENGINE, true, OPT_MEMORY, "for the run beside the weights, such as 512M or 4G"},
    {"weights-memory", 0, "BYTES", ENGINE, true, OPT_WEIGHTS_MEMORY,
     "for unpacked weights: BYTES, all or 0 (default: all if they fit a quarter of free memory)"},
    {"precision", 0, "NAME", ENGINE, true, OPT_PRECISION,
     "auto (fast, and what is close again exactly; default), f32, bf16, i16 or i8"},
    {"isa", 0, "NAME", ENGINE, true, OPT_ISA,
     "instruction set: ref, avx2, avxvnni, avx512, avx512vnni, avx512bf16, amx (default: CAPP_ISA, else the best)"},
    {"context", 0, "TOKENS", ENGINE, true, OPT_CONTEXT, "longest prompt with completion (default, and 0: the model's)"},
    {"lora", 0, "PATH[=WEIGHT]", ENGINE | COMMAND_INSPECT, true, OPT_LORA,
     "add a LoRA adapter, PEFT's folder or a GGUF file; may be given again"},
    {"quiet", 'q', NULL, ALL, true, OPT_QUIET, "no progress, notes or warnings"},
    {"help", 'h', NULL, ALL, true, OPT_HELP, "this text"},
};
const size_t n_option_rows = sizeof option_rows / sizeof *option_rows;

unsigned command_bit(const char *name) {
#define X(NAME, word, bit, arguments, summary)                                                                         \
    if (!strcmp(name, #word)) return bit;
    COMMAND_MAP(X)
#undef X
    return 0;
}

static bool count_option(const char *name, const char *text, uint64_t least, uint64_t most, uint64_t *value,
                         capp_error *err) {
    if (parse_count(text, most, value) && *value >= least) return true;
    return fail_at(err, 0, "%s '%s' is not a whole number from %llu to %llu", name, text, (unsigned long long)least,
                   (unsigned long long)most);
}

static bool engine_option(capp_model_options *m, int id, const char *text, capp_error *err) {
    uint64_t number = 0;
    switch (id) {
    case OPT_THREADS:
        if (!count_option("--threads", text, 0, 1024, &number, err)) return false;
        m->threads = (int)number;
        return true;
    case OPT_CONTEXT:
        if (!count_option("--context", text, 0, UINT32_MAX, &number, err)) return false;
        m->context = (uint32_t)number;
        return true;
    case OPT_MEMORY:
        if (parse_bytes(text, &m->memory)) return true;
        return fail_at(err, 0, "--memory '%s' is not a number of bytes; write for example 512M or 4G", text);
    case OPT_WEIGHTS_MEMORY:
        if (!strcmp(text, "all"))
            m->weights_memory = CAPP_WEIGHTS_ALL;
        else if (!strcmp(text, "0"))
            m->weights_memory = CAPP_WEIGHTS_NONE;
        else if (!parse_bytes(text, &m->weights_memory))
            return fail_at(err, 0, "--weights-memory '%s' is not a number of bytes; write for example 2G, all or 0",
                           text);
        return true;
    case OPT_PRECISION:
        for (size_t i = 0; i < PRECISIONS; i++) {
            if (strcmp(text, precision_names[i]) != 0) continue;
            m->precision = (capp_precision)i;
            return true;
        }
        return fail_at(err, 0, "--precision '%s' is unknown; use auto, f32, bf16, i16 or i8", text);
    default: m->isa = text; return true;
    }
}

static bool number_option(size_t *target, const char *name, const char *text, capp_error *err) {
    uint64_t number = 0;
    if (!count_option(name, text, 1, INT_MAX, &number, err)) return false;
    *target = (size_t)number;
    return true;
}

static bool progress_option(options *o, const char *text, capp_error *err) {
    uint64_t number = 0;
    if (!count_option("--progress", text, 0, INT_MAX, &number, err)) return false;
    o->progress = (size_t)number;
    return true;
}

static void note_given(options *o, const char *name, const char *argument) {
    grow(&o->given, &o->given_capacity, o->n_given + 1, sizeof *o->given);
    o->given[o->n_given++] = (given_option){name, argument};
}

static bool aggregate_option(options *o, const char *text, capp_error *err) {
    static const char *const names[] = {
        [CAPP_AGGREGATE_MEAN] = "mean", [CAPP_AGGREGATE_SUM] = "sum", [CAPP_AGGREGATE_BYTES] = "bytes"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(text, names[i]) != 0) continue;
        o->aggregate = (capp_aggregate)i;
        return true;
    }
    return fail_at(err, 0, "--aggregate '%s' is unknown; use mean, sum or bytes", text);
}

static bool separator_option(options *o, const char *text, capp_error *err) {
    bool tab = !strcmp(text, "tab") || !strcmp(text, "\\t") || !strcmp(text, "\t");
    if (!tab && (strlen(text) != 1 || is_one_of(*text, "\"\r\n") || (unsigned char)*text >= 0x80))
        return fail_at(err, 0, "--separator '%s' is not one character; write ',' ';' '|' or tab", text);
    o->separator = tab ? '\t' : *text;
    return true;
}

static bool record_option(options *o, const char *text, capp_error *err) {
    uint64_t bytes;
    if (!parse_bytes(text, &bytes) || bytes > SIZE_MAX / 4)
        return fail_at(err, 0, "--max-record '%s' is not a number of bytes; write for example 64M", text);
    o->max_record = (size_t)bytes;
    return true;
}

static bool policy_option(options *o, const char *text, capp_error *err) {
    static const char *const names[] = {[ROW_STOP] = "stop", [ROW_SKIP] = "skip", [ROW_NULL] = "null"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(text, names[i]) != 0) continue;
        o->on_error = (row_policy)i;
        return true;
    }
    return fail_at(err, 0, "--on-error '%s' is unknown; use stop, skip or null", text);
}

static bool exists(const char *path, size_t size) {
    char *copy = take(size + 1, 1);
    memcpy(copy, path, size);
    copy[size] = 0;
    bool found = !access(copy, F_OK);
    free(copy);
    return found;
}

/* "PATH" or "PATH=WEIGHT": what stands behind the last = is a weight where it is a number, unless the whole is a path.
 */
static bool lora_option(options *o, const char *text, capp_error *err) {
    size_t size = strlen(text);
    const char *equals = strrchr(text, '=');
    char *end = NULL;
    double weight = 1, number = equals && equals[1] ? strtod(equals + 1, &end) : 0;
    bool whole = exists(text, size);
    if (!whole && equals && (!end || *end) && exists(text, (size_t)(equals - text)))
        return fail_at(err, 0, "--lora '%s': the weight '%s' is not a number", text, equals + 1);
    if (!whole && end && !*end) {
        weight = number;
        size = (size_t)(equals - text);
    }
    if (!size) return fail_at(err, 0, "--lora '%s' names no adapter; write PATH or PATH=WEIGHT", text);
    if (!isfinite(weight)) return fail_at(err, 0, "--lora '%s': the weight is not a finite number", text);
    char *path = take(size + 1, 1);
    memcpy(path, text, size);
    path[size] = 0;
    grow(&o->lora, &o->lora_capacity, o->model_options.n_lora + 1, sizeof *o->lora);
    o->lora[o->model_options.n_lora++] = (capp_lora){path, weight};
    o->model_options.lora = o->lora;
    return true;
}

static bool set(options *o, int id, const char *text, capp_error *err) {
    switch (id) {
    case OPT_MODEL: o->model = text; return true;
    case OPT_TEMPLATE: o->template = text; return true;
    case OPT_CLASSES: o->classes = text; return true;
    case OPT_OUT: o->out = text; return true;
    case OPT_FORMAT: o->format = text; return true;
    case OPT_LABEL: o->label = text; return true;
    case OPT_JSON: o->json = text; return true;
    case OPT_INSPECT_JSON: o->inspect_json = true; return true;
    case OPT_IGNORE_EOS: o->ignore_eos = true; return true;
    case OPT_NO_BOS: o->no_bos = true; return true;
    case OPT_PARSE_SPECIAL: o->parse_special = true; return true;
    case OPT_CHAT: o->chat = true; return true;
    case OPT_SYSTEM: o->system = text; return true;
    case OPT_CHAT_TEMPLATE:
        o->chat_template = text;
        return strcmp(text, "@") != 0 ||
               fail_at(err, 0, "--chat-template '@' names no file; write @FILE, or the name of one that the model has");
    case OPT_CHAT_VARIABLES: o->chat_variables = text; return true;
    case OPT_PRIOR: o->prior = text; return true;
    case OPT_MULTI_LABEL: o->multi_label = true; return true;
    case OPT_ONLY_PREDICTION: o->only_prediction = true; return true;
    case OPT_AGGREGATE: return aggregate_option(o, text, err);
    case OPT_LABEL_INDEX: o->label_index = true; return true;
    case OPT_SEPARATOR: return separator_option(o, text, err);
    case OPT_MAX_RECORD: return record_option(o, text, err);
    case OPT_ON_ERROR: return policy_option(o, text, err);
    case OPT_LORA: return lora_option(o, text, err);
    case OPT_ID: o->id = text; return true;
    case OPT_KEEP: o->keep = text; return true;
    case OPT_RESUME: o->resume = true; return true;
    case OPT_OVERWRITE: o->overwrite = true; return true;
    case OPT_FSYNC: o->fsync = true; return true;
    case OPT_FINGERPRINT: o->fingerprint = true; return true;
    case OPT_RENAME:
        grow(&o->rename, &o->rename_capacity, o->n_rename + 1, sizeof *o->rename);
        o->rename[o->n_rename++] = text;
        return true;
    case OPT_TOP: return number_option(&o->top, "--top", text, err);
    case OPT_PROGRESS: return progress_option(o, text, err);
    case OPT_QUIET: o->quiet = true; return true;
    case OPT_HELP: o->help = true; return true;
    case OPT_TOKENS: return number_option(&o->tokens, "-n", text, err);
    case OPT_PREFILL: return number_option(&o->prefill, "--prefill", text, err);
    case OPT_REPEAT: return number_option(&o->repeat, "--repeat", text, err);
    case OPT_WINDOW: return number_option(&o->window, "--window", text, err);
    case OPT_STOP:
        if (!*text) return fail_at(err, 0, "--stop needs a text that is not empty");
        grow(&o->stop, &o->stop_capacity, o->n_stop + 1, sizeof *o->stop);
        o->stop[o->n_stop++] = text;
        return true;
    case OPT_END_OF_PROMPT:
        if (strcmp(text, " ") != 0 && *text)
            return fail_at(err, 0, "--end-of-prompt '%s' is neither one space (' ') nor nothing ('')", text);
        o->end_of_prompt = text;
        return true;
    default: return engine_option(&o->model_options, id, text, err);
    }
}

bool option_has(const option_row *row, unsigned bit) {
    return row->everywhere || (row->commands & bit);
}

/* The rows of this command in getopt's form; letters begins with ':' (a missing argument is told apart). */
static void getopt_form(unsigned bit, struct option *longs, char *letters) {
    *letters++ = ':';
    for (size_t i = 0; i < n_option_rows; i++) {
        const option_row *row = &option_rows[i];
        if (!option_has(row, bit)) continue;
        *longs++ = (struct option){row->name, row->argument ? required_argument : no_argument, NULL, row->id};
        if (row->letter) *letters++ = (char)row->letter;
        if (row->letter && row->argument) *letters++ = ':';
    }
    *longs = (struct option){0};
    *letters = 0;
}

static const option_row *row_of(int id_or_letter, unsigned bit) {
    for (size_t i = 0; i < n_option_rows; i++)
        if ((option_rows[i].id == id_or_letter || (option_rows[i].letter && option_rows[i].letter == id_or_letter)) &&
            option_has(&option_rows[i], bit))
            return &option_rows[i];
    return NULL;
}

static bool names_input(const char *written) {
    return !strncmp(written, "--input", 7) || !strcmp(written, "--file") || !strcmp(written, "--data");
}

/* What getopt_long did not like. */
static bool fail_option(int kind, unsigned bit, char **arguments, capp_error *err) {
    const option_row *row = row_of(optopt, bit);
    const char *written = optind > 0 ? arguments[optind - 1] : "";
    if (kind == ':') return fail_at(err, 0, "option --%s needs %s", row ? row->name : "?", row ? row->argument : "?");
    if (row) return fail_at(err, 0, "option --%s takes no argument", row->name);
    if (optopt) return fail_at(err, 0, "unknown option '-%c'", optopt);
    const char *meant = suggest_option(written + strspn(written, "-"), bit);
    if (meant) return fail_at(err, 0, "unknown option '%s' (did you mean --%s?)", written, meant);
    if (names_input(written)) return fail_at(err, 0, "unknown option '%s'; INPUT has no option before it", written);
    return fail_at(err, 0, "unknown option '%s'", written);
}

/* "-out FILE" would be -o with the argument "ut". */
static bool check_dashes(const option_row *row, const char *written, unsigned bit, capp_error *err) {
    if (!row->letter || !optarg || optarg != written + 2) return true;
    for (size_t i = 0; i < n_option_rows; i++) {
        const char *name = option_rows[i].name;
        size_t size = strlen(name);
        if (!option_has(&option_rows[i], bit) || strncmp(written + 1, name, size) != 0) continue;
        if (!written[1 + size] || written[1 + size] == '=')
            return fail_at(err, 0, "'%s' is -%c with the argument '%s' (did you mean -%s?)", written, row->letter,
                           optarg, written);
    }
    return true;
}

/* Names of files that are given but empty: a variable that was not set, most often. */
static bool check_names(const options *o, capp_error *err) {
    const struct {
        const char *text, *what;
    } names[] = {{o->model, "-m"}, {o->out, "-o"}, {o->json, "--json"}, {o->input, "INPUT"}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i].text && !*names[i].text) return fail_at(err, 0, "%s is an empty name; give a file", names[i].what);
    return true;
}

bool options_parse(options *o, const char *command, unsigned bit, int count, char **arguments, capp_error *err) {
    struct option longs[sizeof option_rows / sizeof *option_rows + 1];
    char letters[3 * sizeof option_rows / sizeof *option_rows + 2];
    *o = (options){.command = command,
                   .bit = bit,
                   .window = 4096,
                   .tokens = 16,
                   .repeat = 5,
                   .progress = 30,
                   .max_record = 16 << 20};
    capp_model_options_init(&o->model_options);
    getopt_form(bit, longs, letters);
    opterr = 0;
    optind = 1;
    for (int id; (id = getopt_long(count, arguments, letters, longs, NULL)) != -1;) {
        if (id == '?' || id == ':') return fail_option(id, bit, arguments, err);
        const option_row *row = row_of(id, bit);
        if (!check_dashes(row, arguments[optind - 1], bit, err) || !set(o, row->id, optarg, err)) return false;
        note_given(o, row->name, row->argument ? optarg : NULL);
    }
    if (o->help) return true;
    if (optind < count) o->input = arguments[optind++];
    if (o->input && bit == COMMAND_BENCH) return fail_at(err, 0, "bench takes no INPUT, but '%s' is given", o->input);
    if (!check_names(o, err)) return false;
    if (optind < count) return fail_at(err, 0, "one INPUT at a time: '%s' is one too many", arguments[optind]);
    if (!o->chat && (o->system || o->chat_template || o->chat_variables))
        return fail_at(err, 0, "--%s is for --chat, which is not given",
                       o->system          ? "system"
                       : o->chat_template ? "chat-template"
                                          : "chat-variables");
    if (!o->model && (row_of(OPT_MODEL, bit))) return fail_at(err, 0, "no model is given; give one by -m FILE");
    if (bit == COMMAND_INSPECT && !o->input) return fail_at(err, 0, "no file is given; write capp inspect FILE");
    if (bit == COMMAND_EVALUATE && !o->label)
        return fail_at(err, 0, "no label is given; name the column of the right class by --label FIELD");
    if ((o->resume || o->overwrite) && (!o->out || !strcmp(o->out, "-")))
        return fail_at(err, 0, "--%s is for a file of rows; name one by -o FILE", o->resume ? "resume" : "overwrite");
    if (o->resume && o->overwrite) return fail_at(err, 0, "--resume keeps rows and --overwrite does not; give one");
    return true;
}

void options_free(options *o) {
    free(o->stop);
    o->stop = NULL;
    free(o->rename);
    free(o->given);
    for (size_t i = 0; i < o->model_options.n_lora; i++) free((char *)(uintptr_t)o->lora[i].path);
    free(o->lora);
    o->lora = NULL;
    o->model_options.n_lora = 0;
}
