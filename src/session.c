/* Sessions: memory, planning and running of one window at a time. */
#include "session.h"

#include <string.h>
#include <xmmintrin.h>

enum { MIB = 1 << 20 };
enum { MOST_ROWS = 512, LEAST_ROWS = 16, PATH_STEP = 256, MOST_SLOTS = 16384 };

/* Bytes of a window's lists for each node that it touches: the tree, the plan, ids and results. */
enum { NODE_BYTES = 2 * sizeof(capp_node) + 64 };

/* Set aside of a budget for what the process has besides: its code, the vocabulary, the caller's rows. */
enum { PROCESS_BYTES = 32 * MIB };

enum { DEFAULT_MXCSR = 0x1f80 };

unsigned capp_enter_arithmetic(void) {
    unsigned saved = _mm_getcsr();
    _mm_setcsr(DEFAULT_MXCSR);
    return saved;
}

void capp_leave_arithmetic(unsigned saved) {
    _mm_setcsr(saved);
}

capp_status capp_session_open(capp_session **out, const capp_model *model, capp_error *err) {
    *out = NULL;
    if (!model->weights)
        return capp_fail(err, CAPP_EINVAL, "%s was opened for its vocabulary only; open it without vocab_only",
                         capp_source_path(&model->source));
    capp_session *s = capp_new0(1, sizeof *s);
    if (!s) return capp_fail_memory(err, "the session");
    s->model = model;
    unsigned arithmetic = capp_enter_arithmetic();
    capp_status st = capp_pool_open(&s->pool, model->threads, err);
    capp_leave_arithmetic(arithmetic);
    if (st == CAPP_OK) st = capp_tree_init(&s->tree, err);
    if (st != CAPP_OK) {
        capp_session_free(s);
        return st;
    }
    uint64_t share = model->memory / 8;
    s->node_limit = (size_t)(share < (uint64_t)256 * MIB ? share : (uint64_t)256 * MIB) / NODE_BYTES;
    *out = s;
    return CAPP_OK;
}

void capp_session_free(capp_session *s) {
    if (!s) return;
    capp_forward_free(s->forward);
    capp_plan_free(&s->plan);
    capp_slots_free(&s->slots);
    capp_tree_free(&s->tree);
    capp_pool_free(s->pool);
    capp_free(s);
}

void capp_session_cancel(capp_session *session) {
    atomic_store(&session->cancelled, true);
}

void capp_session_get_stats(const capp_session *session, capp_stats *stats) {
    *stats = session->stats;
}

/* Bytes for scratch, the store and a window of `nodes` nodes, of the budget and what is set aside of it. */
static size_t run_bytes(const capp_session *s, size_t rows, size_t slots, size_t longest, size_t nodes) {
    size_t bytes = capp_forward_bytes(s->model->weights, s->model->threads, slots, rows, longest), window;
    if (nodes < s->node_limit) nodes = s->node_limit;
    if (!capp_mul(nodes, NODE_BYTES, &window) || __builtin_add_overflow(bytes, window, &bytes)) return SIZE_MAX;
    return bytes;
}

static size_t usable_bytes(const capp_session *s) {
    size_t budget = (size_t)s->model->memory;
    return budget - (budget / 8 < PROCESS_BYTES ? budget / 8 : PROCESS_BYTES);
}

capp_status capp_session_check(const capp_session *s, size_t longest, size_t nodes, capp_error *err) {
    size_t need = run_bytes(s, LEAST_ROWS, longest + LEAST_ROWS, longest, nodes), budget = (size_t)s->model->memory;
    if (need <= usable_bytes(s)) return CAPP_OK;
    need += budget - usable_bytes(s);
    return capp_fail(
        err, CAPP_EBUDGET,
        "%zu tokens, the longest path %zu, need %zu MiB; the memory budget is %zu MiB (%zu bytes); give more "
        "(512M is 512 MiB) or shorten the text",
        nodes, longest, need / MIB + 1, budget / MIB, budget);
}

/* Chooses rows of a wave and slots of the store for paths of up to `longest` tokens, within the budget: as many rows as
 * fit, then more slots for what stays hot. */
static capp_status choose_sizes(const capp_session *s, size_t longest, size_t nodes, size_t *rows, size_t *slots,
                                capp_error *err) {
    size_t usable = usable_bytes(s), n = MOST_ROWS;
    while (n > LEAST_ROWS && run_bytes(s, n, longest + n, longest, nodes) > usable) n /= 2;
    if (run_bytes(s, n, longest + n, longest, nodes) > usable) return capp_session_check(s, longest, nodes, err);
    size_t most = 4 * (longest + n), low = longest + n;
    if (most < MOST_SLOTS) most = MOST_SLOTS;
    while (low < most) { /* the most slots that fit */
        size_t middle = (low + most + 1) / 2;
        if (run_bytes(s, n, middle, longest, nodes) <= usable)
            low = middle;
        else
            most = middle - 1;
    }
    *rows = n;
    *slots = low;
    return CAPP_OK;
}

/* Makes the scratch fit the window. A larger one loses what was resident. */
static capp_status fit_window(capp_session *s, capp_error *err) {
    size_t longest = s->tree.longest, nodes = s->tree.touched, rows = 0, slots = 0;
    if (nodes < s->node_limit) nodes = s->node_limit;
    if (s->forward && s->forward->longest >= longest && s->window_nodes >= nodes) return CAPP_OK;
    if (longest > s->model->context)
        return capp_fail(err, CAPP_ETOOLONG, "%zu tokens, but the context is %u", longest, s->model->context);
    longest = (longest + PATH_STEP - 1) / PATH_STEP * PATH_STEP;
    if (longest > s->model->context) longest = s->model->context;
    capp_status st = choose_sizes(s, longest, nodes, &rows, &slots, err);
    if (st != CAPP_OK && longest > s->tree.longest) { /* without room to grow */
        longest = s->tree.longest;
        st = choose_sizes(s, longest, nodes, &rows, &slots, err);
    }
    if (st != CAPP_OK) return st;
    capp_tree_forget(&s->tree);
    capp_forward_free(s->forward);
    s->forward = NULL;
    capp_slots_free(&s->slots);
    s->window_nodes = nodes;
    if ((st = capp_slots_init(&s->slots, slots, err)) != CAPP_OK) return st;
    if ((st = capp_forward_open(&s->forward, s->model->weights, s->pool, slots, rows, longest, err)) != CAPP_OK)
        return st;
    return CAPP_OK;
}

/* What the window takes at most, and what the session has in fact allocated. */
static void count_bytes(capp_session *s) {
    const capp_forward *f = s->forward;
    size_t run = capp_forward_bytes(s->model->weights, s->model->threads, f->slots, f->rows, f->longest);
    size_t planned = run_bytes(s, f->rows, f->slots, f->longest, s->window_nodes);
    size_t used = run + s->tree.capacity * sizeof *s->tree.nodes + s->tree.table_size * sizeof *s->tree.table +
                  (s->plan.order_capacity + s->plan.freed_capacity) * sizeof(uint32_t);
    if (planned > s->stats.planned_bytes) s->stats.planned_bytes = planned;
    if (used > s->stats.used_bytes) s->stats.used_bytes = used;
}

capp_status capp_session_run(capp_session *s, capp_wave_fn fn, void *user, capp_error *err) {
    capp_status st;
    if ((st = fit_window(s, err)) != CAPP_OK) return st;
    if ((st = capp_plan_make(&s->plan, &s->tree, &s->slots, s->forward->rows, err)) != CAPP_OK) return st;
    count_bytes(s);
    for (size_t i = 0; i < s->plan.n_waves; i++) {
        const capp_wave *wave = &s->plan.waves[i];
        if (atomic_load(&s->cancelled)) st = capp_fail(err, CAPP_ECANCELLED, "cancelled");
        if (st == CAPP_OK) st = capp_forward_wave(s->forward, &s->tree, &s->plan, wave, err);
        if (st == CAPP_OK) {
            s->stats.tokens_computed += wave->rows;
            s->stats.head_rows += s->forward->n_heads;
            if (fn && !fn(user, (uint32_t)i)) st = capp_fail(err, CAPP_ECANCELLED, "cancelled");
        }
        if (st != CAPP_OK) {
            capp_plan_abandon(&s->tree, &s->slots);
            return st;
        }
    }
    capp_plan_done(&s->plan, &s->tree);
    return CAPP_OK;
}

capp_status capp_session_encode(const capp_session *s, capp_str text, unsigned flags, const char *what, capp_ids *out,
                                capp_error *err) {
    size_t before = out->n;
    capp_status st;
    if (!text.size) return capp_fail(err, CAPP_EINVAL, "the %s is empty", what);
    if ((st = capp_vocab_encode(s->model->vocab, text, flags, out, err)) != CAPP_OK) {
        capp_error_prefix(err, what);
        return st;
    }
    if (out->n == before) return capp_fail(err, CAPP_EINVAL, "the %s has no tokens", what);
    return CAPP_OK;
}
