#include "prompt/completions.h"

#include <stdlib.h>

typedef struct sortable {
    const int32_t *ids; /* [n] */
    size_t n;
    uint32_t index;
} sortable;

static size_t common(const sortable *a, const sortable *b) {
    size_t i = 0;
    while (i < a->n && i < b->n && a->ids[i] == b->ids[i]) i++;
    return i;
}

/* By ids, what begins another before it, of equals the lower index. */
static int by_ids(const void *a, const void *b) {
    const sortable *x = a, *y = b;
    size_t i = common(x, y);
    if (i < x->n && i < y->n) return x->ids[i] < y->ids[i] ? -1 : 1;
    if (x->n != y->n) return x->n < y->n ? -1 : 1;
    return x->index < y->index ? -1 : 1;
}

/* Numbers the places along the order: those that a completion shares with the one before it have numbers already. */
static void number_places(capp_choices *c, const sortable *sorted) {
    c->n_places = 1;
    c->n_inner = 0;
    c->depth[0] = 0;
    for (size_t k = 0; k < c->n; k++) {
        const sortable *x = &sorted[k];
        size_t shared = k ? common(x, x - 1) : 0;
        uint32_t *place = c->place + c->offset[x->index];
        const uint32_t *before = k ? c->place + c->offset[x[-1].index] : NULL;
        for (size_t i = 0; i < x->n; i++) {
            if (i >= shared) c->depth[c->n_places] = (uint32_t)i + 1;
            place[i] = i < shared ? before[i] : (uint32_t)c->n_places++;
        }
        if (x->n > shared) c->n_inner += x->n - shared - 1;
        if (shared && shared == x[-1].n && x->n > shared) c->n_inner++; /* the one before ended where this goes on */
        c->order[k] = x->index;
        if (x->n > c->longest) c->longest = x->n;
    }
}

static capp_status encode_all(capp_choices *c, const capp_session *s, unsigned flags, capp_error *err) {
    capp_status st;
    c->offset[0] = 0;
    for (size_t i = 0; i < c->n; i++) {
        st = capp_encode_text(s->model, c->completions[i], c->space, flags, "completion", &c->ids, err);
        if (st != CAPP_OK) return st;
        c->offset[i + 1] = c->ids.n;
    }
    return CAPP_OK;
}

static capp_status put_in_order(capp_choices *c, capp_error *err) {
    sortable *sorted = capp_new(c->n, sizeof *sorted);
    c->place = capp_new(c->ids.n, sizeof *c->place);
    c->depth = capp_new(c->ids.n + 1, sizeof *c->depth);
    if (!sorted || !c->place || !c->depth) {
        capp_free(sorted);
        return capp_fail_memory(err, "the completions");
    }
    for (size_t i = 0; i < c->n; i++)
        sorted[i] = (sortable){c->ids.data + c->offset[i], c->offset[i + 1] - c->offset[i], (uint32_t)i};
    qsort(sorted, c->n, sizeof *sorted, by_ids);
    number_places(c, sorted);
    capp_free(sorted);
    c->bytes = c->n * (sizeof *c->offset + sizeof *c->order) +
               c->ids.n * (sizeof *c->ids.data + sizeof *c->place + sizeof *c->depth);
    return CAPP_OK;
}

capp_status capp_choices_make(capp_choices **out, const capp_session *s, const capp_example *e, bool space,
                              unsigned flags, capp_error *err) {
    *out = NULL;
    if (e->n_completions >= UINT32_MAX)
        return capp_fail(err, CAPP_EINVAL, "%zu completions; there may be %u", e->n_completions, UINT32_MAX - 1);
    capp_choices *c = capp_new0(1, sizeof *c);
    if (!c) return capp_fail_memory(err, "the completions");
    c->completions = e->completions;
    c->n = e->n_completions;
    c->space = space;
    c->users = 1;
    c->offset = capp_new(c->n + 1, sizeof *c->offset);
    c->order = capp_new(c->n, sizeof *c->order);
    capp_status st = c->offset && c->order ? CAPP_OK : capp_fail_memory(err, "the completions");
    if (st == CAPP_OK) st = encode_all(c, s, flags, err);
    if (st == CAPP_OK) st = put_in_order(c, err);
    if (st != CAPP_OK) {
        capp_choices_release(c);
        return st;
    }
    *out = c;
    return CAPP_OK;
}

void capp_choices_release(capp_choices *c) {
    if (!c || --c->users) return;
    capp_ids_free(&c->ids);
    capp_free(c->offset);
    capp_free(c->order);
    capp_free(c->place);
    capp_free(c->depth);
    capp_free(c);
}
