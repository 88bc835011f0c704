/* A list of completions: tokenized and sorted, with its distinct beginnings numbered. */
#include "base/mem.h"
#include "prompt/prompt.h"

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

/* By ids, a beginning before its continuation, and of equals the lower index first. */
static int by_ids(const void *a, const void *b) {
    const sortable *x = a, *y = b;
    size_t i = common(x, y);
    if (i < x->n && i < y->n) return x->ids[i] < y->ids[i] ? -1 : 1;
    if (x->n != y->n) return x->n < y->n ? -1 : 1;
    return x->index < y->index ? -1 : 1;
}

/* Numbers the places in this order. The places that a completion shares with the one before it have numbers already. */
static void number_places(capp_completions *list, const sortable *sorted) {
    list->n_places = 1;
    list->n_inner = 0;
    list->depth[0] = 0;
    for (size_t k = 0; k < list->n; k++) {
        const sortable *x = &sorted[k];
        size_t shared = k ? common(x, x - 1) : 0;
        uint32_t *place = list->place + list->offset[x->index];
        const uint32_t *before = k ? list->place + list->offset[x[-1].index] : NULL;
        for (size_t i = 0; i < x->n; i++) {
            if (i >= shared) list->depth[list->n_places] = (uint32_t)i + 1;
            place[i] = i < shared ? before[i] : (uint32_t)list->n_places++;
        }
        if (x->n > shared) list->n_inner += x->n - shared - 1;
        if (shared && shared == x[-1].n && x->n > shared)
            list->n_inner++; /* the previous one ended where this one continues */
        list->order[k] = x->index;
        if (x->n > list->longest) list->longest = x->n;
    }
}

static capp_status encode_all(capp_completions *list, const capp_model *model, unsigned flags, capp_error *err) {
    capp_status st;
    list->offset[0] = 0;
    for (size_t i = 0; i < list->n; i++) {
        st = capp_encode_text(model, list->texts[i], list->space, flags, "completion", &list->ids, err);
        if (st != CAPP_OK) return st;
        list->offset[i + 1] = list->ids.n;
    }
    return CAPP_OK;
}

static capp_status put_in_order(capp_completions *list, capp_error *err) {
    sortable *sorted = capp_new(list->n, sizeof *sorted);
    list->place = capp_new(list->ids.n, sizeof *list->place);
    list->depth = capp_new(list->ids.n + 1, sizeof *list->depth);
    if (!sorted || !list->place || !list->depth) {
        capp_free(sorted);
        return capp_fail_memory(err, "the completions");
    }
    for (size_t i = 0; i < list->n; i++)
        sorted[i] = (sortable){list->ids.data + list->offset[i], list->offset[i + 1] - list->offset[i], (uint32_t)i};
    qsort(sorted, list->n, sizeof *sorted, by_ids);
    number_places(list, sorted);
    capp_free(sorted);
    list->bytes = list->n * (sizeof *list->offset + sizeof *list->order) +
                  list->ids.n * (sizeof *list->ids.data + sizeof *list->place + sizeof *list->depth);
    return CAPP_OK;
}

static capp_status encode(capp_completions **out, const capp_model *model, const capp_example *example, bool space,
                          unsigned flags, capp_error *err) {
    *out = NULL;
    if (example->n_completions >= UINT32_MAX)
        return capp_fail(err, CAPP_EINVAL, "there are %zu completions; at most %u are supported",
                         example->n_completions, UINT32_MAX - 1);
    capp_completions *list = capp_new0(1, sizeof *list);
    if (!list) return capp_fail_memory(err, "the completions");
    list->texts = example->completions;
    list->n = example->n_completions;
    list->space = space;
    list->users = 1;
    list->offset = capp_new(list->n + 1, sizeof *list->offset);
    list->order = capp_new(list->n, sizeof *list->order);
    capp_status st = list->offset && list->order ? CAPP_OK : capp_fail_memory(err, "the completions");
    if (st == CAPP_OK) st = encode_all(list, model, flags, err);
    if (st == CAPP_OK) st = put_in_order(list, err);
    if (st != CAPP_OK) {
        capp_completions_release(list);
        return st;
    }
    *out = list;
    return CAPP_OK;
}

capp_status capp_completions_take(capp_completions **list, const capp_model *model, const capp_example *example,
                                  const capp_run_options *options, capp_error *err) {
    const capp_completions *last = *list;
    capp_completions *fresh;
    bool space;
    capp_status st = capp_needs_space(model, capp_end_of_prompt(example, options), &space, err);
    if (st != CAPP_OK) return st;
    if (last && last->texts == example->completions && last->n == example->n_completions && last->space == space)
        return CAPP_OK;
    unsigned flags = options->parse_special ? CAPP_TOKENIZE_SPECIAL : 0;
    if ((st = encode(&fresh, model, example, space, flags, err)) != CAPP_OK) return st;
    capp_completions_release(*list);
    *list = fresh;
    return CAPP_OK;
}

void capp_completions_release(capp_completions *list) {
    if (!list || --list->users) return;
    capp_ids_free(&list->ids);
    capp_free(list->offset);
    capp_free(list->order);
    capp_free(list->place);
    capp_free(list->depth);
    capp_free(list);
}
