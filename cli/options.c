#include "options.h"

#include <getopt.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "suggest.h"

static bool count_option(const char *name, const char *text, uint64_t least, uint64_t most, uint64_t *value,
                         capp_error *err) {
    if (parse_count(text, most, value) && *value >= least) return true;
    return fail_at(err, 0, "%s '%s': expected a whole number from %llu to %llu", name, text, (unsigned long long)least,
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
        return fail_at(err, 0, "--memory '%s' is not a number of bytes; write, for example, 512M or 4G", text);
    case OPT_WEIGHTS_MEMORY:
        if (!strcmp(text, "all"))
            m->weights_memory = CAPP_WEIGHTS_ALL;
        else if (!strcmp(text, "0"))
            m->weights_memory = CAPP_WEIGHTS_NONE;
        else if (!parse_bytes(text, &m->weights_memory))
            return fail_at(err, 0, "--weights-memory '%s' is not a number of bytes; write, for example, 2G, all or 0",
                           text);
        return true;
    case OPT_PRECISION:
        for (size_t i = 0; i < PRECISIONS; i++) {
            if (strcmp(text, precision_names[i]) != 0) continue;
            m->precision = (capp_precision)i;
            return true;
        }
        return fail_at(err, 0, "--precision '%s' is unknown; use auto, f32, bf16, i16, mixed or i8", text);
    default: m->isa = text; return true;
    }
}

static bool number_option(size_t *target, const char *name, const char *text, capp_error *err) {
    uint64_t number = 0;
    if (!count_option(name, text, 1, INT_MAX, &number, err)) return false;
    *target = (size_t)number;
    return true;
}

static bool progress_option(options *settings, const char *text, capp_error *err) {
    uint64_t number = 0;
    if (!count_option("--progress", text, 0, INT_MAX, &number, err)) return false;
    settings->progress = (size_t)number;
    return true;
}

static void note_given(options *settings, const char *name, const char *argument, size_t line) {
    grow(&settings->given, &settings->given_capacity, settings->n_given + 1, sizeof *settings->given);
    settings->given[settings->n_given++] = (given_option){name, argument, line};
}

static bool aggregate_option(options *settings, const char *text, capp_error *err) {
    static const char *const names[] = {
        [CAPP_AGGREGATE_MEAN] = "mean", [CAPP_AGGREGATE_SUM] = "sum", [CAPP_AGGREGATE_BYTES] = "bytes"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(text, names[i]) != 0) continue;
        settings->aggregate = (capp_aggregate)i;
        return true;
    }
    return fail_at(err, 0, "--aggregate '%s' is unknown; use mean, sum or bytes", text);
}

static bool separator_option(options *settings, const char *text, capp_error *err) {
    bool tab = !strcmp(text, "tab") || !strcmp(text, "\\t") || !strcmp(text, "\t");
    if (!tab && (strlen(text) != 1 || is_one_of(*text, "\"\r\n") || (unsigned char)*text >= 0x80))
        return fail_at(err, 0, "--separator '%s' is not one character; write ',' ';' '|' or tab", text);
    settings->separator = tab ? '\t' : *text;
    return true;
}

static bool record_option(options *settings, const char *text, capp_error *err) {
    uint64_t bytes;
    if (!parse_bytes(text, &bytes) || bytes > SIZE_MAX / 4)
        return fail_at(err, 0, "--max-record '%s' is not a number of bytes; write, for example, 64M", text);
    settings->max_record = (size_t)bytes;
    return true;
}

static bool policy_option(options *settings, const char *text, capp_error *err) {
    static const char *const names[] = {[ROW_STOP] = "stop", [ROW_SKIP] = "skip", [ROW_NULL] = "null"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(text, names[i]) != 0) continue;
        settings->on_error = (row_policy)i;
        return true;
    }
    return fail_at(err, 0, "--on-error '%s' is unknown; use stop, skip or null", text);
}

bool options_given(const options *settings, const char *name) {
    for (size_t i = 0; i < settings->n_given; i++)
        if (!strcmp(settings->given[i].name, name)) return true;
    return false;
}

bool options_blame(const options *settings, const char *name, capp_error *err) {
    const capp_error cause = *err;
    for (size_t i = 0; i < settings->n_given; i++)
        if (settings->given[i].line && !strcmp(settings->given[i].name, name))
            return fail_at(err, 0, "%s:%zu: %.800s", settings->project.path, settings->given[i].line, cause.message);
    return false;
}

bool names_store(const char *path) {
    return path && (ends_with(path, ".db") || ends_with(path, ".sqlite") || ends_with(path, ".sqlite3"));
}

static bool share_option(double *share, const char *text, capp_error *err) {
    char *end;
    *share = strtod(text, &end);
    if (end != text && !*end && *share > 0 && *share < 1) return true;
    return fail_at(err, 0, "--sets '%s' is not a number between 0 and 1; write, for example, 0.9", text);
}

static bool discount_option(options *settings, const char *text, capp_error *err) {
    char *end;
    settings->discount = strtod(text, &end);
    if (end != text && !*end && isfinite(settings->discount)) return true;
    return fail_at(err, 0, "--discount '%s' is not a number; write, for example, -1", text);
}

/* The discount, with what it needs and excludes. */
static bool check_discount(const options *settings, capp_error *err) {
    if (settings->domain && !*settings->domain)
        return fail_at(err, 0, "--domain is empty; write the prompt of the discount, such as 'Topic:'");
    bool pmi = settings->calibrate == CALIBRATE_PMI;
    if (pmi && settings->discount != 0)
        return fail_at(err, 0, "--calibrate pmi is a discount of -1; remove --discount");
    if (settings->domain && settings->discount == 0 && !pmi)
        return fail_at(err, 0, "--domain has no effect without a discount; add --discount -1");
    if (settings->discount != 0 && settings->only_prediction)
        return fail_at(err, 0, "--only-prediction does not work with --discount; remove one of the two");
    return true;
}

static bool exists(const char *path, size_t size) {
    char *copy = allocate(size + 1, 1);
    memcpy(copy, path, size);
    copy[size] = 0;
    bool found = !access(copy, F_OK);
    free(copy);
    return found;
}

/* "PATH" or "PATH=WEIGHT": the text after the last = is a weight if it is a number, unless the whole text is a path. */
static bool lora_option(options *settings, const char *text, capp_error *err) {
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
    if (!size) return fail_at(err, 0, "--lora '%s' does not name an adapter; write PATH or PATH=WEIGHT", text);
    if (!isfinite(weight)) return fail_at(err, 0, "--lora '%s': the weight is not a finite number", text);
    char *path = allocate(size + 1, 1);
    memcpy(path, text, size);
    path[size] = 0;
    grow(&settings->lora, &settings->lora_capacity, settings->model_options.n_lora + 1, sizeof *settings->lora);
    settings->lora[settings->model_options.n_lora++] = (capp_lora){path, weight};
    settings->model_options.lora = settings->lora;
    return true;
}

static void add_text(const char ***list, size_t *n, size_t *capacity, const char *text) {
    grow(list, capacity, *n + 1, sizeof **list);
    (*list)[(*n)++] = text;
}

static bool set(options *settings, int id, const char *text, capp_error *err) {
    switch (id) {
    case OPT_PROJECT: settings->project_path = text; return true;
    case OPT_SAMPLE: return number_option(&settings->sample, "--sample", text, err);
    case OPT_DEFAULTS: settings->defaults = true; return true;
    case OPT_WITHOUT:
        add_text(&settings->without, &settings->n_without, &settings->without_capacity, text);
        return true;
    case OPT_INSTRUCTION: settings->instruction = text; return true;
    case OPT_LIST: settings->list = text; return true;
    case OPT_LIST_SEPARATOR: settings->list_separator = text; return true;
    case OPT_ORDERS: return number_option(&settings->orders, "--orders", text, err);
    case OPT_EXAMPLES: settings->examples = text; return true;
    case OPT_EXAMPLES_LABEL: settings->examples_label = text; return true;
    case OPT_EXAMPLES_SEPARATOR: settings->examples_separator = text; return true;
    case OPT_MODEL: settings->model = text; return true;
    case OPT_TEMPLATE: settings->template = text; return true;
    case OPT_CLASSES: settings->classes = text; return true;
    case OPT_OUT: settings->out = text; return true;
    case OPT_FORMAT: settings->format = text; return true;
    case OPT_LABEL: settings->label = text; return true;
    case OPT_JSON: settings->json = text; return true;
    case OPT_HTML: settings->html = text; return true;
    case OPT_INSPECT_JSON: settings->inspect_json = true; return true;
    case OPT_IGNORE_EOS: settings->ignore_eos = true; return true;
    case OPT_NO_BOS: settings->no_bos = true; return true;
    case OPT_PARSE_SPECIAL: settings->parse_special = true; return true;
    case OPT_CHAT: settings->chat = true; return true;
    case OPT_SYSTEM: settings->system = text; return true;
    case OPT_CHAT_TEMPLATE:
        settings->chat_template = text;
        return strcmp(text, "@") != 0 || fail_at(err, 0,
                                                 "--chat-template '@' does not name a file; write @FILE, or the name "
                                                 "of one of the model's templates");
    case OPT_CHAT_VARIABLES: settings->chat_variables = text; return true;
    case OPT_PRIOR: settings->prior = text; return true;
    case OPT_MULTI_LABEL: settings->multi_label = true; return true;
    case OPT_ONLY_PREDICTION: settings->only_prediction = true; return true;
    case OPT_AGGREGATE: return aggregate_option(settings, text, err);
    case OPT_CALIBRATE:
        return calibration_method_of(text, &settings->calibrate) ||
               fail_at(err, 0,
                       "--calibrate '%s' is unknown; use batch, contextual, pmi, position, prior, temperature, affine "
                       "or none",
                       text);
    case OPT_KEYS: settings->keys = text; return true;
    case OPT_COUNT: return number_option(&settings->count, "-n", text, err);
    case OPT_ORDER:
        settings->random = !strcmp(text, "random");
        return settings->random || !strcmp(text, "uncertain") ||
               fail_at(err, 0, "--order '%s' is unknown; use uncertain or random", text);
    case OPT_SETS: return share_option(&settings->sets, text, err);
    case OPT_RESCORE: settings->rescore = true; return true;
    case OPT_DISCOUNT: return discount_option(settings, text, err);
    case OPT_DOMAIN: settings->domain = text; return true;
    case OPT_LABEL_INDEX: settings->label_index = true; return true;
    case OPT_SEPARATOR: return separator_option(settings, text, err);
    case OPT_MAX_RECORD: return record_option(settings, text, err);
    case OPT_ON_ERROR: return policy_option(settings, text, err);
    case OPT_LORA: return lora_option(settings, text, err);
    case OPT_ID: settings->id = text; return true;
    case OPT_KEEP: settings->keep = text; return true;
    case OPT_RESUME: settings->resume = true; return true;
    case OPT_OVERWRITE: settings->overwrite = true; return true;
    case OPT_FSYNC: settings->fsync = true; return true;
    case OPT_FETCH: settings->fetch = true; return true;
    case OPT_FINGERPRINT: settings->fingerprint = true; return true;
    case OPT_RENAME: add_text(&settings->rename, &settings->n_rename, &settings->rename_capacity, text); return true;
    case OPT_TOP: return number_option(&settings->top, "--top", text, err);
    case OPT_PROGRESS: return progress_option(settings, text, err);
    case OPT_QUIET: settings->quiet = true; return true;
    case OPT_HELP: settings->help = true; return true;
    case OPT_TOKENS: return number_option(&settings->tokens, "-n", text, err);
    case OPT_PREFILL: return number_option(&settings->prefill, "--prefill", text, err);
    case OPT_REPEAT: return number_option(&settings->repeat, "--repeat", text, err);
    case OPT_WINDOW: return number_option(&settings->window, "--window", text, err);
    case OPT_STOP:
        if (!*text) return fail_at(err, 0, "--stop is empty; write the text at which generation stops");
        add_text(&settings->stop, &settings->n_stop, &settings->stop_capacity, text);
        return true;
    case OPT_END_OF_PROMPT:
        if (strcmp(text, " ") != 0 && *text)
            return fail_at(err, 0, "--end-of-prompt '%s' is unknown; use one space (' ') or nothing ('')", text);
        settings->end_of_prompt = text;
        return true;
    default:
        if (id >= OPT_SERVER_FIRST) return true; /* cli/serve.c finds it among those given */
        return engine_option(&settings->model_options, id, text, err);
    }
}

/* The options of this command in the form of getopt. letters begins with ':', so getopt reports a missing argument
 * separately. */
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

/* Fails with a message about the option that getopt_long rejected. */
static bool fail_option(int kind, unsigned bit, char **arguments, capp_error *err) {
    const option_row *row = row_of(optopt, bit);
    const char *written = optind > 0 ? arguments[optind - 1] : "";
    if (kind == ':') return fail_at(err, 0, "option --%s needs %s", row ? row->name : "?", row ? row->argument : "?");
    if (row) return fail_at(err, 0, "option --%s takes no argument", row->name);
    if (optopt) return fail_at(err, 0, "unknown option '-%c'", optopt);
    const char *meant = suggest_option(written + strspn(written, "-"), bit);
    if (meant) return fail_at(err, 0, "unknown option '%s' (did you mean --%s?)", written, meant);
    if (names_input(written))
        return fail_at(err, 0, "unknown option '%s'; write the name of INPUT without an option", written);
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

/* Checks for empty file names: most often a variable that was not set. */
static bool check_names(const options *settings, capp_error *err) {
    const struct {
        const char *text, *what;
    } names[] = {{settings->model, "-m"},
                 {settings->out, "-o"},
                 {settings->json, "--json"},
                 {settings->html, "--html"},
                 {settings->project_path, "--project"},
                 {settings->examples, "--examples"},
                 {settings->input, "INPUT"}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i].text && !*names[i].text)
            return fail_at(err, 0, "%s is an empty name; write the name of a file", names[i].what);
    return true;
}

/* Options that change the report on a store. The others need the model, or write rows. */
static bool is_of_store_report(const char *name) {
    static const char *const useful[] = {"classes",  "label",   "label-index", "prior",   "multi-label", "aggregate",
                                         "discount", "domain",  "json",        "html",    "quiet",       "calibrate",
                                         "sets",     "project", "without",     "on-error"};
    for (size_t i = 0; i < sizeof useful / sizeof *useful; i++)
        if (!strcmp(name, useful[i])) return true;
    return false;
}

static bool check_store_options(const options *settings, capp_error *err) {
    for (size_t i = 0; i < settings->n_given; i++)
        if (!is_of_store_report(settings->given[i].name))
            return fail_at(err, 0, "--%s has no effect on the report of a store; remove it", settings->given[i].name);
    return true;
}

/* ---- The project file ------------------------------------------------------------------------------------------ */

/* Whether the command uses what the file says: decide needs the model only for --rescore, and a store keeps all columns
 * and classes. */
static bool uses_key(const options *settings, const char *name) {
    bool columns = !strcmp(name, "keep") || !strcmp(name, "rename") || !strcmp(name, "top");
    if (columns && names_store(settings->out)) return false;
    if (!strcmp(name, "model") && settings->bit == COMMAND_DECIDE) return settings->rescore;
    if (settings->bit == COMMAND_EVALUATE && names_store(settings->input)) return is_of_store_report(name);
    return true;
}

static bool is_left_out(const options *settings, const char *name) {
    for (size_t i = 0; i < settings->n_without; i++) {
        size_t size = strlen(settings->without[i]); /* --without examples leaves out examples-label, too */
        if (!strncmp(settings->without[i], name, size) && (!name[size] || name[size] == '-')) return true;
    }
    return false;
}

static bool is_named(const options *settings, const char *name, size_t n_given) {
    for (size_t i = 0; i < n_given; i++)
        if (!strcmp(settings->given[i].name, name)) return true;
    return is_left_out(settings, name);
}

/* The examples are a part of the question, so their labels are read in one way by all commands. */
static void take_project_label(options *settings, const project_value *value) {
    if (is_left_out(settings, value->name)) return;
    if (!strcmp(value->name, "label")) settings->project_label = value->argument;
    if (!strcmp(value->name, "label-index")) settings->project_label_index = true;
}

static bool check_without(const options *settings, capp_error *err) {
    for (size_t i = 0; i < settings->n_without; i++) {
        size_t j = 0;
        while (j < settings->project.n && strcmp(settings->project.values[j].name, settings->without[i]) != 0) j++;
        if (settings->project_path && j < settings->project.n) continue;
        return fail_at(err, 0, "--without '%s': %s", settings->without[i],
                       settings->project_path ? "the project file has no such key; remove the option"
                                              : "there is no project file; add --project FILE");
    }
    return true;
}

/* Options of the command line count more than those of the file. */
static bool take_project(options *settings, capp_error *err) {
    project *p = &settings->project;
    size_t n_given = settings->n_given;
    if (settings->bit == COMMAND_INIT) return true; /* it writes the file */
    if (settings->project_path && !project_read(p, settings->project_path, err)) return false;
    for (size_t i = 0; i < p->n; i++) {
        const project_value *value = &p->values[i];
        take_project_label(settings, value);
        for (size_t j = 0; j < n_option_rows; j++) {
            const option_row *row = &option_rows[j];
            if (strcmp(row->name, value->name) != 0 || !(row->commands & settings->bit)) continue;
            if (is_named(settings, value->name, n_given) || !uses_key(settings, value->name)) continue;
            note_given(settings, row->name, value->argument, value->line);
            if (!set(settings, row->id, value->argument, err)) return options_blame(settings, row->name, err);
            settings->classes_are_json = settings->classes_are_json || value->is_json;
        }
    }
    return check_without(settings, err);
}

static bool check_reports(const options *settings, capp_error *err) {
    if (!settings->json || !settings->html || strcmp(settings->json, settings->html) != 0) return true;
    return fail_at(err, 0, "--json and --html name the same file, '%s'; write two names", settings->json);
}

static bool is_on(const char *text) {
    return !strcmp(text, "true") || !strcmp(text, "yes") || !strcmp(text, "1");
}

/* A setting of the machine for an option that was not given. */
static bool take_setting(options *settings, const config_entry *entry, capp_error *err) {
    unsigned bit = settings->bit;
    const option_row *row = NULL;
    for (size_t i = 0; i < n_option_rows && !row; i++)
        if (!strcmp(option_rows[i].name, entry->name) && option_has(&option_rows[i], bit)) row = &option_rows[i];
    if (!row || options_given(settings, entry->name)) return true;
    if (row->id == OPT_MODEL && bit == COMMAND_DECIDE && !settings->rescore) return true;
    if (!row->argument && !is_on(entry->value)) {
        static const char *const off[] = {"false", "no", "0"};
        for (size_t i = 0; i < sizeof off / sizeof *off; i++)
            if (!strcmp(entry->value, off[i])) return true;
        return fail_at(err, 0, "%s: %s is '%.100s'; write true or false", entry->where, entry->name, entry->value);
    }
    capp_error cause;
    if (!set(settings, row->id, entry->value, &cause)) return fail_at(err, 0, "%s: %s", entry->where, cause.message);
    if (bit == COMMAND_SERVE && row->id == OPT_MODEL)
        note_given(settings, row->name, entry->value, 0); /* serve reads it */
    return true;
}

static bool take_settings(options *settings, capp_error *err) {
    if (!config_open(&settings->config, err)) return false;
    for (size_t i = 0; i < settings->config.n; i++)
        if (!take_setting(settings, &settings->config.entries[i], err)) return false;
    return true;
}

bool options_parse(options *settings, const char *command, unsigned bit, int count, char **arguments, capp_error *err) {
    struct option longs[MAX_OPTIONS + 1];
    char letters[3 * MAX_OPTIONS + 2];
    *settings = (options){.command = command,
                          .bit = bit,
                          .window = 4096,
                          .tokens = 16,
                          .repeat = 5,
                          .progress = 30,
                          .orders = 1,
                          .sample = 64,
                          .max_record = 16 << 20};
    capp_model_options_init(&settings->model_options);
    getopt_form(bit, longs, letters);
    opterr = 0;
    optind = 1;
    for (int id; (id = getopt_long(count, arguments, letters, longs, NULL)) != -1;) {
        if (id == '?' || id == ':') return fail_option(id, bit, arguments, err);
        const option_row *row = row_of(id, bit);
        if (!check_dashes(row, arguments[optind - 1], bit, err) || !set(settings, row->id, optarg, err)) return false;
        note_given(settings, row->name, row->argument ? optarg : NULL, 0);
    }
    if (settings->help) return true;
    if (!take_settings(settings, err)) return false;
    if (optind < count) settings->input = arguments[optind++];
    if (optind < count && (bit == COMMAND_MODELS || bit == COMMAND_COMPARE)) settings->second = arguments[optind++];
    if (settings->input && (bit == COMMAND_BENCH || bit == COMMAND_SERVE))
        return fail_at(err, 0, "%s reads no INPUT; remove '%s'", command, settings->input);
    if (!check_names(settings, err) || !take_project(settings, err)) return false;
    if (optind < count)
        return fail_at(err, 0, "more than one INPUT: '%s'; run the command once for each", arguments[optind]);
    if (!settings->chat && (settings->system || settings->chat_template || settings->chat_variables))
        return fail_at(err, 0, "--%s works only with --chat; add --chat",
                       settings->system          ? "system"
                       : settings->chat_template ? "chat-template"
                                                 : "chat-variables");
    if ((bit & (COMMAND_EXPORT | COMMAND_DECIDE | COMMAND_LABEL)) && !settings->input)
        return fail_at(err, 0, "no store; write capp %s NAME.db", command);
    if (bit == COMMAND_DECIDE && !settings->model != !settings->rescore)
        return fail_at(err, 0,
                       settings->model ? "-m has no effect without --rescore; add it, or remove -m"
                                       : "--rescore needs the model; add -m FILE");
    if (!settings->model && row_of(OPT_MODEL, bit) && bit != COMMAND_DECIDE && bit != COMMAND_INIT &&
        !(bit == COMMAND_EVALUATE && names_store(settings->input)))
        return fail_at(err, 0, "no model; use -m FILE");
    if (bit == COMMAND_SWEEP && (!settings->input || !strcmp(settings->input, "-")))
        return fail_at(err, 0, "sweep reads INPUT several times; write the name of a file");
    if (bit == COMMAND_SWEEP && !settings->label)
        return fail_at(err, 0, "no label; name the column of the correct class with --label FIELD");
    if (bit == COMMAND_INSPECT && !settings->input) return fail_at(err, 0, "no file; write capp inspect FILE");
    if (bit == COMMAND_COMPARE && !settings->second)
        return fail_at(err, 0, "compare needs two stores; write capp compare FIRST.db SECOND.db --label FIELD");
    if (bit == COMMAND_EVALUATE && !names_store(settings->input) && (settings->calibrate || settings->sets > 0))
        return fail_at(err, 0, "--%s works on a store: first run capp classify -o NAME.db, then capp evaluate NAME.db",
                       settings->calibrate ? "calibrate" : "sets");
    if (bit == COMMAND_EVALUATE && !names_store(settings->input) && !settings->label)
        return fail_at(err, 0, "no label; name the column of the correct class with --label FIELD");
    if ((settings->resume || settings->overwrite) && bit != COMMAND_INIT &&
        (!settings->out || !strcmp(settings->out, "-")))
        return fail_at(err, 0, "--%s works only with an output file; use -o FILE",
                       settings->resume ? "resume" : "overwrite");
    if (settings->resume && settings->overwrite)
        return fail_at(err, 0, "--resume keeps the rows of the file and --overwrite removes them; use one of the two");
    if (bit == COMMAND_EVALUATE && names_store(settings->input) && !check_store_options(settings, err)) return false;
    return check_reports(settings, err) && check_discount(settings, err);
}

void options_free(options *settings) {
    config_close(&settings->config);
    free(settings->stop);
    settings->stop = NULL;
    free(settings->rename);
    free(settings->without);
    free(settings->located);
    free(settings->given);
    for (size_t i = 0; i < settings->model_options.n_lora; i++) free((char *)(uintptr_t)settings->lora[i].path);
    free(settings->lora);
    settings->lora = NULL;
    settings->model_options.n_lora = 0;
    project_free(&settings->project);
}
