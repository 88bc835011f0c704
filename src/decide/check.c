#include <string.h>

#include "decide/decide.h"
#include "decide/weigh.h"

capp_status capp_example_check(const capp_example *e, capp_error *err) {
    if (!e->prompt.size) return capp_fail(err, CAPP_EINVAL, "the prompt is empty");
    if (!e->n_completions) return capp_fail(err, CAPP_EINVAL, "there are no completions");
    for (size_t i = 0; i < e->n_completions; i++)
        if (!e->completions[i].size) return capp_fail(err, CAPP_EINVAL, "completion %zu is empty", i);
    if (e->end_of_prompt && strcmp(e->end_of_prompt, " ") && strcmp(e->end_of_prompt, ""))
        return capp_fail(err, CAPP_EINVAL, "end_of_prompt is \"%.20s\"; it must be a space or empty", e->end_of_prompt);
    if (e->normalize && e->n_completions == 1)
        return capp_fail(err, CAPP_EINVAL,
                         "one completion alone cannot be normalised; give another or turn normalize off");
    return e->prior ? capp_decide_check_prior(e->prior, e->n_completions, err) : CAPP_OK;
}
