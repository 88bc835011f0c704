/* Jobs that score examples. A row whose prompt or completions do not fit a step continues in the next one. A row that
 * the fast lane does not decide goes through steps of the exact lane in the same way, but only with the completions
 * that may win. Later rows do not wait for it; their results do. */
#include <string.h>

#include "base/mem.h"
#include "prompt/prompt.h"
#include "queue/job.h"
#include "score/score.h"

enum { MOST_ROWS = 4096 }; /* that wait for results of earlier ones */

/* How far a row has come. */
typedef enum row_stage {
    ROW_FAST,   /* in the fast lane */
    ROW_EXACT,  /* in the exact lane */
    ROW_DECIDED /* its result waits for those of earlier rows */
} row_stage;

typedef struct row {
    size_t row; /* of the job */
    row_stage stage;
    capp_ids ids; /* of the prompt */
    size_t known; /* ids that are in the KV store of the lane, or in the current step */
    capp_completions *list;
    size_t first, next; /* completions first .. next - 1 are in the current step, earlier ones have been read */
    uint32_t *nodes;    /* [ids.n + list->ids.n] */
    float *logprobs;    /* [list->ids.n] */
    /* Of a row that the exact lane scores again: */
    bool *again;   /* [list->n] the completions that it scores; NULL: the row is not close */
    float *fast;   /* [list->ids.n] what the fast lane found */
    bool whole;    /* all completions are scored again */
    bool in_parts; /* a part of it is in the exact lane */
    double top;    /* the best score of the fast lane */
} row;

typedef struct rows_job {
    capp_job job;
    const capp_example *examples; /* [n] the caller's */
    size_t n;
    capp_run_options options;
    capp_weighing weighing;
    capp_judge judge;
    capp_result_fn fn;
    row *rows; /* [n_rows] without results; those before `behind` have left the fast lane, at most one is in parts */
    size_t n_rows, behind, rows_capacity;
    size_t next;            /* the next row to begin */
    capp_status row_status; /* of row `next`, which ends the job after the rows before it */
    capp_error row_error;
    capp_completions *list; /* of the latest row, or NULL: rows mostly share one */
} rows_job;

static void free_row(row *r) {
    capp_ids_free(&r->ids);
    capp_completions_release(r->list);
    capp_free(r->nodes);
    capp_free(r->logprobs);
    capp_free(r->again);
    capp_free(r->fast);
}

static void free_rows(capp_job *job) {
    rows_job *j = (rows_job *)job;
    for (size_t i = 0; i < j->n_rows; i++) free_row(&j->rows[i]);
    capp_completions_release(j->list);
    capp_judge_free(&j->judge);
    capp_free(j->rows);
    capp_free(j);
}

/* ---- Rows begin ---- */

static capp_status encode_row(rows_job *j, row *r, capp_error *err) {
    const capp_session *session = j->job.queue->session;
    const capp_example *example = &j->examples[r->row];
    const capp_model *model = capp_session_model(session);
    capp_status st;
    if ((st = capp_weighing_check(&j->weighing, example, err)) != CAPP_OK) return st;
    if ((st = capp_encode_prompt(model, example->prompt, &j->options, r->row, &r->ids, err)) != CAPP_OK) return st;
    if ((st = capp_completions_take(&j->list, model, example, &j->options, err)) != CAPP_OK) return st;
    r->list = j->list;
    r->list->users++;
    size_t longest = r->ids.n + r->list->longest;
    if ((st = capp_check_context(model, longest, err)) != CAPP_OK) return st;
    if ((st = capp_session_check(session, longest, longest, err)) != CAPP_OK) return st;
    if (j->job.longest < longest) j->job.longest = longest;
    r->nodes = capp_new(r->ids.n + r->list->ids.n, sizeof *r->nodes);
    r->logprobs = capp_new(r->list->ids.n, sizeof *r->logprobs);
    return r->nodes && r->logprobs ? CAPP_OK : capp_fail_memory(err, "a row of the queue");
}

/* Begins row `next`. If this fails, the job ends after the rows before it. */
static void begin_row(rows_job *j) {
    capp_error *err = &j->row_error;
    row r = {.row = j->next};
    if (!capp_grow(&j->rows, &j->rows_capacity, j->n_rows + 1, sizeof *j->rows))
        j->row_status = capp_fail_memory(err, "the queue");
    else
        j->row_status = encode_row(j, &r, err);
    if (j->row_status != CAPP_OK) {
        err->row = j->next;
        free_row(&r);
        return;
    }
    j->rows[j->n_rows++] = r;
    j->next++;
}

static bool can_begin(const rows_job *j) {
    return j->next < j->n && j->row_status == CAPP_OK && j->n_rows < MOST_ROWS;
}

static void path_of(row *r, capp_path *path) {
    *path = (capp_path){.ids = r->ids.data, .n = r->ids.n, .known = &r->known, .most = r->ids.n, .nodes = r->nodes};
}

/* Without a row the job ends: there is none, or the next one is invalid. */
static capp_status path_of_rows(capp_job *job, capp_path *path, capp_error *err) {
    rows_job *j = (rows_job *)job;
    (void)err;
    if (j->behind == j->n_rows && can_begin(j)) begin_row(j);
    if (j->behind < j->n_rows) path_of(&j->rows[j->behind], path);
    return CAPP_OK;
}

/* ---- What rows want ---- */

static size_t some_tokens(size_t bytes) {
    return 1 + bytes / 4;
}

static bool is_complete(const row *r) {
    return r->next == r->list->n;
}

/* Whether the lane of the row scores completion i. */
static bool is_wanted(const row *r, size_t i) {
    return r->stage == ROW_FAST || r->again[i];
}

/* Steps over completions that the lane does not score. */
static void skip_others(row *r) {
    while (!is_complete(r) && !is_wanted(r, r->next)) r->next++;
}

static size_t tokens_left(const row *r) {
    const size_t *offset = r->list->offset;
    size_t tokens = r->ids.n - r->known;
    for (size_t i = r->next; i < r->list->n; i++)
        if (is_wanted(r, i)) tokens += offset[i + 1] - offset[i];
    return tokens;
}

/* The number of tokens of a row is not known before it is tokenized. A token has some four bytes. */
static size_t tokens_ahead(const rows_job *j, size_t most) {
    size_t tokens = 0;
    for (size_t i = j->next; i < j->n && tokens < most; i++) {
        const capp_example *example = &j->examples[i];
        tokens += some_tokens(example->prompt.size);
        for (size_t k = 0; k < example->n_completions && tokens < most; k++)
            tokens += some_tokens(example->completions[k].size);
    }
    return tokens;
}

static size_t wants_rows(const capp_job *job, capp_turn turn, size_t most, bool all) {
    const rows_job *j = (const rows_job *)job;
    bool exact = turn == CAPP_TURN_EXACT;
    size_t tokens = 0, to = exact ? j->behind : j->n_rows;
    (void)all;
    for (size_t i = exact ? 0 : j->behind; i < to && tokens < most; i++)
        if (j->rows[i].stage != ROW_DECIDED) tokens += tokens_left(&j->rows[i]);
    if (!exact && can_begin(j)) tokens += tokens_ahead(j, most);
    if (!exact && !j->n_rows && j->row_status != CAPP_OK) tokens++; /* to end the job */
    return tokens < most ? tokens : most;
}

/* ---- Adding ---- */

/* Adds the rest of the prompt, then completions, as far as there is room. */
static capp_status add_row(rows_job *j, row *r, size_t *room, capp_error *err) {
    capp_queue *queue = j->job.queue;
    capp_tree *tree = capp_step_tree(queue);
    const size_t *offset = r->list->offset;
    uint32_t prompt, last;
    capp_path path;
    path_of(r, &path);
    r->first = r->next;
    capp_status st = capp_add_path(queue, &path, room, &r->known, &prompt, err);
    if (st != CAPP_OK || r->known < r->ids.n) return st;
    for (bool any = false; !is_complete(r) && (!any || *room); any = true) {
        size_t at = offset[r->next], touched = tree->touched;
        st = capp_tree_insert(tree, prompt, r->list->ids.data + at, offset[r->next + 1] - at, true,
                              r->nodes + r->ids.n + at, &last, err);
        if (st != CAPP_OK) return st;
        size_t rows = tree->touched - touched;
        if (rows) rows--; /* the last token does not run */
        *room -= rows < *room ? rows : *room;
        r->next++;
        skip_others(r);
    }
    return CAPP_OK;
}

static capp_status add_fast(rows_job *j, size_t *room, capp_error *err) {
    for (size_t i = j->behind;; i++) {
        if (i == j->n_rows && *room && can_begin(j)) begin_row(j);
        if (i == j->n_rows) break;
        capp_status st = add_row(j, &j->rows[i], room, err);
        if (st != CAPP_OK) return st;
        if (!is_complete(&j->rows[i])) break;
    }
    return CAPP_OK;
}

/* Rows have no seats in the exact lane: whatever is not in its store any more runs again. A row in parts is added
 * alone. */
static capp_status add_exact(rows_job *j, size_t *room, capp_error *err) {
    bool goes_on = j->job.in_parts;
    for (size_t i = 0; i < j->behind && *room; i++) {
        row *r = &j->rows[i];
        size_t touched, resident;
        capp_path path;
        if (r->stage != ROW_EXACT || is_complete(r) || (goes_on && !r->in_parts)) continue;
        path_of(r, &path);
        capp_tree_look(capp_step_tree(j->job.queue), path.ids, path.n, &touched, &resident);
        capp_status st = capp_hold_path(j->job.queue, &path, resident, err);
        if (st == CAPP_OK) st = add_row(j, r, room, err);
        if (st != CAPP_OK) return st;
        j->job.in_parts = r->in_parts = !is_complete(r);
    }
    return CAPP_OK;
}

static capp_status add_rows(capp_job *job, size_t *room, capp_error *err) {
    rows_job *j = (rows_job *)job;
    return job->queue->turn == CAPP_TURN_EXACT ? add_exact(j, room, err) : add_fast(j, room, err);
}

/* ---- Reading and judging ---- */

static capp_status read_rows(capp_job *job, capp_error *err) {
    rows_job *j = (rows_job *)job;
    const capp_node *nodes = capp_step_tree(job->queue)->nodes;
    row_stage stage = job->queue->turn == CAPP_TURN_EXACT ? ROW_EXACT : ROW_FAST;
    (void)err;
    for (size_t i = 0; i < j->n_rows; i++) {
        row *r = &j->rows[i];
        const size_t *offset = r->list->offset;
        for (size_t c = r->first; c < r->next && r->stage == stage; c++)
            for (size_t k = offset[c]; k < offset[c + 1] && is_wanted(r, c); k++)
                r->logprobs[k] = nodes[r->nodes[r->ids.n + k]].logprob;
        r->first = r->next;
    }
    return CAPP_OK;
}

static capp_scored scored_of(const rows_job *j, const row *r) {
    return (capp_scored){.row = r->row,
                         .example = &j->examples[r->row],
                         .prompt_ids = r->ids.data,
                         .n_prompt_ids = r->ids.n,
                         .offset = r->list->offset,
                         .ids = r->list->ids.data,
                         .logprobs = r->logprobs,
                         .again = r->again,
                         .first = r->fast};
}

/* The row waits for the exact lane. */
static void begin_exact(const rows_job *j, row *r) {
    const capp_tree *tree = capp_lane_tree(capp_session_exact(j->job.queue->session));
    size_t touched;
    r->stage = ROW_EXACT;
    r->first = r->next = 0;
    capp_tree_look(tree, r->ids.data, r->ids.n, &touched, &r->known);
    skip_others(r);
}

/* The fast lane has scored all of the row. */
static capp_status judge_fast(rows_job *j, row *r, capp_error *err) {
    capp_session *session = j->job.queue->session;
    double margin = capp_session_margin(session);
    bool close = false;
    r->stage = ROW_DECIDED;
    if (!(margin > 0)) return CAPP_OK;
    bool *again = capp_new0(r->list->n, sizeof *again);
    if (!again) return capp_fail_memory(err, "a row of the queue");
    const capp_scored scored = scored_of(j, r);
    capp_status st = capp_judge_fast(&j->judge, &scored, margin, again, &r->top, &close, err);
    if (st != CAPP_OK || !close) {
        capp_free(again);
        return st;
    }
    r->again = again;
    if (!(r->fast = capp_new(r->list->ids.n, sizeof *r->fast))) return capp_fail_memory(err, "a row of the queue");
    memcpy(r->fast, r->logprobs, r->list->ids.n * sizeof *r->fast);
    capp_session_stats(session)->rows_rescored++;
    begin_exact(j, r);
    return CAPP_OK;
}

/* The exact lane has scored the completions that may win. */
static capp_status judge_exact(rows_job *j, row *r, capp_error *err) {
    const capp_scored scored = scored_of(j, r);
    double margin = capp_session_margin(j->job.queue->session);
    r->stage = ROW_DECIDED;
    if (r->whole) return CAPP_OK;
    capp_status st = capp_judge_exact(&j->judge, &scored, margin, r->again, r->top, &r->whole, err);
    if (st == CAPP_OK && r->whole) begin_exact(j, r);
    return st;
}

static capp_status judge_rows(rows_job *j, capp_error *err) {
    capp_status st = CAPP_OK;
    for (size_t i = 0; i < j->behind && st == CAPP_OK; i++)
        if (j->rows[i].stage == ROW_EXACT && is_complete(&j->rows[i])) st = judge_exact(j, &j->rows[i], err);
    for (; j->behind < j->n_rows && is_complete(&j->rows[j->behind]) && st == CAPP_OK; j->behind++)
        st = judge_fast(j, &j->rows[j->behind], err);
    return st;
}

static capp_status deliver_row(rows_job *j, const row *r, capp_error *err) {
    const capp_scored scored = scored_of(j, r);
    capp_session_stats(j->job.queue->session)->rows++;
    return capp_deliver_scored(&j->judge, &scored, j->fn, j->job.user, err);
}

static capp_status deliver_rows(capp_job *job, capp_error *err) {
    rows_job *j = (rows_job *)job;
    capp_status st = judge_rows(j, err);
    size_t i = 0;
    for (; i < j->behind && j->rows[i].stage == ROW_DECIDED && st == CAPP_OK && !job->cancelled; i++)
        if ((st = deliver_row(j, &j->rows[i], err)) != CAPP_OK) err->row = j->rows[i].row;
    for (size_t k = 0; k < i; k++) free_row(&j->rows[k]);
    if (i) memmove(j->rows, j->rows + i, (j->n_rows - i) * sizeof *j->rows);
    j->n_rows -= i;
    j->behind -= i;
    if (st != CAPP_OK || j->n_rows) return st;
    if (j->row_status != CAPP_OK) *err = j->row_error;
    job->ended = j->next == j->n;
    return j->row_status;
}

/* ---- The job ---- */

static const capp_job_kind rows_kind = {path_of_rows, wants_rows, add_rows, read_rows, deliver_rows, free_rows};

/* Whether a queue supports these options. */
static capp_status check_options(const capp_run_options *options, capp_error *err) {
    const char *what = options->n_prefixes           ? "prefixes"
                       : options->window_seconds > 0 ? "window_seconds"
                       : options->progress           ? "a progress function"
                                                     : NULL;
    if (!what && options->scoring && options->scoring->discount != 0) what = "a discount";
    if (!what) return CAPP_OK;
    return capp_fail(err, CAPP_EINVAL, "a queue does not support %s; use capp_score", what);
}

capp_status capp_queue_score(capp_queue *queue, const capp_example *examples, size_t n, const capp_run_options *options,
                             capp_result_fn fn, capp_done_fn done, void *user, capp_job **job, capp_error *err) {
    const capp_run_options defaults = {0};
    capp_weighing weighing;
    capp_status st;
    *job = NULL;
    if (!options) options = &defaults;
    if ((st = check_options(options, err)) != CAPP_OK) return st;
    if ((st = capp_weighing_init(&weighing, options, err)) != CAPP_OK) return st;
    rows_job *j = capp_new0(1, sizeof *j);
    if (!j) return capp_fail_memory(err, "the queue");
    j->job = (capp_job){.kind = &rows_kind, .queue = queue, .done = done, .user = user};
    j->job.ended = !n;
    j->examples = examples;
    j->n = n;
    j->options = *options;
    j->weighing = weighing;
    j->judge.weighing = &j->weighing;
    j->fn = fn;
    return capp_queue_take(queue, &j->job, job, err);
}
