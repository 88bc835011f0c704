#include "jinja/from_json.h"

static capp_jinja_value from_string(capp_jinja_run *run, capp_json json) {
    bool escapes;
    capp_str raw = capp_json_raw(json, &escapes);
    char *text = capp_jinja_allocate(run, raw.size, 1);
    if (!text) return (capp_jinja_value){.kind = CAPP_JINJA_UNDEFINED};
    return capp_jinja_string_of_conversation(run, (capp_str){text, capp_json_decode(raw, text)});
}

static capp_jinja_value from_number(capp_jinja_run *run, capp_json json) {
    const char *p = json + (*json == '-');
    int64_t whole = 0;
    bool fits = true;
    for (; *p >= '0' && *p <= '9'; p++) {
        fits = fits && !__builtin_mul_overflow(whole, 10, &whole) && !__builtin_add_overflow(whole, *p - '0', &whole);
    }
    bool fraction = *p == '.' || (*p | 0x20) == 'e';
    double number;
    if (!fraction && fits) return capp_jinja_integer(*json == '-' ? -whole : whole);
    if (!fraction || !capp_json_f64(json, &number))
        return capp_jinja_fail(run, CAPP_EUNSUPPORTED, "the variables have a number that does not fit 64 bits");
    return capp_jinja_float(number);
}

/* Depth: at most CAPP_JSON_DEPTH. */
capp_jinja_value capp_jinja_value_from_json(capp_jinja_run *run, capp_json json) {
    bool truth = false;
    capp_jinja_value out;
    if (!capp_jinja_count_steps(run, 1)) return (capp_jinja_value){.kind = CAPP_JINJA_UNDEFINED};
    switch (capp_json_kind_of(json)) {
    case CAPP_JSON_STRING: return from_string(run, json);
    case CAPP_JSON_NUMBER: return from_number(run, json);
    case CAPP_JSON_BOOL: (void)capp_json_bool(json, &truth); return capp_jinja_boolean(truth);
    case CAPP_JSON_ARRAY:
        out = capp_jinja_list_new(run, CAPP_JINJA_LIST, 0);
        for (capp_json_walk w = capp_json_begin(json); run->status == CAPP_OK && capp_json_next(&w);)
            capp_jinja_list_append(run, out, capp_jinja_value_from_json(run, w.value));
        return out;
    case CAPP_JSON_OBJECT:
        out = capp_jinja_dict_new(run, CAPP_JINJA_DICT);
        for (capp_json_walk w = capp_json_begin(json); run->status == CAPP_OK && capp_json_next(&w);)
            capp_jinja_dict_set(run, out, from_string(run, w.name), capp_jinja_value_from_json(run, w.value));
        return out;
    default: return capp_jinja_none();
    }
}
