/* The words of a Unigram model from tokenizer.json. */
#include "token/pipeline.h"

/* Appends a stretch of unknown characters: its own piece if it has one, else its bytes, else the unknown token. */
static capp_status push_unknown(capp_pipeline_run *run, capp_str text, capp_error *err) {
    const capp_pipeline *pipeline = run->pipeline;
    int32_t id = capp_unigram_find(&pipeline->unigram, text);
    bool bytes = id == CAPP_NO_TOKEN && pipeline->byte_fallback;
    for (size_t i = 0; bytes && i < text.size; i++)
        bytes = pipeline->fallback[(unsigned char)text.data[i]] != CAPP_NO_TOKEN;
    if (bytes) {
        for (size_t i = 0; i < text.size; i++)
            if (!capp_ids_push(run->out, pipeline->fallback[(unsigned char)text.data[i]]))
                return capp_fail_memory(err, "ids");
        return CAPP_OK;
    }
    if (id == CAPP_NO_TOKEN) id = run->vocab->info.unk;
    return capp_ids_push(run->out, id) ? CAPP_OK : capp_fail_memory(err, "ids");
}

capp_status capp_pipeline_encode_unigram_word(capp_pipeline_run *run, capp_str word, capp_error *err) {
    int32_t unknown = run->vocab->info.unk;
    uint32_t begin = 0, end;
    capp_status st = capp_unigram_cut(&run->pipeline->unigram, word, unknown != CAPP_NO_TOKEN, &run->paths,
                                      &run->paths_capacity, &end, err);
    const capp_unigram_path *paths = run->paths;
    while (st == CAPP_OK && begin < word.size) {
        int32_t id = paths[end].id;
        uint32_t after = paths[end].from;
        if (id == CAPP_NO_TOKEN || id == unknown) { /* a run of unknown pieces is one piece */
            while (end < word.size && (paths[after].id == CAPP_NO_TOKEN || paths[after].id == unknown)) {
                end = after;
                after = paths[end].from;
            }
            st = push_unknown(run, (capp_str){word.data + begin, end - begin}, err);
        } else if (!capp_ids_push(run->out, id)) {
            st = capp_fail_memory(err, "ids");
        }
        begin = end;
        end = after;
    }
    return st;
}
