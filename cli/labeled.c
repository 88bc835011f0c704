#include "labeled.h"

bool labeled_open(labeled *l, const char *path, const char *other, const options *settings, capp_error *err) {
    *l = (labeled){.settings = settings, .path = path};
    l->store = store_open(path, false, err);
    if (!l->store || !store_learn(&l->facts, l->store, err)) return false;
    bool borrows = other && !settings->label && !store_number(l->store, "SELECT count(*) FROM labels");
    if (borrows && !store_borrow_labels(l->store, other, err)) return false;
    if (!decider_open(&l->decider, l->store, path, &l->facts, settings, err)) return false;
    if (!store_labels_open(&l->labels, l->store, &l->decider, settings, err)) return false;
    if (!calibrate(&l->decider, &l->labels, err)) return false;
    l->decider.cross = true;
    l->rows = store_rows_open(l->store, &l->facts, err);
    return l->rows != NULL;
}

void labeled_close(labeled *l) {
    store_rows_close(l->rows);
    decider_close(&l->decider);
    store_forget(&l->facts);
    store_close(l->store);
    *l = (labeled){0};
}

read_status labeled_next(labeled *l, decided_row *decided, size_t *index, capp_error *err) {
    for (;;) {
        stored_row *next = &l->stored;
        if (interrupted()) return READ_END;
        read_status status = store_rows_next(l->rows, next, err);
        if (status != READ_ROW) return status;
        *index = next->index;
        capp_error why;
        size_t label = row_is_bad(&next->row) ? SIZE_MAX : store_labels_of(&l->labels, &l->decider, next);
        if (label == SIZE_MAX || decider_skips(&l->decider, next, &why)) {
            l->n_without++;
            continue;
        }
        next->row.label = label;
        if (!decider_row(&l->decider, next, decided, err)) return READ_FAILED;
        l->n_undecided += decided->undecided;
        return READ_ROW;
    }
}

void labeled_tell(const labeled *l, size_t n) {
    if (l->n_undecided && !l->settings->quiet)
        complain("%s: %zu of %zu rows with a label are undecided: their best classes are within the margin of the "
                 "precision and were not scored in the one that decides; to decide them, first run capp decide with "
                 "the same options "
                 "and --rescore -m MODEL",
                 l->path, l->n_undecided, n);
}
