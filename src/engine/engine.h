/* The engine: an open model, and sessions that run windows of token rows through it.
 *
 * A session has one lane or two. The fast lane computes in the model's precision; under precision auto an exact lane
 * computes what the fast one cannot decide: in i16 if all matrices of the model are integers, else in float32. Each
 * lane has its own token tree and its own part of the KV store. To run a window: capp_tree_next_window of the lane's
 * tree, capp_tree_insert of each path, capp_session_run; then the nodes of the tree hold the log-probabilities. */
#ifndef CAPP_ENGINE_ENGINE_H
#define CAPP_ENGINE_ENGINE_H

#include "capp_forecast.h"
#include "file/source.h"
#include "plan/tree.h"
#include "token/vocab.h"

/* ---- A model ---- */

const capp_vocab *capp_model_vocab(const capp_model *model);
const capp_source *capp_model_source(const capp_model *model);
const char *capp_model_path(const capp_model *model); /* as it was opened */
uint32_t capp_model_outputs(const capp_model *model); /* rows of the head: at least as many as tokens */
uint32_t capp_model_context(const capp_model *model); /* tokens; 0 if only the vocabulary was opened */
double capp_model_margin(const capp_model *model);    /* see capp_session_margin */

/* ---- A session and its lanes ---- */

typedef struct capp_lane capp_lane;

const capp_model *capp_session_model(const capp_session *session);
capp_lane *capp_session_fast(capp_session *session);
capp_lane *capp_session_exact(capp_session *session); /* or NULL */
capp_tree *capp_lane_tree(capp_lane *lane);
size_t capp_lane_slots(const capp_lane *lane); /* of the KV store; 0 before the first window */

/* The counters that capp_session_get_stats reports. Code that handles rows updates them. */
capp_stats *capp_session_stats(capp_session *session);

/* Surround the work of a public function: a new call is not cancelled, its time counts, and its arithmetic is the same
 * for any floating-point environment of the caller. Calls may nest. Pass the result of the first function to the
 * second. */
unsigned capp_session_begin(capp_session *session);
void capp_session_end(capp_session *session, unsigned arithmetic);

/* Seconds of a clock that never goes back. */
double capp_seconds(void);

/* Whether the call is cancelled: then it must end with CAPP_ECANCELLED. */
bool capp_session_cancelled(const capp_session *session);

/* ---- Memory ---- */

/* Nodes that a window of several rows may touch. */
size_t capp_session_node_limit(const capp_session *session);

/* Whether each wave of the session reads weights from the disk again. */
bool capp_session_streams(const capp_session *session);

/* Nodes of the next window, for a caller that sets the time of a window (score/pace.c); 0: not known yet. */
size_t *capp_session_pace(capp_session *session);

/* What the next windows need again: tokens, and paths that go on. The KV store and the recurrent states get slots for
 * them if the budget allows it. */
void capp_session_keep(capp_session *session, size_t tokens, size_t paths);

/* The longest path that the next windows will have, as far as the caller knows. Room for it is made at once if the
 * budget allows it, because resident contents are lost when the scratch memory grows. 0: not known. */
void capp_session_expect(capp_session *session, size_t longest);

/* Makes the scratch memory fit what was announced by these two functions, before the next window is filled. So
 * capp_lane_slots tells what the window has room for. */
capp_status capp_session_make_room(capp_session *session, capp_error *err);

/* How many paths may go on in the next windows at once, so that the budget has room for their recurrent states.
 * SIZE_MAX: the model has no such states. */
size_t capp_session_paths(const capp_session *session);

/* Checks whether a row with a path of `longest` tokens, in a window of `nodes` nodes, fits the memory budget. If not:
 * CAPP_EBUDGET; the message tells the budget that it needs. */
capp_status capp_session_check(const capp_session *session, size_t longest, size_t nodes, capp_error *err);

/* ---- A window ---- */

/* How far apart the two highest scores of a row must be for the fast lane to decide, if its completions have one token
 * (see capp_decide_margin); 0 if it always decides. */
double capp_session_margin(const capp_session *session);

/* Called after each wave of a window; false ends the run with CAPP_ECANCELLED. */
typedef bool (*capp_wave_fn)(void *user, uint32_t wave);

/* Plans the window in the tree of lane, adds it to *work, and behaves as if it had run: the tree takes its nodes for
 * resident. After the last such window capp_session_forget must follow. */
capp_status capp_session_forecast(capp_session *session, capp_lane *lane, capp_work *work, capp_error *err);

/* Makes all nodes of lane non-resident. */
void capp_session_forget(capp_lane *lane);

/* Plans and runs the window in the tree of lane, which belongs to the session. fn may be NULL. fn may run the other
 * lane, if its paths are no longer than the longest of this window. */
capp_status capp_session_run(capp_session *session, capp_lane *lane, capp_wave_fn fn, void *user, capp_error *err);

#endif
