/* Measures one model on this machine: prefill, scoring, start-up and memory. */
#include "memory.h"
#include "options.h"
#include "output_file.h"

#include <stdlib.h>
#include <string.h>

typedef struct bench {
    const options *options;
    capp_model *model;
    capp_session *session;
    arena memory; /* for the texts of one measurement */
    uint64_t random;
    unsigned prefills;     /* number of prefills done so far */
    size_t prefill_tokens; /* token rows that ran in one prefill */
    double open_seconds;   /* seconds from the start until the session is open; until the first result */
    double prefill_speed, score_rows, score_tokens; /* per second, medians */
    capp_stats warm;    /* of the calls that are not measured, in which the weights are unpacked into the cache */
    double peak, share; /* peak of the unit on all threads, in operations per second; the rate reached */
} bench;

/* Each run has different words, so that it cannot use the results of an earlier one. */
static const char *next_word(bench *b) {
    static const char *const words[] = {"the",  "house", "of",    "a",     "river", "time", "and",  "people",
                                        "work", "in",    "green", "small", "water", "they", "with", "old",
                                        "from", "night", "world", "said",  "great", "hand", "by",   "day"};
    b->random = b->random * 6364136223846793005U + 1442695040888963407U; /* Knuth's MMIX generator */
    return words[(b->random >> 33) % (sizeof words / sizeof *words)];
}

/* first: the first word of the text. */
static capp_str make_text(bench *b, const char *first, size_t n_words) {
    buffer text = {0};
    buffer_text(&text, first);
    for (size_t i = 1; i < n_words; i++) {
        buffer_char(&text, ' ');
        buffer_text(&text, next_word(b));
    }
    capp_str copy = arena_copy(&b->memory, buffer_view(&text));
    buffer_free(&text);
    return copy;
}

static capp_status count_tokens(const bench *b, capp_str text, size_t *n, capp_error *err) {
    int32_t *ids;
    capp_status status = capp_tokenize(b->model, text, CAPP_TOKENIZE_BOS, &ids, n, err);
    if (!status) capp_free(ids);
    return status;
}

/* Finds the longest beginning of words with at most `most` tokens (at least one word). *text owns its memory. */
static capp_status cut_text(const bench *b, size_t most, capp_str *text, capp_error *err) {
    size_t low = strcspn(text->data, " "), high = text->size;
    while (low < high) {
        size_t middle = low + (high - low + 1) / 2, n;
        while (middle < high && text->data[middle] != ' ') middle++;
        capp_status status = count_tokens(b, (capp_str){text->data, middle}, &n, err);
        if (status) return status;
        if (n <= most) {
            low = middle;
        } else {
            high = middle - 1;
            while (high > low && text->data[high] != ' ') high--;
        }
    }
    text->size = low;
    return CAPP_OK;
}

/* Scores examples. *seconds: the time it took; *tokens: the number of tokens that ran. */
static capp_status timed(bench *b, const capp_example *examples, size_t n, double *seconds, uint64_t *tokens,
                         capp_error *err) {
    capp_stats before, after;
    capp_session_get_stats(b->session, &before);
    double start = seconds_now();
    capp_status status = capp_score(b->session, examples, n, NULL, ignore_result, NULL, err);
    *seconds = seconds_now() - start;
    capp_session_get_stats(b->session, &after);
    *tokens = after.tokens_computed - before.tokens_computed;
    return status;
}

/* The share of the unit's peak that the matrix products of the session reached over all measured calls. */
static void measure_peak(bench *b) {
    capp_stats stats;
    capp_model_info info;
    capp_session_get_stats(b->session, &stats);
    capp_model_get_info(b->model, &info);
    const double seconds = stats.seconds - b->warm.seconds;
    b->peak = capp_model_measure_peak(b->model) * info.threads;
    b->share = seconds > 0 && b->peak > 0 ? (stats.product_flops - b->warm.product_flops) / seconds / b->peak : 0;
}

static capp_status run_prefill(bench *b, size_t most, double *speed, capp_error *err) {
    static const capp_str completion = {"a", 1};
    /* A different first word, because otherwise its token would be in the session's KV store. */
    const char first[] = {(char)('A' + b->prefills++ % 26), 0};
    arena_reset(&b->memory);
    capp_str text = make_text(b, first, most);
    capp_status status = cut_text(b, most, &text, err);
    if (status) return status;
    const capp_example example = {.prompt = text, .completions = &completion, .n_completions = 1};
    double seconds;
    uint64_t tokens;
    status = timed(b, &example, 1, &seconds, &tokens, err);
    b->prefill_tokens = (size_t)tokens;
    *speed = (double)tokens / seconds;
    return status;
}

enum { SCORE_ROWS = 64, SCORE_WORDS = 16, SCORE_CHOICES = 4, CHOICE_WORDS = 6 };

static capp_status run_scoring(bench *b, size_t context, double *rows, double *speed, capp_error *err) {
    arena_reset(&b->memory);
    capp_example *examples = arena_allocate(&b->memory, SCORE_ROWS, sizeof *examples);
    for (size_t i = 0; i < SCORE_ROWS; i++) {
        capp_str *choices = arena_allocate(&b->memory, SCORE_CHOICES, sizeof *choices);
        capp_str prompt = make_text(b, next_word(b), SCORE_WORDS);
        capp_status status = cut_text(b, context / 2, &prompt, err);
        for (size_t j = 0; j < SCORE_CHOICES && !status; j++) {
            choices[j] = make_text(b, next_word(b), CHOICE_WORDS);
            status = cut_text(b, context / 4, &choices[j], err);
        }
        if (status) return status;
        examples[i] =
            (capp_example){.prompt = prompt, .completions = choices, .n_completions = SCORE_CHOICES, .normalize = true};
    }
    double seconds;
    uint64_t tokens;
    capp_status status = timed(b, examples, SCORE_ROWS, &seconds, &tokens, err);
    *rows = SCORE_ROWS / seconds;
    *speed = (double)tokens / seconds;
    return status;
}

static int by_value(const void *a, const void *b) {
    double x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x > y) - (x < y);
}

static double median(double *values, size_t n) {
    qsort(values, n, sizeof *values, by_value);
    return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

static capp_status measure(bench *b, capp_error *err) {
    const options *o = b->options;
    capp_model_info info;
    double start = seconds_now(), ignored;
    capp_status status = capp_model_open(&b->model, o->model, &o->model_options, err);
    if (!status) status = capp_session_open(&b->session, b->model, err);
    if (status) return status;
    interrupt_session(b->session);
    b->open_seconds = seconds_now() - start;
    capp_model_get_info(b->model, &info);
    size_t prefill = o->prefill ? o->prefill : info.context - 4 < 512 ? info.context - 4 : 512;
    status = run_scoring(b, info.context, &ignored, &ignored, err); /* fills caches; not counted */
    if (!status) fill_weights(b->model, b->session);
    capp_session_get_stats(b->session, &b->warm);
    double *prefills = allocate(o->repeat, sizeof *prefills), *rows = allocate(o->repeat, sizeof *rows),
           *tokens = allocate(o->repeat, sizeof *tokens);
    for (size_t i = 0; i < o->repeat && !status; i++) {
        status = run_prefill(b, prefill, &prefills[i], err);
        if (!status) status = run_scoring(b, info.context, &rows[i], &tokens[i], err);
    }
    if (!status) {
        b->prefill_speed = median(prefills, o->repeat);
        b->score_rows = median(rows, o->repeat);
        b->score_tokens = median(tokens, o->repeat);
    }
    free(prefills);
    free(rows);
    free(tokens);
    if (!status) measure_peak(b);
    return status;
}

static void json_report(buffer *text, const bench *b, const capp_stats *stats, const capp_model_info *info) {
    const struct {
        const char *name;
        double value;
    } numbers[] = {{"prefill_tokens", (double)b->prefill_tokens},
                   {"prefill_tokens_per_second", b->prefill_speed},
                   {"score_rows_per_second", b->score_rows},
                   {"score_tokens_per_second", b->score_tokens},
                   {"load_seconds", info->load_seconds},
                   {"open_seconds", b->open_seconds},
                   {"peak_flops", b->peak},
                   {"share_of_peak", b->share}};
    buffer_text(text, "{\"model\": ");
    put_string(text, capp_str_of(b->options->model));
    buffer_text(text, ",\n \"adapters\": ");
    put_string(text, capp_str_of(info->adapters));
    arithmetic_json(text, info);
    buffer_printf(text, ",\n \"rows_rescored\": %llu", (unsigned long long)stats->rows_rescored);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        buffer_printf(text, ",\n \"%s\": ", numbers[i].name);
        put_double(text, numbers[i].value);
    }
    memory_json(text, b->model, b->session);
    buffer_text(text, "}\n");
}

static void text_report(buffer *text, const bench *b, const capp_model_info *info) {
    buffer_printf(text, "prefill    %.1f tokens/s (%zu tokens)\n", b->prefill_speed, b->prefill_tokens);
    buffer_printf(text, "scoring    %.1f rows/s, %.1f tokens/s (%d rows of %d completions)\n", b->score_rows,
                  b->score_tokens, SCORE_ROWS, SCORE_CHOICES);
    buffer_printf(text, "products   %.0f GFLOP/s, %.0f %% of the unit's peak on %d threads\n",
                  b->share * b->peak * 1e-9, 100 * b->share, info->threads);
    buffer_printf(text, "start-up   %.3f s to open the model; its weights are unpacked later\n", info->load_seconds);
    memory_text(text, b->model, b->session);
}

static int write_report(const bench *b, output *json) {
    capp_stats stats;
    capp_model_info info;
    capp_session_get_stats(b->session, &stats);
    capp_model_get_info(b->model, &info);
    if (b->options->json) {
        json_report(&json->rows, b, &stats, &info);
        if (!output_close(json, true)) return output_failed(json);
        if (!json->path) return EXIT_DONE;
    }
    buffer text = {0};
    text_report(&text, b, &info);
    int code = output_print(buffer_view(&text));
    buffer_free(&text);
    return code;
}

int bench_command(const options *settings) {
    bench b = {.options = settings, .random = 20240229};
    output json = {.file = -1};
    capp_error err = {.row = CAPP_NO_ROW};
    int code = EXIT_FAILED;
    const char *inputs[] = {settings->model};
    capp_status status =
        settings->json && !output_open(&json, settings->json, inputs, 1, &err) ? err.status : measure(&b, &err);
    if (interrupted())
        code = EXIT_SIGNAL + interrupted();
    else if (status)
        complain("%s", err.message);
    else
        code = write_report(&b, &json);
    if (json.file >= 0) output_close(&json, false);
    interrupt_session(NULL);
    capp_session_free(b.session);
    capp_model_free(b.model);
    arena_free(&b.memory);
    return code;
}
