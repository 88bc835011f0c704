#include "suggest.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "option_table.h"

static const struct {
    const char *written, *meant;
} aliases[] = {
    {"output", "out"},           {"outfile", "out"},
    {"output-file", "out"},      {"class", "classes"},
    {"choices", "classes"},      {"candidates", "classes"},
    {"completions", "classes"},  {"labels", "classes"},
    {"prompt", "template"},      {"prompt-template", "template"},
    {"model-path", "model"},     {"model-file", "model"},
    {"target", "label"},         {"label-column", "label"},
    {"n-threads", "threads"},    {"num-threads", "threads"},
    {"jobs", "threads"},         {"workers", "threads"},
    {"ctx", "context"},          {"n-ctx", "context"},
    {"ctx-size", "context"},     {"max-length", "context"},
    {"delimiter", "separator"},  {"sep", "separator"},
    {"delim", "separator"},      {"max-tokens", "tokens"},
    {"n-predict", "tokens"},     {"dtype", "precision"},
    {"silent", "quiet"},         {"batch-size", "memory"},
    {"batch", "memory"},         {"adapter", "lora"},
    {"input-format", "format"},  {"errors", "on-error"},
    {"skip-errors", "on-error"}, {"id-column", "id"},
    {"force", "overwrite"},      {"max-line", "max-record"},
};

enum { LONGEST = 24 }; /* names that are longer are not compared */

/* Number of letters to insert, drop, change or exchange with their neighbor to turn a into b. */
static size_t distance(const char *a, const char *b) {
    size_t d[LONGEST + 1][LONGEST + 1], n = strlen(a), m = strlen(b);
    if (n > LONGEST || m > LONGEST) return SIZE_MAX;
    for (size_t i = 0; i <= n; i++)
        for (size_t k = 0; k <= m; k++) {
            size_t least = i + k; /* the first row and column: everything is dropped or inserted */
            if (i && k) {
                least = d[i - 1][k - 1] + (a[i - 1] != b[k - 1]);
                if (d[i - 1][k] + 1 < least) least = d[i - 1][k] + 1;
                if (d[i][k - 1] + 1 < least) least = d[i][k - 1] + 1;
                bool exchanged = i > 1 && k > 1 && a[i - 1] == b[k - 2] && a[i - 2] == b[k - 1];
                if (exchanged && d[i - 2][k - 2] + 1 < least) least = d[i - 2][k - 2] + 1;
            }
            d[i][k] = least;
        }
    return d[n][m];
}

static bool has_option(const char *name, unsigned bit) {
    for (size_t i = 0; i < n_option_rows; i++)
        if (option_has(&option_rows[i], bit) && !strcmp(option_rows[i].name, name)) return true;
    return false;
}

/* The option with the fewest changes, or NULL. */
static const char *nearest_option(const char *name, unsigned bit, size_t *changes) {
    const char *best = NULL;
    *changes = SIZE_MAX;
    for (size_t i = 0; i < n_option_rows; i++) {
        size_t d = option_has(&option_rows[i], bit) ? distance(name, option_rows[i].name) : SIZE_MAX;
        if (d >= *changes) continue;
        *changes = d;
        best = option_rows[i].name;
    }
    return best;
}

const char *suggest_option(const char *written, unsigned bit) {
    char name[LONGEST + 1];
    size_t size = strcspn(written, "=");
    if (!size || size > LONGEST) return NULL;
    for (size_t i = 0; i < size; i++) name[i] = written[i] == '_' ? '-' : (char)(written[i] | 0x20);
    for (size_t i = 0; i < size; i++)
        if (written[i] == '-') name[i] = '-';
    name[size] = 0;
    size_t changes;
    const char *near = nearest_option(name, bit, &changes);
    if (changes <= 1) return near;
    for (size_t most = 0; most <= 1; most++)
        for (size_t i = 0; i < sizeof aliases / sizeof *aliases; i++)
            if (distance(name, aliases[i].written) <= most && has_option(aliases[i].meant, bit))
                return aliases[i].meant;
    return changes <= (size > 5 ? 2U : 1U) ? near : NULL;
}
