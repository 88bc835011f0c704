#include "run.h"

static bool on_decision(run *this_run, const row *this_row, const capp_decision *decision, void *user) {
    (void)user;
    return write_decision(this_run, this_row, decision);
}

static bool on_choice(run *this_run, const row *this_row, const capp_result *result, void *user) {
    (void)user;
    return write_choice(this_run, this_row, result);
}

static capp_status window(run *this_run, const row *rows, size_t n, void *user, capp_error *err) {
    if (this_run->options->only_prediction) return run_decide(this_run, rows, n, on_decision, user, err);
    return run_score(this_run, rows, n, on_choice, user, err);
}

int classify_command(const options *settings) {
    return run_rows(settings, NEED_CHOICES, true, window);
}
