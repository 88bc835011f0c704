/* A round: what its rows need, as paths of the token tree; and the results, back to the runners. */
#include "race/round.h"
#include "base/mem.h"

enum {
    ROUND_TOKENS = 1024, /* a round with so many token rows takes no other row */
    FIRST_PLACES = 8,    /* beginnings that a row extends in a round, plus one for each MORE_PLACES that it extended */
    MORE_PLACES = 4      /* in earlier rounds: little is wasted when the race ends, and a long race needs few rounds */
};

static capp_status add_step(capp_race_call *call, capp_race_row *row, size_t runner, uint32_t from, capp_error *err) {
    const capp_runner *x = &row->runners[runner];
    const capp_completions *completions = row->completions;
    size_t at = completions->offset[x->index] + completions->depth[x->place];
    capp_race_step s = {.runner = runner, .place = completions->place[at]};
    if (!capp_grow(&call->steps, &call->steps_capacity, call->n_steps + 1, sizeof *call->steps))
        return capp_fail_memory(err, "the round");
    capp_status st =
        capp_tree_insert(capp_lane_tree(call->lane), from, completions->ids.data + at, 1, true, NULL, &s.node, err);
    if (st != CAPP_OK) return st;
    /* Runners that continue with the same token follow one another. */
    if (!row->n_steps || call->steps[call->n_steps - 1].place != s.place) row->decision.completion_logprobs_read++;
    call->steps[call->n_steps++] = s;
    row->n_steps++;
    return CAPP_OK;
}

/* Adds the beginning at which the runners of a place are, after the prompt, and their next tokens. */
static capp_status add_place(capp_race_call *call, capp_race_row *row, uint32_t prompt, const capp_place *place,
                             capp_error *err) {
    const capp_runner *x = &row->runners[place->first];
    const capp_completions *completions = row->completions;
    size_t depth = completions->depth[x->place];
    uint32_t from;
    capp_status st =
        capp_tree_insert(capp_lane_tree(call->lane), prompt, completions->ids.data + completions->offset[x->index],
                         depth, false, NULL, &from, err);
    for (size_t i = place->first; i < place->first + place->n && st == CAPP_OK; i++)
        st = add_step(call, row, i, from, err);
    if (depth) row->decision.completion_tokens_run++;
    return st;
}

static capp_status add_to_round(capp_race_call *call, capp_race_row *row, capp_error *err) {
    capp_tree *tree = capp_lane_tree(call->lane);
    uint32_t prompt;
    capp_status st;
    if (!capp_grow(&call->in_round, &call->in_round_capacity, call->n_in_round + 1, sizeof *call->in_round))
        return capp_fail_memory(err, "the round");
    call->in_round[call->n_in_round++] = row;
    row->first_step = call->n_steps;
    row->n_steps = 0;
    size_t touched = tree->touched;
    if ((st = capp_tree_insert(tree, CAPP_ROOT, row->prompt.data, row->prompt.n, false, NULL, &prompt, err)) != CAPP_OK)
        return st;
    call->round_tokens += row->begun ? call->n_places : tree->touched - touched;
    row->begun = true;
    for (size_t i = 0; i < call->n_places; i++)
        if ((st = add_place(call, row, prompt, &call->places[i], err)) != CAPP_OK) return st;
    return CAPP_OK;
}

/* Chooses the places that the row extends. False if the round has no room for them. */
static bool choose_places(capp_race_call *call, const capp_race_row *row) {
    size_t most = FIRST_PLACES + row->decision.completion_tokens_run / MORE_PLACES, nodes = row->prompt.n;
    call->n_places = capp_race_choose(&row->race, most < CAPP_MOST_PLACES ? most : CAPP_MOST_PLACES, call->places);
    if (!call->n_in_round) return true;
    for (size_t i = 0; i < call->n_places; i++)
        nodes += row->completions->depth[row->runners[call->places[i].first].place] + call->places[i].n;
    return capp_lane_tree(call->lane)->touched + nodes + capp_race_nodes_of(call->bytes) <=
           capp_session_node_limit(call->session);
}

/* Whether the round takes another row: until its waves are full, and while the store and the recurrent states have room
 * for what they leave. */
static bool has_room(const capp_race_call *call) {
    if (call->n_in_round && call->n_in_round >= capp_session_paths(call->session)) return false;
    size_t slots = capp_lane_slots(call->lane), most = slots && slots / 4 < ROUND_TOKENS ? slots / 4 : ROUND_TOKENS;
    return !call->n_in_round || call->round_tokens < most;
}

capp_status capp_race_fill_round(capp_race_call *call, capp_lane *lane, capp_error *err) {
    capp_status st;
    bool exact = lane == capp_session_exact(call->session);
    call->lane = lane;
    call->n_in_round = call->n_steps = call->round_tokens = 0;
    if ((st = capp_tree_next_window(capp_lane_tree(call->lane), err)) != CAPP_OK) return st;
    for (size_t i = call->delivered; has_room(call); i++) {
        if (capp_session_cancelled(call->session)) return capp_fail(err, CAPP_ECANCELLED, "cancelled");
        if (i == call->n_rows) {
            if (exact || call->next == call->total || call->row_status != CAPP_OK ||
                i - call->delivered == CAPP_MOST_ACTIVE_ROWS)
                break;
            if ((st = capp_race_add_row(call, err)) != CAPP_OK) return st;
            if (call->row_status != CAPP_OK) break;
        }
        if (!call->rows[i]->runners || (call->rows[i]->stage != CAPP_RACE_FAST) != exact)
            continue; /* decided, or not of this lane */
        if (!choose_places(call, call->rows[i])) break;
        if ((st = add_to_round(call, call->rows[i], err)) != CAPP_OK) return st;
    }
    return CAPP_OK;
}

void capp_race_read_round(capp_race_call *call, capp_race_row *row) {
    for (size_t i = row->first_step; i < row->first_step + row->n_steps; i++) {
        const capp_race_step *s = &call->steps[i];
        const capp_runner *x = &row->runners[s->runner];
        const capp_completions *completions = row->completions;
        bool last = completions->depth[s->place] == completions->offset[x->index + 1] - completions->offset[x->index];
        capp_race_advance(&row->race, s->runner, capp_lane_tree(call->lane)->nodes[s->node].logprob, s->place, last);
    }
    capp_race_settle(&row->race);
    if (row->race.n_running || capp_race_row_restart(call, row)) return;
    capp_race_row_decide(call, row);
}
