#include "check.h"

#include <stdlib.h>
#include <string.h>

enum { LONG_BYTES = 8 << 20 }; /* limit for the rows that are kept for tokenizing, not counting the longest one */

void check_free(check *findings) {
    buffer_free(&findings->first_reason);
    labels_free(&findings->labels);
    for (size_t i = 0; i < CHECK_LONGEST; i++) buffer_free(&findings->longest[i].text);
    *findings = (check){0};
}

/* ---- The pass ---------------------------------------------------------------------------------------------------- */

static void count_bad(check *findings, size_t line, const char *reason, size_t size) {
    if (!findings->n_bad || line < findings->first_line) {
        findings->first_line = line;
        findings->first_reason.size = 0;
        buffer_add(&findings->first_reason, reason, size);
    }
    findings->n_bad++;
}

/* The longest completion of the row, if the row has its own. */
static capp_str longest_completion(const row *this_row, const row_rules *rules) {
    capp_str longest = {"", 0};
    if (this_row->example.completions == rules->classes) return longest;
    for (size_t i = 0; i < this_row->example.n_completions; i++)
        if (this_row->example.completions[i].size > longest.size) longest = this_row->example.completions[i];
    return longest;
}

static void keep_longest(check *findings, const row *this_row, const row_rules *rules) {
    size_t shortest = 0;
    capp_str completion = longest_completion(this_row, rules);
    size_t size = this_row->example.prompt.size + completion.size;
    if (findings->n_longest &&
        findings->long_bytes + size > LONG_BYTES) { /* too much to keep: keep only the longest one */
        for (size_t i = 0; i < findings->n_longest; i++)
            if (findings->longest[i].text.size >= size) return;
        for (size_t i = 0; i < findings->n_longest; i++) buffer_free(&findings->longest[i].text);
        findings->n_longest = findings->long_bytes = 0;
    }
    if (findings->n_longest < CHECK_LONGEST) {
        shortest = findings->n_longest++;
    } else {
        for (size_t i = 1; i < CHECK_LONGEST; i++)
            if (findings->longest[i].text.size < findings->longest[shortest].text.size) shortest = i;
        if (findings->longest[shortest].text.size >= size) return;
    }
    long_row *kept = &findings->longest[shortest];
    findings->long_bytes += size - kept->text.size;
    kept->text.size = 0;
    buffer_str(&kept->text, this_row->example.prompt);
    buffer_str(&kept->text, completion);
    kept->prompt = this_row->example.prompt.size;
    kept->line = this_row->line;
    kept->own = completion.size > 0;
}

/* If there are bad rows: fails, or if the options allow bad rows, prints a message. */
static bool judge_rows(const check *findings, const reader *input, const options *settings, capp_error *err) {
    const char *name = input->source.name, *reason = findings->first_reason.data;
    int size = findings->first_reason.size < 600 ? (int)findings->first_reason.size : (int)utf8_valid(reason, 600);
    char others[64] = "";
    if (findings->n_bad > 1)
        snprintf(others, sizeof others, " (and %zu more rows that cannot be scored)", findings->n_bad - 1);
    if (findings->n_bad && settings->on_error == ROW_STOP)
        return fail_at(err, 0,
                       "%s:%zu: %.*s%s; no row was scored; to continue without such rows, use --on-error skip or null",
                       name, findings->first_line, size, reason, others);
    if (findings->n_bad && !settings->quiet)
        complain("%zu of %zu rows cannot be scored; the first is %s:%zu: %.*s", findings->n_bad, findings->n_rows, name,
                 findings->first_line, size, reason);
    return true;
}

/* Adds the place in the input to the message of a failure of the reader. */
static bool fail_place(const reader *input, capp_error *err) {
    const capp_error cause = *err;
    if (!cause.row) return false;
    return fail_at(err, 0, "%s:%zu: %.800s; no row was scored", input->source.name, cause.row, cause.message);
}

bool check_input(check *findings, reader *input, row_rules *rules, const options *settings, capp_error *err) {
    arena memory = {0};
    read_status status = READ_ROW;
    bool decide = rules->label && rules->labels == LABELS_BY_TEXT;
    *findings = (check){.row_cost = -1, .sample.input_bytes = input->source.total};
    if (!input->source.regular) return true;
    if (decide) rules->labels = LABELS_UNDECIDED;
    while (status == READ_ROW) {
        row next;
        arena_reset(&memory);
        status = row_read(&next, rules, input, findings->n_rows, true, &memory, err);
        if (status != READ_ROW) break;
        findings->n_rows++;
        if (row_is_bad(&next)) {
            count_bad(findings, next.line, next.reason.data, next.reason.size);
            continue;
        }
        if (decide) labels_count(&findings->labels, "line", next.line, next.label_text, next.label_found);
        findings->sample.prompt_bytes += next.example.prompt.size;
        findings->sample.rows++;
        keep_longest(findings, &next, rules);
    }
    arena_free(&memory);
    rules->notes.ids_known = true;
    if (decide) rules->labels = LABELS_BY_TEXT;
    if (interrupted()) return true;
    if (status == READ_FAILED) return fail_place(input, err);
    if (!judge_rows(findings, input, settings, err)) return false;
    if (decide && !labels_decide(&findings->labels, input->source.name, false, settings->quiet, &rules->labels, err))
        return false;
    return reader_rewind(input, err);
}

/* ---- Lengths ----------------------------------------------------------------------------------------------------- */

/* Number of tokens of a text, or 0 if it cannot be tokenized, which the run will report. */
static size_t count_tokens(const capp_model *model, const capp_chat *chat, capp_str text, unsigned flags) {
    int32_t *ids = NULL;
    size_t n = 0;
    const capp_message turn = {capp_str_of("user"), text};
    capp_status status = chat ? capp_chat_tokenize(chat, &turn, 1, flags & CAPP_TOKENIZE_SPECIAL, &ids, &n, NULL)
                              : capp_tokenize(model, text, flags, &ids, &n, NULL);
    if (status) return 0;
    capp_free(ids);
    return n;
}

/* The smallest possible number of tokens of a completion: the space before it may join with its first token. */
static size_t count_completion(const capp_model *model, capp_str text) {
    size_t n = count_tokens(model, NULL, text, 0);
    return n > 1 ? n - 1 : 1;
}

static size_t longest_class(const row_rules *rules, const capp_model *model) {
    size_t most = 0, n_all;
    const capp_str *all = rules_completions(rules, &n_all);
    for (size_t i = 0; i < n_all; i++) {
        size_t n = count_completion(model, all[i]);
        if (n > most) most = n;
    }
    return most;
}

static bool on_fact(void *user, const char *section, const char *key, const char *value) {
    unsigned long *limit = user;
    if (!strcmp(section, "model") && !strcmp(key, "context")) *limit = strtoul(value, NULL, 10);
    return !*limit && !interrupted();
}

void context_advice(const options *settings, const capp_model *model, char text[CONTEXT_ADVICE]) {
    capp_model_info info;
    unsigned long limit = 0; /* by default the context is the limit, but for models with factors for long texts */
    capp_model_get_info(model, &info);
    (void)capp_describe(settings->model, on_fact, &limit, NULL);
    if (limit > info.context)
        snprintf(text, CONTEXT_ADVICE, ", or set a larger --context, up to %lu", limit);
    else
        snprintf(text, CONTEXT_ADVICE, "%s", limit ? " (the model supports no larger context)" : "");
}

void advise_context(const options *settings, const capp_model *model, capp_error *err) {
    char advice[CONTEXT_ADVICE];
    size_t size = strlen(err->message);
    if (err->status != CAPP_ETOOLONG || size + sizeof advice > sizeof err->message) return;
    context_advice(settings, model, advice);
    memcpy(err->message + size, advice, strlen(advice) + 1);
}

bool check_lengths(check *findings, const reader *input, const row_rules *rules, const options *settings,
                   const capp_model *model, const capp_chat *chat, capp_error *err) {
    capp_model_info info;
    char advice[CONTEXT_ADVICE] = "";
    capp_model_get_info(model, &info);
    bool choices = rules->need == NEED_CHOICES || rules->need == NEED_CHOICES_OR_TEXT;
    size_t tail = rules->need == NEED_PROMPT ? settings->tokens : choices ? longest_class(rules, model) : 0;
    unsigned flags =
        (settings->no_bos ? 0U : CAPP_TOKENIZE_BOS) | (settings->parse_special ? CAPP_TOKENIZE_SPECIAL : 0U);
    if (rules->need == NEED_TEXT) return true; /* tokens alone: no context */
    for (size_t i = 0; i < findings->n_longest && !interrupted(); i++) {
        const long_row *kept = &findings->longest[i];
        size_t n = count_tokens(model, chat, (capp_str){kept->text.data, kept->prompt}, flags);
        findings->sample.some_tokens += n;
        findings->sample.some_bytes += kept->prompt;
        if (kept->own)
            n += count_completion(model, (capp_str){kept->text.data + kept->prompt, kept->text.size - kept->prompt});
        else
            n += tail;
        if (n <= info.context) continue;
        buffer reason = {0};
        if (!*advice) context_advice(settings, model, advice);
        buffer_printf(&reason, "the row has %zu tokens or more, but the context is %u; shorten the text%s", n,
                      info.context, advice);
        count_bad(findings, kept->line, reason.data, reason.size);
        buffer_free(&reason);
    }
    size_t tokens = rules->need == NEED_PROMPT ? settings->tokens : choices ? cost_of_classes(rules, model) : 0;
    if (findings->sample.rows) findings->row_cost = cost_of_row(rules, &findings->sample, tokens);
    return settings->on_error != ROW_STOP || judge_rows(findings, input, settings, err);
}
