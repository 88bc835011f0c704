/* Compares two stores of the same rows: which predicts the labels better, and whether that can be chance. */
#include "capp_arrays.h"
#include "labeled.h"
#include "output_file.h"

#include <stdlib.h>
#include <string.h>

enum { SHOWN = 10 };

typedef struct comparison {
    labeled sides[2];
    size_t n, right[2], only[2]; /* only: rows that only this side has right */
    size_t n_differ;             /* rows with different predictions */
    buffer text, json;           /* the first of them */
} comparison;

static read_status fail_shorter(const comparison *c, int shorter, capp_error *err) {
    fail_at(
        err, 0,
        "%s and %s do not have the same labeled rows: the %s has %zu rows with a label, and the %s has more; compare "
        "runs over one input",
        c->sides[0].path, c->sides[1].path, shorter ? "second" : "first", c->n, shorter ? "first" : "second");
    return READ_FAILED;
}

/* The next row of both. They must be the same rows. */
static read_status next_pair(comparison *c, decided_row pair[2], capp_error *err) {
    read_status status[2];
    size_t index[2] = {0, 0};
    for (int i = 0; i < 2; i++)
        if ((status[i] = labeled_next(&c->sides[i], &pair[i], &index[i], err)) == READ_FAILED) return READ_FAILED;
    if (status[0] == READ_END && status[1] == READ_END) return READ_END;
    if (status[0] != status[1]) return fail_shorter(c, status[0] == READ_END ? 0 : 1, err);
    const row *a = &pair[0].row, *b = &pair[1].row;
    if (index[0] == index[1] && str_equal(a->id, b->id) &&
        str_equal(a->example.completions[a->label], b->example.completions[b->label]))
        return READ_ROW;
    fail_at(err, 0, "%s and %s do not have the same labeled rows: they differ at row %zu; compare runs over one input",
            c->sides[0].path, c->sides[1].path, index[0] < index[1] ? index[0] : index[1]);
    return READ_FAILED;
}

static void note_row(comparison *c, const decided_row pair[2], const capp_str names[2]) {
    const row *a = &pair[0].row;
    capp_str label = a->example.completions[a->label];
    if (++c->n_differ > SHOWN) return;
    buffer_printf(&c->text, "  %-12.*s %.*s | %.*s (label: %.*s)\n", (int)a->id.size, a->id.data, (int)names[0].size,
                  names[0].data, (int)names[1].size, names[1].data, (int)label.size, label.data);
    buffer_text(&c->json, c->n_differ > 1 ? ",\n  {\"id\": " : "\n  {\"id\": ");
    put_string(&c->json, a->id);
    buffer_text(&c->json, ", \"label\": ");
    put_string(&c->json, label);
    buffer_text(&c->json, ", \"first\": ");
    put_string(&c->json, names[0]);
    buffer_text(&c->json, ", \"second\": ");
    put_string(&c->json, names[1]);
    buffer_char(&c->json, '}');
}

static void count_pair(comparison *c, const decided_row pair[2]) {
    bool right[2];
    capp_str names[2];
    for (int i = 0; i < 2; i++) {
        right[i] = pair[i].prediction == pair[i].row.label;
        names[i] = pair[i].row.example.completions[pair[i].prediction];
        c->right[i] += right[i];
    }
    c->n++;
    c->only[0] += right[0] && !right[1];
    c->only[1] += right[1] && !right[0];
    if (!str_equal(names[0], names[1])) note_row(c, pair, names);
}

static int report_comparison(comparison *c, const options *settings, capp_error *err) {
    for (int i = 0; i < 2; i++) labeled_tell(&c->sides[i], c->n);
    warn_discount(settings);
    double p = capp_measure_mcnemar(c->only[0], c->only[1]), n = c->n ? (double)c->n : 1;
    buffer text = {0};
    int code = EXIT_DONE;
    if (settings->json) {
        const char *inputs[] = {settings->input, settings->second};
        output out;
        if (!output_open(&out, settings->json, inputs, 2, err)) {
            complain("%s", err->message);
            return EXIT_FAILED;
        }
        buffer_printf(&out.rows, "{\"n\": %zu,\n \"accuracy\": [", c->n);
        put_double(&out.rows, (double)c->right[0] / n);
        buffer_text(&out.rows, ", ");
        put_double(&out.rows, (double)c->right[1] / n);
        buffer_printf(&out.rows, "],\n \"undecided\": [%zu, %zu]", c->sides[0].n_undecided, c->sides[1].n_undecided);
        buffer_printf(&out.rows,
                      ",\n \"only_first\": %zu,\n \"only_second\": %zu,\n \"differ\": %zu,\n \"mcnemar\": ", c->only[0],
                      c->only[1], c->n_differ);
        put_double(&out.rows, p);
        buffer_text(&out.rows, ",\n \"rows\": [");
        buffer_str(&out.rows, buffer_view(&c->json));
        buffer_text(&out.rows, "]}\n");
        bool to_stdout = !out.path;
        if (!output_close(&out, true)) code = output_failed(&out);
        if (to_stdout) return code;
    }
    buffer_printf(&text, "rows       %zu with a label\n", c->n);
    for (int i = 0; i < 2; i++)
        buffer_printf(&text, "accuracy   %.4f  %s\n", (double)c->right[i] / n, c->sides[i].path);
    buffer_printf(&text, "only one   %zu rows are right only in the first, %zu only in the second\n", c->only[0],
                  c->only[1]);
    buffer_printf(&text, "McNemar    p = %.4g: the difference %s\n", p,
                  p < 0.05 ? "is hardly chance (5 %)" : "can be chance (5 %)");
    if (c->n_differ) buffer_printf(&text, "\n%zu rows differ\n", c->n_differ);
    buffer_str(&text, buffer_view(&c->text));
    int printed = output_print(buffer_view(&text));
    buffer_free(&text);
    return printed ? printed : code;
}

int compare_command(const options *settings) {
    comparison c = {.n = 0};
    capp_error err = {.row = CAPP_NO_ROW};
    decided_row pair[2];
    read_status status = READ_FAILED;
    int code = EXIT_FAILED;
    if (labeled_open(&c.sides[0], settings->input, settings->second, settings, &err) &&
        labeled_open(&c.sides[1], settings->second, settings->input, settings, &err))
        while ((status = next_pair(&c, pair, &err)) == READ_ROW) count_pair(&c, pair);
    if (interrupted())
        code = EXIT_SIGNAL + interrupted();
    else if (status == READ_END)
        code = report_comparison(&c, settings, &err);
    else
        complain("%s", err.message);
    if (!code && (c.sides[0].labels.n_bad || c.sides[1].labels.n_bad)) code = EXIT_PARTLY;
    for (int i = 0; i < 2; i++) labeled_close(&c.sides[i]);
    buffer_free(&c.text);
    buffer_free(&c.json);
    return code;
}
