#include "memory.h"

#include "capp_forecast.h"
#include "option_table.h"
#include "platform.h"

void arithmetic_json(buffer *b, const capp_model_info *info) {
    buffer_printf(b, ",\n \"precision\": \"%s\",\n \"scoring\": \"%s\",\n \"deciding\": \"%s\",\n \"isa\": \"%s\"",
                  precision_names[info->precision], precision_names[info->scoring], precision_names[info->deciding],
                  info->isa);
}

void memory_json(buffer *b, const capp_model *model, const capp_session *session) {
    capp_stats stats;
    capp_model_info info;
    capp_session_get_stats(session, &stats);
    capp_model_get_info(model, &info);
    const struct {
        const char *name;
        uint64_t bytes;
    } numbers[] = {{"planned_bytes", stats.planned_bytes},
                   {"used_bytes", stats.used_bytes},
                   {"weight_bytes", info.weight_bytes},
                   {"planned_weight_bytes", capp_model_forecast_weights(model)},
                   {"whole_weight_bytes", info.whole_weight_bytes},
                   {"file_bytes", info.file_bytes},
                   {"file_resident_bytes", capp_model_measure_resident(model)},
                   {"streamed_bytes", info.streamed_bytes},
                   {"peak_memory_bytes", peak_memory()}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        buffer_printf(b, ",\n \"%s\": %llu", numbers[i].name, (unsigned long long)numbers[i].bytes);
}

void memory_text(buffer *b, const capp_model *model, const capp_session *session) {
    capp_stats stats;
    capp_model_info info;
    capp_session_get_stats(session, &stats);
    capp_model_get_info(model, &info);
    buffer_printf(b, "memory     %s at its peak, with the file's pages; allocated: weights %s, run %s\n",
                  human_bytes(peak_memory()), human_bytes(info.weight_bytes), human_bytes(stats.used_bytes));
    buffer_printf(b, "file       %s, of which %s in the page cache", human_bytes(info.file_bytes),
                  human_bytes(capp_model_measure_resident(model)));
    if (info.streamed_bytes) buffer_printf(b, "; every wave reads %s", human_bytes(info.streamed_bytes));
    buffer_char(b, '\n');
}

bool ignore_result(void *user, const capp_result *result) {
    (void)user;
    (void)result;
    return !interrupted();
}

void fill_weights(const capp_model *model, capp_session *session) {
    static const capp_str prompts[] = {{"1", 1}, {"2", 1}, {"3", 1}, {"4", 1}}, completion = {"a", 1};
    capp_error err;
    for (size_t i = 0; i < sizeof prompts / sizeof *prompts; i++) {
        const capp_example example = {.prompt = prompts[i], .completions = &completion, .n_completions = 1};
        capp_model_info info;
        capp_model_get_info(model, &info);
        if (info.weight_bytes == capp_model_forecast_weights(model)) return;
        if (capp_score(session, &example, 1, NULL, ignore_result, NULL, &err)) return;
    }
}
