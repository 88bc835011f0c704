/* An open model: how to free it, facts about it, and the parts that other folders may read. */
#include "base/mem.h"
#include "capp_forecast.h"
#include "engine/handles.h"
#include "engine/precision.h"
#include "file/guard.h"
#include "kernel/peak.h"

void capp_model_free(capp_model *model) {
    if (!model) return;
    capp_weights_free(model->exact);
    capp_weights_free(model->weights);
    capp_vocab_free(model->vocab);
    capp_source_close(&model->source);
    capp_free(model->architecture);
    capp_free(model->name);
    capp_free(model->adapters);
    capp_free(model->path);
    capp_free(model);
}

/* Of both lanes: a twin begins with what the other one has. */
static uint64_t adapter_bytes(const capp_model *model) {
    return (model->exact ? model->exact : model->weights)->adapter_bytes;
}

void capp_model_get_info(const capp_model *model, capp_model_info *info) {
    capp_vocab_info vocab;
    capp_vocab_get_info(model->vocab, &vocab);
    const capp_weights *w = model->weights;
    *info = (capp_model_info){.architecture = model->architecture,
                              .name = model->name,
                              .isa = w ? w->kernels->name : "",
                              .precision = model->precision,
                              .threads = model->threads,
                              .vocabulary = vocab.n_tokens,
                              .context = model->context,
                              .layers = w ? w->hparams.layers : 0,
                              .width = w ? w->hparams.width : 0,
                              .parameters = w ? w->parameters : 0,
                              .file_bytes = capp_source_bytes(&model->source),
                              .weight_bytes = w ? capp_cache_bytes(w) + adapter_bytes(model) : 0,
                              .whole_weight_bytes = w ? w->whole_bytes + adapter_bytes(model) : 0,
                              .streamed_bytes = w ? capp_weights_streamed(w) : 0,
                              .bos = vocab.bos,
                              .eos = vocab.eos,
                              .add_bos = vocab.add_bos,
                              .assumed_pretokenizer = vocab.pre_assumed,
                              .load_seconds = model->load_seconds,
                              .adapters = model->adapters,
                              .margin = capp_model_margin(model),
                              .deciding = capp_lanes_deciding(model->precision, model->exact),
                              .scoring = capp_lanes_scoring(model->precision, w)};
}

uint64_t capp_model_forecast_weights(const capp_model *model) {
    return model->weights ? model->weights->packed_bytes + adapter_bytes(model) : 0;
}

uint64_t capp_model_measure_resident(const capp_model *model) {
    return capp_source_resident(&model->source);
}

capp_status capp_guard_files(capp_error *err) {
    return capp_guard_install(err);
}

double capp_model_measure_peak(const capp_model *model) {
    if (!model->weights) return 0;
    const capp_weights *w = model->weights;
    const char *products = !w->integers ? w->products->name : w->share > 0 ? "i8" : "i16";
    return 1e9 * capp_peak_gflops(w->kernels->name, products, 0.1);
}

const capp_vocab *capp_model_vocab(const capp_model *model) {
    return model->vocab;
}

const capp_source *capp_model_source(const capp_model *model) {
    return &model->source;
}

const char *capp_model_path(const capp_model *model) {
    return model->path;
}

double capp_model_margin(const capp_model *model) {
    return model->exact ? capp_lanes_margin(model->weights, model->exact) : 0;
}

uint32_t capp_model_outputs(const capp_model *model) {
    return model->weights ? (uint32_t)model->weights->head.n : 0;
}

uint32_t capp_model_context(const capp_model *model) {
    return model->context;
}
