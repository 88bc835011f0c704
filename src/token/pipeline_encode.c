#include "token/pipeline.h"

capp_status capp_pipeline_encode(const capp_vocab *vocab, capp_encode_scratch *scratch, capp_str text,
                                 const uint8_t *given, unsigned flags, capp_ids *out, capp_error *err) {
    const capp_pipeline *pipeline = vocab->pipeline;
    capp_pipeline_run run = {.vocab = vocab,
                             .pipeline = pipeline,
                             .scratch = scratch,
                             .matcher = capp_matcher_new(),
                             .out = out,
                             .given = given,
                             .parse_special = flags & CAPP_TOKENIZE_SPECIAL};
    capp_status st = run.matcher ? CAPP_OK : capp_fail_memory(err, "cutting a text into words");
    for (size_t i = 0; st == CAPP_OK && flags & CAPP_TOKENIZE_BOS && vocab->info.add_bos && i < pipeline->ids_before.n;
         i++)
        if (!capp_ids_push(out, pipeline->ids_before.data[i])) st = capp_fail_memory(err, "ids");
    if (st == CAPP_OK) st = capp_pipeline_encode_around_added_tokens(&run, text, err);
    capp_pipeline_run_free(&run);
    return st;
}
