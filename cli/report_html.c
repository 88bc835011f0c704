/* The report as one page of HTML with plots in SVG. It needs no script and no network. */
#include "report.h"

#include <math.h>

enum {
    WIDTH = 320,
    HEIGHT = 240,
    LEFT = 44,
    RIGHT = 10,
    TOP = 10,
    BOTTOM = 36,
    MOST_CONFUSED = 20,
    MOST_CLASSES = 200
};

static const char style[] =
    ":root{color-scheme:light "
    "dark;--ink:#1c1f23;--soft:#5b636d;--paper:#fff;--card:#f4f6f8;--line:#d5dae0;--blue:#1f6fd1;"
    "--red:#c23b22;--mark:31,111,209}"
    "@media(prefers-color-scheme:dark){:root{--ink:#e8eaed;--soft:#a3abb5;--paper:#15181c;--card:#1f2429;--line:#"
    "3a424b;"
    "--blue:#6aa9f7;--red:#f08a75;--mark:106,169,247}}"
    "*{box-sizing:border-box}body{margin:0 auto;max-width:70rem;padding:1rem;background:var(--paper);color:var(--ink);"
    "font:16px/1.5 system-ui,sans-serif}h1{font-size:1.5rem;overflow-wrap:anywhere}h2{font-size:1.15rem;margin:2rem 0 "
    ".5rem}"
    "p,figcaption{color:var(--soft);margin:.25rem 0}.cards{display:grid;gap:.75rem;"
    "grid-template-columns:repeat(auto-fit,minmax(9rem,1fr))}.card{background:var(--card);border-radius:.5rem;padding:."
    "75rem}"
    ".card "
    "b{display:block;font-size:1.35rem}.plots{display:grid;gap:1rem;grid-template-columns:repeat(auto-fit,minmax(17rem,"
    "1fr))}"
    "figure{margin:0}svg{width:100%;height:auto;display:block}svg text{fill:var(--soft);font-size:11px}"
    ".axis{stroke:var(--line)}.ideal{stroke:var(--soft);stroke-dasharray:4 "
    "4}.bar{fill:var(--blue)}.bar:hover{fill:var(--red)}"
    ".curve{fill:none;stroke:var(--blue);stroke-width:2}.dot{fill:var(--blue)}.wide{overflow-x:auto}"
    ".wide:focus-visible,summary:focus-visible{outline:3px solid var(--blue);outline-offset:2px}"
    "table{border-collapse:collapse;font-variant-numeric:tabular-nums}th,td{padding:.3rem .6rem;text-align:right;"
    "border-bottom:1px solid "
    "var(--line);vertical-align:top}.t{text-align:left}td.t{max-width:28rem;overflow-wrap:anywhere;"
    "min-width:6rem}pre{white-space:pre-wrap;margin:.25rem 0;font-size:.9rem}"
    ".ks{color:var(--ink);white-space:pre-wrap;margin:.35rem 0}.k{position:relative;border-radius:.2rem}"
    ".k:focus-visible{outline:2px solid var(--blue)}"
    ".k:hover::after,.k:focus::after{content:attr(data-p);position:absolute;left:0;top:1.6em;z-index:1;white-space:"
    "nowrap;"
    "padding:.1rem .4rem;border-radius:.25rem;background:var(--ink);color:var(--paper);font-size:.8rem}"
    "details[open]{min-width:15rem}@media(max-width:40rem){.k:hover::after,.k:focus::after{position:fixed;left:1rem;"
    "top:auto;bottom:1rem}}";

void put_html(buffer *b, capp_str text) {
    for (size_t i = 0; i < text.size; i++) {
        switch (text.data[i]) {
        case '<': buffer_text(b, "&lt;"); break;
        case '>': buffer_text(b, "&gt;"); break;
        case '&': buffer_text(b, "&amp;"); break;
        case '"': buffer_text(b, "&quot;"); break;
        default: buffer_char(b, text.data[i]);
        }
    }
}

static void put_name(const report *r, buffer *b, size_t index) {
    buffer name = {0};
    report_class(r, &name, index);
    put_html(b, buffer_view(&name));
    buffer_free(&name);
}

/* ---- Plots ----------------------------------------------------------------------------------------------------- */

static double x_of(double share) {
    return LEFT + share * (WIDTH - LEFT - RIGHT);
}

static double y_of(double share) {
    return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM);
}

/* Both axes go from 0 to 1; the labels of the vertical one up to `most`. */
static void begin_plot(buffer *b, const char *title, const char *across, double most) {
    buffer_printf(b, "<figure><svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"%s\">", WIDTH, HEIGHT, title);
    for (int i = 0; i <= 4; i++) {
        double share = i / 4.0;
        buffer_printf(b,
                      "<line class=\"axis\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>"
                      "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.3g</text>"
                      "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.3g</text>",
                      LEFT, WIDTH - RIGHT, y_of(share), y_of(share), LEFT - 5, y_of(share) + 4, most * share,
                      x_of(share), HEIGHT - BOTTOM + 15, share);
    }
    buffer_printf(b, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%s</text>", x_of(0.5), HEIGHT - 5, across);
}

static void end_plot(buffer *b, const char *caption) {
    buffer_printf(b, "</svg><figcaption>%s</figcaption></figure>", caption);
}

static void put_bar(buffer *b, double from, double to, double height) {
    double top = y_of(height);
    buffer_printf(b, "<rect class=\"bar\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"><title>", x_of(from) + 1,
                  top, x_of(to) - x_of(from) - 2, y_of(0) - top);
}

static void plot_reliability(buffer *b, const capp_metrics *m) {
    begin_plot(b, "Reliability", "probability of the prediction", 1);
    for (int i = 0; i < CAPP_MEASURE_BINS; i++) {
        if (!m->bin_n[i]) continue;
        put_bar(b, (double)i / CAPP_MEASURE_BINS, (i + 1.0) / CAPP_MEASURE_BINS, m->bin_accuracy[i]);
        buffer_printf(b, "%zu rows, mean probability %.3f, correct %.3f</title></rect>", m->bin_n[i],
                      m->bin_confidence[i], m->bin_accuracy[i]);
    }
    buffer_printf(b, "<line class=\"ideal\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>", x_of(0), y_of(0),
                  x_of(1), y_of(1));
    end_plot(
        b, "Reliability: share of correct rows by probability. On the dashed line, probabilities mean what they say.");
}

static void plot_risk(buffer *b, const capp_metrics *m) {
    double most = 0;
    for (int i = 0; i < CAPP_MEASURE_POINTS; i++) most = fmax(most, m->risk[i]);
    most = most > 0 ? most : 0.01;
    begin_plot(b, "Error rate by coverage", "share of rows decided, most certain first", most);
    buffer_text(b, "<polyline class=\"curve\" points=\"");
    for (int i = 0; i < CAPP_MEASURE_POINTS; i++)
        buffer_printf(b, "%.1f,%.1f ", x_of((i + 1.0) / CAPP_MEASURE_POINTS), y_of(m->risk[i] / most));
    buffer_text(b, "\"/>");
    for (int i = 0; i < CAPP_MEASURE_POINTS; i++)
        buffer_printf(
            b,
            "<circle class=\"dot\" r=\"3\" cx=\"%.1f\" cy=\"%.1f\"><title>%.0f %% of rows: %.4f wrong</title></circle>",
            x_of((i + 1.0) / CAPP_MEASURE_POINTS), y_of(m->risk[i] / most), 100 * (i + 1.0) / CAPP_MEASURE_POINTS,
            m->risk[i]);
    end_plot(b, "Risk by coverage: the share of wrong rows among the most certain ones.");
}

static void plot_histogram(buffer *b, const size_t bins[REPORT_BINS], const char *title, const char *caption) {
    size_t most = 1;
    for (int i = 0; i < REPORT_BINS; i++) most = bins[i] > most ? bins[i] : most;
    begin_plot(b, title, "probability of the prediction", (double)most);
    for (int i = 0; i < REPORT_BINS; i++) {
        if (!bins[i]) continue;
        put_bar(b, (double)i / REPORT_BINS, (i + 1.0) / REPORT_BINS, (double)bins[i] / (double)most);
        buffer_printf(b, "%zu rows from %.1f to %.1f</title></rect>", bins[i], i / 10.0, (i + 1) / 10.0);
    }
    end_plot(b, caption);
}

/* The three classes that are predicted most often. */
static void plot_classes(const report *r, buffer *b) {
    bool done[REPORT_CLASSES] = {false};
    for (int shown = 0; shown < 3; shown++) {
        size_t best = SIZE_MAX, most = 0;
        for (size_t k = 0; k < r->width; k++) {
            size_t labels, predictions, both;
            capp_measure_class(r->measure, k, &labels, &predictions, &both);
            if (done[k] || predictions <= most) continue;
            best = k;
            most = predictions;
        }
        if (best == SIZE_MAX) return;
        done[best] = true;
        buffer caption = {0};
        buffer_text(&caption, "Rows predicted as ");
        put_name(r, &caption, best);
        buffer_text(&caption, ", by probability.");
        buffer_char(&caption, 0);
        plot_histogram(b, r->histogram[best], "Probabilities by class", caption.data);
        buffer_free(&caption);
    }
}

/* ---- Tables ---------------------------------------------------------------------------------------------------- */

static void begin_table(buffer *b, const char *title, const char *head) {
    buffer_printf(b,
                  "<h2>%s</h2><div class=\"wide\" tabindex=\"0\" role=\"region\" "
                  "aria-label=\"%s\"><table><thead><tr>%s</tr></thead><tbody>",
                  title, title, head);
}

static void end_table(buffer *b) {
    buffer_text(b, "</tbody></table></div>");
}

static void table_classes(const report *r, buffer *b) {
    begin_table(
        b, "Classes",
        "<th class=\"t\">class</th><th>labels</th><th>predictions</th><th>precision</th><th>recall</th><th>F1</th>");
    for (size_t k = 0, shown = 0; k < r->width && shown < MOST_CLASSES; k++) {
        size_t labels, predictions, both;
        capp_measure_class(r->measure, k, &labels, &predictions, &both);
        if (!(labels + predictions)) continue;
        shown++;
        buffer_text(b, "<tr><td class=\"t\">");
        put_name(r, b, k);
        buffer_printf(b, "</td><td>%zu</td><td>%zu</td><td>%.3f</td><td>%.3f</td><td>%.3f</td></tr>", labels,
                      predictions, predictions ? (double)both / (double)predictions : 0,
                      labels ? (double)both / (double)labels : 0, 2 * (double)both / (double)(labels + predictions));
    }
    end_table(b);
}

/* The classes with rows, at most MOST_CONFUSED. */
static void table_confusion(const report *r, buffer *b) {
    size_t shown[MOST_CONFUSED], n = 0;
    for (size_t k = 0; k < r->width && n < MOST_CONFUSED; k++) {
        size_t labels, predictions, both;
        capp_measure_class(r->measure, k, &labels, &predictions, &both);
        if (labels + predictions) shown[n++] = k;
    }
    begin_table(b, "Confusion matrix", "<th class=\"t\">label, then predictions</th>");
    buffer_text(b, "<tr><td></td>");
    for (size_t j = 0; j < n; j++) {
        buffer_text(b, "<th>");
        put_name(r, b, shown[j]);
        buffer_text(b, "</th>");
    }
    buffer_text(b, "</tr>");
    for (size_t i = 0; i < n; i++) {
        size_t labels, predictions, both;
        capp_measure_class(r->measure, shown[i], &labels, &predictions, &both);
        buffer_text(b, "<tr><th class=\"t\">");
        put_name(r, b, shown[i]);
        buffer_text(b, "</th>");
        for (size_t j = 0; j < n; j++) {
            size_t count = capp_measure_confusion(r->measure, shown[i], shown[j]);
            double share = labels ? (double)count / (double)labels : 0;
            buffer_printf(b, "<td style=\"background:rgba(var(--mark),%.2f)\">%zu</td>", 0.6 * share, count);
        }
        buffer_text(b, "</tr>");
    }
    end_table(b);
}

static void table_rows(buffer *b, const char *title, const report_row *rows, size_t n) {
    begin_table(b, title,
                "<th class=\"t\">row</th><th class=\"t\">prediction</th><th class=\"t\">label</th><th>probability</th>"
                "<th>margin</th><th class=\"t\">prompt</th>");
    for (size_t i = 0; i < n; i++) {
        const char *const texts[] = {rows[i].id, rows[i].prediction, rows[i].label};
        buffer_text(b, "<tr>");
        for (size_t j = 0; j < 3; j++) {
            buffer_text(b, "<td class=\"t\">");
            put_html(b, capp_str_of(texts[j]));
            buffer_text(b, "</td>");
        }
        buffer_printf(b, "<td>%.3f</td><td>%.3f</td><td class=\"t\"><details><summary>show</summary><pre>",
                      rows[i].probability, rows[i].margin);
        put_html(b, capp_str_of(rows[i].prompt));
        buffer_text(b, "</pre>");
        if (rows[i].tokens) buffer_text(b, rows[i].tokens);
        buffer_text(b, "</details></td></tr>");
    }
    end_table(b);
}

/* ---- The page -------------------------------------------------------------------------------------------------- */

static void card(buffer *b, const char *name, double value, const char *more) {
    buffer_printf(b, "<div class=\"card\">%s<b>%.4f</b>%s</div>", name, value, more);
}

static void cards(const report *r, buffer *b, const capp_metrics *m) {
    char text[96];
    double coverage = 0;
    capp_measure_coverage(r->measure, 0.05, &coverage, NULL);
    buffer_text(b, "<div class=\"cards\">");
    snprintf(text, sizeof text, "%zu of %zu rows", m->correct, m->n);
    card(b, "accuracy", m->accuracy, text);
    snprintf(text, sizeof text, "to %.4f (95 %%)", m->accuracy_high);
    card(b, "interval from", m->accuracy_low, text);
    card(b, "macro F1", m->macro_f1, "mean over classes");
    card(b, "log-loss", m->log_loss, "0 is best");
    card(b, "Brier score", m->brier, "0 is best");
    card(b, "calibration error", m->ece, "0 is best");
    card(b, "coverage", coverage, "of rows at 5 % errors");
    buffer_text(b, "</div>");
}

/* What a calibration changes. */
static void table_changes(const report *before, const report *after, buffer *b) {
    double values[2][REPORT_CHANGES];
    if (!before || !report_numbers(before, values[0]) || !report_numbers(after, values[1])) return;
    begin_table(b, "Calibration", "<th class=\"t\">number</th><th>before</th><th>after</th>");
    for (int i = 0; i < REPORT_CHANGES; i++)
        buffer_printf(b, "<tr><td class=\"t\">%s</td><td>%.4f</td><td>%.4f</td></tr>", report_change_titles[i],
                      values[0][i], values[1][i]);
    end_table(b);
}

void report_html(const report *r, const report *before, buffer *b, const char *title) {
    capp_metrics m;
    buffer_text(b, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
                   "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">"
                   "<link rel=\"icon\" href=\"data:,\"><title>capp evaluate: ");
    put_html(b, capp_str_of(title));
    buffer_printf(b, "</title><style>%s</style></head><body><main><h1>", style);
    put_html(b, capp_str_of(title));
    buffer_text(b, "</h1>");
    if (r->known && r->measure && !capp_measure_get(r->measure, &m, NULL) && m.n) {
        cards(r, b, &m);
        buffer_text(b, "<h2>Plots</h2><div class=\"plots\">");
        plot_reliability(b, &m);
        plot_risk(b, &m);
        plot_classes(r, b);
        buffer_text(b, "</div>");
        table_changes(before, r, b);
        table_confusion(r, b);
        table_classes(r, b);
        table_rows(b, "Most confident mistakes", r->mistakes, r->n_mistakes);
        table_rows(b, "Least certain rows", r->uncertain, r->n_uncertain);
    } else {
        buffer_text(b, "<p>There are no metrics, because some rows have no probabilities that sum to 1.</p>");
    }
    buffer_text(b, "</main></body></html>\n");
}
