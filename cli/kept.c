#include "kept.h"
#include "reader.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

bool kept_open(kept_rows *k, const output *out, const options *settings, capp_error *err) {
    static const char *const formats[] = {[OUTPUT_JSONL] = "jsonl", [OUTPUT_CSV] = "csv", [OUTPUT_TSV] = "tsv"};
    const reader_options how = {.path = settings->out,
                                .format = formats[out->form],
                                .separator = out->form == OUTPUT_CSV ? ',' : 0,
                                .quiet = true};
    /* The reader looks at the first bytes of the file, which may contain an incomplete member: it is removed now. */
    if (ftruncate(out->file, (off_t)out->size))
        return fail_at(err, 0, "%s: cannot write the file: %s", settings->out, strerror(errno));
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
        return fail_at(err, 0, "%s: the file lost rows while it was read; use --overwrite to start again", name);
    return fail_at(err, 0, "%s: cannot read a row of the earlier run: %.800s; use --overwrite to start again", name,
                   cause.message);
}
