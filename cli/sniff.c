#include "sniff.h"
#include "json_parser.h"

#include <csv.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name, *end;
    input_format format;
    char separator;
} formats[] = {
    {"csv", ".csv", FORMAT_CSV, 0},       {"tsv", ".tsv", FORMAT_CSV, '\t'},      {"tsv", ".tab", FORMAT_CSV, '\t'},
    {"jsonl", ".jsonl", FORMAT_JSONL, 0}, {"ndjson", ".ndjson", FORMAT_JSONL, 0}, {"json", ".json", FORMAT_JSON, 0},
    {"text", ".txt", FORMAT_TEXT, 0},
};

enum { N_FORMATS = sizeof formats / sizeof *formats };

bool format_of_name(const char *name, input_format *format, char *separator) {
    for (size_t i = 0; i < N_FORMATS; i++) {
        if (strcmp(name, formats[i].name) != 0) continue;
        *format = formats[i].format;
        *separator = formats[i].separator;
        return true;
    }
    return false;
}

bool format_of_path(const char *path, input_format *format, char *separator) {
    static const char *const packed[] = {"", ".gz", ".zst"};
    for (size_t i = 0; i < N_FORMATS; i++)
        for (size_t k = 0; k < sizeof packed / sizeof *packed; k++) {
            char end[16];
            snprintf(end, sizeof end, "%s%s", formats[i].end, packed[k]);
            if (!ends_with(path, end)) continue;
            *format = formats[i].format;
            *separator = formats[i].separator;
            return true;
        }
    return false;
}

const char *format_words(input_format format, char separator) {
    switch (format) {
    case FORMAT_CSV: return separator == '\t' ? "TSV" : "CSV";
    case FORMAT_JSONL: return "JSON lines";
    case FORMAT_JSON: return "JSON";
    default: return "plain text";
    }
}

/* ---- The head as a table ---------------------------------------------------------------------------------------- */

/* The head, read with one separator. */
typedef struct table {
    const sniff_input *in;
    buffer cells;    /* the cells of the first record, one after another */
    size_t ends[64]; /* where each of the first cells ends */
    size_t n_first;  /* cells of the first record */
    size_t n_cells;  /* cells of the current record */
    size_t records;  /* complete records */
    bool open;       /* a quote in the first record is not closed */
    bool even;       /* all records have as many cells as the first */
    bool asked;      /* a cell of the first record is a column that the run needs */
    bool names;      /* the cells of the first record look like names of columns */
} table;

enum { MOST_CELLS = sizeof((table *)0)->ends / sizeof(size_t) };

static void on_cell(void *data, size_t size, void *user) {
    table *t = user;
    if (!t->records) {
        buffer_add(&t->cells, data, size);
        if (t->n_cells < MOST_CELLS) t->ends[t->n_cells] = t->cells.size;
    }
    t->n_cells++;
}

static void on_record(int end, void *user) {
    (void)end;
    table *t = user;
    if (!t->records) t->n_first = t->n_cells;
    t->even = t->even && t->n_cells == t->n_first;
    t->records++;
    t->n_cells = 0;
}

static int no_space(unsigned char c) {
    (void)c;
    return 0;
}

static capp_str cell(const table *layout, size_t i) {
    size_t start = i ? layout->ends[i - 1] : 0;
    return (capp_str){layout->cells.data ? layout->cells.data + start : "", layout->ends[i] - start};
}

/* A few words that begin with a letter and do not end with punctuation. */
static bool is_name(capp_str text) {
    enum { LONGEST = 60, MOST_SPACES = 4 };
    size_t spaces = 0;
    if (!text.size || text.size > LONGEST) return false;
    char first = text.data[0];
    bool letter = (first >= 'a' && first <= 'z') || (first >= 'A' && first <= 'Z');
    if (!letter && first != '_' && (unsigned char)first < 0x80) return false;
    for (size_t i = 0; i < text.size; i++) spaces += text.data[i] == ' ';
    return spaces <= MOST_SPACES && !is_one_of(text.data[text.size - 1], " .,;:!?");
}

static void judge_cells(table *layout) {
    size_t n = layout->n_first < MOST_CELLS ? layout->n_first : MOST_CELLS;
    layout->names = n > 0;
    for (size_t i = 0; i < n; i++) {
        layout->names = layout->names && is_name(cell(layout, i));
        for (size_t k = 0; k < i; k++) layout->names = layout->names && !str_equal(cell(layout, i), cell(layout, k));
        for (size_t k = 0; k < layout->in->n_asked; k++)
            layout->asked = layout->asked || str_equal(cell(layout, i), layout->in->asked[k]);
    }
}

/* False: the head is not a table with this separator. */
static bool read_table(table *layout, const sniff_input *in, char separator) {
    struct csv_parser parser;
    capp_str head = in->head;
    *layout = (table){.in = in, .even = true};
    while (head.size && is_one_of(*head.data, "\r\n")) {
        head.data++;
        head.size--;
    }
    if (in->first_alone || !in->whole) { /* whole lines only */
        size_t end = 0;
        for (size_t i = 0; i < head.size && !(in->first_alone && end); i++)
            if (is_one_of(head.data[i], "\r\n")) end = i + 1;
        if (end) head.size = end;
    }
    if (csv_init(&parser, CSV_STRICT | CSV_STRICT_FINI)) out_of_memory();
    csv_set_space_func(&parser, no_space);
    csv_set_delim(&parser, (unsigned char)separator);
    bool good = csv_parse(&parser, head.data, head.size, on_cell, on_record, layout) == head.size;
    if (good && csv_fini(&parser, on_cell, on_record, layout)) {
        layout->open = !layout->records;
        good = !in->whole;
    }
    csv_free(&parser);
    layout->even = layout->even && good;
    if (layout->records) judge_cells(layout);
    return layout->records > 0;
}

/* ---- Decisions --------------------------------------------------------------------------------------------------- */

static const char separators[] = {',', '\t', ';', '|'};

enum { N_SEPARATORS = sizeof separators, EVEN_ENOUGH = 4 };

static const char *separator_words(char separator) {
    return separator == '\t' ? "tabs" : separator == ',' ? "commas" : separator == ';' ? "semicolons" : "bars";
}

static capp_str first_line(const sniff_input *in) {
    enum { SHOWN = 60 };
    capp_str line = in->head;
    while (line.size && is_one_of(*line.data, "\r\n")) {
        line.data++;
        line.size--;
    }
    size_t n = 0;
    while (n < line.size && n < SHOWN && !is_one_of(line.data[n], "\r\n")) n++;
    line.size = n == SHOWN ? utf8_valid(line.data, n) : n;
    return line;
}

static bool ambiguous(capp_error *err, const sniff_input *in, const char *what) {
    capp_str line = first_line(in);
    return fail_at(err, 0, "%s: cannot recognize the format: the input begins with '%.*s': %s; use --format", in->name,
                   (int)line.size, line.data, what);
}

/* Finds the separator of an input that is known to be CSV. */
static bool sniff_separator(sniffed *found, const sniff_input *in, const table *tables, const bool *good,
                            capp_error *err) {
    size_t best = 0, asked = 0;
    for (size_t i = 0; i < N_SEPARATORS; i++) {
        if (!good[i]) continue;
        if (tables[i].asked && tables[i].n_first > 1) asked++;
        bool better = tables[i].asked != tables[best].asked ? tables[i].asked
                      : tables[i].even != tables[best].even ? tables[i].even
                                                            : tables[i].n_first > tables[best].n_first;
        if (good[i] && (!good[best] || better)) best = i;
    }
    if (asked > 1)
        return fail_at(err, 0, "%s: cannot recognize the separator: the header fits %s and others; use --separator",
                       in->name, separator_words(separators[best]));
    found->separator = good[best] && tables[best].n_first > 1 ? separators[best] : ',';
    return true;
}

/* Decides about a text that begins like JSON. */
static bool sniff_brace(sniffed *found, const sniff_input *in, capp_str rest, capp_error *err) {
    char second = 0;
    for (size_t i = 1; i < rest.size && !second; i++)
        if (!is_one_of(rest.data[i], " \t\r\n")) second = rest.data[i];
    bool named = in->named == FORMAT_JSON || in->named == FORMAT_JSONL;
    if (*rest.data == '[') {
        if (second == '{' || second == ']' || named) {
            found->format = FORMAT_JSON;
            return true;
        }
        if (second && !is_one_of(second, "\"[-0123456789")) return true; /* "[INST] ..." is not JSON */
        return ambiguous(err, in, "a JSON array without objects, or plain text");
    }
    if (second && !is_one_of(second, "\"}") && !named)
        return ambiguous(err, in, "a brace that no name in double quotes follows: malformed JSON, or plain text");
    json_scan scan = {0};
    size_t size = 0, at;
    const char *reason;
    json_value value;
    bool ends = json_scan_on(&scan, rest.data, rest.size, &size), one_line = !memchr(rest.data, '\n', size);
    bool good = ends && json_check((capp_str){rest.data, size}, &value, &at, &reason);
    capp_str behind = {rest.data + size, rest.size - size};
    while (behind.size && is_one_of(*behind.data, " \t")) {
        behind.data++;
        behind.size--;
    }
    one_line = one_line && !(good && behind.size && *behind.data == '{'); /* several objects on one line */
    found->format = (ends && one_line) || (in->named == FORMAT_JSONL && !good) ? FORMAT_JSONL : FORMAT_JSON;
    return true;
}

/* Decides about an input that is neither JSON nor known to be CSV. */
static bool sniff_text(sniffed *found, const sniff_input *in, const table *tables, const bool *good, capp_error *err) {
    bool one_name = false, open = false;
    for (size_t i = 0; i < N_SEPARATORS; i++) {
        open = open || tables[i].open;
        if (!good[i]) continue;
        const table *t = &tables[i];
        one_name = one_name || (t->asked && t->n_first == 1);
        if (t->asked && t->n_first > 1) {
            found->format = FORMAT_CSV;
            return sniff_separator(found, in, tables, good, err);
        }
    }
    if (in->named == FORMAT_CSV) {
        found->format = FORMAT_CSV;
        found->separator = in->named_separator;
        return found->separator || sniff_separator(found, in, tables, good, err);
    }
    if (in->named == FORMAT_JSON || in->named == FORMAT_JSONL)
        return ambiguous(err, in, "this is not JSON, although the file name says so");
    if (open && in->first_alone && in->named != FORMAT_TEXT)
        return ambiguous(err, in,
                         "a quote that is not closed in the line: a CSV record of several lines, or plain text");
    if (one_name) return ambiguous(err, in, "a CSV header with one column, or plain text");
    for (size_t i = 0; i < N_SEPARATORS; i++) {
        const table *t = &tables[i];
        if (!good[i] || t->n_first < 2 || !t->even) continue;
        bool several = t->records > 1 && !in->first_alone;
        bool suspect = t->names || separators[i] == '\t' || (several && t->records >= EVEN_ENOUGH);
        if (t->n_first > 1 && !t->names && cell(t, 1).size && *cell(t, 1).data == ' ')
            suspect = false; /* "Well, yes" */
        if (suspect && (several || in->named != FORMAT_TEXT))
            return ambiguous(err, in, "CSV or TSV without the columns that the command needs, or plain text");
    }
    found->format = FORMAT_TEXT;
    return true;
}

static void sniff_line_ends(sniffed *found, const sniff_input *in) {
    if (found->format != FORMAT_TEXT || in->first_alone || !in->head.size) return;
    found->cr = memchr(in->head.data, '\r', in->head.size) && !memchr(in->head.data, '\n', in->head.size);
}

bool sniff(sniffed *found, const sniff_input *in, capp_error *err) {
    table tables[N_SEPARATORS];
    bool good[N_SEPARATORS], done = true;
    capp_str rest = in->head;
    while (rest.size && is_one_of(*rest.data, " \t\r\n")) {
        rest.data++;
        rest.size--;
    }
    if (found->format == FORMAT_GUESS && rest.size && is_one_of(*rest.data, "{["))
        done = sniff_brace(found, in, rest, err);
    if (done && !rest.size && found->format == FORMAT_GUESS) /* not a row, as far as the head shows */
        found->format = in->named == FORMAT_GUESS ? FORMAT_TEXT : in->named;
    if (done && (found->format == FORMAT_GUESS || (found->format == FORMAT_CSV && !found->separator))) {
        for (size_t i = 0; i < N_SEPARATORS; i++) good[i] = read_table(&tables[i], in, separators[i]);
        done = found->format == FORMAT_CSV ? sniff_separator(found, in, tables, good, err)
                                           : sniff_text(found, in, tables, good, err);
        for (size_t i = 0; i < N_SEPARATORS; i++) buffer_free(&tables[i].cells);
    }
    sniff_line_ends(found, in);
    return done;
}
