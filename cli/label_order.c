#include "label_order.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The least certain rows among which the most different one is chosen. */
enum { POOL = 20 };

static bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c & 0x80);
}

/* Counts the words of a text: FNV-1a of each, without case. */
static void count_words(float words[ORDER_WORDS], capp_str text) {
    uint32_t hash = 2166136261U;
    bool within = false;
    for (size_t i = 0; i <= text.size; i++) {
        char c = i < text.size ? text.data[i] : ' ';
        if (is_letter(c)) {
            hash = (hash ^ (uint32_t)(unsigned char)(c >= 'A' && c <= 'Z' ? c + 32 : c)) * 16777619U;
            within = true;
        } else if (within) {
            words[(hash >> 8) % ORDER_WORDS] += 1;
            hash = 2166136261U;
            within = false;
        }
    }
}

/* The words of the row's fields, or of its prompt if it has none. */
static void words_of(const stored_row *stored, float words[ORDER_WORDS]) {
    float square = 0;
    memset(words, 0, ORDER_WORDS * sizeof *words);
    for (size_t i = 0; i < stored->row.n_fields; i++) count_words(words, stored->row.fields[i].text);
    if (!stored->row.n_fields) count_words(words, stored->row.example.prompt);
    for (size_t i = 0; i < ORDER_WORDS; i++) square += words[i] * words[i];
    for (size_t i = 0; i < ORDER_WORDS && square > 0; i++) words[i] /= sqrtf(square);
}

static void add_seen(label_order *o, const float words[ORDER_WORDS]) {
    grow(&o->seen, &o->seen_capacity, o->n_seen + 1, sizeof *o->seen);
    memcpy(o->seen[o->n_seen++], words, sizeof *o->seen);
}

/* How much the prediction is more probable than the next class. */
static double margin_of(const decided_row *decided) {
    double second = 0, best = decided->posterior[decided->prediction];
    for (size_t i = 0; i < decided->row.example.n_completions; i++)
        if (i != decided->prediction && decided->posterior[i] > second) second = decided->posterior[i];
    return best - second;
}

/* The same for an index in each run. */
static double random_of(size_t index) {
    uint64_t mixed = ((uint64_t)index + 1) * UINT64_C(0x9E3779B97F4A7C15);
    mixed = (mixed ^ (mixed >> 32)) * UINT64_C(0xD6E8FEB86659FD93);
    return (double)(mixed >> 11);
}

typedef struct ordering {
    label_order *order;
    decider *decider;
} ordering;

static bool add_row(void *user, const stored_row *stored, capp_error *err) {
    label_order *o = ((const ordering *)user)->order;
    decider *d = ((const ordering *)user)->decider;
    decided_row decided;
    capp_error why;
    float words[ORDER_WORDS];
    if (row_is_bad(&stored->row) || decider_skips(d, stored, &why)) return true;
    o->n_all++;
    if (stored->label.size) {
        o->n_labeled++;
        if (o->n_seen < ORDER_ROWS) words_of(stored, words);
        if (o->n_seen < ORDER_ROWS) add_seen(o, words);
        return true;
    }
    if (!decider_row(d, stored, &decided, err)) return false;
    double key = o->random ? random_of(stored->index) : margin_of(&decided);
    size_t place = o->n;
    while (place && o->rows[place - 1].key > key) place--;
    if (place == ORDER_ROWS) return true;
    grow(&o->rows, &o->capacity, o->n + 1, sizeof *o->rows);
    size_t behind = o->n - place - (o->n == ORDER_ROWS);
    memmove(o->rows + place + 1, o->rows + place, behind * sizeof *o->rows);
    o->n += o->n < ORDER_ROWS;
    o->rows[place] = (order_row){.index = stored->index, .key = key};
    words_of(stored, o->rows[place].words);
    return true;
}

bool order_open(label_order *o, decider *d, bool random, capp_error *err) {
    *o = (label_order){.random = random};
    ordering all = {o, d};
    return store_each(d->store, d->facts, add_row, &all, err);
}

void order_close(label_order *o) {
    free(o->rows);
    free(o->seen);
    *o = (label_order){0};
}

/* The cosine to the row that was seen and is most alike. */
static float likeness(const label_order *o, const order_row *of) {
    float most = 0;
    for (size_t i = 0; i < o->n_seen; i++) {
        float sum = 0;
        for (size_t j = 0; j < ORDER_WORDS; j++) sum += o->seen[i][j] * of->words[j];
        if (sum > most) most = sum;
    }
    return most;
}

order_row *order_next(label_order *o) {
    order_row *best = NULL;
    float least = INFINITY;
    for (size_t i = 0, looked = 0; i < o->n && looked < (o->random ? 1 : POOL); i++) {
        if (o->rows[i].shown) continue;
        looked++;
        float alike = likeness(o, &o->rows[i]);
        if (best && alike >= least) continue;
        best = &o->rows[i];
        least = alike;
    }
    if (!best) return NULL;
    best->shown = true;
    add_seen(o, best->words);
    return best;
}
