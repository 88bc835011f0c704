/* A model folder as Hugging Face's libraries write it: config.json, and the tensors in model.safetensors or in the
 * files that model.safetensors.index.json names. */
#ifndef CAPP_FILE_FOLDER_H
#define CAPP_FILE_FOLDER_H

#include "base/json.h"
#include "base/tensor.h"
#include "file/map.h"

typedef struct capp_folder capp_folder;

/* Opens and maps path, a folder. Every offset is checked, every tensor is unique and in the file where the index has
 * it. The data of tensors is not read. On success the caller owns *f; on failure it is NULL. Errors, whose messages
 * begin with the file to blame: CAPP_EIO, CAPP_EFORMAT, CAPP_EUNSUPPORTED, CAPP_ENOMEM. The files must not change while
 * *f lives. Once open it is immutable: any number of threads may use it. */
capp_status capp_folder_open(capp_folder **f, const char *path, capp_error *err);

/* The same for a LoRA adapter as PEFT saves it: adapter_config.json and adapter_model.safetensors. path may be that of
 * one of the two (capp_is_adapter_file). */
capp_status capp_folder_open_adapter(capp_folder **f, const char *path, capp_error *err);

/* The same from memory, which must outlive *f: for tests and fuzzing. */
capp_status capp_folder_parse(capp_folder **f, const void *config, size_t config_size, const void *tensors,
                              size_t tensors_size, const char *name, capp_error *err);

/* f may be NULL. */
void capp_folder_free(capp_folder *f);

/* Whether path is a folder. */
bool capp_is_folder(const char *path);

/* Whether path is a folder with an adapter_config.json and no config.json. */
bool capp_is_adapter_folder(const char *path);

/* Whether path is a file by the name of one of the two that PEFT saves. */
bool capp_is_adapter_file(const char *path);

/* The files of tensors, [*n]; none where *f was parsed from memory. */
const capp_map *capp_folder_maps(const capp_folder *f, size_t *n);

const char *capp_folder_path(const capp_folder *f);
uint64_t capp_folder_bytes(const capp_folder *f); /* of all files of tensors */
size_t capp_folder_parts(const capp_folder *f);   /* files of tensors */

/* The object in config.json; of a multimodal model, which has an object text_config there, that one. Borrowed. */
capp_json capp_folder_config(const capp_folder *f);

/* The object around text_config; NULL where there is no such thing. */
capp_json capp_folder_around(const capp_folder *f);

/* The value at the end of a path of keys, "rope_scaling.factor"; NULL where there is none or it is null. */
capp_json capp_config_at(capp_json object, const char *keys);

size_t capp_folder_n_tensors(const capp_folder *f);
const capp_tensor *capp_folder_tensor_at(const capp_folder *f, size_t i);
const capp_tensor *capp_folder_find_tensor(const capp_folder *f, const char *name); /* NULL where there is none */

#endif
