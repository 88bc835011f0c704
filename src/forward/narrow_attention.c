/* The blocks of attention in bfloat16, for lanes whose products are of bfloat16: q, keys, values and weights are
 * bfloat16; scores, the sum of the weights and outputs are float32.
 *
 * Keys are in the store as panels, by slot. Values become panels by position here, because the unit adds a whole step
 * of positions at once. The steps of the spine are products of all rows of the tile, up to the one in which the first
 * tail begins; from there on each row has a product of its own. */
#include <string.h>

#include "forward/attend.h"

enum { BLOCK = CAPP_ATTEND_BLOCK, SCORES = CAPP_ATTEND_SCORES };
_Static_assert(BLOCK % CAPP_MAX_STEP == 0, "a block is whole steps of products");

/* So the greatest weight is 1, which bfloat16 does not round. */
static float top(float most) {
    return most * CAPP_LOG2E;
}

/* The product begins with a whole vector of keys. */
static void scores(const capp_attend_work *w, float *s, size_t slot, size_t n, size_t first, size_t queries) {
    const capp_products *products = w->products;
    const size_t skip = slot % CAPP_LANES, nr = products->nr, key = w->dk * products->element;
    const char *panel = w->keys + (slot - skip) * key;
    for (size_t x = 0; x < skip + n; x += nr, panel += nr * key)
        products->matmul(s - skip + x, SCORES, w->q + first * key, w->dk, panel, queries,
                         capp_attend_least(nr, skip + n - x), w->dk, false);
}

static void weigh(const capp_attend_work *w, size_t query, size_t from, size_t to) {
    uint16_t *weights = (uint16_t *)(void *)w->weights + query * BLOCK;
    const size_t first = from / CAPP_LANES * CAPP_LANES, last = (to + CAPP_LANES - 1) / CAPP_LANES * CAPP_LANES;
    if (from < to)
        w->kernels->exps_coarse(weights, w->s + query * SCORES + CAPP_LANES, from, to, w->top[query],
                                w->lanes + query * CAPP_LANES);
    memset(weights, 0, first * sizeof *weights);
    memset(weights + last, 0, (BLOCK - last) * sizeof *weights);
}

/* Writes the values of the positions from .. to - 1 to panels of `rows` positions each, the first of which begins at
 * position `at`. */
static void put_values(const capp_attend *a, const capp_attend_work *w, capp_place p, char *panels, size_t rows,
                       size_t at, size_t from, size_t to) {
    const capp_products *products = w->products;
    const size_t ld = capp_padded(products, a->dv), panel = rows * w->columns * products->element;
    for (size_t slot, n; from < to; from += n) {
        const size_t in = (from - at) % rows;
        p = capp_place_at(a, p, from, &slot, &n);
        n = capp_attend_least(capp_attend_least(n, to - from), rows - in);
        products->put_rows(panels + (from - at) / rows * panel, rows, in, w->values + slot * ld * products->element, ld,
                           n, ld);
    }
}

/* Makes the last step of panels of `rows` positions zeros. */
static void clear_step(const capp_attend_work *w, char *panels, size_t rows) {
    const size_t step = w->products->step, vector = CAPP_LANES * w->products->element;
    for (size_t x = 0; x < w->columns / CAPP_LANES; x++)
        memset(panels + (x * rows + rows - step) * vector, 0, step * vector);
}

/* Adds the values in panels of n positions, times the weights of element `in` and the following ones. */
static void add_values(const capp_attend *a, const capp_attend_work *w, const char *panels, size_t n, size_t in,
                       size_t first, size_t queries) {
    const capp_products *products = w->products;
    const char *weights = w->weights + (first * BLOCK + in) * products->element;
    for (size_t x = 0; x < a->dv; x += products->nr)
        products->matmul_on(w->out + first * a->dv + x, a->dv, weights, BLOCK, panels + x * n * products->element,
                            queries, capp_attend_least(products->nr, a->dv - x), n);
}

static void values(const capp_attend *a, const capp_attend_work *w, capp_place spine, size_t at) {
    const size_t end = at + BLOCK, step = w->products->step, element = w->products->element;
    const size_t from = at < w->low ? w->low - (w->low - at) % step : at;
    if (from < w->common) {
        const size_t n = capp_attend_least(w->common, end) - from;
        if (from + n > w->tile->spine) clear_step(w, w->panels, n);
        put_values(a, w, spine, w->panels, n, from, from, capp_attend_least(from + n, w->tile->spine));
        add_values(a, w, w->panels, n, from - at, 0, w->tile->rows * a->group);
    }
    const size_t begin = capp_attend_most(from, w->common), tail = capp_attend_most(begin, w->tile->spine);
    if (!w->tails || begin >= end) return;
    put_values(a, w, spine, w->own, step, at, begin, capp_attend_least(end, w->tile->spine));
    for (size_t r = 0; r < w->tile->rows; r++) {
        const size_t to = capp_attend_least(end, capp_attend_depth(a, w->tile, r));
        put_values(a, w, capp_place_of_tail(a, w->tile, r), w->own, step, at, tail, to);
        for (size_t x = begin; x < to; x += step)
            add_values(a, w, w->own + (x - at) * w->columns * element, step, x - at, r * a->group, a->group);
    }
}

const capp_attend_lane capp_attend_narrow = {.top = top, .scores = scores, .weigh = weigh, .values = values};
