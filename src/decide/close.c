/* Close rows: whether scores of a coarse precision decide a row, and if not, which completions may win. */
#include <math.h>
#include <string.h>

#include "decide/decide.h"

/* The score of the class to which completion i belongs. */
static double score_of(const capp_weighing *weighing, const capp_example *example, const double *scores, size_t i) {
    size_t class = weighing->scoring && weighing->scoring->class_of ? weighing->scoring->class_of[i] : i;
    return capp_decide_score(scores[class], example->prior, class);
}

static bool same_tokens(const size_t *offset, const int32_t *ids, size_t i, size_t j) {
    size_t n = offset[i + 1] - offset[i];
    return i == j ||
           (ids && n == offset[j + 1] - offset[j] && !memcmp(ids + offset[i], ids + offset[j], n * sizeof *ids));
}

/* A discount adds the errors of marginals, times its factor, to those of log-probabilities. */
static double margin_of(const capp_weighing *weighing, const capp_example *example, const size_t *offset,
                        double margin) {
    double discount = weighing->scoring ? fabs(weighing->scoring->discount) : 0;
    return capp_decide_margin(weighing->aggregate, margin * (1 + discount), offset, example->n_completions);
}

/* The race of capp_predict_early uses the same expression. */
bool capp_weighing_is_close(const capp_weighing *weighing, const capp_example *example, const double *scores,
                            const size_t *offset, const int32_t *ids, double margin) {
    size_t n = capp_weighing_classes(weighing, example);
    size_t best = capp_decide_best(scores, example->prior, n);
    bool classes = weighing->scoring && weighing->scoring->class_of;
    double top = capp_decide_score(scores[best], example->prior, best), second = -INFINITY;
    for (size_t i = 0; i < n; i++) {
        bool equal = classes ? i == best : same_tokens(offset, ids, i, best);
        double score = capp_decide_score(scores[i], example->prior, i);
        if (!equal && score > second) second = score;
    }
    return second + margin_of(weighing, example, offset, margin) >= top;
}

double capp_weighing_choose(const capp_weighing *weighing, const capp_example *example, const double *scores,
                            const size_t *offset, double margin, bool *again) {
    size_t best = capp_decide_best(scores, example->prior, capp_weighing_classes(weighing, example));
    double top = capp_decide_score(scores[best], example->prior, best);
    double wide = margin_of(weighing, example, offset, margin);
    for (size_t i = 0; i < example->n_completions; i++) again[i] = score_of(weighing, example, scores, i) + wide >= top;
    return top;
}

bool capp_weighing_fell(const capp_weighing *weighing, const capp_example *example, const double *scores,
                        const size_t *offset, double margin, const bool *again, double top) {
    double best = -INFINITY;
    for (size_t i = 0; i < example->n_completions; i++)
        if (again[i] && score_of(weighing, example, scores, i) > best) best = score_of(weighing, example, scores, i);
    return best + margin_of(weighing, example, offset, margin) < top;
}
