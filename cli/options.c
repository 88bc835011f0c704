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

const option_row option_rows[] = {
    {"model", 'm', "FILE", ROWS | COMMAND_BENCH, false, OPT_MODEL,
     "model: a GGUF file (the first of a split set) or folder"},
    {"template", 't', "TEXT", SCORE | COMMAND_GENERATE, false, OPT_TEMPLATE,
     "prompt with columns in braces: 'Question: {text}\\nTopic:'"},
    {"classes", 'c', "LIST", SCORE, false, OPT_CLASSES, "'a,b,c', or @FILE with one a line or a JSON array"},
    {"label", 0, "FIELD", COMMAND_EVALUATE, false, OPT_LABEL,
     "column of the right class: its text, or its index from 0"},
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
    {"out", 'o', "FILE", ROWS, false, OPT_OUT, "write rows to FILE (classify, evaluate: CSV where it ends in .csv)"},
    {"json", 0, "FILE", COMMAND_EVALUATE | COMMAND_GENERATE | COMMAND_BENCH, false, OPT_JSON,
     "write the report as JSON to FILE; - is stdout"},
    {"json", 0, NULL, COMMAND_INSPECT, false, OPT_INSPECT_JSON, "print one JSON object"},
    {"format", 0, "NAME", ROWS, false, OPT_FORMAT,
     "of INPUT: csv, jsonl or text (default: by its name, else first byte)"},
    {"window", 0, "ROWS", ROWS, true, OPT_WINDOW, "rows looked at together (4096)"},
    {"threads", 0, "N", ENGINE, true, OPT_THREADS, "worker threads (default: one a processor)"},
    {"memory", 0, "BYTES", ENGINE, true, OPT_MEMORY, "for the run beside the weights, such as 512M or 4G"},
    {"weights-memory", 0, "BYTES", ENGINE, true, OPT_WEIGHTS_MEMORY,
     "for unpacked copies of weights: BYTES, all or 0 (default: all where they fit a quarter of what is free, else 0)"},
    {"precision", 0, "NAME", ENGINE, true, OPT_PRECISION,
     "auto (bf16, and what is close again in f32; default), f32 or bf16"},
    {"isa", 0, "NAME", ENGINE, true, OPT_ISA,
     "instruction set: ref, avx2, avx512, avx512bf16, amx (default: CAPP_ISA, else the best)"},
    {"context", 0, "TOKENS", ENGINE, true, OPT_CONTEXT, "longest prompt with completion (default: the model's)"},
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
        if (!count_option("--context", text, 1, UINT32_MAX, &number, err)) return false;
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
        m->precision = !strcmp(text, "f32")    ? CAPP_PRECISION_F32
                       : !strcmp(text, "bf16") ? CAPP_PRECISION_BF16
                                               : CAPP_PRECISION_AUTO;
        if (m->precision != CAPP_PRECISION_AUTO || !strcmp(text, "auto")) return true;
        return fail_at(err, 0, "--precision '%s' is unknown; use auto, f32 or bf16", text);
    default: m->isa = text; return true;
    }
}

static bool number_option(size_t *target, const char *name, const char *text, capp_error *err) {
    uint64_t number = 0;
    if (!count_option(name, text, 1, INT_MAX, &number, err)) return false;
    *target = (size_t)number;
    return true;
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
    case OPT_LORA: return lora_option(o, text, err);
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

static bool has(const option_row *row, unsigned bit) {
    return row->everywhere || (row->commands & bit);
}

/* The rows of this command in getopt's form; letters begins with ':' (a missing argument is told apart). */
static void getopt_form(unsigned bit, struct option *longs, char *letters) {
    *letters++ = ':';
    for (size_t i = 0; i < n_option_rows; i++) {
        const option_row *row = &option_rows[i];
        if (!has(row, bit)) continue;
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
            has(&option_rows[i], bit))
            return &option_rows[i];
    return NULL;
}

/* What getopt_long did not like. */
static bool fail_option(int kind, unsigned bit, char **arguments, capp_error *err) {
    const option_row *row = row_of(optopt, bit);
    const char *written = optind > 0 ? arguments[optind - 1] : "";
    if (kind == ':') return fail_at(err, 0, "option --%s needs %s", row ? row->name : "?", row ? row->argument : "?");
    if (row) return fail_at(err, 0, "option --%s takes no argument", row->name);
    if (optopt) return fail_at(err, 0, "unknown option '-%c'", optopt);
    return fail_at(err, 0, "unknown option '%s'", written);
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
    *o = (options){.command = command, .bit = bit, .window = 4096, .tokens = 16, .repeat = 5};
    capp_model_options_init(&o->model_options);
    getopt_form(bit, longs, letters);
    opterr = 0;
    optind = 1;
    for (int id; (id = getopt_long(count, arguments, letters, longs, NULL)) != -1;) {
        if (id == '?' || id == ':') return fail_option(id, bit, arguments, err);
        if (!set(o, row_of(id, bit)->id, optarg, err)) return false;
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
    if (o->out && ends_with(o->out, ".csv") && !(bit & CHOOSE))
        return fail_at(err, 0, "%s writes JSON lines; give -o a name that does not end in .csv", command);
    return true;
}

void options_free(options *o) {
    free(o->stop);
    o->stop = NULL;
    for (size_t i = 0; i < o->model_options.n_lora; i++) free((char *)(uintptr_t)o->lora[i].path);
    free(o->lora);
    o->lora = NULL;
    o->model_options.n_lora = 0;
}
