/* Greedy generation for all prompts of a group at once. A step is a window of the token tree that asks for the best
 * next token after each text so far. The keys and values of earlier steps are resident, so a step runs one row per
 * text. If the store could not keep them, they are computed again and give the same bits. */
#include <string.h>

#include "base/mem.h"
#include "prompt/prompt.h"

typedef struct text {
    capp_ids ids; /* ids of the prompt and of the generated text */
    size_t n_prompt;
    float *logprobs; /* [generated] */
    size_t logprobs_capacity;
    char *bytes; /* bytes of the generated text */
    size_t size, bytes_capacity;
    const char *finish; /* NULL: generation continues */
    uint32_t node;      /* node of the last id in this step's window */
} text;

typedef struct generation {
    capp_session *session;
    const capp_generate_options *options;
    text *texts; /* [n] the group */
    size_t n;
} generation;

void capp_generate_options_init(capp_generate_options *options) {
    memset(options, 0, sizeof *options);
    options->max_tokens = 16;
}

/* The position in the text at which the first stop string begins, or SIZE_MAX. */
static size_t find_stop(const text *t, const capp_generate_options *o) {
    size_t first = SIZE_MAX;
    for (size_t i = 0; i < o->n_stop; i++)
        for (size_t at = 0; o->stop[i].size && at + o->stop[i].size <= t->size && at < first; at++)
            if (!memcmp(t->bytes + at, o->stop[i].data, o->stop[i].size)) first = at;
    return first;
}

/* Appends the best token of the step. */
static capp_status extend(generation *g, text *t, capp_error *err) {
    const capp_node *node = &capp_lane_tree(capp_session_fast(g->session))->nodes[t->node];
    const capp_generate_options *o = g->options;
    const capp_vocab *vocab = capp_model_vocab(capp_session_model(g->session));
    size_t n = t->ids.n - t->n_prompt;
    if (!o->ignore_eos && capp_vocab_is_end(vocab, node->best)) {
        t->finish = "eos";
        return CAPP_OK;
    }
    capp_str piece = capp_vocab_piece(vocab, node->best);
    if (!capp_ids_push(&t->ids, node->best) ||
        !capp_grow(&t->logprobs, &t->logprobs_capacity, n + 1, sizeof *t->logprobs) ||
        !capp_grow(&t->bytes, &t->bytes_capacity, t->size + piece.size + 1, 1))
        return capp_fail_memory(err, "the generated text");
    t->logprobs[n] = node->best_logprob;
    if (piece.size) memcpy(t->bytes + t->size, piece.data, piece.size);
    t->size += piece.size;
    size_t stop = find_stop(t, o);
    if (stop != SIZE_MAX) {
        t->size = stop;
        t->finish = "stop";
    } else if (n + 1 == o->max_tokens)
        t->finish = "length";
    return CAPP_OK;
}

/* Generates one token for each unfinished text. *going: the number of unfinished texts. */
static capp_status step(generation *g, size_t *going, capp_error *err) {
    capp_tree *tree = capp_lane_tree(capp_session_fast(g->session));
    capp_status st;
    *going = 0;
    if ((st = capp_tree_next_window(tree, err)) != CAPP_OK) return st;
    for (size_t i = 0; i < g->n; i++) {
        text *t = &g->texts[i];
        if (t->finish) continue;
        if ((st = capp_tree_insert(tree, CAPP_ROOT, t->ids.data, t->ids.n, false, NULL, &t->node, err)) != CAPP_OK)
            return st;
        tree->nodes[t->node].asked = true;
        ++*going;
    }
    if (!*going) return CAPP_OK;
    if ((st = capp_session_run(g->session, capp_session_fast(g->session), NULL, NULL, err)) != CAPP_OK) return st;
    for (size_t i = 0; i < g->n; i++)
        if (!g->texts[i].finish && (st = extend(g, &g->texts[i], err)) != CAPP_OK) return st;
    return CAPP_OK;
}

static void free_texts(generation *g) {
    for (size_t i = 0; i < g->n; i++) {
        capp_ids_free(&g->texts[i].ids);
        capp_free(g->texts[i].logprobs);
        capp_free(g->texts[i].bytes);
    }
    g->n = 0;
}

static capp_status begin_text(generation *g, capp_str prompt, capp_error *err) {
    capp_session *s = g->session;
    text *t = &g->texts[g->n];
    memset(t, 0, sizeof *t);
    const capp_model *model = capp_session_model(s);
    const capp_run_options options = {.parse_special = g->options->parse_special, .chat = g->options->chat};
    capp_status st = capp_encode_prompt(model, prompt, &options, 0, &t->ids, err);
    size_t most = g->options->max_tokens, context = capp_model_context(model);
    if (st == CAPP_OK && (t->ids.n > context || most > context - t->ids.n))
        st = capp_fail(err, CAPP_ETOOLONG,
                       "the prompt has %zu tokens and %zu are to be generated, but the context is %zu; shorten the "
                       "prompt or generate fewer tokens",
                       t->ids.n, most, context);
    if (st == CAPP_OK) st = capp_session_check(s, t->ids.n + most, t->ids.n + most, err);
    if (st != CAPP_OK) {
        capp_ids_free(&t->ids);
        return st;
    }
    t->n_prompt = t->ids.n;
    if (!g->options->max_tokens) t->finish = "length";
    g->n++;
    return CAPP_OK;
}

static bool report(const generation *g, size_t done, size_t total) {
    return !g->options->progress || g->options->progress(g->options->progress_user, done, total);
}

/* Generates for the group, whose first prompt is row `first` of `total`. */
static capp_status run_group(generation *g, size_t first, size_t total, capp_generation_fn fn, void *user,
                             capp_error *err) {
    size_t going = 1;
    capp_status st;
    while (going) {
        if ((st = step(g, &going, err)) != CAPP_OK) return st;
        if (!report(g, first + g->n - going, total)) return capp_fail(err, CAPP_ECANCELLED, "cancelled");
    }
    for (size_t i = 0; i < g->n; i++) {
        const text *t = &g->texts[i];
        capp_generation result = {.row = first + i,
                                  .n = t->ids.n - t->n_prompt,
                                  .ids = t->ids.data + t->n_prompt,
                                  .logprobs = t->logprobs,
                                  .text = {t->bytes, t->size},
                                  .finish = t->finish};
        if (!fn(user, &result)) return capp_fail(err, CAPP_ECANCELLED, "cancelled");
        capp_session_stats(g->session)->rows++;
    }
    return CAPP_OK;
}

enum { GROUP = 256, GROUP_TOKENS = 8192 }; /* prompts and tokens in a group */

/* Makes a group of the prompts from *i on: as many as can generate together, at least one. Advances *i. On failure,
 * prompt *i is invalid, and the prompts before it are a group. */
static capp_status begin_group(generation *g, const capp_str *prompts, size_t n, size_t *i, capp_error *err) {
    size_t tokens = 0, limit = capp_session_node_limit(g->session), most = limit < GROUP_TOKENS ? limit : GROUP_TOKENS;
    size_t paths = capp_session_paths(g->session);
    for (; *i < n && g->n < GROUP && g->n < paths; ++*i) {
        capp_status st = begin_text(g, prompts[*i], err);
        if (st != CAPP_OK) return st;
        size_t more = g->texts[g->n - 1].ids.n + g->options->max_tokens;
        if (g->n > 1 && tokens + more > most) { /* one too many: it begins the next group */
            capp_ids_free(&g->texts[--g->n].ids);
            break;
        }
        capp_session_keep(g->session, tokens += more, g->n);
    }
    return CAPP_OK;
}

static capp_status run_prompts(generation *g, const capp_str *prompts, size_t n, capp_generation_fn fn, void *user,
                               capp_error *err) {
    capp_status st = CAPP_OK, row_st = CAPP_OK;
    capp_error row_error;
    for (size_t i = 0; i < n && st == CAPP_OK && row_st == CAPP_OK;) {
        size_t first = i;
        if ((row_st = begin_group(g, prompts, n, &i, &row_error)) != CAPP_OK) row_error.row = i;
        st = run_group(g, first, n, fn, user, err);
        free_texts(g);
        capp_session_keep(g->session, 0, 0);
    }
    if (st != CAPP_OK || row_st == CAPP_OK) return st;
    if (err) *err = row_error;
    return row_st;
}

capp_status capp_generate(capp_session *session, const capp_str *prompts, size_t n,
                          const capp_generate_options *options, capp_generation_fn fn, void *user, capp_error *err) {
    capp_generate_options defaults;
    capp_generate_options_init(&defaults);
    generation g = {.session = session, .options = options ? options : &defaults};
    g.texts = capp_new(GROUP, sizeof *g.texts);
    if (!g.texts) return capp_fail_memory(err, "the generation");
    unsigned arithmetic = capp_session_begin(session);
    capp_status st = run_prompts(&g, prompts, n, fn, user, err);
    capp_session_end(session, arithmetic);
    capp_free(g.texts);
    return st;
}
