#include "token/pipeline.h"

#include "base/mem.h"

enum { CHUNK = 1 << 16 };

/* Decoded strings, many in one block. */
struct capp_pipeline_chunk {
    capp_pipeline_chunk *next;
    size_t used, size;
    char data[];
};

static char *room_for(capp_pipeline *pipeline, size_t size) {
    capp_pipeline_chunk *chunk = pipeline->chunks;
    if (!chunk || chunk->size - chunk->used < size) {
        size_t wanted = size > CHUNK ? size : CHUNK;
        chunk = capp_new(sizeof *chunk + wanted, 1);
        if (!chunk) return NULL;
        *chunk = (capp_pipeline_chunk){.next = pipeline->chunks, .size = wanted};
        pipeline->chunks = chunk;
    }
    char *room = chunk->data + chunk->used;
    chunk->used += size;
    return room;
}

capp_status capp_pipeline_read_string(capp_pipeline *pipeline, capp_json value, const char *name, capp_str *out,
                                      capp_error *err) {
    bool escapes;
    capp_str raw = capp_json_raw(value, &escapes);
    if (!raw.data) return capp_fail(err, CAPP_EFORMAT, "%s is missing or not a string", name);
    if (escapes) {
        char *room = room_for(pipeline, raw.size);
        if (!room) return capp_fail_memory(err, "a tokenizer");
        raw = (capp_str){room, capp_json_decode(raw, room)};
    }
    *out = raw;
    return CAPP_OK;
}

capp_status capp_pipeline_read_bool(capp_json object, const char *name, bool *out, capp_error *err) {
    return capp_pipeline_read_bool_value(capp_json_get(object, name), name, out, err);
}

capp_status capp_pipeline_read_bool_value(capp_json value, const char *name, bool *out, capp_error *err) {
    if (capp_json_kind_of(value) <= CAPP_JSON_NULL || capp_json_bool(value, out)) return CAPP_OK;
    return capp_fail(err, CAPP_EFORMAT, "%s is not a boolean", name);
}

void capp_pipeline_free(capp_pipeline *pipeline) {
    if (!pipeline) return;
    for (size_t i = 0; i < pipeline->n_normalizers; i++) {
        capp_regex_free(pipeline->normalizers[i].regex);
        capp_charsmap_free(pipeline->normalizers[i].chars);
    }
    for (size_t i = 0; i < CAPP_PIPELINE_MAX_STEPS; i++) capp_regex_free(pipeline->steps[i].regex);
    while (pipeline->chunks) {
        capp_pipeline_chunk *next = pipeline->chunks->next;
        capp_free(pipeline->chunks);
        pipeline->chunks = next;
    }
    capp_unigram_free(&pipeline->unigram);
    capp_free(pipeline->texts);
    capp_free(pipeline->in_model);
    capp_free(pipeline->added);
    capp_free(pipeline->raw.nodes);
    capp_free(pipeline->normalized.nodes);
    capp_ids_free(&pipeline->ids_before);
    capp_ids_free(&pipeline->ids_after);
    capp_free(pipeline->path);
    capp_map_close(&pipeline->map);
    capp_free(pipeline);
}

void capp_pipeline_run_free(capp_pipeline_run *run) {
    capp_matcher_free(run->matcher);
    capp_free(run->normal[0].data);
    capp_free(run->normal[1].data);
    for (size_t i = 0; i < CAPP_PIPELINE_MAX_STEPS; i++) capp_free(run->pre[i].data);
    capp_free(run->word.data);
    capp_free(run->paths);
}
