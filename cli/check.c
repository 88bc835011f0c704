#include "check.h"

#include <stdlib.h>
#include <string.h>

enum { LONG_BYTES = 8 << 20 }; /* of rows that are tokenised, the longest one not counted */

void check_free(check *c) {
    buffer_free(&c->first_reason);
    buffer_free(&c->unlike[0]);
    buffer_free(&c->unlike[1]);
    for (size_t i = 0; i < CHECK_LONGEST; i++) buffer_free(&c->longest[i].text);
    *c = (check){0};
}

/* ---- The pass ---------------------------------------------------------------------------------------------------- */

static void count_bad(check *c, size_t line, const char *reason, size_t size) {
    if (!c->n_bad || line < c->first_line) {
        c->first_line = line;
        c->first_reason.size = 0;
        buffer_add(&c->first_reason, reason, size);
    }
    c->n_bad++;
}

/* "line 3 'maybe'", for the first few. */
static void list_label(buffer *list, const row *r) {
    enum { ENOUGH = 120, SHOWN = 40 };
    if (list->size >= ENOUGH) return;
    capp_str label = r->label_text;
    int size = label.size <= SHOWN ? (int)label.size : (int)utf8_valid(label.data, SHOWN);
    buffer_printf(list, "%sline %zu '%.*s'", list->size ? ", " : "", r->line, size, label.data);
    if (list->size >= ENOUGH) buffer_text(list, ", ...");
}

static void count_label(check *c, const row *r) {
    c->n_labelled++;
    for (int way = 0; way < 2; way++) {
        if (r->label_found[way] != SIZE_MAX)
            c->labels[way]++;
        else
            list_label(&c->unlike[way], r);
    }
}

/* All labels by text, else all by index. */
static bool decide_labels(const check *c, const reader *r, row_rules *rules, capp_error *err) {
    const buffer *text = &c->unlike[LABELS_BY_TEXT], *index = &c->unlike[LABELS_BY_INDEX];
    rules->labels = LABELS_BY_TEXT;
    if (c->labels[LABELS_BY_TEXT] == c->n_labelled) return true;
    rules->labels = LABELS_BY_INDEX;
    if (c->labels[LABELS_BY_INDEX] == c->n_labelled) return true;
    return fail_at(
        err, 0,
        "%s: labels are neither all the text of a class (not: %.*s) nor all an index from 0 (not: %.*s); write "
        "all in one way, or give --label-index",
        r->source.name, (int)text->size, text->data, (int)index->size, index->data);
}

/* The row's longest completion, where that is its own. */
static capp_str longest_completion(const row *r, const row_rules *rules) {
    capp_str longest = {"", 0};
    if (r->example.completions == rules->classes) return longest;
    for (size_t i = 0; i < r->example.n_completions; i++)
        if (r->example.completions[i].size > longest.size) longest = r->example.completions[i];
    return longest;
}

static void keep_longest(check *c, const row *r, const row_rules *rules) {
    size_t shortest = 0;
    capp_str completion = longest_completion(r, rules);
    size_t size = r->example.prompt.size + completion.size;
    if (c->n_longest && c->long_bytes + size > LONG_BYTES) { /* too much to keep: the longest one alone */
        for (size_t i = 0; i < c->n_longest; i++)
            if (c->longest[i].text.size >= size) return;
        for (size_t i = 0; i < c->n_longest; i++) buffer_free(&c->longest[i].text);
        c->n_longest = c->long_bytes = 0;
    }
    if (c->n_longest < CHECK_LONGEST) {
        shortest = c->n_longest++;
    } else {
        for (size_t i = 1; i < CHECK_LONGEST; i++)
            if (c->longest[i].text.size < c->longest[shortest].text.size) shortest = i;
        if (c->longest[shortest].text.size >= size) return;
    }
    long_row *kept = &c->longest[shortest];
    c->long_bytes += size - kept->text.size;
    kept->text.size = 0;
    buffer_str(&kept->text, r->example.prompt);
    buffer_str(&kept->text, completion);
    kept->prompt = r->example.prompt.size;
    kept->line = r->line;
    kept->own = completion.size > 0;
}

/* Where rows are bad: an error, or where the options say so, a word about it. */
static bool judge_rows(const check *c, const reader *r, const options *o, capp_error *err) {
    const char *name = r->source.name, *reason = c->first_reason.data;
    int size = c->first_reason.size < 600 ? (int)c->first_reason.size : (int)utf8_valid(reason, 600);
    char others[64] = "";
    if (c->n_bad > 1) snprintf(others, sizeof others, " (and %zu more rows that cannot be scored)", c->n_bad - 1);
    if (c->n_bad && o->on_error == ROW_STOP)
        return fail_at(err, 0, "%s:%zu: %.*s%s; nothing was scored; --on-error skip or null goes on without such rows",
                       name, c->first_line, size, reason, others);
    if (c->n_bad && !o->quiet)
        complain("%zu of %zu rows cannot be scored, the first is %s:%zu: %.*s", c->n_bad, c->n_rows, name,
                 c->first_line, size, reason);
    return true;
}

/* A failure of the reader with its place in the message. */
static bool fail_place(const reader *r, capp_error *err) {
    const capp_error cause = *err;
    if (!cause.row) return false;
    return fail_at(err, 0, "%s:%zu: %.800s; nothing was scored", r->source.name, cause.row, cause.message);
}

bool check_input(check *c, reader *r, row_rules *rules, const options *o, capp_error *err) {
    arena memory = {0};
    read_status status = READ_ROW;
    bool decide = rules->label && rules->labels == LABELS_BY_TEXT;
    *c = (check){0};
    if (!r->source.regular) return true;
    if (decide) rules->labels = LABELS_UNDECIDED;
    while (status == READ_ROW) {
        row next;
        arena_reset(&memory);
        status = row_read(&next, rules, r, c->n_rows, true, &memory, err);
        if (status != READ_ROW) break;
        c->n_rows++;
        if (row_is_bad(&next)) {
            count_bad(c, next.line, next.reason.data, next.reason.size);
            continue;
        }
        if (decide) count_label(c, &next);
        keep_longest(c, &next, rules);
    }
    arena_free(&memory);
    rules->notes.ids_known = true;
    if (decide) rules->labels = LABELS_BY_TEXT;
    if (interrupted()) return true;
    if (status == READ_FAILED) return fail_place(r, err);
    if (!judge_rows(c, r, o, err)) return false;
    if (decide && !decide_labels(c, r, rules, err)) return false;
    return reader_rewind(r, err);
}

/* ---- Lengths ----------------------------------------------------------------------------------------------------- */

/* Tokens of a text, or 0 where it cannot be tokenised, which the run itself will say. */
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

/* Tokens that a completion has at least: the space before it may join with its first token. */
static size_t count_completion(const capp_model *model, capp_str text) {
    size_t n = count_tokens(model, NULL, text, 0);
    return n > 1 ? n - 1 : 1;
}

static size_t longest_class(const row_rules *rules, const capp_model *model) {
    size_t most = 0;
    for (size_t i = 0; i < rules->n_classes; i++) {
        size_t n = count_completion(model, rules->classes[i]);
        if (n > most) most = n;
    }
    return most;
}

bool check_lengths(check *c, const reader *r, const row_rules *rules, const options *o, const capp_model *model,
                   const capp_chat *chat, capp_error *err) {
    capp_model_info info;
    capp_model_get_info(model, &info);
    bool choices = rules->need == NEED_CHOICES || rules->need == NEED_CHOICES_OR_TEXT;
    size_t tail = rules->need == NEED_PROMPT ? o->tokens : choices ? longest_class(rules, model) : 0;
    unsigned flags = (o->no_bos ? 0U : CAPP_TOKENIZE_BOS) | (o->parse_special ? CAPP_TOKENIZE_SPECIAL : 0U);
    if (rules->need == NEED_TEXT) return true; /* tokens alone: no context */
    for (size_t i = 0; i < c->n_longest && !interrupted(); i++) {
        const long_row *kept = &c->longest[i];
        size_t n = count_tokens(model, chat, (capp_str){kept->text.data, kept->prompt}, flags);
        if (kept->own)
            n += count_completion(model, (capp_str){kept->text.data + kept->prompt, kept->text.size - kept->prompt});
        else
            n += tail;
        if (n <= info.context) continue;
        buffer reason = {0};
        buffer_printf(&reason,
                      "the row has %zu tokens or more, but the context is %u; shorten the text, or allow more "
                      "by --context where the model can",
                      n, info.context);
        count_bad(c, kept->line, reason.data, reason.size);
        buffer_free(&reason);
    }
    return o->on_error != ROW_STOP || judge_rows(c, r, o, err);
}

void advise_context(capp_error *err) {
    static const char advice[] = ", or allow more by --context where the model can";
    size_t size = strlen(err->message);
    if (err->status == CAPP_ETOOLONG && size + sizeof advice <= sizeof err->message)
        memcpy(err->message + size, advice, sizeof advice);
}
