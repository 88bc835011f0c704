/* Builds GGUF files in memory for tests: metadata in the order of the calls, then tensors. It writes anything it is
 * given, duplicates and nonsense too. It aborts when memory runs out. */
#ifndef CAPP_GGUF_WRITER_H
#define CAPP_GGUF_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct gguf_writer gguf_writer;

/* Version 3, alignment 32. */
gguf_writer *gguf_writer_new(void);
void gguf_writer_version(gguf_writer *w, uint32_t version);
/* Writes general.alignment too. */
void gguf_writer_alignment(gguf_writer *w, uint32_t alignment);

void gguf_writer_u8(gguf_writer *w, const char *key, uint8_t v);
void gguf_writer_i8(gguf_writer *w, const char *key, int8_t v);
void gguf_writer_u16(gguf_writer *w, const char *key, uint16_t v);
void gguf_writer_i16(gguf_writer *w, const char *key, int16_t v);
void gguf_writer_u32(gguf_writer *w, const char *key, uint32_t v);
void gguf_writer_i32(gguf_writer *w, const char *key, int32_t v);
void gguf_writer_u64(gguf_writer *w, const char *key, uint64_t v);
void gguf_writer_i64(gguf_writer *w, const char *key, int64_t v);
void gguf_writer_f32(gguf_writer *w, const char *key, float v);
void gguf_writer_f64(gguf_writer *w, const char *key, double v);
void gguf_writer_bool(gguf_writer *w, const char *key, bool v);
void gguf_writer_str(gguf_writer *w, const char *key, const char *v);
/* sizes: the number of bytes of each string, or NULL where all end with NUL. */
void gguf_writer_str_array(gguf_writer *w, const char *key, const char *const *v, const size_t *sizes, size_t n);
void gguf_writer_f32_array(gguf_writer *w, const char *key, const float *v, size_t n);
void gguf_writer_i32_array(gguf_writer *w, const char *key, const int32_t *v, size_t n);
/* A key with any kind number and these bytes as its value. */
void gguf_writer_raw(gguf_writer *w, const char *key, uint32_t kind, const void *bytes, size_t size);

/* dims[0] varies fastest. Copies bytes of data at the next aligned offset; NULL data writes zeros. */
void gguf_writer_tensor(gguf_writer *w, const char *name, uint32_t type, uint32_t n_dims, const uint64_t *dims,
                        const void *data, size_t bytes);

/* Returns the file, which the caller frees with free(); frees *w. */
void *gguf_writer_finish(gguf_writer *w, size_t *size);
/* The same, written to path. False: path cannot be written. */
bool gguf_writer_save(gguf_writer *w, const char *path);

#endif
