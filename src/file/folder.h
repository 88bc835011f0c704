/* A model folder in the format of Hugging Face's libraries: config.json, and tensors in model.safetensors or in the
 * files that model.safetensors.index.json names. ModelOpt adds hf_quant_config.json. */
#ifndef CAPP_FILE_FOLDER_H
#define CAPP_FILE_FOLDER_H

#include "base/json.h"
#include "base/tensor.h"
#include "file/map.h"

typedef struct capp_folder capp_folder;

/* Opens and maps path, a folder. Checks every offset, and that every tensor is unique and in the file that the index
 * names. Does not read the data of tensors. On success the caller owns *f; on failure it is NULL. Errors: CAPP_EIO,
 * CAPP_EFORMAT, CAPP_EUNSUPPORTED, CAPP_ENOMEM; messages begin with the file that caused the error. The files must not
 * change while *f lives. An open folder is immutable: any number of threads may use it. */
capp_status capp_folder_open(capp_folder **folder, const char *path, capp_error *err);

/* Opens a LoRA adapter saved by PEFT: adapter_config.json and adapter_model.safetensors. path is the folder or one of
 * the two files (capp_is_adapter_file). Otherwise like capp_folder_open. */
capp_status capp_folder_open_adapter(capp_folder **folder, const char *path, capp_error *err);

/* Opens a folder from memory, for tests and fuzzing. The memory must outlive *f. */
capp_status capp_folder_parse(capp_folder **folder, const void *config, size_t config_size, const void *tensors,
                              size_t tensors_size, const char *name, capp_error *err);

/* f may be NULL. */
void capp_folder_free(capp_folder *folder);

/* Whether path is a folder. */
bool capp_is_folder(const char *path);

/* Whether path is a folder with an adapter_config.json and no config.json. */
bool capp_is_adapter_folder(const char *path);

/* Whether path has the name of one of the two files that PEFT saves. */
bool capp_is_adapter_file(const char *path);

/* The files with tensors, [*n]; none if *f was parsed from memory. */
const capp_map *capp_folder_maps(const capp_folder *folder, size_t *n);

const char *capp_folder_path(const capp_folder *folder);
uint64_t capp_folder_bytes(const capp_folder *folder); /* total size of the files with tensors */
size_t capp_folder_parts(const capp_folder *folder);   /* number of files with tensors */

/* Returns the object in config.json, or its member text_config for a multimodal model. Borrowed. */
capp_json capp_folder_config(const capp_folder *folder);

/* Returns the object that contains text_config, or NULL if there is no text_config. */
capp_json capp_folder_around(const capp_folder *folder);

/* Returns the object in hf_quant_config.json, or NULL if there is no such file. */
capp_json capp_folder_quant(const capp_folder *folder);

/* Returns the value at a path of keys such as "rope_scaling.factor", or NULL if it is missing or null. */
capp_json capp_config_at(capp_json object, const char *keys);

size_t capp_folder_n_tensors(const capp_folder *folder);
const capp_tensor *capp_folder_tensor_at(const capp_folder *folder, size_t i);
const capp_tensor *capp_folder_find_tensor(const capp_folder *folder, const char *name); /* NULL if there is none */

#endif
