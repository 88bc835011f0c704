#include "run.h"

static bool on_decision(run *r, const row *of, const capp_decision *decision, void *user) {
    (void)user;
    return write_decision(r, of, decision);
}

static bool on_choice(run *r, const row *of, const capp_result *result, void *user) {
    (void)user;
    return write_choice(r, of, result);
}

static capp_status window(run *r, const row *rows, size_t n, void *user, capp_error *err) {
    if (r->options->only_prediction) return run_decide(r, rows, n, on_decision, user, err);
    return run_score(r, rows, n, on_choice, user, err);
}

int classify_command(const options *o) {
    return run_rows(o, NEED_CHOICES, true, window);
}
