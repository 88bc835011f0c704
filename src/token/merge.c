/* Short words search for the next merge; long ones (a text without words, a run of a million letters) keep a heap. */
#include "token/merge.h"

#include <string.h>

#include "base/mem.h"

enum { SHORT_WORD = 48 }; /* parts; a heap is faster for longer words */

/* A word whose parts are being merged. */
typedef struct merging {
    const capp_vocab *vocab;
    capp_find_merge find;
    const char *text;
    capp_encode_scratch *scratch;
} merging;

/* Finds out how part i merges with the next one; parts[n].at is the end of the word. */
static void look_up(const merging *m, capp_merge_part *parts, size_t n, size_t i) {
    parts[i].priority = CAPP_NO_MERGE;
    if (i + 1 < n)
        m->find(m->vocab, m->text, &parts[i], &parts[i + 1], parts[i + 2].at, &parts[i].priority, &parts[i].merged);
}

static size_t merge_short(const merging *m, capp_merge_part *parts, size_t n) {
    for (size_t i = 0; i < n; i++) look_up(m, parts, n, i);
    for (;;) {
        size_t best = 0;
        for (size_t i = 1; i < n; i++)
            if (parts[i].priority < parts[best].priority) best = i;
        if (parts[best].priority == CAPP_NO_MERGE) return n;
        parts[best].id = parts[best].merged;
        memmove(&parts[best + 1], &parts[best + 2], (n - best - 1) * sizeof *parts); /* the end mark too */
        n--;
        look_up(m, parts, n, best);
        if (best) look_up(m, parts, n, best - 1);
    }
}

static void sift_down(capp_merge_candidate *heap, size_t n, size_t i) {
    capp_merge_candidate item = heap[i];
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= n) break;
        if (child + 1 < n && heap[child + 1].order < heap[child].order) child++;
        if (heap[child].order >= item.order) break;
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = item;
}

static void sift_up(capp_merge_candidate *heap, size_t i) {
    capp_merge_candidate item = heap[i];
    for (; i && heap[(i - 1) / 2].order > item.order; i = (i - 1) / 2) heap[i] = heap[(i - 1) / 2];
    heap[i] = item;
}

/* Whether part i merges with the next one, and how. */
static bool make_item(const merging *m, int32_t i, capp_merge_candidate *item) {
    const capp_encode_scratch *scratch = m->scratch;
    int32_t right = i < 0 ? -1 : scratch->links[i].next;
    if (right < 0) return false;
    int32_t after = scratch->links[right].next;
    uint32_t end = scratch->parts[after < 0 ? (int32_t)scratch->n_parts : after].at, priority;
    if (!m->find(m->vocab, m->text, &scratch->parts[i], &scratch->parts[right], end, &priority, &item->merged))
        return false;
    item->order = (uint64_t)priority << 32 | (uint32_t)i;
    item->end = end;
    return true;
}

/* The heap has room: see heap_begin. */
static void push_item(const merging *m, int32_t i) {
    capp_encode_scratch *scratch = m->scratch;
    capp_merge_candidate item;
    if (!make_item(m, i, &item)) return;
    scratch->heap[scratch->n_heap] = item;
    sift_up(scratch->heap, scratch->n_heap++);
}

static capp_status heap_begin(const merging *m, capp_error *err) {
    capp_encode_scratch *scratch = m->scratch;
    size_t n = scratch->n_parts;
    /* There are n - 1 items at first. Each of the at most n - 1 merges removes one and adds at most two. */
    if (!capp_grow(&scratch->links, &scratch->links_capacity, n, sizeof *scratch->links) ||
        !capp_grow(&scratch->heap, &scratch->heap_capacity, 2 * n, sizeof *scratch->heap))
        return capp_fail_memory(err, "the merges of a long word");
    for (size_t i = 0; i < n; i++)
        scratch->links[i] = (capp_merge_link){i + 1 < n ? (int32_t)i + 1 : -1, (int32_t)i - 1};
    scratch->n_heap = 0;
    for (size_t i = 0; i + 1 < n; i++)
        if (make_item(m, (int32_t)i, &scratch->heap[scratch->n_heap])) scratch->n_heap++;
    for (size_t i = scratch->n_heap / 2; i-- > 0;) sift_down(scratch->heap, scratch->n_heap, i);
    return CAPP_OK;
}

/* Merges the pair of the item if it still exists. A pair with the same beginning and end is the same pair, because
 * parts only grow. */
static void apply_item(const merging *m, capp_merge_candidate item) {
    capp_encode_scratch *scratch = m->scratch;
    int32_t i = (int32_t)(uint32_t)item.order, right = scratch->links[i].next;
    if (right == i || right < 0) return;
    int32_t after = scratch->links[right].next;
    if (scratch->parts[after < 0 ? (int32_t)scratch->n_parts : after].at != item.end) return;
    scratch->parts[i].id = item.merged;
    scratch->links[right].next = right;
    scratch->links[i].next = after;
    if (after >= 0) scratch->links[after].prev = i;
    push_item(m, i);
    push_item(m, scratch->links[i].prev);
}

static capp_status merge_long(const merging *m, capp_error *err) {
    capp_encode_scratch *scratch = m->scratch;
    capp_status st = heap_begin(m, err);
    if (st != CAPP_OK) return st;
    while (scratch->n_heap) {
        capp_merge_candidate item = scratch->heap[0];
        scratch->heap[0] = scratch->heap[--scratch->n_heap];
        if (scratch->n_heap) sift_down(scratch->heap, scratch->n_heap, 0);
        apply_item(m, item);
    }
    capp_merge_part end = scratch->parts[scratch->n_parts];
    size_t n = 0;
    for (int32_t i = 0; i >= 0; i = scratch->links[i].next) scratch->parts[n++] = scratch->parts[i];
    scratch->parts[n] = end;
    scratch->n_parts = n;
    return CAPP_OK;
}

capp_status capp_merge_parts(const capp_vocab *vocab, capp_find_merge find, capp_encode_scratch *scratch,
                             const char *text, uint32_t size, capp_error *err) {
    const merging m = {vocab, find, text, scratch};
    size_t n = scratch->n_parts;
    if (!capp_grow(&scratch->parts, &scratch->parts_capacity, n + 1, sizeof *scratch->parts))
        return capp_fail_memory(err, "the merges of a word");
    scratch->parts[n] = (capp_merge_part){size, CAPP_NO_TOKEN, CAPP_NO_MERGE, CAPP_NO_TOKEN};
    if (n < 2) return CAPP_OK;
    if (n > SHORT_WORD) return merge_long(&m, err);
    scratch->n_parts = merge_short(&m, scratch->parts, n);
    return CAPP_OK;
}
