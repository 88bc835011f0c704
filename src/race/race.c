/* Deciding without finishing: rows race (score/race.h), and what they want to know next goes through the model
 * together.
 *
 * A round is a window of the token tree. Rows are served in order until the round is full; each brings its prompt, the
 * most promising beginnings of its completions, and as children to score all tokens by which completions go on from
 * there: so no token runs twice for its hidden state. Rows that have not begun fill what is left of a round: waves are
 * full though each row asks for little. What one round stored, the next finds resident; where the store could not keep
 * it, it is computed again to the same bits. What a row asks for depends on nothing but the row. */
#include "race/race.h"

#include <math.h>
#include <string.h>

#include "decide/decide.h"
#include "decide/weigh.h"
#include "prompt/completions.h"
#include "race/bounds.h"

enum {
    ROUND_ROWS = 1024,  /* token rows after which a round takes no other row */
    MOST_ACTIVE = 4096, /* rows between the first undecided one and the last begun */
    FIRST_PLACES = 8,   /* beginnings that a row extends in a round, and */
    MORE_PLACES = 4,    /* one for each so many that it has extended before: little is wasted when it is over, and */
    MOST_PLACES = 256,  /* a long race needs few rounds */
    CLOSE_ROWS = 64,    /* rows to be decided again that are worth a round of the exact lane; or so many rows */
    WAITING_ROWS = 512  /* wait behind the first of them */
};

/* Races of a row. Where the fast lane does not decide, those within its margin race again in the exact one; should that
 * put them all below others, everyone does. */
typedef enum stage { ALL_FAST, SOME_EXACT, ALL_EXACT } stage;

typedef struct row {
    const capp_example *example;
    capp_aggregate aggregate;
    capp_ids prompt;
    capp_choices *choices;
    capp_runner *runners; /* [choices->n]; NULL once decided */
    capp_race race;
    bool begun;
    stage stage;
    size_t first_step, n_steps; /* of the round */
    capp_decision decision;
    double second, margin;
    double fast_best; /* the highest score of the first race */
} row;

/* What the round finds out: the next log-probability of a runner. */
typedef struct step {
    size_t runner;
    uint32_t node, place; /* that takes it; where the runner stands then */
} step;

typedef struct chooser {
    capp_session *session;
    capp_lane *lane;       /* of the round */
    size_t n_close;        /* rows that race again */
    uint64_t close_tokens; /* token rows of the exact lane */
    const capp_example *examples;
    size_t total, next; /* examples; those that were made rows */
    const capp_run_options *options;
    double margin;
    capp_choice_fn fn;
    void *user;
    row **rows; /* [n_rows] begun or decided, in order; those before `delivered` are gone */
    size_t n_rows, rows_capacity, delivered;
    row **served; /* [n_served] of the round; room as in rows */
    size_t n_served, served_capacity;
    capp_choices *choices; /* of the last row */
    size_t bytes;          /* that rows and their choices take */
    step *steps;           /* [n_steps] of the round */
    size_t n_steps, steps_capacity;
    capp_place places[MOST_PLACES];
    size_t n_places;   /* of the row that is served */
    size_t round_rows; /* token rows of the round so far */
    uint64_t alone;    /* token rows of every completion with its prompt, one by one */
    capp_status row_status;
    capp_error row_error;
} chooser;

/* ---- Rows ---- */

static size_t runner_bytes(const capp_choices *choices) {
    return choices->n * sizeof(capp_runner);
}

static void end_race(chooser *c, row *r) {
    if (r->runners) c->bytes -= runner_bytes(r->choices);
    capp_free(r->runners);
    capp_ids_free(&r->prompt);
    r->runners = NULL;
}

static void free_row(chooser *c, row *r) {
    if (!r) return;
    end_race(c, r);
    if (r->choices && r->choices->users == 1) c->bytes -= r->choices->bytes;
    capp_choices_release(r->choices);
    capp_ids_free(&r->prompt);
    capp_free(r);
}

/* A capp_score_fn: to the bit what capp_score compares. */
static double score_of(const void *user, uint32_t i, double sum) {
    const row *r = user;
    size_t length = r->choices->offset[i + 1] - r->choices->offset[i];
    double aggregate = capp_decide_aggregate(r->aggregate, sum, length, r->example->completions[i].size);
    return capp_decide_score(aggregate, r->example->prior, i);
}

/* Rows mostly share one list of completions: it is tokenised once. */
static capp_status take_choices(chooser *c, row *r, unsigned flags, capp_error *err) {
    const capp_example *e = r->example;
    capp_choices *last = c->choices;
    bool space;
    capp_status st;
    if ((st = capp_encode_rule(c->session->model, capp_end_of_prompt(e, c->options), &space, err)) != CAPP_OK)
        return st;
    if (!last || last->completions != e->completions || last->n != e->n_completions || last->space != space) {
        capp_choices *fresh;
        if ((st = capp_choices_make(&fresh, c->session, e, space, flags, err)) != CAPP_OK) return st;
        if (last && last->users == 1) c->bytes -= last->bytes;
        capp_choices_release(last);
        c->choices = last = fresh;
        c->bytes += fresh->bytes;
    }
    r->choices = last;
    last->users++;
    return CAPP_OK;
}

/* Nodes of the tree whose memory would hold the bytes: one budget for both. */
static size_t as_nodes(size_t bytes) {
    return bytes / sizeof(capp_node) + 1;
}

static void begin_race(row *r, double margin) {
    capp_race_begin(&r->race, r->runners, r->choices->order, r->choices->n, score_of, r, margin);
}

static capp_status prepare_row(chooser *c, row *r, capp_error *err) {
    unsigned flags = c->options->parse_special ? CAPP_TOKENIZE_SPECIAL : 0;
    const capp_model *model = c->session->model;
    capp_status st;
    if ((st = capp_example_check(r->example, err)) != CAPP_OK) return st;
    if ((st = capp_encode_prompt(model, r->example->prompt, c->options, r->decision.row, &r->prompt, err)) != CAPP_OK)
        return st;
    if ((st = take_choices(c, r, flags, err)) != CAPP_OK) return st;
    const capp_choices *choices = r->choices;
    size_t longest = r->prompt.n + choices->longest;
    size_t nodes = r->prompt.n + choices->n_places + as_nodes(choices->bytes + runner_bytes(choices));
    if ((st = capp_encode_check(c->session, longest, err)) != CAPP_OK) return st;
    if ((st = capp_session_check(c->session, longest, nodes, err)) != CAPP_OK) return st;
    r->runners = capp_new(choices->n, sizeof *r->runners);
    if (!r->runners) return capp_fail_memory(err, "the completions");
    c->bytes += runner_bytes(choices);
    r->margin = capp_decide_margin(r->aggregate, c->margin, choices->longest);
    begin_race(r, r->margin);
    c->alone += choices->n * (r->prompt.n - 1) + choices->ids.n;
    return CAPP_OK;
}

/* The next example becomes a row. One at fault ends the call after the rows before it. */
static capp_status add_row(chooser *c, capp_error *err) {
    row *r = capp_new0(1, sizeof *r);
    if (!r || !capp_grow(&c->rows, &c->rows_capacity, c->n_rows + 1, sizeof *c->rows)) {
        capp_free(r);
        return capp_fail_memory(err, "the rows");
    }
    r->example = &c->examples[c->next];
    r->aggregate = c->options->aggregate;
    r->decision.row = c->next;
    c->row_status = prepare_row(c, r, &c->row_error);
    if (c->row_status != CAPP_OK) {
        c->row_error.row = c->next;
        free_row(c, r);
        return CAPP_OK;
    }
    r->decision.completion_logprobs = r->choices->n_places - 1;
    r->decision.completion_tokens = r->choices->n_inner;
    c->rows[c->n_rows++] = r;
    c->next++;
    return CAPP_OK;
}

/* ---- A round ---- */

static capp_status add_step(chooser *c, row *r, size_t runner, uint32_t from, capp_error *err) {
    const capp_runner *x = &r->runners[runner];
    const capp_choices *choices = r->choices;
    size_t at = choices->offset[x->index] + choices->depth[x->place];
    step s = {.runner = runner, .place = choices->place[at]};
    if (!capp_grow(&c->steps, &c->steps_capacity, c->n_steps + 1, sizeof *c->steps))
        return capp_fail_memory(err, "the round");
    capp_status st = capp_tree_insert(&c->lane->tree, from, choices->ids.data + at, 1, true, NULL, &s.node, err);
    if (st != CAPP_OK) return st;
    /* Those that go on by the same token follow one another. */
    if (!r->n_steps || c->steps[c->n_steps - 1].place != s.place) r->decision.completion_logprobs_read++;
    c->steps[c->n_steps++] = s;
    r->n_steps++;
    return CAPP_OK;
}

/* The beginning where the runners of a place stand, below the prompt, and their next tokens. */
static capp_status serve_place(chooser *c, row *r, uint32_t prompt, const capp_place *place, capp_error *err) {
    const capp_runner *x = &r->runners[place->first];
    const capp_choices *choices = r->choices;
    size_t depth = choices->depth[x->place];
    uint32_t from;
    capp_status st = capp_tree_insert(&c->lane->tree, prompt, choices->ids.data + choices->offset[x->index], depth,
                                      false, NULL, &from, err);
    for (size_t i = place->first; i < place->first + place->n && st == CAPP_OK; i++) st = add_step(c, r, i, from, err);
    if (depth) r->decision.completion_tokens_run++;
    return st;
}

static capp_status serve(chooser *c, row *r, capp_error *err) {
    capp_tree *tree = &c->lane->tree;
    uint32_t prompt;
    capp_status st;
    if (!capp_grow(&c->served, &c->served_capacity, c->n_served + 1, sizeof *c->served))
        return capp_fail_memory(err, "the round");
    c->served[c->n_served++] = r;
    r->first_step = c->n_steps;
    r->n_steps = 0;
    size_t touched = tree->touched;
    if ((st = capp_tree_insert(tree, CAPP_ROOT, r->prompt.data, r->prompt.n, false, NULL, &prompt, err)) != CAPP_OK)
        return st;
    c->round_rows += r->begun ? c->n_places : tree->touched - touched;
    r->begun = true;
    for (size_t i = 0; i < c->n_places; i++)
        if ((st = serve_place(c, r, prompt, &c->places[i], err)) != CAPP_OK) return st;
    return CAPP_OK;
}

/* Chooses what the row extends. False where the round has no room for it. */
static bool choose_places(chooser *c, const row *r) {
    size_t most = FIRST_PLACES + r->decision.completion_tokens_run / MORE_PLACES, nodes = r->prompt.n;
    c->n_places = capp_race_pick(&r->race, most < MOST_PLACES ? most : MOST_PLACES, c->places);
    if (!c->n_served) return true;
    for (size_t i = 0; i < c->n_places; i++)
        nodes += r->choices->depth[r->runners[c->places[i].first].place] + c->places[i].n;
    return c->lane->tree.touched + nodes + as_nodes(c->bytes) <= c->session->node_limit;
}

/* Whether the round takes another row: until its waves are full, and the store has room for what they leave. */
static bool has_room(const chooser *c) {
    size_t slots = c->lane->slots.n, most = slots && slots / 4 < ROUND_ROWS ? slots / 4 : ROUND_ROWS;
    return !c->n_served || c->round_rows < most;
}

static capp_status fill_round(chooser *c, capp_lane *lane, capp_error *err) {
    capp_status st;
    bool exact = lane == &c->session->exact;
    c->lane = lane;
    c->n_served = c->n_steps = c->round_rows = 0;
    if ((st = capp_tree_next_window(&c->lane->tree, err)) != CAPP_OK) return st;
    for (size_t i = c->delivered; has_room(c); i++) {
        if (capp_session_cancelled(c->session)) return capp_fail(err, CAPP_ECANCELLED, "cancelled");
        if (i == c->n_rows) {
            if (exact || c->next == c->total || c->row_status != CAPP_OK || i - c->delivered == MOST_ACTIVE) break;
            if ((st = add_row(c, err)) != CAPP_OK) return st;
            if (c->row_status != CAPP_OK) break;
        }
        if (!c->rows[i]->runners || (c->rows[i]->stage != ALL_FAST) != exact)
            continue; /* decided, or not of this lane */
        if (!choose_places(c, c->rows[i])) break;
        if ((st = serve(c, c->rows[i], err)) != CAPP_OK) return st;
    }
    return CAPP_OK;
}

/* The row's next race, where the one that is over decides nothing. */
static bool race_again(chooser *c, row *r) {
    const capp_race *race = &r->race;
    if (!c->session->exact.w || r->stage == ALL_EXACT) return false;
    if (r->stage == ALL_FAST) {
        if (race->second + r->margin < race->best) return false;
        r->fast_best = race->best;
        capp_race_again(&r->race);
        c->n_close++;
        c->session->stats.rows_again++;
    } else {
        if (race->best + r->margin >= r->fast_best) return false;
        begin_race(r, 0);
    }
    r->stage++;
    r->begun = false;
    return true;
}

/* Runners take what the round found. */
static void advance(chooser *c, row *r) {
    for (size_t i = r->first_step; i < r->first_step + r->n_steps; i++) {
        const step *s = &c->steps[i];
        const capp_runner *x = &r->runners[s->runner];
        const capp_choices *choices = r->choices;
        bool last = choices->depth[s->place] == choices->offset[x->index + 1] - choices->offset[x->index];
        capp_race_advance(&r->race, s->runner, c->lane->tree.nodes[s->node].logprob, s->place, last);
    }
    capp_race_settle(&r->race);
    if (r->race.n_running || race_again(c, r)) return;
    c->n_close -= r->stage != ALL_FAST;
    r->decision.prediction = r->race.leader;
    r->decision.score = r->race.best;
    r->second = r->race.second;
    end_race(c, r);
}

/* ---- The call ---- */

/* Hands over the rows that are decided, up to the first that is not. */
static capp_status deliver(chooser *c, capp_error *err) {
    size_t before = c->delivered;
    while (c->delivered < c->n_rows && !c->rows[c->delivered]->runners) {
        row *r = c->rows[c->delivered];
        bool go_on = c->fn(c->user, &r->decision, r->second);
        free_row(c, r);
        c->rows[c->delivered++] = NULL;
        if (!go_on) return capp_fail(err, CAPP_ECANCELLED, "cancelled");
        c->session->stats.rows++;
    }
    if (c->delivered > before && c->options->progress &&
        !c->options->progress(c->options->progress_user, c->next - (c->n_rows - c->delivered), c->total))
        return capp_fail(err, CAPP_ECANCELLED, "cancelled");
    if (c->delivered < MOST_ACTIVE && c->delivered < c->n_rows) return CAPP_OK;
    memmove(c->rows, c->rows + c->delivered, (c->n_rows - c->delivered) * sizeof *c->rows);
    c->n_rows -= c->delivered;
    c->delivered = 0;
    return CAPP_OK;
}

static bool is_time_for_exact(const chooser *c) {
    if (c->n_close >= CLOSE_ROWS) return true;
    return c->n_rows - c->delivered >= WAITING_ROWS && c->rows[c->delivered]->stage != ALL_FAST;
}

static capp_status run_rounds(chooser *c, capp_error *err) {
    capp_stats *stats = &c->session->stats;
    uint64_t before = stats->tokens_computed;
    capp_status st;
    for (;;) {
        capp_lane *fast = &c->session->fast, *exact = &c->session->exact;
        if ((st = fill_round(c, is_time_for_exact(c) ? exact : fast, err)) != CAPP_OK) return st;
        if (!c->n_served && c->n_close && (st = fill_round(c, exact, err)) != CAPP_OK) return st;
        if (!c->n_served) break;
        uint64_t so_far = stats->tokens_computed;
        if ((st = capp_session_run(c->session, c->lane, NULL, NULL, err)) != CAPP_OK) return st;
        if (c->lane == exact) c->close_tokens += stats->tokens_computed - so_far;
        for (size_t i = 0; i < c->n_served; i++) advance(c, c->served[i]);
        if ((st = deliver(c, err)) != CAPP_OK) return st;
    }
    uint64_t computed = stats->tokens_computed - before - c->close_tokens;
    if (computed < c->alone) stats->tokens_saved += c->alone - computed;
    if (c->row_status != CAPP_OK && err) *err = c->row_error;
    return c->row_status;
}

static void free_chooser(chooser *c) {
    for (size_t i = c->delivered; i < c->n_rows; i++) free_row(c, c->rows[i]);
    capp_choices_release(c->choices);
    capp_free(c->rows);
    capp_free(c->served);
    capp_free(c->steps);
}

capp_status capp_choose(capp_session *session, const capp_example *examples, size_t n, const capp_run_options *options,
                        double margin, capp_choice_fn fn, void *user, capp_error *err) {
    chooser c = {.session = session,
                 .examples = examples,
                 .total = n,
                 .options = options,
                 .margin = margin,
                 .fn = fn,
                 .user = user};
    capp_weighing g;
    capp_status st = capp_weighing_init(&g, options, err);
    if (st != CAPP_OK) return st;
    if (!capp_weighing_is_plain(&g))
        return capp_fail(err, CAPP_EINVAL,
                         "nothing decides without finishing by a caller's aggregate, a discount or classes; use "
                         "capp_score");
    atomic_store(&session->cancelled, false);
    double start = capp_seconds();
    unsigned arithmetic = capp_enter_arithmetic();
    st = run_rounds(&c, err);
    capp_leave_arithmetic(arithmetic);
    session->stats.seconds += capp_seconds() - start;
    free_chooser(&c);
    return st;
}
