#include "run.h"

static bool on_choices(run *this_run, const row *this_row, const capp_result *result, void *user) {
    (void)user;
    buffer *b = &this_run->output.row;
    begin_row(this_run, this_row);
    buffer_text(b, ", \"prompt\": ");
    put_string(b, this_row->example.prompt);
    buffer_text(b, ", \"prompt_ids\": ");
    put_ids(b, result->prompt_ids, result->n_prompt_ids);
    buffer_text(b, ", \"completions\": [");
    for (size_t i = 0; i < result->n_completions; i++) {
        size_t start = result->offset[i], n = result->offset[i + 1] - start;
        buffer_text(b, i ? ", {\"text\": " : "{\"text\": ");
        put_string(b, this_row->example.completions[i]);
        buffer_text(b, ", \"ids\": ");
        put_ids(b, result->ids + start, n);
        buffer_text(b, ", \"logprobs\": ");
        put_floats(b, result->logprobs + start, n);
        buffer_char(b, '}');
    }
    buffer_char(b, ']');
    if (this_row->label_json.size) {
        buffer_text(b, ", \"label\": ");
        buffer_str(b, this_row->label_json);
    }
    buffer_text(b, "}\n");
    return run_end_row(this_run);
}

typedef struct texts {
    run *run;
    const row *rows;
} texts;

static bool on_text(void *user, const capp_text_result *result) {
    const texts *t = user;
    const row *of = &t->rows[result->row];
    buffer *b = &t->run->output.row;
    if (!begin_row(t->run, of)) return false;
    buffer_text(b, ", \"text\": ");
    put_string(b, of->example.prompt);
    buffer_text(b, ", \"ids\": ");
    put_ids(b, result->ids, result->n);
    buffer_text(b, ", \"logprobs\": ");
    put_floats(b, result->logprobs, result->n);
    buffer_text(b, "}\n");
    return run_end_row(t->run);
}

static capp_status score_texts(run *this_run, const row *rows, size_t n, capp_error *err) {
    capp_str *list = arena_allocate(&this_run->memory, n, sizeof *list);
    for (size_t i = 0; i < n; i++) list[i] = rows[i].example.prompt;
    capp_run_options how;
    run_options_of(this_run, rows, &how);
    unsigned flags =
        (this_run->options->no_bos ? 0U : CAPP_TOKENIZE_BOS) | (how.parse_special ? CAPP_TOKENIZE_SPECIAL : 0U);
    texts t = {this_run, rows};
    return capp_token_logprobs(this_run->session, list, n, flags, &how, on_text, &t, err);
}

/* Consecutive rows of one kind are one call. */
static capp_status window(run *this_run, const row *rows, size_t n, void *user, capp_error *err) {
    for (size_t start = 0, end; start < n; start = end) {
        for (end = start + 1; end < n && rows[end].is_text == rows[start].is_text;) end++;
        capp_status status = rows[start].is_text
                                 ? score_texts(this_run, rows + start, end - start, err)
                                 : run_score(this_run, rows + start, end - start, on_choices, user, err);
        if (status) {
            if (err->row != CAPP_NO_ROW) err->row += start;
            return status;
        }
    }
    return CAPP_OK;
}

int logprobs_command(const options *settings) {
    return run_rows(settings, NEED_CHOICES_OR_TEXT, true, window);
}
