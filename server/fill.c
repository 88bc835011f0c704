#include "fill.h"

#include <string.h>

static bool add(text *t, const char *data, size_t size, size_t most, failure *f) {
    if (t->size > most || size > most - t->size)
        return refuse(f, 413, "template",
                      "the texts with the template have too many bytes; send fewer texts, or a shorter template");
    text_add(t, data, size);
    return true;
}

static bool refuse_missing(const fill_item *item, capp_str name, failure *f) {
    int shown = name.size > 80 ? 80 : (int)name.size;
    if (json_is_string(item->json))
        return refuse(f, 400, "template",
                      "text %zu: the template names {%.*s}, but the text is a string, which has only the field "
                      "{text}; send an object with the fields of the template",
                      item->index, shown, name.data);
    return refuse(f, 400, "template",
                  "text %zu: the template names {%.*s}, but the text does not have this field; add it, or change "
                  "the template",
                  item->index, shown, name.data);
}

static bool add_field(text *t, capp_str name, const fill_item *item, size_t most, failure *f) {
    bool whole = json_is_string(item->json) && name.size == 4 && !memcmp(name.data, "text", 4);
    const json_t *value = whole ? item->json : json_object_getn(item->json, name.data, name.size);
    if (!value || json_is_null(value)) return refuse_missing(item, name, f);
    if (json_is_string(value)) return add(t, json_string_value(value), json_string_length(value), most, f);
    if (json_is_integer(value))
        text_printf(t, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else if (json_is_real(value))
        text_double(t, json_real_value(value));
    else if (json_is_boolean(value))
        text_put(t, json_is_true(value) ? "true" : "false");
    else
        return refuse(f, 400, "texts", "text %zu: the field '%.*s' is an array or an object; send it as a string",
                      item->index, name.size > 80 ? 80 : (int)name.size, name.data);
    return add(t, "", 0, most, f);
}

static bool add_text(text *t, const fill_item *item, size_t most, failure *f) {
    const json_t *value = json_is_object(item->json) ? field(item->json, "text") : item->json;
    if (value) return add_field(t, capp_str_of("text"), item, most, f);
    return refuse(f, 400, "texts", "text %zu does not have the field 'text'; add it, or name the fields in 'template'",
                  item->index);
}

bool fill_template(text *t, capp_str pattern, const fill_item *item, size_t most, failure *f) {
    if (!json_is_string(item->json) && !json_is_object(item->json))
        return refuse(f, 400, "texts", "text %zu must be a string or an object", item->index);
    if (!pattern.data) return add_text(t, item, most, f);
    const char *at = pattern.data, *end = at + pattern.size;
    size_t n_fields = 0;
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
            n_fields++;
            at = close + 1;
        } else if (*at == '}') {
            return refuse(f, 400, "template",
                          "'}' at byte %zu of the template has no matching '{'; write }} for a brace",
                          (size_t)(at - pattern.data) + 1);
        } else {
            if (!add(t, at++, 1, most, f)) return false;
        }
    }
    return n_fields || refuse(f, 400, "template",
                              "the template names no field, so every text would have the same prompt; write, for "
                              "example, '{text}'");
}
