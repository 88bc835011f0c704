/* How labels name the correct class. One way holds for all rows of a run or of a store. */
#ifndef CLI_LABELS_H
#define CLI_LABELS_H

#include "util.h"

typedef enum label_reading {
    LABELS_BY_TEXT,   /* by the text of the class */
    LABELS_BY_INDEX,  /* by its index from 0 */
    LABELS_UNDECIDED, /* not known yet: labels_decide decides */
} label_reading;

/* found[way]: the class that the label names in this way, the first of equals; SIZE_MAX: none. */
void labels_find(capp_str label, const capp_str *completions, size_t n, size_t found[2]);

/* The class of a label that was found; either way if the reading is not known yet. SIZE_MAX: none. */
size_t labels_class(const size_t found[2], label_reading way);

/* Fails with the reason why a label is not a class. line: of the input, or 0. */
bool labels_fail(capp_str label, const size_t found[2], label_reading way, const capp_str *completions, size_t n,
                 size_t line, capp_error *err);

/* What the labels of all rows have in common. Initially all zero. */
typedef struct label_facts {
    size_t n, valid[2]; /* labels; those that name a class in this way */
    buffer unlike[2];   /* for a message: the first labels that do not */
} label_facts;

/* place: "line" or "row", and its number. */
void labels_count(label_facts *facts, const char *place, size_t number, capp_str label, const size_t found[2]);

/* By text if all labels are texts, otherwise by index if all are indices; otherwise fails. only_index: --label-index.
 * name: of the input. */
bool labels_decide(const label_facts *facts, const char *name, bool only_index, bool quiet, label_reading *way,
                   capp_error *err);

void labels_free(label_facts *facts);

#endif
