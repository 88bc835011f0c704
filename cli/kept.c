#include "kept.h"

bool kept_open(kept_rows *k, const output *out, const options *o, capp_error *err) {
    static const char *const formats[] = {[OUTPUT_JSONL] = "jsonl", [OUTPUT_CSV] = "csv", [OUTPUT_TSV] = "tsv"};
    const reader_options how = {
        .path = o->out, .format = formats[out->form], .separator = out->form == OUTPUT_CSV ? ',' : 0, .quiet = true};
    k->open = true;
    return reader_open(&k->reader, &how, err);
}

void kept_close(kept_rows *k) {
    if (k->open) reader_close(&k->reader);
    k->open = false;
}

bool kept_next(kept_rows *k, record *written, capp_error *err) {
    const char *name = k->reader.source.name;
    read_status status = reader_next(&k->reader, written, true, err);
    if (status == READ_ROW) return true;
    const capp_error cause = *err;
    if (status == READ_END)
        return fail_at(err, 0, "%s: it has fewer rows than when it was opened; was it changed meanwhile?", name);
    return fail_at(err, 0, "%s: a row of the earlier run cannot be read: %.800s; write it anew by --overwrite", name,
                   cause.message);
}
