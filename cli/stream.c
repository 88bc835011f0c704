#include "stream.h"

#include "capp_forecast.h"
#include "disk.h"
#include "util.h"

void stream_open(stream *s, const capp_model *model, const options *settings) {
    capp_model_info info;
    capp_model_get_info(model, &info);
    if (!info.streamed_bytes) return;
    buffer text = {0};
    buffer_printf(&text,
                  "%s: %s of its %s do not fit the free memory, so every wave of token rows reads them from the disk",
                  settings->model, human_bytes(info.streamed_bytes), human_bytes(info.file_bytes));
    double rate = disk_rate(settings->model);
    if (rate > 0) {
        s->wave_seconds = (double)info.streamed_bytes / rate;
        buffer_printf(&text, ". The disk gives %s per second, so a wave takes at least %.3g seconds",
                      human_bytes((uint64_t)rate), s->wave_seconds);
    }
    complain("%.*s. More --memory makes fewer and larger waves", (int)text.size, text.data);
    buffer_free(&text);
}

void stream_forecast(stream *s, capp_session *session, const capp_example *examples, size_t n, size_t left,
                     size_t orders, const capp_run_options *how) {
    capp_work work = {0};
    capp_run_options alone = *how;
    capp_error err;
    if (!(s->wave_seconds > 0)) return;
    alone.progress = NULL;
    (void)capp_forecast(session, examples, n, &alone, &work, &err); /* of the rows before a bad one, if there is one */
    double waves = work.rows ? (double)work.waves * (double)left / (double)work.rows * (double)orders : 0;
    buffer text = {0};
    buffer_printf(&text, "%zu row%s about %.0f wave%s: at least ", left, left == 1 ? " needs" : "s need", waves,
                  waves < 1.5 ? "" : "s");
    buffer_duration(&text, waves * s->wave_seconds);
    if (waves > 0) complain("%.*s", (int)text.size, text.data);
    buffer_free(&text);
    s->wave_seconds = 0;
}
