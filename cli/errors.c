#include "errors.h"
#include "json.h"

#include <stdlib.h>
#include <string.h>

/* The index that a line begins with: {"row": 17, ... */
static bool row_of_line(capp_str line, size_t *index) {
    json_value value;
    size_t at;
    const char *reason;
    if (!json_check(line, &value, &at, &reason) || json_kind_of(value) != JSON_KIND_OBJECT) return false;
    json_walk walk = json_begin(value);
    if (!json_next(&walk) || !str_is(walk.name, "\"row\"") || json_kind_of(walk.item) != JSON_KIND_NUMBER) return false;
    *index = (size_t)json_double(walk.item);
    return true;
}

static bool read_kept(error_list *e, capp_error *err) {
    buffer content = {0};
    bool good = read_file(e->path, &content, err);
    for (size_t at = 0; good && at < content.size;) {
        const char *line = content.data + at, *end = memchr(line, '\n', content.size - at);
        if (!end) break; /* torn */
        size_t size = (size_t)(end - line);
        grow(&e->rows, &e->rows_capacity, e->n_kept + 1, sizeof *e->rows);
        grow(&e->end, &e->end_capacity, e->n_kept + 1, sizeof *e->end);
        good = row_of_line((capp_str){line, size}, &e->rows[e->n_kept]) ||
               fail_at(err, 0, "%s: line %zu names no row: the file was changed, and nothing tells where to go on",
                       e->path, e->n_kept + 1);
        at += size + 1;
        e->end[e->n_kept++] = at;
    }
    buffer_free(&content);
    return good;
}

bool errors_open(error_list *e, const output *out, bool resume, capp_error *err) {
    *e = (error_list){.path = output_beside(out, ".errors.jsonl"), .file.file = -1};
    if (resume && !read_kept(e, err)) return false;
    if (!output_open(&e->file, e->path, NULL, 0, err)) return false;
    e->file.fsync = out->fsync;
    return true;
}

bool errors_has(error_list *e, size_t index) {
    while (e->next < e->n_kept && e->rows[e->next] < index) e->next++;
    return e->next < e->n_kept && e->rows[e->next] == index;
}

void errors_cut(error_list *e, size_t index) {
    while (e->n_kept && e->rows[e->n_kept - 1] >= index) e->n_kept--;
    e->file.size = e->n_kept ? e->end[e->n_kept - 1] : 0;
    e->file.lines = e->n_kept;
}

bool errors_add(error_list *e, const row *of, size_t index) {
    buffer *b = &e->file.row;
    buffer_printf(b, "{\"row\": %zu, \"line\": %zu, \"id\": ", index, of->line);
    if (of->id_string)
        put_string(b, of->id);
    else
        buffer_str(b, of->id);
    buffer_text(b, ", \"error\": ");
    put_string(b, of->reason);
    buffer_text(b, "}\n");
    return output_end_row(&e->file);
}

bool errors_close(error_list *e) {
    bool good = e->file.file < 0 || output_close(&e->file, false);
    free(e->path);
    free(e->rows);
    free(e->end);
    *e = (error_list){.file.file = -1};
    return good;
}
