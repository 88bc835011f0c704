/* Scoring: examples and texts to windows of the token tree, and the tree's log-probabilities back to results, in the
 * order of the input. */
#include <math.h>
#include <string.h>

#include "decide/decide.h"
#include "encode.h"
#include "weigh.h"

enum { MOST_WINDOW_ROWS = 4096, CLOSE_TOKENS = 256 }; /* tokens of close rows that are worth a wave of the exact lane */

/* Nodes behind the first row of a window that is to take a given time: of the first window; of those after it at least,
 * since small waves are slower, and those of close rows most of all; and by how much a window may outgrow the one
 * before. */
enum { FIRST_NODES = 96, LEAST_NODES = 1536, MOST_GROWTH = 4 };

/* Of a row that is close, what the exact lane finds is still to come, is to be judged, is taken. */
typedef enum state { FAST, WAITING, FOUND, SETTLED } state;

/* A row of the window. Its prompt's ids are the first n_prompt of `ids`, its scored tokens the rest. */
typedef struct item {
    size_t first_id, n_prompt, n_scored;
    size_t first_offset; /* of n_completions + 1 in offsets, counted from the end of the prompt */
    size_t row;
    uint32_t last_wave;
    state state;
    bool whole; /* all of its completions are scored again */
    double top; /* the highest score of the fast lane, where it was close */
} item;

typedef struct window {
    capp_session *session;
    capp_lane *lane; /* of the rows; close ones go to the exact one */
    const capp_weighing *weighing;
    const capp_example *examples; /* or NULL: texts */
    size_t total;                 /* rows of the call */
    const capp_run_options *options;
    capp_result_fn fn;
    capp_text_result_fn text_fn;
    void *user;
    item *items; /* [n_items] */
    size_t n_items, items_capacity;
    size_t first_nodes;       /* nodes of the first row, which the pace does not count: much of it may be resident */
    size_t judged, delivered; /* items whose waves have run and whose scores are close or not; that were handed over */
    size_t computed;          /* items whose waves have run, in any order */
    size_t n_close;           /* that wait for the exact lane */
    uint64_t close_tokens;    /* token rows of the exact lane */
    double margin;            /* below which scores are close, or 0 */
    capp_ids ids;             /* of all items */
    uint32_t *nodes;          /* [ids.n] node of each scored id */
    size_t nodes_capacity;
    float *exact; /* [ids.n] log-probabilities of completions that were scored again */
    size_t exact_capacity;
    size_t *offsets;
    bool *again; /* [n_offsets] at a completion's offset: it is scored again by the exact lane */
    size_t n_offsets, offsets_capacity, again_capacity;
    float *logprobs; /* of one item */
    size_t logprobs_capacity;
    double *doubles; /* of one item: scores, likelihoods, posteriors [3][n_classes], and what weighing needs */
    size_t doubles_capacity;
    /* The completions of the row before, tokenised: rows mostly share one list. */
    const capp_str *same_completions;
    size_t same_n, same_item;
    bool same_space;
} window;

void capp_run_options_init(capp_run_options *options) {
    memset(options, 0, sizeof *options);
}

static void free_window(window *w) {
    capp_free(w->items);
    capp_ids_free(&w->ids);
    capp_free(w->nodes);
    capp_free(w->exact);
    capp_free(w->again);
    capp_free(w->offsets);
    capp_free(w->logprobs);
    capp_free(w->doubles);
}

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

/* ---- Results ---- */

static size_t completions_of(const window *w, const item *it) {
    return w->examples ? w->examples[it->row].n_completions : 1;
}

/* The item's log-probabilities, in w->logprobs, which has room for one more. */
static capp_status collect(window *w, const item *it, capp_error *err) {
    size_t first = it->first_id + it->n_prompt, n = completions_of(w, it);
    const capp_node *nodes = w->lane->tree.nodes;
    const size_t *offset = w->offsets + it->first_offset;
    const bool *again = w->again + it->first_offset;
    if (!capp_grow(&w->logprobs, &w->logprobs_capacity, it->n_scored + 1, sizeof *w->logprobs))
        return capp_fail_memory(err, "the results");
    for (size_t c = 0; c < n; c++)
        for (size_t i = offset[c]; i < offset[c + 1]; i++)
            w->logprobs[i] = again[c] ? w->exact[first + i] : nodes[w->nodes[first + i]].logprob;
    return CAPP_OK;
}

/* The scores of the item's classes, the first in w->doubles, from what was collected. */
static capp_status weigh(window *w, const item *it, capp_error *err) {
    const capp_example *e = &w->examples[it->row];
    size_t n_classes = capp_weighing_classes(w->weighing, e), scratch = it->n_scored + e->n_completions;
    if (!capp_grow(&w->doubles, &w->doubles_capacity, 3 * n_classes + scratch, sizeof *w->doubles))
        return capp_fail_memory(err, "the results");
    capp_status st = capp_weigh(w->weighing, e, it->row, w->logprobs, w->offsets + it->first_offset,
                                w->doubles + 3 * n_classes, w->doubles, err);
    if (st != CAPP_OK && err) err->row = it->row;
    return st;
}

static capp_status deliver_example(window *w, const item *it, capp_error *err) {
    const capp_example *e = &w->examples[it->row];
    capp_status st = weigh(w, it, err);
    if (st != CAPP_OK) return st;
    size_t n = capp_weighing_classes(w->weighing, e);
    double *score = w->doubles, *likelihood = score + n, *posterior = likelihood + n;
    for (size_t i = 0; i < n; i++) likelihood[i] = exp(score[i]);
    capp_decide_posterior(score, e->prior, n, e->normalize, posterior);
    capp_result result = {.row = it->row,
                          .n_completions = e->n_completions,
                          .n_classes = n,
                          .prediction = capp_decide_best(score, e->prior, n),
                          .likelihood = likelihood,
                          .posterior = posterior,
                          .n_prompt_ids = it->n_prompt,
                          .prompt_ids = w->ids.data + it->first_id,
                          .offset = w->offsets + it->first_offset,
                          .ids = w->ids.data + it->first_id + it->n_prompt,
                          .logprobs = w->logprobs};
    return w->fn(w->user, &result) ? CAPP_OK : capp_fail(err, CAPP_ECANCELLED, "cancelled");
}

static capp_status deliver(window *w, const item *it, capp_error *err) {
    capp_status st = collect(w, it, err);
    if (st != CAPP_OK || w->examples) return st == CAPP_OK ? deliver_example(w, it, err) : st;
    /* A text: its prefix and its first token stand as the prompt. */
    memmove(w->logprobs + 1, w->logprobs, it->n_scored * sizeof *w->logprobs);
    w->logprobs[0] = NAN;
    capp_text_result result = {it->row, it->n_scored + 1, w->ids.data + it->first_id + it->n_prompt - 1, w->logprobs};
    return w->text_fn(w->user, &result) ? CAPP_OK : capp_fail(err, CAPP_ECANCELLED, "cancelled");
}

/* ---- Close rows ---- */

/* Puts prompt and completions of an item into a tree, all of them or those to be scored again: nodes of their ids. */
static capp_status insert_item(window *w, const item *it, capp_tree *tree, bool all, capp_error *err) {
    const int32_t *ids = w->ids.data + it->first_id;
    const size_t *offset = w->offsets + it->first_offset;
    const bool *again = w->again + it->first_offset;
    size_t n = completions_of(w, it);
    uint32_t prompt, last;
    if (!capp_grow(&w->nodes, &w->nodes_capacity, w->ids.n, sizeof *w->nodes))
        return capp_fail_memory(err, "the window");
    uint32_t *nodes = w->nodes + it->first_id + it->n_prompt;
    capp_status st = capp_tree_insert(tree, CAPP_ROOT, ids, it->n_prompt, false, NULL, &prompt, err);
    for (size_t i = 0; i < n && st == CAPP_OK; i++)
        if (all || again[i])
            st = capp_tree_insert(tree, prompt, ids + it->n_prompt + offset[i], offset[i + 1] - offset[i], true,
                                  nodes + offset[i], &last, err);
    return st;
}

/* What of the row's weighed scores completion i counts for. */
static double score_of(const window *w, const capp_example *e, size_t i) {
    size_t class = w->weighing->scoring && w->weighing->scoring->class_of ? w->weighing->scoring->class_of[i] : i;
    return capp_decide_score(w->doubles[class], e->prior, class);
}

/* Whether another score is within the margin of the highest, of a completion that is not equal to its own (equal ones
 * are so in any precision). The race of capp_decide asks by the same expression. */
static bool is_close(const window *w, const item *it, double margin) {
    const capp_example *e = &w->examples[it->row];
    const size_t *offset = w->offsets + it->first_offset;
    const uint32_t *nodes = w->nodes + it->first_id + it->n_prompt;
    size_t n = capp_weighing_classes(w->weighing, e), best = capp_decide_best(w->doubles, e->prior, n);
    bool classes = w->weighing->scoring && w->weighing->scoring->class_of;
    double top = capp_decide_score(w->doubles[best], e->prior, best), second = -INFINITY;
    for (size_t i = 0; i < n; i++) {
        bool equal = classes ? i == best : nodes[offset[i + 1] - 1] == nodes[offset[best + 1] - 1];
        double score = capp_decide_score(w->doubles[i], e->prior, i);
        if (!equal && score > second) second = score;
    }
    return second + margin >= top;
}

static size_t longest_of(const window *w, const item *it) {
    const size_t *offset = w->offsets + it->first_offset;
    size_t longest = 0;
    for (size_t i = 0; i < w->examples[it->row].n_completions; i++)
        if (offset[i + 1] - offset[i] > longest) longest = offset[i + 1] - offset[i];
    return longest;
}

static double margin_of(const window *w, const item *it) {
    return capp_decide_margin(w->options->aggregate, w->margin, longest_of(w, it));
}

/* The item goes into the exact lane's window: its leader and all that are within the margin of it. */
static capp_status score_again(window *w, item *it, capp_error *err) {
    const capp_example *e = &w->examples[it->row];
    size_t n = capp_weighing_classes(w->weighing, e), best = capp_decide_best(w->doubles, e->prior, n);
    double margin = margin_of(w, it);
    capp_tree *tree = &w->session->exact.tree;
    capp_status st;
    if (!w->n_close && (st = capp_tree_next_window(tree, err)) != CAPP_OK) return st;
    it->top = capp_decide_score(w->doubles[best], e->prior, best);
    it->state = WAITING;
    w->n_close++;
    for (size_t i = 0; i < e->n_completions; i++)
        w->again[it->first_offset + i] = it->whole || score_of(w, e, i) + margin >= it->top;
    return insert_item(w, it, tree, false, err);
}

/* Where the two highest scores are too near each other for the fast lane, those who may win are scored again. */
static capp_status judge(window *w, item *it, capp_error *err) {
    capp_status st;
    if ((st = collect(w, it, err)) != CAPP_OK) return st;
    if ((st = weigh(w, it, err)) == CAPP_EINVAL) return CAPP_OK; /* said when the rows before have been delivered */
    if (st != CAPP_OK) return st;
    if (!is_close(w, it, margin_of(w, it))) return CAPP_OK;
    w->session->stats.rows_again++;
    return score_again(w, it, err);
}

/* Takes what the exact lane found for the item. */
static capp_status take_exact(window *w, item *it, capp_error *err) {
    size_t first = it->first_id + it->n_prompt;
    const size_t *offset = w->offsets + it->first_offset;
    const capp_node *nodes = w->session->exact.tree.nodes;
    if (!capp_grow(&w->exact, &w->exact_capacity, w->ids.n, sizeof *w->exact))
        return capp_fail_memory(err, "the results");
    for (size_t c = 0; c < w->examples[it->row].n_completions; c++)
        for (size_t i = offset[c]; i < offset[c + 1] && w->again[it->first_offset + c]; i++)
            w->exact[first + i] = nodes[w->nodes[first + i]].logprob;
    it->state = FOUND;
    return CAPP_OK;
}

/* Should those who were scored again all have fallen below others, then everyone of the row is. */
static capp_status judge_again(window *w, item *it, capp_error *err) {
    const capp_example *e = &w->examples[it->row];
    double best = -INFINITY;
    capp_status st;
    it->state = SETTLED;
    if (it->whole) return CAPP_OK;
    if ((st = collect(w, it, err)) != CAPP_OK) return st;
    if ((st = weigh(w, it, err)) == CAPP_EINVAL) return CAPP_OK;
    if (st != CAPP_OK) return st;
    for (size_t i = 0; i < e->n_completions; i++)
        if (w->again[it->first_offset + i] && score_of(w, e, i) > best) best = score_of(w, e, i);
    it->whole = best + margin_of(w, it) < it->top;
    return it->whole ? score_again(w, it, err) : CAPP_OK;
}

/* Runs the exact lane's window, until no item waits for it. */
static capp_status run_close(window *w, capp_error *err) {
    capp_session *s = w->session;
    capp_status st = CAPP_OK;
    while (w->n_close && st == CAPP_OK) {
        uint64_t before = s->stats.tokens_computed;
        st = capp_session_run(s, &s->exact, NULL, NULL, err);
        w->close_tokens += s->stats.tokens_computed - before;
        for (size_t i = w->delivered; i < w->judged && st == CAPP_OK; i++)
            if (w->items[i].state == WAITING) st = take_exact(w, &w->items[i], err);
        w->n_close = 0;
        for (size_t i = w->delivered; i < w->judged && st == CAPP_OK; i++)
            if (w->items[i].state == FOUND) st = judge_again(w, &w->items[i], err);
    }
    return st;
}

/* ---- Delivery, in order ---- */

/* Tells the caller how many rows are computed, those too that wait for one before them. */
static capp_status report(const window *w, capp_error *err) {
    size_t done = w->items[0].row + w->computed;
    if (!w->options->progress || w->options->progress(w->options->progress_user, done, w->total)) return CAPP_OK;
    return capp_fail(err, CAPP_ECANCELLED, "cancelled");
}

/* Hands over what has been judged, up to the first row that waits for the exact lane. */
static capp_status deliver_judged(window *w, capp_error *err) {
    capp_status st;
    while (w->delivered < w->judged && w->items[w->delivered].state != WAITING) {
        if ((st = deliver(w, &w->items[w->delivered], err)) != CAPP_OK) return st;
        w->session->stats.rows++;
        if (++w->delivered % 64 == 0 && (st = report(w, err)) != CAPP_OK) return st;
    }
    return report(w, err);
}

/* Rows all of whose waves are up to `wave`. last: no more waves come. */
static capp_status finish_rows(window *w, uint32_t wave, bool last, capp_error *err) {
    capp_status st;
    w->computed = 0;
    for (size_t i = 0; i < w->n_items; i++) w->computed += w->items[i].last_wave <= wave;
    for (; w->judged < w->n_items && w->items[w->judged].last_wave <= wave; w->judged++)
        if (w->margin > 0 && (st = judge(w, &w->items[w->judged], err)) != CAPP_OK) return st;
    bool enough = last || w->session->exact.tree.touched >= CLOSE_TOKENS;
    if (w->n_close && enough && (st = run_close(w, err)) != CAPP_OK) return st;
    return deliver_judged(w, err);
}

typedef struct delivery {
    window *w;
    capp_error err; /* where status is not CAPP_OK */
    capp_status status;
} delivery;

static bool after_wave(void *user, uint32_t wave) {
    delivery *d = user;
    /* Planned waves are known when the first one has run. */
    if (!wave)
        for (size_t i = 0; i < d->w->n_items; i++) {
            item *it = &d->w->items[i];
            const capp_tree *tree = &d->w->lane->tree;
            for (size_t j = 0; j < it->n_scored; j++) {
                uint32_t parent = tree->nodes[d->w->nodes[it->first_id + it->n_prompt + j]].parent;
                if (tree->nodes[parent].wave > it->last_wave) it->last_wave = tree->nodes[parent].wave;
            }
        }
    d->status = finish_rows(d->w, wave, false, &d->err);
    return d->status == CAPP_OK;
}

/* Runs the window's rows and hands over their results; then it is empty. */
static capp_status run_window(window *w, capp_error *err) {
    capp_session *s = w->session;
    if (!w->n_items) return CAPP_OK;
    uint64_t before = s->stats.tokens_computed, alone = 0;
    for (size_t i = 0; i < w->n_items; i++) {
        const item *it = &w->items[i];
        if (!w->examples) {
            alone += it->n_prompt - 1 + it->n_scored;
            continue;
        }
        size_t n = w->examples[it->row].n_completions;
        alone += n * (it->n_prompt - 1) + it->n_scored;
    }
    delivery d = {.w = w, .status = CAPP_OK};
    w->margin = w->examples && w->lane == &s->fast ? capp_weighing_margin(w->weighing, s) : 0;
    w->close_tokens = 0;
    capp_status st = capp_session_run(s, w->lane, after_wave, &d, err);
    if (d.status != CAPP_OK) {
        st = d.status;
        if (err) *err = d.err;
    }
    if (st == CAPP_OK) st = finish_rows(w, UINT32_MAX, true, err); /* and rows of which nothing had to run */
    if (st == CAPP_OK) s->stats.tokens_saved += alone - (s->stats.tokens_computed - before - w->close_tokens);
    w->n_items = w->computed = w->judged = w->delivered = w->n_close = 0;
    w->ids.n = w->n_offsets = 0;
    w->same_completions = NULL;
    return st;
}

/* ---- Rows into the window ---- */

static capp_status add_offset(window *w, size_t offset, capp_error *err) {
    if (!capp_grow(&w->offsets, &w->offsets_capacity, w->n_offsets + 1, sizeof *w->offsets) ||
        !capp_grow(&w->again, &w->again_capacity, w->n_offsets + 1, sizeof *w->again))
        return capp_fail_memory(err, "the window");
    w->again[w->n_offsets] = false;
    w->offsets[w->n_offsets++] = offset;
    return CAPP_OK;
}

/* Appends the ids of all completions and their offsets. */
static capp_status encode_completions(window *w, const capp_example *e, item *it, unsigned flags, capp_error *err) {
    const capp_model *model = w->session->model;
    size_t start = w->ids.n;
    bool space;
    capp_status st;
    if ((st = capp_encode_rule(model, capp_end_of_prompt(e, w->options), &space, err)) != CAPP_OK) return st;
    it->first_offset = w->n_offsets;
    if (w->same_completions == e->completions && w->same_n == e->n_completions && w->same_space == space) {
        const item *same = &w->items[w->same_item];
        size_t from = same->first_id + same->n_prompt;
        for (size_t i = 0; i < same->n_scored; i++)
            if (!capp_ids_push(&w->ids, w->ids.data[from + i])) return capp_fail_memory(err, "the window");
        for (size_t i = 0; i <= e->n_completions; i++)
            if ((st = add_offset(w, w->offsets[same->first_offset + i], err)) != CAPP_OK) return st;
    } else {
        if ((st = add_offset(w, 0, err)) != CAPP_OK) return st;
        for (size_t i = 0; i < e->n_completions; i++) {
            st = capp_encode_text(model, e->completions[i], space, flags, "completion", &w->ids, err);
            if (st != CAPP_OK) return st;
            if ((st = add_offset(w, w->ids.n - start, err)) != CAPP_OK) return st;
        }
        w->same_completions = e->completions;
        w->same_n = e->n_completions;
        w->same_space = space;
        w->same_item = w->n_items;
    }
    it->n_scored = w->ids.n - start;
    return CAPP_OK;
}

/* Whether the row fits the context, and, with those before it in the window, the budget. */
static capp_status check_length(const window *w, const item *it, size_t longest, capp_error *err) {
    const capp_session *s = w->session;
    size_t n = it->n_prompt + longest;
    capp_status st = capp_encode_check(s, n, err);
    if (st != CAPP_OK) return st;
    if (w->n_items && w->ids.n > s->node_limit) return capp_fail(err, CAPP_EBUDGET, "the window is full");
    return capp_session_check(s, n, w->ids.n, err);
}

static capp_status add_example(window *w, size_t row, capp_error *err) {
    const capp_example *e = &w->examples[row];
    unsigned flags = w->options->parse_special ? CAPP_TOKENIZE_SPECIAL : 0;
    item it = {.first_id = w->ids.n, .row = row};
    capp_status st;
    if ((st = capp_weighing_check(w->weighing, e, err)) != CAPP_OK) return st;
    if ((st = capp_encode_prompt(w->session->model, e->prompt, w->options, row, &w->ids, err)) != CAPP_OK) return st;
    it.n_prompt = w->ids.n - it.first_id;
    if ((st = encode_completions(w, e, &it, flags, err)) != CAPP_OK) return st;
    const size_t *offset = w->offsets + it.first_offset;
    if ((st = capp_weighing_check_tokens(w->weighing, offset, e->n_completions, err)) != CAPP_OK) return st;
    if ((st = check_length(w, &it, longest_of(w, &it), err)) != CAPP_OK) return st;
    if ((st = insert_item(w, &it, &w->lane->tree, true, err)) != CAPP_OK) return st;
    w->items[w->n_items++] = it;
    return CAPP_OK;
}

static capp_status add_text(window *w, capp_str text, size_t row, unsigned flags, capp_error *err) {
    const capp_prefix *prefix = capp_row_prefix(w->options, row);
    item it = {.first_id = w->ids.n, .row = row, .n_prompt = 1 + (prefix ? prefix->ids.n : 0)};
    capp_status st;
    if ((st = capp_encode_row_text(w->session->model, text, w->options, row, flags, &w->ids, err)) != CAPP_OK)
        return st;
    it.n_scored = w->ids.n - it.first_id - it.n_prompt;
    if ((st = check_length(w, &it, it.n_scored, err)) != CAPP_OK) return st;
    it.first_offset = w->n_offsets;
    if ((st = add_offset(w, 0, err)) != CAPP_OK || (st = add_offset(w, it.n_scored, err)) != CAPP_OK) return st;
    if ((st = insert_item(w, &it, &w->lane->tree, true, err)) != CAPP_OK) return st;
    w->items[w->n_items++] = it;
    return CAPP_OK;
}

/* A window takes at least one row, whatever its size. */
static bool has_room(const window *w) {
    if (!w->n_items) return true;
    if (w->n_items == MOST_WINDOW_ROWS || w->lane->tree.touched + w->ids.n >= w->session->node_limit) return false;
    size_t pace = w->session->pace ? w->session->pace : FIRST_NODES;
    return !(w->options->window_seconds > 0) || w->lane->tree.touched - w->first_nodes < pace;
}

/* The window, of so many nodes behind its first row, took so many seconds: nodes of the next one. A short window at the
 * end of a call says little. */
static void set_pace(window *w, size_t nodes, double seconds) {
    if (nodes < w->session->pace && seconds < w->options->window_seconds) return;
    double most = (double)MOST_GROWTH * (double)(nodes > FIRST_NODES ? nodes : FIRST_NODES);
    double next = (double)nodes * w->options->window_seconds / (seconds > 1e-6 ? seconds : 1e-6);
    if (next > most) next = most;
    w->session->pace = next > LEAST_NODES ? (size_t)next : LEAST_NODES;
}

/* Runs the window, at the pace that the caller asked for. */
static capp_status run_at_pace(window *w, capp_error *err) {
    size_t nodes = w->n_items ? w->lane->tree.touched - w->first_nodes : 0;
    double start = capp_seconds();
    capp_status st = run_window(w, err);
    if (st == CAPP_OK && nodes && w->options->window_seconds > 0) set_pace(w, nodes, capp_seconds() - start);
    return st;
}

/* Rows to windows; a row at fault ends the run after the rows before it. */
static capp_status run_rows(window *w, const capp_str *texts, size_t n, unsigned flags, capp_error *err) {
    capp_error row_error;
    capp_status st = CAPP_OK, row_st = CAPP_OK;
    for (size_t i = 0; i < n && st == CAPP_OK && row_st == CAPP_OK;) {
        if ((st = capp_tree_next_window(&w->lane->tree, err)) != CAPP_OK) break;
        for (; i < n && has_room(w); i++) {
            size_t ids = w->ids.n, offsets = w->n_offsets;
            if (capp_session_cancelled(w->session)) return capp_fail(err, CAPP_ECANCELLED, "cancelled");
            if (!capp_grow(&w->items, &w->items_capacity, w->n_items + 1, sizeof *w->items))
                row_st = capp_fail_memory(&row_error, "the window");
            else
                row_st = texts ? add_text(w, texts[i], i, flags, &row_error) : add_example(w, i, &row_error);
            if (row_st == CAPP_OK) {
                if (w->n_items == 1) w->first_nodes = w->lane->tree.touched;
                continue;
            }
            w->ids.n = ids;
            w->n_offsets = offsets;
            row_error.row = i;
            break;
        }
        if (row_st == CAPP_ENOMEM) break;                           /* the tree may hold half a row */
        if (row_st == CAPP_EBUDGET && w->n_items) row_st = CAPP_OK; /* tried again in a window of its own */
        st = run_at_pace(w, err);
    }
    if (st != CAPP_OK || row_st == CAPP_OK) return st;
    if (err) *err = row_error;
    return row_st;
}

static capp_status run_call(window *w, const capp_str *texts, size_t n, unsigned flags, capp_error *err) {
    capp_run_options defaults;
    capp_run_options_init(&defaults);
    if (!w->options) w->options = &defaults;
    w->total = n;
    if (!w->session->nested) atomic_store(&w->session->cancelled, false);
    double start = capp_seconds();
    unsigned arithmetic = capp_enter_arithmetic();
    capp_status st = run_rows(w, texts, n, flags, err);
    capp_leave_arithmetic(arithmetic);
    w->session->stats.seconds += capp_seconds() - start;
    free_window(w);
    return st;
}

capp_status capp_score_rows(capp_session *session, capp_lane *lane, const capp_weighing *g,
                            const capp_example *examples, size_t n, const capp_run_options *options, capp_result_fn fn,
                            void *user, capp_error *err) {
    window w = {.session = session,
                .lane = lane,
                .weighing = g,
                .examples = examples,
                .options = options,
                .fn = fn,
                .user = user};
    return n ? run_call(&w, NULL, n, 0, err) : CAPP_OK;
}

capp_status capp_score_texts(capp_session *session, capp_lane *lane, const capp_str *texts, size_t n, unsigned flags,
                             const capp_run_options *options, capp_text_result_fn fn, void *user, capp_error *err) {
    window w = {.session = session, .lane = lane, .options = options, .text_fn = fn, .user = user};
    return n ? run_call(&w, texts, n, flags, err) : CAPP_OK;
}

/* ---- The public functions ---- */

capp_status capp_score(capp_session *session, const capp_example *examples, size_t n, const capp_run_options *options,
                       capp_result_fn fn, void *user, capp_error *err) {
    capp_weighing g;
    capp_status st = capp_weighing_init(&g, options, err);
    if (st != CAPP_OK) return st;
    if (n && g.scoring && g.scoring->discount != 0 && !g.scoring->marginals)
        return capp_score_discounted(session, g, examples, n, options, fn, user, err);
    return capp_score_rows(session, &session->fast, &g, examples, n, options, fn, user, err);
}

capp_status capp_token_logprobs(capp_session *session, const capp_str *texts, size_t n, unsigned flags,
                                const capp_run_options *options, capp_text_result_fn fn, void *user, capp_error *err) {
    return capp_score_texts(session, &session->fast, texts, n, flags, options, fn, user, err);
}

static bool take_posteriors(void *user, const capp_result *result) {
    double **proba = user;
    memcpy(*proba, result->posterior, result->n_classes * sizeof **proba);
    *proba += result->n_classes;
    return true;
}

capp_status capp_predict_proba(capp_session *session, const capp_example *examples, size_t n,
                               const capp_run_options *options, double *proba, capp_error *err) {
    return capp_score(session, examples, n, options, take_posteriors, &proba, err);
}
