/* Forecasts against the calls that they forecast. */
#include <unistd.h>

#include "capp_forecast.h"
#include "scoring.h"
#include "test.h"
#include "tiny.h"

enum { WORDS = 8 };

static const char *const words[WORDS] = {"aeon", "be", "be a doe", "ode", "code", "bade me", "do", "zone"};

/* A forecast and the call that it forecasts, in sessions of their own. */
static void check_forecast(const char *arch, size_t n, uint64_t memory) {
    char path[64];
    capp_model *model;
    capp_session *planned, *ran;
    capp_model_options how;
    capp_error err;
    capp_model_options_init(&how);
    how.threads = 1;
    how.memory = memory;
    how.precision = CAPP_PRECISION_F32;
    tiny_model_file(arch, 5, path);
    CHECK_OK(capp_model_open(&model, path, &how, &err), err);
    CHECK_OK(capp_session_open(&planned, model, &err), err);
    CHECK_OK(capp_session_open(&ran, model, &err), err);
    capp_str completions[WORDS];
    for (size_t i = 0; i < WORDS; i++) completions[i] = capp_str_of(words[i]);
    char(*prompts)[64] = calloc(n, sizeof *prompts);
    capp_example *examples = calloc(n, sizeof *examples);
    scores *kept = calloc(n, sizeof *kept);
    CHECK(prompts && examples && kept);
    for (size_t i = 0; i < n; i++) {
        snprintf(prompts[i], sizeof *prompts, "the code of %zu and %zu", i % 7, i);
        examples[i] = (capp_example){capp_str_of(prompts[i]), completions, 1 + i % WORDS, NULL, NULL, false};
    }
    capp_work work = {0}, again = {0};
    CHECK_OK(capp_forecast(planned, examples, n, NULL, &work, &err), err);
    CHECK_OK(capp_score(ran, examples, n, NULL, keep, kept, &err), err);
    capp_stats stats;
    capp_session_get_stats(ran, &stats);
    CHECK_INT(work.rows, n);
    CHECK_INT(work.tokens_computed, stats.tokens_computed);
    CHECK_INT(work.tokens_saved, stats.tokens_saved);
    CHECK_INT(work.planned_bytes, stats.planned_bytes);
    CHECK(work.waves >= work.windows && work.windows > 0 && work.longest > 0);
    CHECK(!memory || work.waves > 1);
    /* The session has done nothing: the same forecast again, then the same scores as in another session. */
    CHECK_OK(capp_forecast(planned, examples, n, NULL, &again, &err), err);
    CHECK_INT(again.tokens_computed, work.tokens_computed);
    CHECK_INT(again.waves, work.waves);
    capp_session_get_stats(planned, &stats);
    CHECK_INT(stats.rows + stats.tokens_computed + stats.tokens_saved, 0);
    scores *other = calloc(n, sizeof *other);
    CHECK(other);
    CHECK_OK(capp_score(planned, examples, n, NULL, keep, other, &err), err);
    for (size_t i = 0; i < n; i++)
        CHECK(kept[i].n == other[i].n && !memcmp(kept[i].logprobs, other[i].logprobs, kept[i].n * sizeof(float)));
    free_scores(kept, n);
    free_scores(other, n);
    examples[n / 2].prompt.size = 0; /* rows before a bad one count */
    work = (capp_work){0};
    CHECK_INT(capp_forecast(planned, examples, n, NULL, &work, &err), CAPP_EINVAL);
    CHECK_INT(err.row, n / 2);
    CHECK_INT(work.rows, n / 2);
    free(prompts);
    free(examples);
    capp_session_free(planned);
    capp_session_free(ran);
    capp_model_free(model);
    unlink(path);
}

TEST(forecasts_are_what_calls_do) {
    check_forecast("llama", 60, 0);
    check_forecast("gpt2", 200, 3 << 20);
}

TEST(forecasts_of_recurrent_models) {
    check_forecast("lfm2", 60, 0);
}
