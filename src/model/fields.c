/* Fields of config.json by a list of names like "hidden_size|n_embd": the first one in the file counts. */
#include "model/fields.h"

#include <math.h>
#include <string.h>

capp_status capp_field_fail(const capp_fields *r, capp_status st, const char *key, const char *what) {
    return capp_fail(r->err, st, "%s: config.json: \"%s\" %s", capp_source_path(r->s), key, what);
}

static bool next_name(const char **names, char *out) {
    size_t n = strcspn(*names, "|");
    if (!n || n >= CAPP_MOST_KEY) return false;
    memcpy(out, *names, n);
    out[n] = 0;
    *names += n + ((*names)[n] == '|');
    return true;
}

const capp_default *capp_field_default(const capp_fields *r, const char *key) {
    const capp_default *d = r->arch->defaults;
    while (d && d->key && strcmp(d->key, key)) d++;
    return d && d->key ? d : NULL;
}

/* Whether the field is a list with one element for each layer, all of them the same number. Then *out is that
 * number. */
static bool is_same_for_all(const capp_fields *r, const char *key, double *out) {
    size_t n = capp_source_count(r->s, key), i = 0;
    double value;
    if (!n || capp_source_number_at(r->s, key, 0, out) != CAPP_FOUND) return false;
    while (i < n && capp_source_number_at(r->s, key, i, &value) == CAPP_FOUND && value == *out) i++;
    return i == n;
}

capp_status capp_field_number(const capp_fields *r, const char *names, double *out, bool *found) {
    capp_json config = capp_folder_config(r->s->folder);
    char key[CAPP_MOST_KEY];
    const char *again = names;
    bool there = false;
    for (*found = false; next_name(&names, key);) {
        capp_found what = capp_source_number(r->s, key, out);
        if (what == CAPP_MISFIT && is_same_for_all(r, key, out)) what = CAPP_FOUND;
        if (what == CAPP_MISFIT || (what == CAPP_FOUND && !isfinite(*out)))
            return capp_field_fail(r, CAPP_EFORMAT, key, "is not a number");
        if ((*found = what == CAPP_FOUND)) return CAPP_OK;
        there |= capp_json_get(config, key) != NULL;
    }
    while (!there && !*found && next_name(&again, key)) {
        const capp_default *missing = capp_field_default(r, key);
        if ((*found = missing != NULL)) *out = missing->value;
    }
    return CAPP_OK;
}

/* missing is 0 if the field is required. */
capp_status capp_field_count(const capp_fields *r, const char *names, uint32_t missing, uint32_t most, uint32_t *out) {
    double value;
    bool found;
    char key[CAPP_MOST_KEY];
    const char *first = names;
    capp_status st = capp_field_number(r, names, &value, &found);
    if (st != CAPP_OK) return st;
    next_name(&first, key);
    *out = missing;
    if (!found) return missing ? CAPP_OK : capp_field_fail(r, CAPP_EFORMAT, key, "is missing");
    if (value < 1 || value > most || value != floor(value))
        return capp_fail(r->err, CAPP_EFORMAT,
                         "%s: config.json: \"%s\" is %g; expected 1 to %u; download the model again",
                         capp_source_path(r->s), names, value, most);
    *out = (uint32_t)value;
    return CAPP_OK;
}

capp_status capp_field_positive(const capp_fields *r, const char *names, double missing, double *out) {
    bool found;
    capp_status st = capp_field_number(r, names, out, &found);
    if (st != CAPP_OK) return st;
    if (!found) *out = missing;
    return *out > 0 || (!found && missing == 0) ? CAPP_OK
                                                : capp_field_fail(r, CAPP_EFORMAT, names, "must be greater than 0");
}

capp_status capp_field_single(const capp_fields *r, const char *names, double missing, float *out) {
    double value;
    capp_status st = capp_field_positive(r, names, missing, &value);
    *out = (float)value;
    return st;
}

/* null counts as Python's None, which is false. */
capp_status capp_field_truth(const capp_fields *r, const char *key, bool missing, bool *out) {
    *out = missing;
    if (!key) return CAPP_OK;
    if (capp_json_kind_of(capp_json_get(capp_folder_config(r->s->folder), key)) == CAPP_JSON_NULL) *out = false;
    if (capp_source_bool(r->s, key, out) == CAPP_MISFIT)
        return capp_field_fail(r, CAPP_EFORMAT, key, "must be true or false");
    return CAPP_OK;
}
