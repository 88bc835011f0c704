#include "fill.h"

#include <string.h>

static bool add(text *t, const char *data, size_t size, size_t most, failure *f) {
    if (t->size > most || size > most - t->size)
        return refuse(f, 413, "template",
                      "the texts with the template have too many bytes; send fewer texts, or a shorter template");
    text_add(t, data, size);
    return true;
}

static bool add_field(text *t, capp_str name, const json_t *item, size_t most, failure *f) {
    const json_t *value = json_is_object(item) ? json_object_getn(item, name.data, name.size)
                          : name.size == 4 && !memcmp(name.data, "text", 4) ? item
                                                                            : NULL;
    if (!json_is_string(value))
        return refuse(f, 400, "template",
                      "the template names {%.*s}, but the text does not have this field as a string",
                      name.size > 80 ? 80 : (int)name.size, name.data);
    return add(t, json_string_value(value), json_string_length(value), most, f);
}

bool fill_template(text *t, capp_str pattern, const json_t *item, size_t most, failure *f) {
    if (!pattern.data) return add_field(t, capp_str_of("text"), item, most, f);
    const char *at = pattern.data, *end = at + pattern.size;
    while (at < end) {
        size_t left = (size_t)(end - at);
        if ((*at == '{' || *at == '}') && left > 1 && at[1] == *at) {
            if (!add(t, at, 1, most, f)) return false;
            at += 2;
        } else if (*at == '{') {
            const char *close = memchr(at, '}', left);
            if (!close || close == at + 1)
                return refuse(f, 400, "template",
                              "'{' at byte %zu of the template must name a field, as in {text}; write "
                              "{{ for a brace",
                              (size_t)(at - pattern.data) + 1);
            if (!add_field(t, (capp_str){at + 1, (size_t)(close - at) - 1}, item, most, f)) return false;
            at = close + 1;
        } else if (*at == '}') {
            return refuse(f, 400, "template",
                          "'}' at byte %zu of the template has no matching '{'; write }} for a brace",
                          (size_t)(at - pattern.data) + 1);
        } else {
            if (!add(t, at++, 1, most, f)) return false;
        }
    }
    return true;
}
