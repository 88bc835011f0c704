#include "json_lists.h"

bool json_array_in(capp_str text, json_value *array) {
    size_t at;
    const char *reason;
    *array = (json_value){NULL, 0};
    return !text.size || (json_check(text, array, &at, &reason) && json_kind_of(*array) == JSON_KIND_ARRAY);
}

bool json_strings(capp_str text, arena *a, capp_str **strings, size_t *n) {
    json_value array;
    *n = 0;
    if (!json_array_in(text, &array)) return false;
    if (!array.size) return true;
    *strings = arena_allocate(a, json_size(array), sizeof **strings);
    for (json_walk w = json_begin(array); json_next(&w);) {
        if (json_kind_of(w.item) != JSON_KIND_STRING) return false;
        (*strings)[(*n)++] = json_copy_string(a, w.item);
    }
    return true;
}

bool json_doubles(capp_str text, arena *a, double **numbers, size_t *n) {
    json_value array;
    *n = 0;
    if (!json_array_in(text, &array)) return false;
    if (!array.size) return true;
    *numbers = arena_allocate(a, json_size(array), sizeof **numbers);
    for (json_walk w = json_begin(array); json_next(&w);) {
        if (json_kind_of(w.item) != JSON_KIND_NUMBER) return false;
        (*numbers)[(*n)++] = json_double(w.item);
    }
    return true;
}
