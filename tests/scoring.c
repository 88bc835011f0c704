#include "scoring.h"

#include "oracle.h"
#include "test.h"
#include "tiny.h"

static const char merged[] = "abcde oe,.", plain[] = "ABCDEFGH"; /* no merge uses letters of the second */

static void random_text(test_random *r, const char *letters, char *out, size_t n) {
    for (size_t i = 0; i < n; i++) out[i] = letters[test_random_below(r, strlen(letters))];
    if (n && out[0] == ' ') out[0] = 'x';
    if (n && out[n - 1] == ' ') out[n - 1] = 'y';
    out[n] = 0;
}

/* The number of completions: row 0 has the maximum, row 1 only one. */
static size_t random_count(test_random *r, size_t i) {
    if (i < 2) return i ? 1 : MOST_COMPLETIONS;
    return 1 + test_random_below(r, i == 2 ? MOST_COMPLETIONS : 8);
}

/* Makes completions that are equal, are prefixes of each other, or are a single letter; returns the size of the
 * longest. */
static size_t make_completions(test_random *r, const char *letters, row *x, size_t n) {
    size_t longest = 0;
    for (size_t i = 0; i < n; i++) {
        size_t kind = test_random_below(r, 6);
        if (i && kind == 0)
            strcpy(x->text[i], x->text[i - 1]);
        else if (i && kind == 1)
            snprintf(x->text[i], sizeof x->text[i], "%.20s%c", x->text[i - 1], letters[test_random_below(r, 5)]);
        else
            random_text(r, letters, x->text[i], kind == 2 ? 1 : 1 + test_random_below(r, 14));
        x->completions[i] = capp_str_of(x->text[i]);
        if (x->completions[i].size > longest) longest = x->completions[i].size;
    }
    return longest;
}

/* Makes prompts with common beginnings. Some prompts end at the edge of the window, or their longest completion ends at
 * the edge of the context; these consist of letters that are one token each. */
static void make_row(test_random *r, size_t i, row *x) {
    static const char *const starts[] = {"", "the code bade", "the code bade me do", "zone"};
    size_t kind = test_random_below(r, 8), n = random_count(r, i), space = test_random_below(r, 2);
    bool edge = kind < 2;
    size_t longest = make_completions(r, edge ? plain : merged, x, n) + space;
    const char *start = edge ? "" : starts[test_random_below(r, 4)];
    size_t tail = kind == 0   ? TINY_CONTEXT - longest
                  : kind == 1 ? TINY_WINDOW - 2 + test_random_below(r, 5)
                              : 1 + test_random_below(r, 16);
    strcpy(x->prompt, start);
    random_text(r, edge ? plain : merged, x->prompt + strlen(start), tail);
    x->example = (capp_example){capp_str_of(x->prompt), x->completions, n, NULL, space ? " " : "", n > 1};
}

row *make_rows(uint64_t seed, size_t n) {
    row *rows = calloc(n, sizeof *rows);
    test_random r = {seed};
    CHECK(rows);
    for (size_t i = 0; i < n; i++) make_row(&r, i, &rows[i]);
    return rows;
}

static void *copy(const void *data, size_t bytes) {
    void *p = malloc(bytes ? bytes : 1);
    CHECK(p);
    return memcpy(p, data, bytes);
}

bool keep(void *user, const capp_result *result) {
    scores *s = (scores *)user + result->row;
    s->n_completions = result->n_completions;
    s->n = result->offset[result->n_completions];
    s->n_prompt = result->n_prompt_ids;
    s->logprobs = copy(result->logprobs, s->n * sizeof *s->logprobs);
    s->ids = copy(result->ids, s->n * sizeof *s->ids);
    s->prompt = copy(result->prompt_ids, s->n_prompt * sizeof *s->prompt);
    s->offset = copy(result->offset, (s->n_completions + 1) * sizeof *s->offset);
    return true;
}

void free_scores(scores *s, size_t n) {
    for (size_t i = 0; i < n; i++) free(s[i].logprobs), free(s[i].ids), free(s[i].prompt), free(s[i].offset);
    free(s);
}

double worst_difference(const capp_gguf *g, const scores *s, size_t n) {
    double worst = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t c = 0; c < s[i].n_completions; c += 1 + s[i].n_completions / 12) {
            size_t from = s[i].offset[c], count = s[i].offset[c + 1] - from, length = s[i].n_prompt + count;
            int32_t *ids = malloc(length * sizeof *ids);
            double *expected = malloc(length * sizeof *expected);
            CHECK(ids && expected);
            memcpy(ids, s[i].prompt, s[i].n_prompt * sizeof *ids);
            memcpy(ids + s[i].n_prompt, s[i].ids + from, count * sizeof *ids);
            oracle_logprobs(g, ids, length, expected);
            for (size_t t = 0; t < count; t++) {
                double difference = fabs(expected[s[i].n_prompt + t] - (double)s[i].logprobs[from + t]);
                if (!(difference <= worst)) worst = difference;
            }
            free(ids), free(expected);
        }
    return worst;
}
