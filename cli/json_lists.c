#include "json_lists.h"

bool json_array_in(capp_str text, json_value *array) {
    size_t at;
    const char *reason;
    *array = (json_value){NULL, 0};
    return !text.size || (json_check(text, array, &at, &reason) && json_kind_of(*array) == JSON_KIND_ARRAY);
}

/* Passes each item to take, with its place in a new array. */
typedef void (*take_fn)(arena *a, json_value item, void *place);

static bool walk(capp_str text, arena *a, json_kind kind, take_fn take, size_t size, void **items, size_t *n) {
    json_value array;
    *n = 0;
    if (!json_array_in(text, &array)) return false;
    if (!array.size) return true;
    *items = arena_allocate(a, json_size(array), size);
    for (json_walk w = json_begin(array); json_next(&w); ++*n) {
        if (json_kind_of(w.item) != kind) return false;
        take(a, w.item, (char *)*items + *n * size);
    }
    return true;
}

static void take_string(arena *a, json_value item, void *place) {
    *(capp_str *)place = json_copy_string(a, item);
}

static void take_double(arena *a, json_value item, void *place) {
    (void)a;
    *(double *)place = json_double(item);
}

bool json_strings(capp_str text, arena *a, capp_str **strings, size_t *n) {
    void *items = *strings;
    bool good = walk(text, a, JSON_KIND_STRING, take_string, sizeof **strings, &items, n);
    *strings = items;
    return good;
}

bool json_doubles(capp_str text, arena *a, double **numbers, size_t *n) {
    void *items = *numbers;
    bool good = walk(text, a, JSON_KIND_NUMBER, take_double, sizeof **numbers, &items, n);
    *numbers = items;
    return good;
}
