#include "errors.h"
#include "json_parser.h"

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

static bool read_kept(error_list *list, capp_error *err) {
    buffer content = {0};
    bool good = read_file(list->path, &content, err);
    for (size_t at = 0; good && at < content.size;) {
        const char *line = content.data + at, *end = memchr(line, '\n', content.size - at);
        if (!end) break; /* incomplete */
        size_t size = (size_t)(end - line);
        grow(&list->rows, &list->rows_capacity, list->n_kept + 1, sizeof *list->rows);
        grow(&list->end, &list->end_capacity, list->n_kept + 1, sizeof *list->end);
        good = row_of_line((capp_str){line, size}, &list->rows[list->n_kept]) ||
               fail_at(err, 0, "%s: line %zu does not name a row: the file was changed; use --overwrite to start again",
                       list->path, list->n_kept + 1);
        at += size + 1;
        list->end[list->n_kept++] = at;
    }
    buffer_free(&content);
    return good;
}

bool errors_open(error_list *list, const output *out, bool resume, capp_error *err) {
    *list = (error_list){.path = output_beside(out, ".errors.jsonl"), .file.file = -1};
    output file;
    if (resume && !read_kept(list, err)) return false;
    if (!output_open(&file, list->path, NULL, 0, err)) return false;
    file.fsync = out->fsync;
    file.size = list->n_kept ? list->end[list->n_kept - 1] : 0;
    file.lines = list->n_kept;
    list->file = file;
    return true;
}

bool errors_has(error_list *list, size_t index) {
    while (list->next < list->n_kept && list->rows[list->next] < index) list->next++;
    return list->next < list->n_kept && list->rows[list->next] == index;
}

void errors_cut(error_list *list, size_t index) {
    while (list->n_kept && list->rows[list->n_kept - 1] >= index) list->n_kept--;
    list->file.size = list->n_kept ? list->end[list->n_kept - 1] : 0;
    list->file.lines = list->n_kept;
}

bool errors_add(error_list *list, const row *this_row, size_t index) {
    buffer *b = &list->file.row;
    buffer_printf(b, "{\"row\": %zu, \"line\": %zu, \"id\": ", index, this_row->line);
    if (this_row->id_string)
        put_string(b, this_row->id);
    else
        buffer_str(b, this_row->id);
    buffer_text(b, ", \"error\": ");
    put_string(b, this_row->reason);
    buffer_text(b, "}\n");
    return output_end_row(&list->file);
}

bool errors_close(error_list *list, bool ended) {
    bool told = list->file.error != 0, good = list->file.file < 0 || output_close(&list->file, ended);
    if (!good && !told) output_failed(&list->file);
    free(list->path);
    free(list->rows);
    free(list->end);
    *list = (error_list){.file.file = -1};
    return good;
}
