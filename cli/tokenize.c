#include "run.h"

static capp_status window(run *this_run, const row *rows, size_t n, void *user, capp_error *err) {
    (void)user;
    unsigned flags = (this_run->options->no_bos ? 0U : CAPP_TOKENIZE_BOS) |
                     (this_run->options->parse_special ? CAPP_TOKENIZE_SPECIAL : 0U);
    run_call(this_run, rows);
    for (size_t i = 0; i < n; i++) {
        int32_t *ids;
        size_t n_ids;
        const capp_message turn = {capp_str_of("user"), rows[i].example.prompt};
        capp_status status = this_run->chat ? capp_chat_tokenize(this_run->chat, &turn, 1,
                                                                 flags & CAPP_TOKENIZE_SPECIAL, &ids, &n_ids, err)
                                            : capp_tokenize(this_run->model, turn.content, flags, &ids, &n_ids, err);
        if (status) {
            err->row = i;
            return status;
        }
        buffer *b = &this_run->output.row;
        if (!rows[i].id_given && run_reach(this_run, &rows[i])) buffer_char(b, '{');
        if (rows[i].id_given) begin_row(this_run, &rows[i]);
        buffer_text(b, rows[i].id_given ? ", \"ids\": " : "\"ids\": ");
        put_ids(b, ids, n_ids);
        buffer_text(b, "}\n");
        capp_free(ids);
        if (!run_end_row(this_run) || !run_progress(this_run, i + 1, n)) return CAPP_ECANCELLED;
    }
    return CAPP_OK;
}

int tokenize_command(const options *settings) {
    return run_rows(settings, NEED_TEXT, false, window);
}
