#include "score/row.h"

#include "base/mem.h"

void capp_judge_free(capp_judge *judge) {
    capp_free(judge->doubles);
}

static capp_status weigh(capp_judge *judge, const capp_scored *row, capp_error *err) {
    const capp_example *example = row->example;
    size_t n_classes = capp_weighing_classes(judge->weighing, example);
    size_t scratch = row->offset[example->n_completions] + example->n_completions;
    if (!capp_grow(&judge->doubles, &judge->capacity, 3 * n_classes + scratch, sizeof *judge->doubles))
        return capp_fail_memory(err, "the results");
    capp_status st = capp_weigh(judge->weighing, example, row->row, row->logprobs, row->offset,
                                judge->doubles + 3 * n_classes, judge->doubles, err);
    if (st != CAPP_OK && err) err->row = row->row;
    return st;
}

capp_status capp_judge_fast(capp_judge *judge, const capp_scored *row, double margin, bool *again, double *top,
                            bool *close, capp_error *err) {
    capp_status st = weigh(judge, row, err);
    *close = st == CAPP_OK &&
             capp_weighing_is_close(judge->weighing, row->example, judge->doubles, row->offset, row->ids, margin);
    if (*close) *top = capp_weighing_choose(judge->weighing, row->example, judge->doubles, row->offset, margin, again);
    return st == CAPP_EINVAL ? CAPP_OK : st;
}

capp_status capp_judge_exact(capp_judge *judge, const capp_scored *row, double margin, bool *again, double top,
                             bool *fell, capp_error *err) {
    capp_status st = weigh(judge, row, err);
    *fell = st == CAPP_OK &&
            capp_weighing_fell(judge->weighing, row->example, judge->doubles, row->offset, margin, again, top);
    for (size_t i = 0; i < row->example->n_completions && *fell; i++) again[i] = true;
    return st == CAPP_EINVAL ? CAPP_OK : st;
}

capp_status capp_deliver_scored(capp_judge *judge, const capp_scored *row, capp_result_fn fn, void *user,
                                capp_error *err) {
    const capp_weighing *weighing = judge->weighing;
    capp_status st = weigh(judge, row, err);
    if (st != CAPP_OK) return st;
    capp_result result = {.row = row->row,
                          .n_prompt_ids = row->n_prompt_ids,
                          .prompt_ids = row->prompt_ids,
                          .offset = row->offset,
                          .ids = row->ids,
                          .logprobs = row->logprobs,
                          .marginals = weighing->marginals ? capp_weighing_marginals(weighing, row->row) : NULL,
                          .rescored = row->again,
                          .first_logprobs = row->again ? row->first : NULL};
    capp_result_fill(&result, row->example, capp_weighing_classes(weighing, row->example), judge->doubles);
    return fn(user, &result) ? CAPP_OK : capp_fail(err, CAPP_ECANCELLED, "cancelled");
}
