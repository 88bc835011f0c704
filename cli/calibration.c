#include "calibration.h"

#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    bool labels, rows;
} methods[] = {
#define X(NAME, name, labels, rows) {#name, labels, rows},
    CALIBRATION_MAP(X)
#undef X
};

bool calibration_method_of(const char *name, calibration_method *method) {
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        if (strcmp(name, methods[i].name) != 0) continue;
        *method = (calibration_method)i;
        return true;
    }
    return false;
}

const char *calibration_name(calibration_method method) {
    return methods[method].name;
}

bool calibration_needs_labels(calibration_method method) {
    return methods[method].labels;
}

bool calibration_fits_rows(calibration_method method) {
    return methods[method].rows;
}

/* Neighbors go to different folds, and no pattern of the input is that of the folds: Fibonacci hashing. */
size_t calibration_fold(size_t index) {
    uint64_t mixed = (uint64_t)index * UINT64_C(0x9E3779B97F4A7C15);
    return (size_t)((mixed >> 33) % CALIBRATION_FOLDS);
}

void calibration_free(calibration *c) {
    for (size_t i = 0; i < CALIBRATION_FITS; i++) free(c->shift[i]);
    *c = (calibration){.method = CALIBRATE_NONE};
}
