/* Jobs that score examples. A row whose prompt or completions do not fit a step continues in the next one. */
#include <string.h>

#include "base/mem.h"
#include "prompt/prompt.h"
#include "queue/job.h"
#include "score/score.h"

/* A row on its way. */
typedef struct row {
    size_t row;   /* of the job */
    capp_ids ids; /* of the prompt */
    size_t known; /* ids that are in the KV store, or in the current step */
    capp_completions *list;
    size_t first, next; /* completions first .. next - 1 are in the current step, earlier ones have been read */
    uint32_t *nodes;    /* [ids.n + list->ids.n] */
    float *logprobs;    /* [list->ids.n] */
} row;

typedef struct rows_job {
    capp_job job;
    const capp_example *examples; /* [n] the caller's */
    size_t n;
    capp_run_options options;
    capp_weighing weighing;
    capp_result_fn fn;
    row *rows; /* [n_rows] in the current step; all but the last are completed by it */
    size_t n_rows, rows_capacity;
    size_t next;            /* the next row to begin */
    capp_status row_status; /* of row `next`, which ends the job after the rows before it */
    capp_error row_error;
    capp_completions *list; /* of the latest row, or NULL: rows mostly share one */
    double *doubles;
    size_t doubles_capacity;
} rows_job;

static void free_row(row *r) {
    capp_ids_free(&r->ids);
    capp_completions_release(r->list);
    capp_free(r->nodes);
    capp_free(r->logprobs);
}

static void free_rows(capp_job *job) {
    rows_job *j = (rows_job *)job;
    for (size_t i = 0; i < j->n_rows; i++) free_row(&j->rows[i]);
    capp_completions_release(j->list);
    capp_free(j->rows);
    capp_free(j->doubles);
    capp_free(j);
}

/* ---- Adding ---- */

static capp_status take_list(rows_job *j, const capp_example *example, row *r, capp_error *err) {
    const capp_model *model = capp_session_model(j->job.queue->session);
    unsigned flags = j->options.parse_special ? CAPP_TOKENIZE_SPECIAL : 0;
    bool space;
    capp_status st = capp_needs_space(model, capp_end_of_prompt(example, &j->options), &space, err);
    if (st != CAPP_OK) return st;
    const capp_completions *list = j->list;
    if (!list || list->texts != example->completions || list->n != example->n_completions || list->space != space) {
        capp_completions_release(j->list);
        if ((st = capp_completions_encode(&j->list, model, example, space, flags, err)) != CAPP_OK) return st;
    }
    r->list = j->list;
    r->list->users++;
    return CAPP_OK;
}

static capp_status encode_row(rows_job *j, row *r, capp_error *err) {
    const capp_session *session = j->job.queue->session;
    const capp_example *example = &j->examples[r->row];
    const capp_model *model = capp_session_model(session);
    capp_status st;
    if ((st = capp_weighing_check(&j->weighing, example, err)) != CAPP_OK) return st;
    if ((st = capp_encode_prompt(model, example->prompt, &j->options, r->row, &r->ids, err)) != CAPP_OK) return st;
    if ((st = take_list(j, example, r, err)) != CAPP_OK) return st;
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

static void path_of(row *r, capp_path *path) {
    *path = (capp_path){.ids = r->ids.data, .n = r->ids.n, .known = &r->known, .most = r->ids.n, .nodes = r->nodes};
}

/* Without a row the job ends: there is none, or the next one is invalid. */
static capp_status path_of_rows(capp_job *job, capp_path *path, capp_error *err) {
    rows_job *j = (rows_job *)job;
    (void)err;
    if (!j->n_rows && j->next < j->n && j->row_status == CAPP_OK) begin_row(j);
    if (j->n_rows) path_of(&j->rows[0], path);
    return CAPP_OK;
}

static size_t some_tokens(size_t bytes) {
    return 1 + bytes / 4;
}

/* The number of tokens of a row is not known before it is tokenized. A token has some four bytes. */
static size_t wants_rows(const capp_job *job, size_t most, bool all) {
    const rows_job *j = (const rows_job *)job;
    size_t tokens = 0;
    (void)all;
    for (size_t i = 0; i < j->n_rows; i++) {
        const row *r = &j->rows[i];
        tokens += r->ids.n - r->known + r->list->ids.n - r->list->offset[r->next];
    }
    for (size_t i = j->next; i < j->n && tokens < most; i++) {
        const capp_example *example = &j->examples[i];
        tokens += some_tokens(example->prompt.size);
        for (size_t k = 0; k < example->n_completions && tokens < most; k++)
            tokens += some_tokens(example->completions[k].size);
    }
    return tokens < most ? tokens : most;
}

/* Adds the rest of the prompt, then completions, as far as there is room. */
static capp_status add_row(rows_job *j, row *r, size_t *room, capp_error *err) {
    capp_queue *queue = j->job.queue;
    capp_tree *tree = capp_lane_tree(capp_session_fast(queue->session));
    const size_t *offset = r->list->offset;
    uint32_t prompt, last;
    capp_path path;
    path_of(r, &path);
    r->first = r->next;
    capp_status st = capp_add_path(queue, &path, room, &r->known, &prompt, err);
    if (st != CAPP_OK || r->known < r->ids.n) return st;
    while (r->next < r->list->n && (r->next == r->first || *room)) {
        size_t at = offset[r->next], touched = tree->touched;
        st = capp_tree_insert(tree, prompt, r->list->ids.data + at, offset[r->next + 1] - at, true,
                              r->nodes + r->ids.n + at, &last, err);
        if (st != CAPP_OK) return st;
        size_t rows = tree->touched - touched;
        if (rows) rows--; /* the last token does not run */
        *room -= rows < *room ? rows : *room;
        r->next++;
    }
    return CAPP_OK;
}

static bool is_complete(const row *r) {
    return r->next == r->list->n;
}

static capp_status add_rows(capp_job *job, size_t *room, capp_error *err) {
    rows_job *j = (rows_job *)job;
    for (size_t i = 0;; i++) {
        if (i == j->n_rows && j->next < j->n && j->row_status == CAPP_OK && *room) begin_row(j);
        if (i == j->n_rows) break;
        capp_status st = add_row(j, &j->rows[i], room, err);
        if (st != CAPP_OK) return st;
        if (!is_complete(&j->rows[i])) break;
    }
    return CAPP_OK;
}

/* ---- Reading and delivering ---- */

static capp_status read_rows(capp_job *job, capp_error *err) {
    rows_job *j = (rows_job *)job;
    const capp_node *nodes = capp_lane_tree(capp_session_fast(job->queue->session))->nodes;
    (void)err;
    for (size_t i = 0; i < j->n_rows; i++) {
        row *r = &j->rows[i];
        const size_t *offset = r->list->offset;
        for (size_t k = offset[r->first]; k < offset[r->next]; k++)
            r->logprobs[k] = nodes[r->nodes[r->ids.n + k]].logprob;
    }
    return CAPP_OK;
}

typedef struct whole_row {
    rows_job *job;
    size_t row;
} whole_row;

static bool take_whole(void *user, const capp_result *result) {
    const whole_row *whole = user;
    capp_result mine = *result;
    mine.row = whole->row;
    return whole->job->fn(whole->job->job.user, &mine);
}

/* A row that the fast lane does not decide is scored again by itself, as capp_score does it. Its prompt is still in the
 * KV store. */
static capp_status score_whole(rows_job *j, const row *r, capp_error *err) {
    capp_session *session = j->job.queue->session;
    whole_row whole = {j, r->row};
    return capp_score_rows(session, capp_session_fast(session), &j->weighing, &j->examples[r->row], 1, &j->options,
                           take_whole, &whole, err);
}

static capp_status deliver_row(rows_job *j, const row *r, capp_error *err) {
    capp_session *session = j->job.queue->session;
    const capp_example *example = &j->examples[r->row];
    const size_t *offset = r->list->offset;
    size_t n = capp_weighing_classes(&j->weighing, example);
    size_t scratch = r->list->ids.n + example->n_completions;
    double margin = capp_session_margin(session);
    if (!capp_grow(&j->doubles, &j->doubles_capacity, 3 * n + scratch, sizeof *j->doubles))
        return capp_fail_memory(err, "the results");
    capp_status st =
        capp_weigh(&j->weighing, example, r->row, r->logprobs, offset, j->doubles + 3 * n, j->doubles, err);
    if (st != CAPP_OK) return st;
    if (margin > 0 && capp_weighing_is_close(&j->weighing, example, j->doubles, offset, r->list->ids.data, margin))
        return score_whole(j, r, err);
    capp_result result = {.row = r->row,
                          .n_prompt_ids = r->ids.n,
                          .prompt_ids = r->ids.data,
                          .offset = offset,
                          .ids = r->list->ids.data,
                          .logprobs = r->logprobs};
    capp_result_fill(&result, example, n, j->doubles);
    capp_session_stats(session)->rows++;
    return j->fn(j->job.user, &result) ? CAPP_OK : capp_fail(err, CAPP_ECANCELLED, "cancelled");
}

static capp_status deliver_rows(capp_job *job, capp_error *err) {
    rows_job *j = (rows_job *)job;
    capp_status st = CAPP_OK;
    size_t i = 0;
    for (; i < j->n_rows && is_complete(&j->rows[i]) && st == CAPP_OK && !job->cancelled; i++)
        if ((st = deliver_row(j, &j->rows[i], err)) != CAPP_OK) err->row = j->rows[i].row;
    for (size_t k = 0; k < i; k++) free_row(&j->rows[k]);
    if (i) memmove(j->rows, j->rows + i, (j->n_rows - i) * sizeof *j->rows);
    j->n_rows -= i;
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
    j->fn = fn;
    return capp_queue_take(queue, &j->job, job, err);
}
