/* Which row of a store to label next. */
#ifndef CLI_LABEL_ORDER_H
#define CLI_LABEL_ORDER_H

#include "decider.h"

enum { ORDER_WORDS = 256, ORDER_ROWS = 2000 };

/* A row that may be shown. */
typedef struct order_row {
    size_t index;
    double key; /* the margin of its prediction, or a random number; the smallest first */
    bool shown;
    float words[ORDER_WORDS]; /* how often words occur, by their hash; of length 1 */
} order_row;

typedef struct label_order {
    bool random;
    order_row *rows; /* [n] the ORDER_ROWS with the smallest keys, sorted by them */
    size_t n, capacity;
    float (*seen)[ORDER_WORDS]; /* [n_seen] of rows that have a label or were shown */
    size_t n_seen, seen_capacity;
    size_t n_labeled, n_all; /* rows with a label; all rows with a score */
} label_order;

/* Reads the store. */
bool order_open(label_order *o, decider *d, bool random, capp_error *err);
void order_close(label_order *o);

/* The next row, which then counts as shown; NULL: all were shown. In the order of uncertainty, it is the one of the
 * least certain rows that is most unlike those seen. */
order_row *order_next(label_order *o);

#endif
